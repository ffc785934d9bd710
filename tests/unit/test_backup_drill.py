"""Drills: the sandbox and its proofs, the order of stages, what is always removed, what is refused at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.backup import drill, drill_options, drilling, record, sandbox
from ansible_collections.rsp.platform.plugins.module_utils.backup.base import Expected
from ansible_collections.rsp.platform.plugins.module_utils.backup.model import (
    BackupError,
    Level,
    failed,
    passed,
    unknown,
)
from ansible_collections.rsp.platform.plugins.module_utils.backup.policy import Policy
from ansible_collections.rsp.platform.plugins.module_utils.backup.postgresql import NEEDED, PgBackRest
from ansible_collections.rsp.platform.plugins.module_utils.backup.running import as_root, as_user
from ansible_collections.rsp.platform.plugins.module_utils.backup.sandbox import Sandbox, judge_isolation
from ansible_collections.rsp.platform.plugins.module_utils.backup.stages import MIB
from ansible_collections.rsp.platform.plugins.module_utils.lease import LeaseError
from backup_data import IDENTITY, INCR, KEY, NOW, Tool, build, point, repository
from test_backup_canary import KEY as CANARY_KEY
from test_backup_canary import STORE, T0, TEN

# --- the sandbox


class Host:
    """Runs nothing, and keeps what it was told."""

    def __init__(self, answers=()):
        self.calls, self.answers = [], dict(answers)

    def __call__(self, argv, stdin):
        self.calls.append((list(argv), stdin))
        for part, answer in self.answers.items():
            if part in " ".join(argv):
                return answer
        return 0, "", ""


def box(tmp_path, name="nightly", host=None, lease_s=600, proc=None):
    return Sandbox(name, host or Host(), "postgres", lease_s, tmp_path / "drills", proc or tmp_path / "proc")


@pytest.mark.parametrize("name", ["", "Nightly", "a b", "../x", "a/b", "x" * 32, "-a", "a*", "a;b", "a.b"])
def test_names_that_could_be_somebody_elses(name, tmp_path):
    with pytest.raises(BackupError, match="small letters, digits and - only"):
        box(tmp_path, name)


@pytest.mark.parametrize("base", ["drills", "/", "/srv"])
def test_directories_that_are_none_for_drills(base):
    with pytest.raises(BackupError, match="is no directory for drills"):
        Sandbox("x", Host(), "postgres", 600, Path(base))


def test_the_lease_stops_every_unit_and_deletes_the_directory(tmp_path):
    """It knows no state of the drill, so it may run twice and whenever."""
    lease = box(tmp_path).lease()
    assert lease.name == "drill-nightly"
    assert lease.ttl_s == 600
    assert lease.undo == (
        ("/usr/bin/systemctl", "stop", "rsp-drill-nightly-*.service"),
        ("/usr/bin/rm", "-rf", "--one-file-system", "--", str(tmp_path / "drills" / "nightly")),
    )


def made(tmp_path, monkeypatch, **options):
    monkeypatch.setattr(sandbox.shutil, "chown", lambda *_args: None)
    whole = box(tmp_path, **options)
    whole.make("data")
    return whole


def test_directories_are_for_the_engine_only(tmp_path, monkeypatch):
    whole = made(tmp_path, monkeypatch)
    for path in (whole.root, whole.root / "data"):
        assert path.stat().st_mode & 0o777 == 0o700
    with pytest.raises(BackupError, match="another drill nightly runs"):
        whole.make("data")


def test_secrets_of_a_step_go_by_its_standard_input(tmp_path, monkeypatch):
    host = Host()
    whole = made(tmp_path, monkeypatch, host=host)
    whole.step(
        "fetch", ["pgbackrest", "restore"], network=True, env={"PGBACKREST_REPO1_CIPHER_PASS": "hush"}, stdin="more"
    )
    [(argv, stdin)] = host.calls
    assert "hush" not in " ".join(argv)
    assert json.loads(stdin.split("\n")[0]) == {"PGBACKREST_REPO1_CIPHER_PASS": "hush"}
    assert stdin.split("\n")[1] == "more"
    assert argv[-2:] == ["pgbackrest", "restore"]


@pytest.mark.parametrize(("network", "cut"), [(True, False), (False, True)])
def test_only_the_fetch_has_a_network(network, cut, tmp_path):
    argv = box(tmp_path).systemd_run("x", network=network)
    assert ("--property=PrivateNetwork=yes" in argv) == cut
    assert "--property=RuntimeMaxSec=600" in argv
    assert "--property=ProtectSystem=strict" in argv
    assert "--uid=postgres" in argv
    assert "--unit=rsp-drill-nightly-x.service" in argv
    assert argv[-1] == "--"


def test_the_engine_is_always_cut_off(tmp_path):
    host = Host()
    box(tmp_path, host=host).begin("engine", ["postgres"])
    assert "--property=PrivateNetwork=yes" in host.calls[0][0]
    with pytest.raises(BackupError, match="did not start: no"):
        box(tmp_path, host=Host({"systemd-run": (1, "", "no")})).begin("engine", ["postgres"])


def test_what_the_engine_says_is_kept_in_the_drill_so_that_no_drill_before_it_is_heard(tmp_path):
    host, whole = Host(), box(tmp_path)
    box(tmp_path, host=host).begin("engine", ["postgres"])
    assert f"--property=StandardError=append:{whole.root}/engine.log" in host.calls[0][0]
    assert whole.said("engine") == ""
    whole.root.mkdir(parents=True)
    (whole.root / "engine.log").write_text("recovery stopping", encoding="utf-8")
    assert whole.said("engine") == "recovery stopping"


def test_nothing_is_begun_anew_after_the_lease(tmp_path):
    """An orphan of a dead controller must not put the copy back."""
    with pytest.raises(BackupError, match="the lease of drill nightly has ended"):
        box(tmp_path).step("fetch", ["pgbackrest"])


LO = "Inter-|   Receive  |  Transmit\n face |bytes packets\n    lo:  500 7 0 0 0 0 0 0 500 7 0 0 0 0 0 0\n"
ETH = LO + "  eth0:  900 3 0 0 0 0 0 0 900 4 0 0 0 0 0 0\n"
QUIET = LO + "  eth0:  0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
ROUTES = "Iface\tDestination\tGateway\n"


@pytest.mark.parametrize(
    ("own", "devices", "routes", "reason"),
    [
        ("net:[2]", LO, ROUTES, None),
        ("net:[2]", LO, "", None),
        ("net:[1]", LO, ROUTES, "the engine shares the network of the host"),
        ("net:[2]", ETH, ROUTES, "the engine has the interface eth0, 7 packets went over it"),
        ("net:[2]", QUIET, ROUTES, "the engine has the interface eth0, 0 packets went over it"),
        ("net:[2]", LO, ROUTES + "eth0\t00000000\t0100000A\n", "the engine has 1 routes"),
    ],
)
def test_isolation_as_the_kernel_shows_it(own, devices, routes, reason):
    finding = judge_isolation(own, "net:[1]", devices, routes)
    assert (finding.outcome == "passed") if reason is None else (reason in finding.reason)


class Looking(Host):
    """Runs what is run as the engine's user."""

    def __call__(self, argv, stdin):
        if argv[0] != "runuser":
            return super().__call__(argv, stdin)
        assert argv[:4] == ["runuser", "-u", "postgres", "--"]
        done = subprocess.run(argv[4:], input=stdin, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr


def processes(tmp_path, own="net:[2]", devices=LO):
    for name, net in (("77", own), ("self", "net:[1]")):
        (tmp_path / "proc" / name / "ns").mkdir(parents=True)
        (tmp_path / "proc" / name / "net").mkdir()
        (tmp_path / "proc" / name / "ns" / "net").symlink_to(net)
        (tmp_path / "proc" / name / "net" / "dev").write_text(devices, encoding="utf-8")
        (tmp_path / "proc" / name / "net" / "route").write_text(ROUTES, encoding="utf-8")


@pytest.mark.parametrize(
    ("pid", "own", "outcome"),
    [
        ("77\n", "net:[2]", "passed"),
        ("77\n", "net:[1]", "failed"),
        ("0\n", "net:[2]", "unknown"),
        ("78\n", "net:[2]", "unknown"),
    ],
)
def test_isolation_of_a_process(pid, own, outcome, tmp_path):
    processes(tmp_path, own)
    whole = box(tmp_path, host=Looking({"MainPID": (0, pid, "")}))
    assert whole.isolated("engine").outcome == outcome


@pytest.mark.parametrize(
    ("units", "there", "left"),
    [
        ((0, "", ""), False, []),
        (
            (0, "rsp-drill-nightly-engine.service loaded active running x\n", ""),
            False,
            ["rsp-drill-nightly-engine.service"],
        ),
        ((1, "", "no bus"), False, ["systemd does not answer: no bus"]),
        ((0, "", ""), True, ["drills/nightly"]),
    ],
)
def test_what_is_left(units, there, left, tmp_path):
    whole = box(tmp_path, host=Host({"list-units": units}))
    if there:
        whole.root.mkdir(parents=True)
    assert [each.replace(str(tmp_path) + "/", "") for each in whole.left()] == left


# --- the order of a drill


class Leased:
    def __init__(self, log, error=None):
        self.log, self.error = log, error

    def find(self, _name):
        return None

    def arm(self, lease):
        self.log.append(f"arm {lease.name}")

    def fire(self, name, wait_s):
        self.log.append(f"fire {name}")
        if self.error:
            raise LeaseError(self.error)


class Cage:
    """A sandbox that does nothing."""

    def __init__(self, log, isolated=None, left=()):
        self.log, self.finding, self.there = log, isolated or passed("isolated"), list(left)
        self.root, self.name = Path("/var/lib/rsp/drills/x"), "x"

    def lease(self):
        return Sandbox("x", Host(), "postgres", 600).lease()

    def make(self, *directories):
        self.log.append(f"make {' '.join(directories)}")

    def isolated(self, _step):
        self.log.append("look at the network")
        return self.finding

    def left(self):
        """Nothing before the drill, what is given after it."""
        return self.there if "arm drill-x" in self.log else []


GOOD_RECOVERY = [passed("restored"), passed("target_reached"), passed("same_cluster")]


class Copy:
    """A scratch copy whose answers are given."""

    needed, directories = NEEDED, ("data",)

    def __init__(self, log, recovery=None, dies=None):
        self.log, self.recovery, self.dies = log, GOOD_RECOVERY if recovery is None else recovery, dies

    def _do(self, name):
        self.log.append(name)
        if self.dies == name:
            raise BackupError(f"{name} broke")

    def fetch(self):
        self._do("fetch")
        return 100 * MIB

    def start(self):
        self._do("start")

    def recover(self, timeout_s):
        self._do("recover")
        return self.recovery

    def damage(self):
        self._do("damage")

    def content(self, questions):
        self._do("content")
        return [passed("canaries_exact"), passed("content_expected"), passed("application_answers")]

    def engine(self):
        self._do("engine")
        return [passed("pages_whole"), passed("indexes_whole"), passed("collations_same")]

    def stop(self):
        self._do("stop")


class Listed:
    """A driver whose repository changes, or can't be read the second time."""

    def __init__(self, after=None):
        self.after, self.asked = after, 0

    def inventory(self, _repository):
        self.asked += 1
        if self.asked > 1 and isinstance(self.after, Exception):
            raise self.after
        return {} if self.asked == 1 else (self.after or {})

    def pushed(self, before, after):
        return [f"{name} is new" for name in sorted(set(after) - set(before))]


READ = [passed(name) for level in range(4) for name in NEEDED[Level(level)]]


def tried(level=Level.APPLICATION, rto_s=3600, real_size=0, leases=None, **parts):
    log = []
    cage = parts.get("cage") or Cage(log)
    cage.log = log
    copy = parts.get("copy") or Copy(log)
    copy.log = log
    leased = leases or Leased(log)
    leased.log = log
    one = drill.Drill(
        cage,
        leased,
        parts.get("driver") or Listed(),
        copy,
        repository(point()),
        Expected(NOW, Policy(rto_s=rto_s)),
        level,
        {},
        60,
        list(READ),
        real_size,
    )
    proof, measured = one.run()
    return proof, measured, log


def test_a_drill_that_goes_well_reaches_the_top():
    proof, measured, log = tried()
    assert proof.reached == Level.APPLICATION, proof.verdict.reasons
    assert log == [
        "arm drill-x",
        "make data",
        "fetch",
        "start",
        "recover",
        "look at the network",
        "damage",
        "content",
        "engine",
        "stop",
        "fire drill-x",
    ]
    assert set(measured["stages_s"]) == {"fetch", "start", "recover", "content", "engine", "remove"}
    assert measured["bytes"] == {"fetch": 100 * MIB}


def test_the_lease_is_armed_before_the_first_byte():
    for dies in ("fetch", "start", "recover", "damage", "content", "engine"):
        _proof, _measured, log = tried(copy=Copy([], dies=dies))
        assert log[0] == "arm drill-x"
        assert log[-1] == "fire drill-x", f"{dies} died, and the copy must go"


@pytest.mark.parametrize("dies", ["fetch", "start", "recover", "damage", "content", "engine"])
def test_a_stage_that_dies_proves_nothing_above_reading(dies):
    proof, _measured, _log = tried(copy=Copy([], dies=dies))
    assert proof.reached == Level.ESCROW
    assert f"{dies} broke" in proof.verdict.reason


def test_an_engine_that_can_not_be_stopped_is_removed_all_the_same():
    proof, _measured, log = tried(copy=Copy([], dies="stop"))
    assert log[-1] == "fire drill-x"
    assert proof.reached == Level.APPLICATION


@pytest.mark.parametrize(
    ("parts", "reached", "check", "reason"),
    [
        (
            {"copy": Copy([], [failed("restored", "dead"), unknown("target_reached", "?")])},
            Level.ESCROW,
            "restored",
            "dead",
        ),
        (
            {"copy": Copy([], [passed("restored"), failed("target_reached", "too early"), passed("same_cluster")])},
            Level.ESCROW,
            "target_reached",
            "too early",
        ),
        ({"cage": Cage([], failed("isolated", "has eth0"))}, Level.ESCROW, "isolated", "has eth0"),
        ({"cage": Cage([], unknown("isolated", "?"))}, Level.ESCROW, "isolated", "?"),
        (
            {"cage": Cage([], left=["/var/lib/rsp/drills/x"])},
            Level.ESCROW,
            "removed",
            "still there: /var/lib/rsp/drills/x",
        ),
        ({"leases": Leased([], "rm: busy")}, Level.ESCROW, "removed", "its lease goes on trying: rm: busy"),
        (
            {"driver": Listed({"00000003.history": 1})},
            Level.ESCROW,
            "isolated",
            "the repository changed meanwhile: 00000003.history is new",
        ),
        ({"driver": Listed(BackupError("gone"))}, Level.ESCROW, "isolated", "can't be looked at afterwards: gone"),
    ],
)
def test_what_spoils_a_drill(parts, reached, check, reason):
    proof, _measured, _log = tried(**parts)
    assert proof.reached == reached
    assert any(f"{check}: " in each and reason in each for each in proof.verdict.reasons), proof.verdict.reasons


def test_a_copy_that_did_not_come_up_is_not_asked():
    _proof, _measured, log = tried(copy=Copy([], [failed("restored", "dead")]))
    assert "content" not in log
    assert "engine" not in log


@pytest.mark.parametrize(
    ("level", "asked"), [(Level.RESTORED, []), (Level.ENGINE, ["engine"]), (Level.CONTENT, ["content", "engine"])]
)
def test_only_what_the_level_needs_is_asked(level, asked):
    proof, _measured, log = tried(level)
    assert [each for each in log if each in ("content", "engine")] == asked
    assert proof.reached == level


def test_a_restore_that_takes_too_long():
    proof, measured, _log = tried(rto_s=1, real_size=10**18)
    assert proof.reached == Level.CONTENT
    assert "within_rto" in proof.verdict.reason
    assert measured["outlook"]["uncertainty"] == "linear, beyond twice the measured size"


@pytest.mark.parametrize(
    ("free", "lease_s", "busy", "rate", "reasons"),
    [
        (10**12, 3600, False, None, []),
        (10, 3600, False, None, ["MiB are needed"]),
        (10**12, 60, False, None, ["its lease is 60 s"]),
        (10**12, 3600, True, None, ["a backup runs now"]),
        (10, 60, True, None, ["MiB are needed", "its lease is", "a backup runs"]),
        (10**12, 100, False, 1.0, ["its lease is 100 s"]),
        (10**12, 100, False, 1000.0, []),
    ],
)
def test_plans(free, lease_s, busy, rate, reasons):
    made = drill.plan(
        point(size=500 * MIB), repository(busy=busy), free_bytes=free, lease_s=lease_s, log_bytes=0, rate=rate
    )
    assert len(made.refusals()) == len(reasons)
    assert all(part in said for part, said in zip(reasons, made.refusals(), strict=True))
    if reasons:
        with pytest.raises(BackupError):
            made.check()


# --- from options to a drill


@pytest.fixture
def params(tmp_path):
    """Sound options of the module, with their defaults, over a whole repository."""
    root = build(tmp_path / "repo1")
    config = tmp_path / "pgbackrest.conf"
    config.write_text("[global]\nrepo1-path=/srv/x\nrepo1-cipher-pass=host\n", encoding="utf-8")
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text("".join(t.text() + "\n" for t in TEN), encoding="utf-8")
    spec = drill_options.drill_options()
    base = {name: option.get("default") for name, option in spec.items()}
    canary = {"store": STORE, "key": CANARY_KEY.decode(), "database": "smoke", "ledger": str(ledger), "k": 5}
    return root, {
        **base,
        "service": "postgresql",
        "stanza": "rsp",
        "config": str(config),
        "repository": "repo1",
        "identity": IDENTITY,
        "escrow": {"repo1": KEY},
        "name": "nightly",
        "binaries": "/usr/lib/postgresql/17/bin",
        "canary": canary,
        "directory": str(tmp_path / "drills"),
        "evidence": str(tmp_path / "e.jsonl"),
    }


def wanted(params, **changes):
    root, base = params
    driver = PgBackRest(Tool(root), "rsp", base["config"])
    return drilling.Wanted({**base, **changes}, driver, NOW)


def test_sound_options(params):
    seen = wanted(params)
    assert (seen.level, seen.point.label, seen.target.kind) == (Level.CONTENT, INCR, "latest")
    assert seen.plan().label == INCR
    assert seen.questions()["canary"]["key"] == CANARY_KEY


def changed(name, **changes):
    return lambda base: {name: {**base[name], **changes}}


REFUSED = {
    "a level that reads only": (lambda _b: {"level": "L2"}, "a drill restores, which is L4 or more"),
    "no level": (lambda _b: {"level": "L9"}, "is no level"),
    "a lease too short": (lambda _b: {"lease_s": 10}, "must be within 60 and 86400"),
    "a lease too long": (lambda _b: {"lease_s": 10**6}, "must be within 60 and 86400"),
    "an unknown repository": (lambda _b: {"repository": "repo7"}, "there is no repository repo7 → one of repo1"),
    "an unknown point": (lambda _b: {"point": "20200101-000000F"}, "has no point 20200101-000000F"),
    "a target in the future": (
        lambda _b: {"target": {"kind": "time", "value": "2030-01-01 00:00:00+00"}},
        "in the future",
    ),
    "a target before the first backup": (
        lambda _b: {"target": {"kind": "time", "value": "2020-01-01 00:00:00+00"}},
        "before anything that can be restored",
    ),
    "a time without a zone": (
        lambda _b: {"target": {"kind": "time", "value": "2026-11-25 09:00:00"}},
        "has no time zone",
    ),
    "a target without a value": (lambda _b: {"target": {"kind": "lsn", "value": None}}, "target lsn needs a value"),
    "no LSN": (lambda _b: {"target": {"kind": "lsn", "value": "here"}}, "is no LSN"),
    "no transaction": (lambda _b: {"target": {"kind": "xid", "value": "x"}}, "is no transaction"),
    "no restore point": (lambda _b: {"target": {"kind": "name", "value": "a b"}}, "is no name of a restore point"),
    "a value too much": (lambda _b: {"target": {"kind": "latest", "value": "x"}}, "takes no value"),
    "a point behind the target": (
        lambda _b: {"target": {"kind": "time", "value": "2026-11-25 09:15:20+00"}},
        "behind the target",
    ),
    "no canaries": (lambda _b: {"canary": None}, "canary is missing"),
    "a canary target without a number": (
        lambda b: {"target": {"kind": "canary", "value": None}, "canary": {**b["canary"], "k": None}},
        "needs canary.k",
    ),
    "a number behind the ledger": (
        lambda b: {"target": {"kind": "canary", "value": None}, "canary": {**b["canary"], "k": 10}},
        "tokens 10 and 11 are not both in the client's ledger",
    ),
    "a ledger that is not there": (changed("canary", ledger="/none/ledger"), "the ledger can't be read"),
    "another key of the canaries": (
        changed("canary", key="another key of sixteen bytes"),
        "the client's ledger does not hold",
    ),
    "a key that is too short": (changed("canary", key="short"), "16 bytes"),
    "canaries of another store": (changed("canary", store="postgresql/other"), "token 1 is of postgresql/rsp-local"),
    "no key from the escrow": (lambda _b: {"escrow": {}}, "escrow has no key of repo1"),
    "a key of another repository": (lambda _b: {"escrow": {"repo2": "x"}}, "escrow has no key of repo1"),
    "a policy that contradicts itself": (lambda _b: {"policy": {"max_keep_s": 5}}, "both can't be kept"),
    "an unknown promise": (lambda _b: {"policy": {"rto": 5}}, "policy has no rto"),
    "an unknown fault": (lambda _b: {"plant": "meteor"}, "plant = meteor"),
    "Consul's snapshot to a time": (
        lambda _b: {"service": "consul", "target": {"kind": "name", "value": "x"}},
        "a snapshot of Consul has one end only",
    ),
    "a fault in Consul": (lambda _b: {"service": "consul", "plant": "page_torn"}, "in PostgreSQL only"),
}


def test_there_are_enough_bad_rows():
    assert len(REFUSED) >= 20


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_anything_is_touched(name, params, tmp_path):
    change, said = REFUSED[name]
    with pytest.raises(BackupError, match=said.replace("(", r"\(")):
        wanted(params, **change(params[1]))
    assert not (tmp_path / "drills").exists()
    assert not (tmp_path / "e.jsonl").exists()


def test_several_reasons_come_at_once(params):
    with pytest.raises(BackupError) as caught:
        wanted(params, level="L3", lease_s=5, escrow={}, plant="meteor")
    assert len(caught.value.result["refused"]) == 4


def test_a_repository_that_can_not_be_read(params):
    for name in ("backup.info", "backup.info.copy"):
        (params[0] / "backup" / "rsp" / name).unlink()
    with pytest.raises(BackupError, match="has no point latest"):
        wanted(params)


def test_a_canary_target_is_the_time_in_the_middle(params, monkeypatch):
    monkeypatch.setattr(drilling.recovery, "in_reach", lambda *_args: None)
    monkeypatch.setattr(drilling.Wanted, "_usable", lambda *_args: True)
    seen = wanted(params, target={"kind": "canary", "value": None})
    assert drilling.recovery.moment(seen.target.value) == T0 + 45


def test_a_sample_follows_the_evidence(params, tmp_path):
    labels = set()
    for turn in range(6):
        seen = wanted(params, point="sample")
        labels.add(seen.point.label)
        body = {"label": seen.point.label, "repository": "repo1", "level": 6, "proved": True, "ended_at": NOW + turn}
        record.append(tmp_path / "e.jsonl", "t", body)
    assert len(labels) == 3


@pytest.mark.parametrize(
    ("fresh_s", "changes", "skip"),
    [
        (0, {}, False),
        (100, {}, True),
        (100, {"ended_at": NOW - 101}, False),
        (100, {"level": 5}, False),
        (100, {"level": None}, False),
        (100, {"proved": False}, False),
        (100, {"plant": "page_torn"}, False),
        (100, {"label": "other"}, False),
        (100, {"repository": "repo2"}, False),
    ],
)
def test_what_was_proved_just_now_is_not_tried_again(fresh_s, changes, skip, params, tmp_path):
    body = {"label": INCR, "repository": "repo1", "level": 6, "proved": True, "ended_at": NOW - 50, **changes}
    record.append(tmp_path / "e.jsonl", "t", body)
    assert wanted(params, fresh_s=fresh_s).proved_already() == skip


def test_a_broken_chain_of_evidence_stops_the_drill(params, tmp_path):
    (tmp_path / "e.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(BackupError, match="is no record"):
        wanted(params)


def test_the_scratch_copy_gets_the_escrows_key_and_not_the_hosts(params, tmp_path):
    seen = wanted(params, level="L4")
    scratch = drilling.scratch_of(seen, box(tmp_path))
    assert scratch.escrow == KEY
    assert "host" not in scratch.settings + str(scratch.secrets)
    assert KEY not in repr(scratch), "it must not reach a traceback"


def test_evidence_has_no_key_and_no_content(params):
    proof, measured, _log = tried(Level.CONTENT)
    kept = json.dumps(drilling.body(wanted(params), proof, measured, NOW))
    for secret in (KEY, CANARY_KEY.decode(), "cipher"):
        assert secret not in kept
    assert json.loads(kept)["level"] == 6


# --- how commands are run


class Module:
    def __init__(self, answer=(0, "out \udcff", "")):
        self.answer, self.seen = answer, None

    def run_command(self, argv, **options):
        self.seen = (argv, options)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_commands_as_another_user_have_secrets_in_the_environment():
    module = Module()
    code, out, _err = as_user(module, "postgres")(["pgbackrest", "info"], {"KEY": "hush"})
    argv, options = module.seen
    assert argv == ["runuser", "-u", "postgres", "--", "pgbackrest", "info"]
    assert options["environ_update"] == {"KEY": "hush"}
    assert (code, out.encode("utf-8", "surrogateescape")) == (0, b"out \xff"), "every byte survives"
    as_user(module, "")(["consul"], {})
    assert module.seen[0] == ["consul"]


def test_a_program_that_is_not_there():
    code, _out, err = as_user(Module(FileNotFoundError(2, "No such file")), "x")(["pgbackrest"], {})
    assert (code, err) == (127, "pgbackrest: No such file")


def test_commands_of_the_sandbox_get_their_input():
    module = Module()
    as_root(module)(["systemd-run"], "{}\n")
    assert module.seen[1] == {"data": "{}\n", "binary_data": True}, "nothing is appended to it"


def test_what_a_step_reads_follows_its_environment():
    """The launcher must leave what is behind the first line to the program."""
    asked = [
        sys.executable,
        "-Sc",
        sandbox.LAUNCH,
        sys.executable,
        "-c",
        "import os,sys;print(os.environ['A'], sys.stdin.read())",
    ]
    done = subprocess.run(asked, input='{"A": "b"}\nSELECT 1', capture_output=True, text=True, check=True)
    assert done.stdout == "b SELECT 1\n"
