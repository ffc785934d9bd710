"""Users and roles of etcd: the plan as tables, the gateway against a small etcd in memory that answers like 3.5.16."""

from __future__ import annotations

import base64
import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.rsp.platform.plugins.module_utils import etcd_gateway
from ansible_collections.rsp.platform.plugins.module_utils.etcd_auth import (
    Actual,
    DataError,
    Permission,
    parse_wanted,
    plan,
    prefix_end,
    view,
)
from ansible_collections.rsp.platform.plugins.module_utils.etcd_gateway import AuthGateway, parse_permissions
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Answer, Connection, HttpError
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError
from ansible_collections.rsp.platform.plugins.modules import etcd_objects

ROOT_PASSWORD = "canary-root"
PATRONI_PASSWORD = "canary-patroni"
SERVICE = Permission(b"/service/", b"/service0", "READWRITE")


def role(name, *permissions, state="present"):
    return {"name": name, "permissions": list(permissions), "state": state}


def perm(key, kind="readwrite", prefix=False, range_end=None):
    return {"key": key, "type": kind, "prefix": prefix, "range_end": range_end}


def user(name, *roles, password=None, state="present"):
    return {"name": name, "password": password, "roles": list(roles), "state": state}


PATRONI = {
    "users": [user("patroni", "patroni", password=PATRONI_PASSWORD)],
    "roles": [role("patroni", perm("/service/", prefix=True))],
}


def wanted(users=(), roles=(), prune=False):
    return parse_wanted(users, roles, prune)


def actual(users=None, roles=None, stale=(), auth_enabled=True):
    users = {"root": frozenset({"root"}), **{n: frozenset(r) for n, r in (users or {}).items()}}
    return Actual(auth_enabled, users, {n: frozenset(p) for n, p in (roles or {}).items()}, frozenset(stale))


def texts(data, there):
    return [step.text for step in plan(wanted(**data), there, ROOT_PASSWORD).steps]


@pytest.mark.parametrize(
    ("prefix", "end"),
    [(b"/service/", b"/service0"), (b"a", b"b"), (b"a\xff", b"b"), (b"\xff\xff", b"\0"), (b"", b"\0")],
)
def test_prefix_end(prefix, end):
    assert prefix_end(prefix) == end


@pytest.mark.parametrize(
    ("permission", "text"),
    [
        (SERVICE, "readwrite /service/*"),
        (Permission(b"/k", b"", "READ"), "read /k"),
        (Permission(b"a", b"c", "WRITE"), "write [a, c)"),
        (Permission(b"a", b"\0", "WRITE"), "write [a, end)"),
        (Permission(b"\0", b"\0", "READ"), "read every key"),
    ],
)
def test_permission_reads_like_a_sentence(permission, text):
    assert str(permission) == text


@pytest.mark.parametrize(
    ("entry", "permission"),
    [
        (perm("/service/", prefix=True), SERVICE),
        (perm("/k", kind="read"), Permission(b"/k", b"", "READ")),
        (perm("a", kind="write", range_end="c"), Permission(b"a", b"c", "WRITE")),
        (perm("", kind="read", prefix=True), Permission(b"\0", b"\0", "READ")),
        (perm("ключ", prefix=True), Permission("ключ".encode(), "ключ".encode()[:-1] + b"\x88", "READWRITE")),
    ],
)
def test_permission_of_the_data(entry, permission):
    assert wanted(roles=[role("r", entry)]).roles["r"] == frozenset({permission})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"users": [user("root")]}, "user root is kept by the module itself"),
        ({"roles": [role("root")]}, "role root is kept by the module itself"),
        ({"users": [user("a"), user("a", state="absent")]}, "user a is listed more than once"),
        ({"roles": [role("a"), role("a")]}, "role a is listed more than once"),
        ({"roles": [role("a", perm("k", prefix=True, range_end="z"))]}, "exclude each other"),
        ({"roles": [role("a", perm(""))]}, "an empty key needs prefix"),
        ({"roles": [role("a", perm("k"), perm("k", kind="read"))]}, "two permissions for the same keys: "),
    ],
)
def test_contradictions_are_refused(data, message):
    with pytest.raises(DataError, match=message):
        wanted(**data)


