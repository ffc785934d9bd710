"""What the roles s3, pgbackrest and backup write, with their own defaults, and what PostgreSQL is told of archiving."""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.rsp.platform.plugins.module_utils.backup import canary_stores
from ansible_collections.rsp.platform.plugins.module_utils.patroni_config import plan
from ansible_collections.rsp.platform.plugins.plugin_utils.needs import needed, relevant, variable_prefix
from rendering import ROLES, render, trusted, value

ROOT = Path(__file__).resolve().parents[2]


def member(name, address, zone):
    return {"name": name, "address": address, "zone": zone}


MEMBERS = [member("a1", "10.0.0.11", "a"), member("b1", "10.0.1.11", "b"), member("c1", "10.0.2.11", "c")]
OPS, STORE = member("ops", "10.0.3.11", "m"), member("store", "10.0.2.12", "c")
GIVEN = {
    "postgresql_members": MEMBERS,
    "consul_members": MEMBERS,
    "pgbackrest_members": [OPS],
    "backup_members": [OPS],
    "s3_members": [STORE],
    "pgbackrest_cipher_passes": ["canary-pass-1", "canary-pass-2"],
    "pgbackrest_s3_secret": "canary-s3",
    "backup_consul_pass": "canary-consul-pass",
    "backup_consul_snapshot_token": "canary-snapshot",
    "backup_lock_token": "canary-lock",
    "backup_s3_secret": "canary-s3",
    "s3_admin_secret": "canary-admin",
    "__s3_secrets": {"rsp-test-postgresql": "canary-pg", "rsp-test-consul": "canary-consul"},
    "role_path": str(ROLES / "backup"),
}


def conf(host, **more):
    """pgbackrest.conf of a host."""
    parser = configparser.RawConfigParser(strict=False)
    text = render("pgbackrest", "pgbackrest.conf.j2", **{**GIVEN, "inventory_hostname": host, **more})
    parser.read_string(text)
    return parser, text


def unit(text):
    """Directives of a unit, all values of each."""
    found = {}
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, given = line.partition("=")
            found.setdefault(key, []).append(given)
    return found


# pgbackrest.conf


def test_the_repository_host_holds_repository_1_and_asks_every_member():
    found, _text = conf("ops", platform_address="10.0.3.11")
    common, stanza = found["global"], found["rsp-test-postgresql"]
    assert common["repo1-path"] == "/srv/pgbackrest"
    assert "repo1-host" not in common
    assert [stanza[f"pg{n}-host"] for n in (1, 2, 3)] == ["10.0.0.11", "10.0.1.11", "10.0.2.11"]
    assert {stanza[f"pg{n}-host-type"] for n in (1, 2, 3)} == {"tls"}
    assert (common["tls-server-address"], common["tls-server-port"]) == ("10.0.3.11", "8432")
    assert "archive-async" not in common


def test_a_member_reaches_both_repositories_by_itself():
    found, text = conf("b1")
    common = found["global"]
    assert (common["repo1-host"], common["repo1-host-type"]) == ("10.0.3.11", "tls")
    assert (common["repo2-type"], common["repo2-s3-endpoint"], common["repo2-storage-port"]) == (
        "s3",
        "10.0.2.12",
        "7443",
    )
    assert common["repo2-s3-uri-style"] == "path"
    assert common["repo2-storage-ca-file"] == "/etc/pgbackrest/tls/ca.crt"
    assert (common["archive-async"], common["archive-push-queue-max"]) == ("y", "4GiB")
    assert "verify-tls" not in text


def test_a_member_does_not_know_the_pass_of_repository_1():
    _found, member_text = conf("b1")
    _found, repository_text = conf("ops")
    assert "canary-pass-1" not in member_text
    assert "canary-pass-2" in member_text
    assert {"canary-pass-1", "canary-pass-2"} <= {
        line.split("=")[1] for line in repository_text.splitlines() if "pass=" in line
    }


@pytest.mark.parametrize(
    ("host", "clients"),
    [
        ("a1", ["ops.rsp.internal"]),
        ("ops", ["a1.rsp.internal", "b1.rsp.internal", "c1.rsp.internal"]),
        ("stranger", []),
    ],
)
def test_who_may_come_is_known_by_certificate_and_for_one_stanza(host, clients):
    _found, text = conf(host)
    lines = [line for line in text.splitlines() if line.startswith("tls-server-auth=")]
    assert lines == [f"tls-server-auth={client}=rsp-test-postgresql" for client in clients]
    assert "*" not in "".join(lines)


