# SPDX-License-Identifier: Apache-2.0
"""etcd's users and roles through its JSON gateway: log in as root, read, take one step.

The gateway refuses clients whose certificate has a common name once authentication is on: certificates of etcd and of
its clients have names in the SAN only, and who asks is proven by a password.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.etcd_auth import ROOT, Actual, Permission, Step, Wanted
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Connection, JsonClient
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

AUTH_OFF = "etcdserver: authentication is not enabled"
LOGIN_FAILED = "etcdserver: authentication failed, invalid user ID or password"


class AuthGateway:
    """One session with a cluster, as root once authentication is on."""

    def __init__(self, connection: Connection) -> None:
        """Nothing is contacted yet."""
        self._anonymous = JsonClient(connection)
        self._client = self._anonymous
        self._auth_enabled = False

    def login(self, password: str) -> None:
        """Become root; on a cluster without authentication nothing is needed. A wrong password raises DriverError."""
        token, refusal = self._authenticate(ROOT, password)
        self._auth_enabled = refusal != AUTH_OFF
        if token:
            headers = {"Authorization": token}
            self._client = JsonClient(replace(self._anonymous.connection, headers=headers))
        elif self._auth_enabled:
            raise DriverError(f"etcd refuses root's password: {refusal}")

    def read(self, wanted: Wanted) -> Actual:
        """All users and roles, and which of the wanted users have another password than the data says.

        A password can be compared by logging in only, so without authentication every one counts as stale.
        """
        users = {n: frozenset(self._auth("user/get", name=n).get("roles", ())) for n in self._list("user")}
        roles = {n: parse_permissions(self._auth("role/get", role=n)) for n in self._list("role")}
        stale = {
            u.name for u in wanted.users.values() if u.password and u.name in users and self._stale(u.name, u.password)
        }
        if not self._auth_enabled:
            stale |= {ROOT} & set(users)
        return Actual(self._auth_enabled, users, roles, frozenset(stale))

    def take(self, step: Step) -> None:
        """One step of a plan. etcd forgets the tokens of a user whose password changes, so root logs in anew."""
        self._client.call("POST", step.path, json=step.body)
        if self._auth_enabled and step.path.endswith("/changepw") and step.body["name"] == ROOT:
            self.login(step.body["password"])

    def _stale(self, name: str, password: str) -> bool:
        token, refusal = self._authenticate(name, password)
        if token or refusal in (AUTH_OFF, LOGIN_FAILED):
            return token is None
        raise DriverError(f"etcd did not check the password of {name}: {refusal}")

    def _authenticate(self, name: str, password: str) -> tuple[str | None, str | None]:
        """A token, or why there is none."""
        body = {"name": name, "password": password}
        answer = self._anonymous.call("POST", "/v3/auth/authenticate", json=body, accept=(200, 400)).data
        if isinstance(answer, dict):
            return answer.get("token"), answer.get("message")
        return None, str(answer).strip()

    def _list(self, what: str) -> list[str]:
        return list(self._auth(f"{what}/list").get(f"{what}s", ()))

    def _auth(self, path: str, **body: Any) -> Mapping[str, Any]:
        answer = self._client.call("POST", f"/v3/auth/{path}", json=body).data
        if not isinstance(answer, dict):
            raise DriverError(f"/v3/auth/{path} answered no object")
        return answer


def parse_permissions(answer: Mapping[str, Any]) -> frozenset[Permission]:
    """The permissions of a role/get answer, which leaves out READ (it is the zero) and an empty range_end."""
    return frozenset(
        Permission(
            key=base64.b64decode(perm.get("key", "")),
            range_end=base64.b64decode(perm.get("range_end", "")),
            kind=perm.get("permType", "READ"),
        )
        for perm in answer.get("perm", ())
    )
