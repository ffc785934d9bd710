"""Ansible's output in short: one line a task, errors in full."""

from __future__ import annotations

import itertools

import pytest
from progress import Condenser

RUN = """
PLAY [Site | The etcd cluster] *************************************************

TASK [rsp.platform.etcd : Configure | Put the files in place] ******************
changed: [a1]
ok: [b1 -> localhost]
skipping: [c1]

TASK [Configure | Only elsewhere] **********************************************
skipping: [a1]

PLAY RECAP *********************************************************************
a1                         : ok=10   changed=2    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0
b1                         : ok=3    changed=1    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0

"""
BROKEN = """
TASK [rsp.platform.etcd : Service | Start it] **********************************
ok: [b1]
[ERROR]: Task failed: Module failed: no
Origin: roles/etcd/tasks/service.yml:2:3

fatal: [a1]: FAILED! =>
    msg: 'port 2379 is taken'
ok: [c1]

PLAY RECAP *********************************************************************
a1                         : ok=1    changed=0    unreachable=0    failed=1    skipped=0    rescued=0    ignored=0
c1                         : ok=1    changed=0    unreachable=1    failed=0    skipped=0    rescued=0    ignored=0
"""


def condense(text):
    clock = itertools.count()
    condenser = Condenser(now=lambda: float(next(clock)))
    shown = [line for raw in text.splitlines() for line in condenser.feed(raw)]
    return condenser, [*shown, *condenser.flush()]


def test_a_run_in_short():
    condenser, shown = condense(RUN)
    assert shown == [
        "Site | The etcd cluster",
        "    1.0 s  Configure | Put the files in place: 1 changed, 1 ok, 1 skipping",
    ]
    assert condenser.changed == 3


def test_trouble_is_shown_in_full_and_ends_with_the_next_result():
    condenser, shown = condense(BROKEN)
    assert shown == [
        "    [ERROR]: Task failed: Module failed: no",
        "    Origin: roles/etcd/tasks/service.yml:2:3",
        "    fatal: [a1]: FAILED! =>",
        "        msg: 'port 2379 is taken'",
        "    1.0 s  Service | Start it: 1 fatal, 2 ok",
        "  a1: 1 failed, 0 unreachable",
        "  c1: 0 failed, 1 unreachable",
    ]
    assert condenser.changed == 0


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("[WARNING]: Could not match supplied host pattern", True),
        ("ERROR! the playbook could not be found", True),
        ("[DEPRECATION WARNING]: use something else", True),
        ("Using ansible.cfg as config file", False),
        ("", False),
    ],
)
def test_what_belongs_to_no_task(line, shown):
    assert condense(line)[1] == ([f"    {line}"] if shown else [])


def test_the_current_task_is_known_while_it_runs():
    condenser = Condenser()
    assert condenser.current is None
    list(condenser.feed("TASK [mirror : Fill | Build] *****"))
    assert condenser.current == "Fill | Build"


def test_a_task_that_only_skips_is_no_line():
    assert condense("TASK [x] ***\nskipping: [a1]\nTASK [y] ***\nok: [a1]")[1] == ["    1.0 s  y: 1 ok"]


def test_the_recaps_of_several_playbooks_add_up():
    assert condense(RUN + RUN)[0].changed == 6