@pytest.mark.parametrize("host", ["a1", "ops"])
def test_both_repositories_are_encrypted(host):
    _found, text = conf(host)
    assert text.count("cipher-type=aes-256-cbc") == (2 if host == "ops" else 1)
    assert "cipher-type=none" not in text


def test_without_a_store_there_is_one_repository():
    for host in ("a1", "ops"):
        _found, text = conf(host, s3_members=[])
        assert "repo2" not in text
    assert value("pgbackrest", "__pgbackrest_repositories", **{**GIVEN, "s3_members": []}) == [1]


@pytest.mark.parametrize(
    ("endpoint", "host", "port"),
    [
        ("https://storage.example.ru", "storage.example.ru", "443"),
        ("https://s3.example.ru:9000", "s3.example.ru", "9000"),
    ],
)
def test_a_store_of_somebody_else(endpoint, host, port):
    found, text = conf("a1", s3_members=[], s3_endpoint=endpoint, s3_region="ru-central1")
    common = found["global"]
    assert (common["repo2-s3-endpoint"], common["repo2-storage-port"], common["repo2-s3-region"]) == (
        host,
        port,
        "ru-central1",
    )
    assert "repo2-storage-ca-file" not in text


def test_retention_is_each_repositorys_own():
    retention = [{"full": 3, "diff": 5, "max_days": 20}, {"full": 4, "diff": 6, "max_days": 40}]
    found, _text = conf("ops", pgbackrest_retention=retention)
    common = found["global"]
    assert [common[f"repo{n}-retention-full"] for n in (1, 2)] == ["3", "4"]
    assert [common[f"repo{n}-retention-diff"] for n in (1, 2)] == ["5", "6"]


@pytest.mark.parametrize(("name", "role"), [("pgbackrest.conf.j2", "pgbackrest"), ("s3.env.j2", "s3")])
def test_files_with_secrets_are_named_so(name, role):
    data = [
        yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in [*(ROLES / role / "vars").rglob("*.yml"), *(ROLES / role / "tasks").glob("*.yml")]
    ]

    def entries(content):
        if isinstance(content, dict):
            yield content
            content = list(content.values())
        for item in content if isinstance(content, list) else ():
            yield from entries(item)

    found = [entry for each in data for entry in entries(each) if entry.get("template") == name]
    assert found
    assert all(entry["secret"] is True and entry["mode"] == "0600" for entry in found)


def test_the_server_of_pgbackrest_is_hardened_and_may_write_repositories():
    found = unit(render("pgbackrest", "pgbackrest.service.conf.j2", **GIVEN))
    assert found["ExecStartPost"] == [""]
    assert found["ProtectSystem"] == ["full"]
    assert found["CapabilityBoundingSet"] == [""]


# PostgreSQL


def parameters(**more):
    return value("postgresql", "__postgresql_parameters", **{**GIVEN, "postgresql_ttl": 20, **more})


def test_archiving_is_on_whether_or_not_there_is_a_repository():
    """Switching it on restarts every member; where WAL goes to does not."""
    assert parameters()["archive_mode"] == parameters(pgbackrest_members=[])["archive_mode"] == "on"
    assert parameters()["archive_command"] == "pgbackrest --stanza=rsp-test-postgresql archive-push %p"
    assert parameters(pgbackrest_members=[])["archive_command"] == "/bin/true"


GET = 'pgbackrest --stanza=rsp-test-postgresql archive-get %f "%p" || false'


@pytest.mark.parametrize(
    ("more", "command"),
    [
        ({}, f"timeout 5 {GET}"),
        ({"postgresql_restore_wait_s": 20}, f"timeout 20 {GET}"),
        ({"postgresql_restore_wait_s": 0}, None),
        ({"pgbackrest_members": []}, None),
    ],
)
def test_a_standby_does_not_wait_long_for_a_repository(more, command):
    dynamic = value("postgresql", "__postgresql_dynamic", **{**GIVEN, "platform_zones": [], **more})
    assert dynamic["postgresql"]["recovery_conf"] == ({"restore_command": command} if command else {})


