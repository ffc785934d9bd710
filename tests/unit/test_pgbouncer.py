"""pgBouncer's console: paused between transactions, resumed whatever happens."""

from __future__ import annotations

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.pgbouncer import Console, PoolerError
from ansible_collections.rsp.platform.plugins.modules import pgbouncer
from module_call import call

DATABASES = "name,host,port,database,force_user,paused,disabled\npgbouncer,,6432,pgbouncer,pgbouncer,0,0\n"
STATE = "key,value\nactive,{active}\npaused,{paused}\nsuspended,no\n"
POOLS = "database,user,cl_active,cl_waiting,sv_active,sv_idle\npgbouncer,pgbouncer,1,0,1,0\napp,app,2,0,{busy},1\n"


class Pooler:
    """Answers like pgBouncer's console under `runuser … timeout … psql`."""

    def __init__(self, paused=False, busy=0, stuck=False, refuses=""):
        self.paused, self.transactions, self.stuck, self.refuses = paused, busy, stuck, refuses
        self.argv, self.commands = [], []

    def __call__(self, argv):
        self.argv, command = list(argv), argv[-1]
        self.commands.append(command)
        if self.refuses:
            return 2, "", self.refuses
        if command == "PAUSE":
            self.paused = True
            return (124, "", "") if self.stuck else (0, "PAUSE\n", "")
        if command == "RESUME":
            was, self.paused = self.paused, False
            return (0, "RESUME\n", "") if was else (1, "", "ERROR:  pooler is not paused/suspended\n")
        paused = "yes" if self.paused else "no"
        answers = {
            "SHOW DATABASES": DATABASES,
            "SHOW STATE": STATE.format(active="no" if self.paused else "yes", paused=paused),
            "SHOW POOLS": POOLS.format(busy=self.transactions),
        }
        return 0, answers[command], ""


def console(pooler):
    return Console(pooler, "postgres", "/run/pg", 6432)


def test_it_is_asked_as_its_own_user_without_a_password():
    pooler = Pooler()
    assert console(pooler).paused() is False
    assert pooler.argv[:6] == ["runuser", "-u", "postgres", "--", "timeout", "10"]
    assert "-h" in pooler.argv
    assert not any("password" in word.lower() for word in pooler.argv)


def test_pause_and_resume():
    pooler = Pooler()
    console(pooler).pause(30)
    assert console(pooler).paused() is True
    console(pooler).resume()
    assert console(pooler).paused() is False


def test_resume_of_a_pooler_that_is_not_paused_is_nothing():
    console(Pooler()).resume()


def test_an_open_transaction_is_an_error_and_everything_runs_again():
    pooler = Pooler(busy=3, stuck=True)
    with pytest.raises(PoolerError, match="3 transactions were still open after 5 s"):
        console(pooler).pause(5)
    assert pooler.paused is False
    assert pooler.commands[-1] == "RESUME"


@pytest.mark.parametrize("act", [lambda c: c.pause(1), lambda c: c.resume(), lambda c: c.paused(), lambda c: c.busy()])
def test_a_pooler_that_does_not_answer_is_an_error(act):
    with pytest.raises(PoolerError, match="no such file"):
        act(console(Pooler(refuses="connection to server failed: no such file")))


def test_own_connections_of_the_console_are_no_work():
    assert console(Pooler(busy=2)).busy() == 2


@pytest.mark.parametrize(
    ("state", "paused", "check", "changed", "afterwards"),
    [
        ("paused", False, False, True, True),
        ("paused", True, False, False, True),
        ("paused", False, True, True, False),
        ("resumed", True, False, True, False),
        ("resumed", False, False, False, False),
        ("resumed", True, True, True, True),
    ],
)
def test_the_module_changes_only_what_differs(monkeypatch, capsys, *, state, paused, check, changed, afterwards):
    pooler = Pooler(paused=paused)
    monkeypatch.setattr(pgbouncer.AnsibleModule, "run_command", lambda _self, argv, **_named: pooler(argv))
    result = call(pgbouncer.main, capsys, check=check, state=state)
    assert (result["rc"], result["changed"], pooler.paused) == (0, changed, afterwards)


def test_the_module_fails_with_the_reason(monkeypatch, capsys):
    pooler = Pooler(busy=1, stuck=True)
    monkeypatch.setattr(pgbouncer.AnsibleModule, "run_command", lambda _self, argv, **_named: pooler(argv))
    result = call(pgbouncer.main, capsys, state="paused", wait_s=2)
    assert result["rc"] == 1
    assert "1 transactions were still open after 2 s" in result["msg"]