@pytest.mark.parametrize(
    ("data", "there", "steps"),
    [
        pytest.param(
            PATRONI,
            Actual(),
            [
                "add role patroni",
                "grant role patroni readwrite /service/*",
                "add user root",
                "grant user root role root",
                "add user patroni",
                "grant user patroni role patroni",
                "enable authentication",
            ],
            id="empty_cluster",
        ),
        pytest.param(PATRONI, actual({"patroni": {"patroni"}}, {"patroni": {SERVICE}}), [], id="all_there"),
        pytest.param(
            PATRONI,
            actual({"patroni": {"patroni"}}, {"patroni": {SERVICE}}, {"root", "patroni"}, auth_enabled=False),
            ["set password of user root", "set password of user patroni", "enable authentication"],
            id="cut_off_before_the_end",
        ),
        pytest.param(
            PATRONI,
            actual({"patroni": {"patroni"}}, {"patroni": {SERVICE}}, {"patroni"}),
            ["set password of user patroni"],
            id="password_differs",
        ),
        pytest.param(
            PATRONI,
            actual({"patroni": {"other"}}, {"patroni": {Permission(b"x", b"", "READ")}, "other": set()}),
            [
                "grant role patroni readwrite /service/*",
                "revoke role patroni read x",
                "grant user patroni role patroni",
                "revoke user patroni role other",
            ],
            id="named_objects_are_owned_whole",
        ),
        pytest.param(
            {"roles": [role("r", perm("k", kind="read"))]},
            actual(roles={"r": {Permission(b"k", b"", "READWRITE")}}),
            ["grant role r read k"],
            id="a_grant_replaces_the_right",
        ),
        pytest.param(
            {"users": [user("a", state="absent")], "roles": [role("b", state="absent")]},
            actual({"a": set()}, {"b": set()}),
            ["delete user a", "delete role b"],
            id="absent",
        ),
        pytest.param(
            {"users": [user("a", state="absent")], "roles": [role("b", state="absent")]},
            actual(),
            [],
            id="absent_twice",
        ),
        pytest.param({}, actual({"old": set()}, {"old": set()}), [], id="report"),
        pytest.param(
            {"prune": True}, actual({"old": set()}, {"old": set()}), ["delete user old", "delete role old"], id="delete"
        ),
        pytest.param({"prune": True}, actual(roles={"root": set()}), [], id="root_is_protected"),
        pytest.param(
            {"users": [user("admin", "root")]}, actual({"admin": set()}), ["grant user admin role root"], id="admin"
        ),
    ],
)
def test_plan(data, there, steps):
    assert texts(data, there) == steps


@pytest.mark.parametrize("prune", [False, True])
def test_unmanaged_objects_are_named(prune):
    todo = plan(wanted(prune=prune), actual({"old": set()}, {"older": set()}), ROOT_PASSWORD)
    assert (todo.unmanaged_users, todo.unmanaged_roles) == (("old",), ("older",))


@pytest.mark.parametrize(
    ("data", "there"),
    [
        ({"users": [user("a", "nobody")]}, actual()),
        ({"users": [user("a", "gone")], "roles": [role("gone", state="absent")]}, actual(roles={"gone": set()})),
        ({"users": [user("a", "old")], "prune": True}, actual(roles={"old": set()})),
    ],
)
def test_a_role_that_will_not_be_there_is_refused(data, there):
    with pytest.raises(DataError, match="which nobody defines"):
        plan(wanted(**data), there, ROOT_PASSWORD)


def test_steps_and_views_show_no_password():
    todo = plan(wanted(**PATRONI), Actual(), ROOT_PASSWORD)
    there = actual({"patroni": {"patroni"}}, stale={"patroni"})
    shown = f"{todo} {wanted(**PATRONI)} {view(there)} {view(todo.outcome)}"
    assert "canary" not in shown
    assert view(there)["users"]["patroni"] == {"roles": ["patroni"], "password": "to be set"}


@pytest.mark.parametrize(
    ("answer", "permissions"),
    [
        ({"header": {}}, set()),
        ({"perm": [{"permType": "READWRITE", "key": "L3NlcnZpY2Uv", "range_end": "L3NlcnZpY2Uw"}]}, {SERVICE}),
        ({"perm": [{"key": "aw=="}]}, {Permission(b"k", b"", "READ")}),
    ],
)
def test_parse_permissions(answer, permissions):
    assert parse_permissions(answer) == permissions