@pytest.mark.parametrize("seen", ["exit 127", "exit 126", "kill -9 $$", "exit 1", "exit 37"])
def test_no_end_of_the_command_stops_a_standby(seen, tmp_path):
    """PostgreSQL gives up for good above 125: where pgBackRest is not installed yet no standby would ever start."""
    found = value("postgresql", "__postgresql_restore_command", **GIVEN)
    (tmp_path / "pgbackrest").write_text(f"#!/bin/sh\n{seen}\n")
    (tmp_path / "pgbackrest").chmod(0o755)
    for path in (f"{tmp_path}:/usr/bin:/bin", "/usr/bin:/bin"):
        done = subprocess.run(["/bin/sh", "-c", found], env={"PATH": path}, check=False, capture_output=True)
        assert done.returncode == 1


def test_turning_backups_on_is_a_patch_that_settles():
    before = value("postgresql", "__postgresql_dynamic", **{**GIVEN, "platform_zones": [], "pgbackrest_members": []})
    after = value("postgresql", "__postgresql_dynamic", **{**GIVEN, "platform_zones": []})
    patch = plan(after, before).patch["postgresql"]
    assert set(patch) == {"parameters", "recovery_conf"}
    assert set(patch["parameters"]) == {"archive_command"}
    assert plan(after, after).patch == {}
    assert plan(before, after).patch["postgresql"]["recovery_conf"] == {"restore_command": None}


@pytest.mark.parametrize(("wanted", "methods"), [(False, ["basebackup"]), (True, ["pgbackrest", "basebackup"])])
def test_replicas_from_a_repository_are_an_option(wanted, methods):
    text = render(
        "postgresql", "member.yml.j2", **{**GIVEN, "postgresql_replica_from_backup": wanted,
        "__postgresql_host": {"memory_mb": 4096, "cpus": 2}},
    )  # fmt: skip
    found = yaml.safe_load(text)["postgresql"]
    assert found["create_replica_methods"] == methods
    assert ("pgbackrest" in found) is wanted
    if wanted:
        assert found["pgbackrest"]["command"].startswith("pgbackrest --stanza=rsp-test-postgresql restore --delta")
        assert found["pgbackrest"]["no_params"] is True


# s3


def test_the_gateway_says_where_it_is_and_keeps_secrets_out_of_its_unit():
    text = render("s3", "s3.service.j2", **{**GIVEN, "platform_address": "10.0.2.12"})
    found = unit(text)
    assert "VGW_PORT=10.0.2.12:7443" in found["Environment"]
    assert "VGW_VERSIONING_DIR=/srv/s3/versions" in found["Environment"]
    assert found["ExecStart"] == ["/opt/rsp/versitygw/1.8.0/versitygw posix /srv/s3/objects"]
    assert found["ProtectSystem"] == ["strict"]
    assert found["User"] == ["s3gw"]
    assert "canary" not in text
    assert "canary-admin" in render("s3", "s3.env.j2", **GIVEN)


def test_accounts_may_do_nothing_but_what_buckets_give():
    users = value("s3", "__s3_users", **GIVEN)["accessAccounts"]
    assert set(users) == {"rsp-test-postgresql", "rsp-test-consul"}
    assert {user["role"] for user in users.values()} == {"user"}
    assert users["rsp-test-consul"]["secret"] == "canary-consul"


def test_each_service_has_a_bucket_and_an_account_of_its_own():
    buckets = value("s3", "s3_buckets", **GIVEN)
    assert {bucket["name"]: bucket["writers"] for bucket in buckets} == {
        "rsp-test-postgresql": ["rsp-test-postgresql"],
        "rsp-test-consul": ["rsp-test-consul"],
    }
    assert {bucket["lock_mode"] for bucket in buckets} == {"COMPLIANCE"}
    probed = value("s3", "__s3_probed", **GIVEN)
    assert [entry["locked"] for entry in probed] == [True, True]


