"""No secret of the store shows up in output, process arguments, temporary files, logs or the journal."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest
import yaml
from lab import run

ROOT = Path(__file__).resolve().parent.parent.parent
STATE = ROOT / ".lab"
LOGS = STATE / "log"


@pytest.fixture(scope="module")
def needles():
    """Every value of the store; of keys and certificates the first line of the body that is secret."""
    text = run(".venv/bin/ansible-vault", "view", f"--vault-id=rsp@{STATE / 'secrets.key'}", str(STATE / "secrets.yml"))
    found = {}
    for name, value in yaml.safe_load(text).items():
        if not name.endswith("cert"):
            found[name] = value.splitlines()[1] if value.startswith("-----BEGIN") else value
    assert len(found) > 10
    return found


class Arguments(threading.Thread):
    """Collects the arguments of every process of this machine, the containers' included, while it runs."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen = set()
        self.done = threading.Event()

    def run(self):
        while not self.done.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes().decode(errors="replace"))
                except OSError:
                    continue


def leaks(needles, text):
    return sorted(name for name, value in needles.items() if value in text)


def leaks_in_logs(needles, folder):
    """Names of secrets by log that shows them."""
    found = {path.name: leaks(needles, path.read_text(errors="replace")) for path in sorted(folder.glob("*.log"))}
    return {name: secrets for name, secrets in found.items() if secrets}


def test_logs_of_make_up_hold_no_secret(needles):
    """Every stage's log, as verbose as `make up` was told to be: ANSIBLE_VERBOSITY=3 ANSIBLE_DIFF_ALWAYS=1 make up."""
    logs = {path.stem: path.stat().st_size for path in LOGS.glob("*.log")}
    assert logs.keys() >= json.loads((STATE / "stages.json").read_text()).keys()
    assert logs["converge"] > 1000
    assert leaks_in_logs(needles, LOGS) == {}


def test_the_search_of_logs_would_find_one(needles, tmp_path):
    """The planted violation: the same logs, one of them with a secret in the middle of a line."""
    name, value = next((n, v) for n, v in needles.items() if len(v) > 20)
    copy = shutil.copytree(LOGS, tmp_path / "log")
    with (copy / "verify.log").open("a") as log:
        log.write(f"ok: [a1] => {{'token': '{value}'}}\n")
    assert leaks_in_logs(needles, copy) == {"verify.log": [name]}


def test_a_verbose_run_shows_no_secret(needles, playbook, lab):
    """A file that holds secrets is broken by hand first, so that the run has a secret to show in its diff."""
    lab.on(
        "a1", "sh", "-c", "rm -f /etc/consul.d/tokens.hcl /etc/pgbouncer/userlist.txt; echo >> /etc/patroni/config.yml"
    )
    watcher = Arguments()
    watcher.start()
    try:
        output, changes = playbook("site", "-vvv", "--diff")
    finally:
        watcher.done.set()
        watcher.join(5)
    assert changes
    assert len(watcher.seen) > 50
    assert leaks(needles, output) == []
    assert leaks(needles, "\n".join(watcher.seen)) == []


@pytest.mark.parametrize("host", ["a1", "b1", "c1", "ops", "mirror", "store"])
def test_hosts_keep_no_secret_where_it_does_not_belong(needles, lab, host):
    places = "/tmp /var/tmp ~root/.ansible /var/log /etc/systemd /usr/local"
    text = lab.on(host, "sh", "-c", f"journalctl --no-pager -o cat; grep -rhaI . {places} 2>/dev/null || true")
    assert len(text) > 1000
    assert leaks(needles, text) == []


def test_the_search_would_find_one(needles, lab):
    """The planted violation."""
    name, value = next((n, v) for n, v in needles.items() if len(v) > 20)
    lab.on("ops", "logger", "-t", "rsp-test", value)
    text = lab.on("ops", "journalctl", "--no-pager", "-o", "cat", "-t", "rsp-test")
    assert leaks(needles, text) == [name]
    lab.on("ops", "journalctl", "--rotate", "--vacuum-time=1s", "-q")


def test_the_lab_at_rest_fits(lab):
    """Memory of all containers together, without what the kernel could drop."""
    total = 0
    for name in run("docker", "ps", "--no-trunc", "-q", "--filter", f"label=rsp.lab={lab.id}").split():
        stat = dict(
            line.split() for line in Path(f"/sys/fs/cgroup/memory/docker/{name}/memory.stat").read_text().splitlines()
        )
        total += int(stat["total_rss"])
    print(f"memory of the lab at rest: {total / 2**20:.0f} MiB")
    assert 0 < total < 4 * 2**30