class FakeEtcd:
    """Users, roles and authentication with the answers (texts, codes, left-out zeros) that a real 3.5.16 gave."""

    def __init__(self):
        self.enabled = False
        self.passwords, self.users, self.roles = {}, {}, {}
        self.calls, self.tokens = [], {}

    def post(self, path, body, token):
        self.calls.append(path)
        verb = path.removeprefix("/v3/auth/")
        if verb == "authenticate":
            return self.authenticate(**body)
        if self.enabled and token not in self.tokens:
            return 401, {"code": 16, "message": "etcdserver: invalid auth token"}
        if self.enabled and self.tokens[token] != "root":
            return 400, {"code": 9, "message": "etcdserver: user name not found"}
        return 200, getattr(self, verb.replace("/", "_"))(**body) or {"header": {}}

    def authenticate(self, name, password):
        if not self.enabled:
            return 400, {"code": 9, "message": "etcdserver: authentication is not enabled"}
        if self.passwords.get(name) != password:
            return 400, {"code": 3, "message": "etcdserver: authentication failed, invalid user ID or password"}
        token = f"token-{name}-{len(self.calls)}"
        self.tokens[token] = name
        return 200, {"token": token}

    def user_list(self):
        return {"users": sorted(self.users)} if self.users else {}

    def role_list(self):
        return {"roles": sorted(self.roles)} if self.roles else {}

    def user_get(self, name):
        return {"roles": sorted(self.users[name])} if self.users[name] else {}

    def role_get(self, role):
        return {"perm": list(self.roles[role].values())}

    def user_add(self, name, password=None, options=None):
        assert password or options == {"noPassword": True}
        self.users[name], self.passwords[name] = set(), password

    def user_changepw(self, name, password):
        self.passwords[name] = password
        self.tokens = {token: user for token, user in self.tokens.items() if user != name}

    def user_delete(self, name):
        del self.users[name]

    def user_grant(self, user, role):
        self.users[user].add(role)

    def user_revoke(self, name, role):
        self.users[name].remove(role)

    def role_add(self, name):
        self.roles[name] = {}

    def role_delete(self, role):
        del self.roles[role]

    def role_grant(self, name, perm):
        kept = {k: v for k, v in perm.items() if v and (k, v) != ("permType", "READ")}
        self.roles[name][perm["key"], perm["range_end"]] = kept

    def role_revoke(self, role, key, range_end):
        del self.roles[role][key, range_end]

    def enable(self):
        assert "root" in self.users["root"]
        self.enabled = True


@pytest.fixture
def etcd(monkeypatch):
    server = FakeEtcd()

    class Client:
        def __init__(self, connection):
            self.connection = connection

        def call(self, method, path, *, json=None, accept=(200,)):
            assert method == "POST"
            status, data = server.post(path, json, self.connection.headers.get("Authorization"))
            if status not in accept:
                raise HttpError(f"{path}: {status} {data['message']}", status)
            return Answer(status, data, {})

    monkeypatch.setattr(etcd_gateway, "JsonClient", Client)
    return server


def converge(data=None, check_mode=False, **more):
    params = {"users": [], "roles": [], "prune": "report", "fresh": False, "root_password": ROOT_PASSWORD}
    params |= {"connection": {"url": "https://127.0.0.1:2379"}, **(data or PATRONI), **more}
    return etcd_objects.converge(params, check_mode)


def test_first_run_makes_everything_and_second_run_nothing(etcd):
    predicted = converge(check_mode=True)
    assert not etcd.users
    assert not etcd.enabled
    done = converge()
    assert done == predicted
    assert done["changed"]
    assert done["steps"][-1] == "enable authentication"
    assert etcd.enabled
    assert etcd.passwords == {"root": ROOT_PASSWORD, "patroni": PATRONI_PASSWORD}
    again = converge()
    assert not again["changed"]
    assert again["diff"]["before"] == again["diff"]["after"] == done["diff"]["after"]


def test_fresh_check_contacts_nothing_and_predicts_the_same(etcd):
    predicted = converge(check_mode=True, fresh=True)
    assert etcd.calls == []
    assert converge(fresh=True)["steps"] == predicted["steps"]


def test_a_run_that_was_cut_off_is_finished(etcd):
    etcd.user_add("root", "half-way")
    etcd.role_add("patroni")
    assert converge()["changed"]
    assert etcd.passwords["root"] == ROOT_PASSWORD
    assert not converge()["changed"]


@pytest.mark.parametrize("planted", ["password", "role", "extra_right", "user"])
def test_what_was_changed_by_hand_is_put_right(etcd, planted):
    converge()
    if planted == "password":
        etcd.passwords["patroni"] = "by hand"
    elif planted == "role":
        etcd.users["patroni"].clear()
    elif planted == "extra_right":
        etcd.role_grant("patroni", {"permType": "READ", "key": base64.b64encode(b"/").decode(), "range_end": ""})
    else:
        etcd.user_delete("patroni")
    predicted = converge(check_mode=True)
    assert predicted["changed"]
    assert converge()["steps"] == predicted["steps"]
    assert not converge()["changed"]