def test_the_purge_is_whole_and_runs_without_ansible(tmp_path):
    """The files that the role puts on the host, where it puts them, and nothing else."""
    given = {**GIVEN, "role_path": str(ROLES / "s3")}
    library = value("s3", "__s3_purge_library", **given)
    directories = [entry["path"] for entry in value("s3", "__s3_purge_directories", **given)]
    program = value("s3", "__s3_purge_program", **given)
    for entry in json.loads(program) if isinstance(program, str) else program:
        assert str(Path(entry["dest"]).parent) in directories
        target = tmp_path / Path(entry["dest"]).relative_to(library)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(entry["src"]).read_bytes())
    (tmp_path / "purge.json").write_text('{"connection": {"url": "https://127.0.0.1:1", "access": "a", "secret": "s"},'
                                         '"buckets": ["x"], "hidden_days": 7}')  # fmt: skip
    unit_ = unit(render("s3", "s3-purge.service.j2", **given))
    argv = [*unit_["ExecStart"][0].split()[1:-1], str(tmp_path / "purge.json")]
    command = [sys.executable, "-S", "-s", *argv]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(tmp_path)}, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("x: GET https://127.0.0.1:1/x"), done.stderr


def test_hidden_versions_are_gone_before_the_term_of_personal_data():
    config = value("s3", "__s3_purge_config", **GIVEN)
    assert config["buckets"] == ["rsp-test-postgresql", "rsp-test-consul"]
    assert config["hidden_days"] == value("s3", "s3_purge_hidden_days", **GIVEN) == 7


def test_roles_agree_on_names():
    """Who writes into a bucket is one of its writers."""
    buckets = {bucket["name"]: bucket["writers"] for bucket in value("s3", "s3_buckets", **GIVEN)}
    assert buckets[value("pgbackrest", "pgbackrest_s3_bucket", **GIVEN)] == [
        value("pgbackrest", "pgbackrest_s3_access", **GIVEN)
    ]
    assert buckets[value("backup", "backup_s3_bucket", **GIVEN)] == [value("backup", "backup_s3_access", **GIVEN)]
    assert value("pgbackrest", "pgbackrest_stanza", **GIVEN) == value("backup", "backup_postgresql_stanza", **GIVEN)
    assert value("postgresql", "postgresql_backup_stanza", **GIVEN) == value("pgbackrest", "pgbackrest_stanza", **GIVEN)
    endpoints = {value("pgbackrest", "pgbackrest_s3_endpoint", **GIVEN), value("backup", "backup_s3_endpoint", **GIVEN)}
    assert endpoints == {value("s3", "s3_endpoint", **GIVEN)} == {"https://10.0.2.12:7443"}


def test_a_term_is_longer_than_a_lock_and_than_what_must_stay():
    """What is locked longer than its term can't go when the law says so; what must stay has to fit as well."""
    lock = max(bucket["lock_days"] for bucket in value("s3", "s3_buckets", **GIVEN))
    every = value("backup", "backup_postgresql_full_every_days", **GIVEN)
    for repository in value("pgbackrest", "pgbackrest_retention", **GIVEN):
        assert repository["full"] * every + lock < repository["max_days"]


@pytest.mark.parametrize(
    ("name", "prefix"), [("versitygw", "s3"), ("consul", "consul"), ("go-toolchain", "go_toolchain")]
)
def test_the_gateways_artifact_is_needed_by_the_role_that_runs_it(name, prefix):
    assert variable_prefix(name) == prefix
    assert relevant([name]) == [f"{prefix}_members", f"{prefix}_version"]
    assert needed([name], {"h": {f"{prefix}_members": [1], f"{prefix}_version": "1"}}, lambda _role: None) == [
        {"name": name, "version": "1"}
    ]
    assert needed([name], {"h": {f"{prefix}_members": []}}, lambda _role: None) == []


# backup


def configs(**more):
    given = {**GIVEN, **more}
    common = value("backup", "__backup_common", **given)
    return {name: {**found, **common} for name, found in value("backup", "__backup_configs", **given).items()}


def test_jobs_know_where_to_ask():
    found = configs()["postgresql"]
    assert found["gate"]["urls"] == ["https://10.0.0.11:8008", "https://10.0.1.11:8008", "https://10.0.2.11:8008"]
    assert found["lock"]["urls"] == ["https://10.0.0.11:8501", "https://10.0.1.11:8501", "https://10.0.2.11:8501"]
    assert [repository["number"] for repository in found["repositories"]] == [1, 2]
    assert (found["cluster"], configs()["consul"]["cluster"]) == ("rsp-test-postgresql", "rsp-test-dc1")


