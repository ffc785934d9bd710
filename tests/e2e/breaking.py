"""What the tests of chaos share: the job, what it left on a host, its report, a lab that is whole before and after."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import urllib.request

import pytest
import yaml
from lab import ROOT, secret, wait_until
from rolling import job

MEMBERS = ("a1", "b1", "c1")
RUN_S = 1200  # no run of one experiment takes longer, the refusals of a busy machine included
REPORTS = ROOT / ".lab" / "chaos"


def module(host, name, **arguments):
    """The result of a module on a host; a failure too."""
    done = subprocess.run(
        [".venv/bin/ansible", host, "-m", f"rsp.platform.{name}", "-a", json.dumps(arguments), "-o"],
        env={**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    assert "{" in done.stdout, done.stdout + done.stderr
    said, found = done.stdout.split("{", 1)
    return {**json.loads("{" + found), "failed": "FAILED!" in said}


def chaos(service, experiment, *arguments):
    """Exit code and output of one experiment."""
    return job("chaos", service, "-e", f"experiment={experiment}", *arguments, timeout_s=RUN_S)


def left(lab, host):
    """What chaos left on a host: rules, units, records."""
    script = (
        "iptables -S; ip6tables -S; iptables -t nat -S; "
        "ls -d /etc/systemd/system/rsp-lease-chaos* /var/lib/rsp/chaos/* /var/lib/rsp/chaos-ledger/* 2>/dev/null; true"
    )
    lines = lab.on(host, "sh", "-c", script).splitlines()
    return [line for line in lines if "CHAOS" in line or line.startswith("/")]


def recover():
    """Undo whatever is left on any host."""
    subprocess.run([".venv/bin/ansible-playbook", "playbooks/chaos_recover.yml"], cwd=ROOT, check=True, timeout=600)


def newest(since):
    """The report that was written after a moment, and its directory."""
    paths = [path for path in REPORTS.glob("*/report.json") if path.stat().st_mtime >= since]
    assert len(paths) == 1, paths
    return json.loads(paths[0].read_text(encoding="utf-8"))["reports"][0], paths[0].parent


@pytest.fixture(scope="module")
def monitor():
    """Token that may read Consul's health."""
    return secret("consul/monitor")


@pytest.fixture
def whole(lab, monitor):
    """Whether both services are whole, as they say it themselves and not as the gates of the collection do."""
    tls = ssl.create_default_context(cafile=lab.ca)

    def consul():
        for host in MEMBERS:
            url = f"{lab.consul_url(host)}/v1/operator/autopilot/health"
            request = urllib.request.Request(url, headers={"X-Consul-Token": monitor})
            with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5, context=tls) as answer:
                health = json.load(answer)
                return health["Healthy"] and len(health["Servers"]) == len(MEMBERS)
        return False

    return lambda: consul() and lab.whole()


@pytest.fixture(scope="module")
def tools():
    subprocess.run([".venv/bin/ansible-playbook", "playbooks/chaos_tools.yml"], cwd=ROOT, check=True, timeout=900)


@pytest.fixture
def whole_before_and_clean_after(lab, whole):
    wait_until("both services are whole", whole, 300)
    yield
    recover()
    for host in (*MEMBERS, "ops"):
        assert left(lab, host) == []
    wait_until("both services are whole", whole, 300)


@pytest.fixture
def policy(tmp_path):
    """Arguments of a run with a policy of its own: it is inventory, no argument of a job."""

    def write(**keys):
        more = tmp_path / "policy.yml"
        more.write_text(yaml.safe_dump({"all": {"vars": {"chaos_policy": keys}}}), encoding="utf-8")
        return ["-i", str(ROOT / "inventories/local/hosts.yml"), "-i", str(more)]

    return write