@pytest.mark.parametrize(("prune", "left"), [("report", {"root", "patroni", "old"}), ("delete", {"root", "patroni"})])
def test_prune(etcd, prune, left):
    converge()
    etcd.user_add("old", "x")
    result = converge(prune=prune)
    assert result["unmanaged"] == {"users": ["old"], "roles": []}
    assert result["changed"] is (prune == "delete")
    assert set(etcd.users) == left


def test_user_without_a_password_is_known_by_its_certificate(etcd):
    data = {"users": [user("by-name")], "roles": []}
    assert converge(data)["changed"]
    assert not converge(data)["changed"]


def test_roots_password_is_changed_and_the_rest_goes_on_with_the_new_one(etcd):
    """Seen on a real etcd: the token of a user whose password changes is invalid from then on."""
    converge()
    operations = {"name": "operations", "password": "canary-new", "roles": [], "state": "present"}
    rotated = converge({"users": [operations]}, root_password="canary-next", previous_root_password=ROOT_PASSWORD)
    assert rotated["steps"] == ["set password of user root", "add user operations"]
    assert (etcd.passwords["root"], etcd.passwords["operations"]) == ("canary-next", "canary-new")
    assert converge({"users": [operations]}, root_password="canary-next")["steps"] == []


def test_another_root_password_fails_without_showing_it(etcd):
    converge()
    with pytest.raises(DriverError, match=r"refuses root's password: .*invalid user ID") as caught:
        converge(root_password="canary-other")
    assert "canary" not in str(caught.value)


def test_gateway_that_refuses_a_common_name_says_so(monkeypatch):
    """A real 3.5.16 answers plain text then, with status 400."""
    refusal = "CommonName of client sending a request against gateway will be ignored and not used as expected\n"

    class Client:
        def __init__(self, _connection):
            pass

        def call(self, *_args, **_kwargs):
            return Answer(400, refusal, {})

    monkeypatch.setattr(etcd_gateway, "JsonClient", Client)
    with pytest.raises(DriverError, match="CommonName of client"):
        AuthGateway(Connection("https://a")).login("x")


def test_a_password_check_that_was_no_answer_is_an_error(etcd, monkeypatch):
    converge()
    etcd.tokens["token-root"] = "root"
    monkeypatch.setattr(
        FakeEtcd,
        "authenticate",
        lambda self, name, password: (
            (200, {"token": "token-root"}) if name == "root" else (400, {"message": "etcdserver: too many requests"})
        ),
    )
    with pytest.raises(DriverError, match="did not check the password of patroni: etcdserver: too many"):
        converge()


def test_no_object_is_an_error(etcd, monkeypatch):
    monkeypatch.setattr(FakeEtcd, "user_list", lambda self: ["no", "object"])
    with pytest.raises(DriverError, match="user/list answered no object"):
        converge()


def run_module(capsys, arguments):
    with patch_module_args(arguments), pytest.raises(SystemExit) as end:
        etcd_objects.main()
    return end.value.code, json.loads(capsys.readouterr().out)


ARGUMENTS = {
    "connection": {"url": "https://127.0.0.1:2379"},
    "root_password": ROOT_PASSWORD,
    "users": [{"name": "patroni", "password": PATRONI_PASSWORD, "roles": ["patroni"]}],
    "roles": [{"name": "patroni", "permissions": [{"key": "/service/", "prefix": True}]}],
}


def test_module_result_has_no_secret(etcd, capsys):
    code, result = run_module(capsys, ARGUMENTS)
    assert code == 0
    assert result["changed"]
    assert "enable authentication" in result["steps"]
    assert "canary" not in json.dumps(result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({**ARGUMENTS, "roles": []}, "user patroni is to have role patroni, which nobody defines"),
        ({**ARGUMENTS, "users": [{"name": "root"}]}, "user root is kept by the module itself"),
        ({**ARGUMENTS, "prune": "yes"}, "value of prune must be one of"),
    ],
)
def test_module_fails_with_the_entry(etcd, capsys, arguments, message):
    code, result = run_module(capsys, arguments)
    assert code == 1
    assert message in result["msg"]
    assert "canary" not in json.dumps(result)