def test_each_job_has_the_least_of_secrets():
    text = {name: json.dumps(found) for name, found in configs().items()}
    assert "canary-snapshot" not in text["postgresql"]
    assert "canary-s3" not in text["postgresql"]
    assert "canary-consul-pass" not in text["consul"]
    assert {"canary-lock"} == {word for word in ("canary-lock", "canary-snapshot") if word in text["postgresql"]}


def test_without_consul_no_lock_is_asked_and_no_snapshot_taken():
    given = {"consul_members": []}
    assert configs(**given)["postgresql"]["lock"] is None
    assert value("backup", "__backup_services", **{**GIVEN, **given}) == ["postgresql"]
    assert value("backup", "__backup_timers", **{**GIVEN, **given}) == ["rsp-backup-postgresql.timer"]


def test_without_a_store_snapshots_have_one_place():
    found = configs(s3_members=[])
    assert found["consul"]["s3"] is None
    assert [repository["number"] for repository in found["postgresql"]["repositories"]] == [1]


@pytest.mark.parametrize(("service", "user"), [("postgresql", "postgres"), ("consul", "rsp-backup")])
def test_the_unit_of_a_job(service, user):
    found = unit(render("backup", "job.service.j2", __backup_service=service, **GIVEN))
    assert found["User"] == [user]
    assert found["ExecStart"] == [f"/usr/local/bin/rsp-backup {service}"]
    assert (found["Type"], found["RestartForceExitStatus"], found["RestartSec"]) == (["oneshot"], ["75"], ["600"])
    assert found["ProtectSystem"] == ["strict"]
    assert f"/var/lib/rsp-platform/backup/{service}" in found["ReadWritePaths"][0]


@pytest.mark.parametrize(
    ("service", "calendar"), [("postgresql", "*-*-* 01,07,13,19:30:00"), ("consul", "*-*-* *:15:00")]
)
def test_the_timer_of_a_job(service, calendar):
    found = unit(render("backup", "job.timer.j2", __backup_service=service, **GIVEN))
    assert found["OnCalendar"] == [calendar]
    assert found["Persistent"] == ["yes"]
    assert found["WantedBy"] == ["timers.target"]


def test_tokens_of_least_rights():
    policies = {policy["name"]: policy["rules"] for policy in value("backup", "__backup_consul_policies", **GIVEN)}
    assert "write" not in policies["backup-lock"]
    assert policies["backup-snapshot"].strip() == 'acl = "write"'
    tokens = value("backup", "__backup_consul_tokens", **GIVEN)
    assert [token["policies"] for token in tokens] == [["backup-lock"], ["backup-snapshot"], ["backup-canary"]]


def test_the_program_lies_where_python_finds_it():
    files = value("backup", "__backup_program", **GIVEN)
    directories = [entry["path"] for entry in value("backup", "__backup_program_directories", **GIVEN)]
    assert all(str(Path(entry["dest"]).parent) in directories for entry in files)
    assert all(Path(entry["src"]).is_file() for entry in files)
    assert all(str(Path(path).parent) in directories for path in directories[1:])
    assert f"PYTHONPATH={directories[0]} " in render("backup", "rsp-backup.j2", **GIVEN)


# Inventories


@pytest.mark.parametrize("environment", ["local", "dev", "staging", "production"])
def test_the_two_repositories_are_in_different_zones(environment):
    hosts = yaml.safe_load((ROOT / f"inventories/{environment}/hosts.yml").read_text(encoding="utf-8"))["all"][
        "children"
    ]
    machines = next(hosts[group]["hosts"] for group in ("lab", "machines") if group in hosts)
    zones = {
        group: {machines[name]["platform_zone"] for name in hosts[group].get("hosts") or {}}
        for group in ("backups", "s3")
    }
    assert len(zones["backups"]) == 1
    assert not zones["backups"] & zones["s3"]
    assert zones["s3"] or environment == "production"


# Canaries

CANARY = {
    **GIVEN,
    "backup_handed_endpoints": ["10.0.0.5:5000", "10.0.1.5:5000"],
    "__backup_canary_key": "canary-key",
    "__backup_canary_token": "canary-token",
    "__backup_canary_password": "canary-password",
}


def test_what_the_writer_of_canaries_is_told():
    found = value("backup", "__backup_canary_config", **CANARY)
    postgresql, consul = found["stores"]
    assert postgresql["store"] == "postgresql/rsp-test-postgresql"
    assert postgresql["conninfo"].split() == [
        "host=10.0.0.5,10.0.1.5", "port=5000,5000", "dbname=rsp_smoke", "user=rsp_smoke", "sslmode=verify-full",
        "sslrootcert=/etc/rsp-canary/postgresql.crt",
    ]  # fmt: skip
    assert consul["urls"] == ["https://10.0.0.11:8501", "https://10.0.1.11:8501", "https://10.0.2.11:8501"]
    assert "canary-" not in json.dumps(found), "secrets are in files of their own"
    canary_stores.PostgresqlStore(postgresql)


@pytest.mark.parametrize(
    ("more", "kinds"),
    [
        ({}, ["postgresql", "consul"]),
        ({"backup_handed_endpoints": []}, ["consul"]),
        ({"postgresql_members": []}, ["consul"]),
        ({"consul_members": []}, ["postgresql"]),
    ],
)
def test_canaries_go_where_there_is_a_store(more, kinds):
    assert [store["kind"] for store in value("backup", "__backup_canary_stores", **{**CANARY, **more})] == kinds


def test_ledgers_are_where_the_drill_reads_them_and_under_its_name():
    """The drill's own names are in playbooks/vars/proving.yml; another name of the store fails every token."""
    proving = yaml.safe_load((ROOT / "playbooks/vars/proving.yml").read_text(encoding="utf-8"))
    assert proving["prove_ledger"] == "/var/lib/rsp-platform/canary/{{ prove_service }}.jsonl"
    assert proving["prove_store"] == "{{ prove_service }}/{{ job.clusters[prove_service] }}"
    assert "'backup/canary', generate='password', length=64" in proving["prove_canary"]["key"]
    assert f"default('{value('backup', 'backup_canary_database', **CANARY)}')" in proving["prove_canary"]["database"]
    for store in value("backup", "__backup_canary_stores", **CANARY):
        assert store["ledger"] == f"/var/lib/rsp-platform/canary/{store['kind']}.jsonl"


def test_the_unit_of_canaries():
    found = unit(render("backup", "canary.service.j2", **CANARY))
    script = value("backup", "__backup_canary_own", **CANARY)[1]["dest"]
    assert found["ExecStart"] == [f"/usr/bin/python3 {script} /etc/rsp-canary/canary.json"]
    assert (found["User"], found["ReadWritePaths"]) == (["rsp-canary"], ["/var/lib/rsp-platform/canary"])
    timer = unit(render("backup", "canary.timer.j2", **CANARY))
    assert (timer["OnUnitActiveSec"], timer["WantedBy"]) == (["15"], ["timers.target"])


def test_the_scripts_of_canaries_lie_beside_each_other():
    scripts = [entry for entry in value("backup", "__backup_canary_own", **CANARY) if entry["dest"].endswith(".py")]
    assert len({Path(entry["dest"]).parent for entry in scripts}) == 1
    assert all(Path(entry["src"]).is_file() for entry in scripts)


def test_every_token_that_backups_use_is_rotated():
    tokens = [f"consul/{token['name']}" for token in value("backup", "__backup_consul_tokens", **GIVEN)]
    assert list(value("backup", "__backup_rotations", **GIVEN)) == tokens


@pytest.mark.parametrize("service", ["consul", "etcd", "postgresql"])
@pytest.mark.parametrize("backups", [True, False])
def test_tokens_of_backups_are_rotated_with_consuls(service, backups):
    rolling = trusted(yaml.safe_load((ROOT / "playbooks/vars/rolling.yml").read_text(encoding="utf-8")))
    handed = {"rotations": value("backup", "__backup_rotations", **GIVEN) if backups else {}}
    own = {f"__{service}_rotations": {f"{service}/own": "uuid"}, "__backup_handover": handed}
    found = value("backup", "rotate_kinds", **{**rolling, **own, "roll_service": service})
    more = {"consul/backup-lock", "consul/backup-snapshot", "consul/backup-canary"}
    assert set(found) == {f"{service}/own"} | (more if backups and service == "consul" else set())
