# SPDX-License-Identifier: Apache-2.0
"""Reads and changes Consul's objects through its HTTP API; decides nothing (see consul_objects)."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ansible_collections.rsp.platform.plugins.module_utils.consul_generations import plan_generations
from ansible_collections.rsp.platform.plugins.module_utils.consul_objects import (
    ANONYMOUS,
    BUILTIN,
    EXTERNAL_NODE,
    Action,
    Object,
    accessor_id,
    canonical_durations,
    node_token,
)
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Connection, JsonClient
from ansible_collections.rsp.platform.plugins.module_utils.services.consul import consul_client
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

# option → the API's name, in the open-source edition
AUTOPILOT = {
    "cleanup_dead_servers": "CleanupDeadServers",
    "last_contact_threshold": "LastContactThreshold",
    "max_trailing_logs": "MaxTrailingLogs",
    "min_quorum": "MinQuorum",
    "server_stabilization_time": "ServerStabilizationTime",
}
EXTERNAL_FILTER = quote('Meta["external-node"] == "true"')


class ConsulObjects:
    """The objects of one cluster, with a management token."""

    def __init__(
        self,
        client: JsonClient,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is contacted yet."""
        self._client = client
        self._clock = clock
        self._sleep = sleep
        self._own_accessor: str | None = None

    @classmethod
    def connect(cls, options: Mapping[str, Any]) -> ConsulObjects:
        """For the `connection` option of a module."""
        return cls(consul_client(Connection.from_params(options)))

    def wait_for_leader(self, wait_s: float) -> None:
        """Return when a leader is known; DriverError after `wait_s`."""
        self._until(lambda: bool(self._client.get("/v1/status/leader")), wait_s, "Consul has no leader")

    def bootstrapped(self) -> bool:
        """Whether the connection's token is known. False: ACLs are not bootstrapped, or not with this token."""
        answer = self._client.call("GET", "/v1/acl/token/self", accept=(200, 403))
        self._own_accessor = answer.data["AccessorID"] if isinstance(answer.data, dict) else None
        return self._own_accessor is not None

    def bootstrap(self, secret: str, wait_s: float) -> None:
        """Make `secret` the management token, once in a cluster's life.

        Raises DriverError when the ACLs were bootstrapped with another token before.
        """
        answer = self._client.call("PUT", "/v1/acl/bootstrap", json={"BootstrapSecret": secret}, accept=(200, 403))
        if not isinstance(answer.data, dict):
            raise DriverError(
                "the ACLs of this cluster were bootstrapped with another token than the stored one: put that token "
                f"into the secret store, or reset the bootstrap as Consul describes ({answer.data})"
            )
        # Followers learn the token a moment after the leader made it.
        self._until(self.bootstrapped, wait_s, "the management token is not known after the bootstrap")

    def read(self, wanted: Iterable[Object], owned_keys: Sequence[str], protected: Collection[str]) -> list[Object]:
        """Every object of the cluster that `wanted` names or that prune may see."""
        asked = list(wanted)
        names = {kind: {o.id for o in asked if o.kind == kind} for kind in ("policy", "key")}
        found = self._autopilot() if any(o.kind == "autopilot" for o in asked) else []
        found += self._policies(names["policy"], protected)
        found += [_role(entry, protected) for entry in self._client.get("/v1/acl/roles")]
        found += [self._token(entry, protected) for entry in self._client.get("/v1/acl/tokens")]
        return found + self._keys(names["key"], owned_keys) + self._services(asked)

    def apply(self, action: Action) -> None:
        """Carry one action out. A refusal raises DriverError with the object's name."""
        try:
            if action.verb in ("delete", "replace"):
                self._delete(action.before or action.subject)
            if action.verb != "delete":
                self._put(action.subject, fresh=action.verb != "update")
        except DriverError as err:
            raise DriverError(f"{action}: {err}", **err.result) from err

    def _until(self, ready: Callable[[], bool], wait_s: float, problem: str) -> None:
        end, last = self._clock() + wait_s, ""
        while True:
            try:
                if ready():
                    return
            except DriverError as err:
                last = f": {err}"
            if self._clock() >= end:
                raise DriverError(f"{problem} after {wait_s:g} s{last}")
            self._sleep(0.5)

    def _autopilot(self) -> list[Object]:
        settings = self._client.get("/v1/operator/autopilot/configuration")
        body = canonical_durations({option: settings[name] for option, name in AUTOPILOT.items()})
        return [Object("autopilot", "autopilot", "settings", body, ref=str(settings["ModifyIndex"]))]

    def _policies(self, asked: Collection[str], protected: Collection[str]) -> list[Object]:
        """All policies; the rules only of those that are asked for: the list has none."""
        found = []
        for entry in self._client.get("/v1/acl/policies"):
            name, kept = entry["Name"], bool(BUILTIN.match(entry["ID"])) or entry["Name"] in protected
            rules = self._client.get(f"/v1/acl/policy/{entry['ID']}")["Rules"].strip() if name in asked else None
            body = {"description": entry["Description"], **({} if rules is None else {"rules": rules})}
            found.append(Object("policy", name, name, body, ref=entry["ID"], protected=kept))
        return found

    def _token(self, entry: Mapping[str, Any], protected: Collection[str]) -> Object:
        accessor, label = entry["AccessorID"], entry["Description"] or entry["AccessorID"]
        nodes = [node_token(n["NodeName"]) for n in entry.get("NodeIdentities") or ()]
        body = {
            "description": entry["Description"],
            **_grants(entry),
            "roles": sorted(r["Name"] for r in entry.get("Roles") or ()),
            "local": entry["Local"],
            "secret": entry["SecretID"],
        }
        kept = (
            accessor in (ANONYMOUS, self._own_accessor)
            or accessor in protected
            or label in protected
            or accessor in map(accessor_id, nodes)  # agents of hosts that this run does not reach
            or bool(entry.get("AuthMethod"))  # made by a login, and ends with it
        )
        return Object("token", accessor, label, body, ref=accessor, protected=kept)

    def _keys(self, asked: Collection[str], owned: Sequence[str]) -> list[Object]:
        found = []
        for path in sorted(asked):
            answer = self._client.call("GET", f"/v1/kv/{quote(path)}", accept=(200, 404))
            for entry in answer.data or ():
                value = base64.b64decode(entry["Value"] or "").decode("utf-8", "replace")
                found.append(Object("key", path, path, {"value": value}, ref=str(entry["ModifyIndex"])))
        for prefix in owned:
            listed = self._client.call("GET", f"/v1/kv/{quote(prefix)}?keys", accept=(200, 404)).data or ()
            found += [Object("key", path, path, {}) for path in listed if path not in asked]
        return found

    def _services(self, wanted: Iterable[Object]) -> list[Object]:
        """The services on external nodes: nodes that no agent keeps."""
        found = []
        external = {node["Node"] for node in self._client.get(f"/v1/catalog/nodes?filter={EXTERNAL_FILTER}")}
        for node in sorted(external):
            found += [_service(node, entry) for entry in self._node_services(node)]
        for node in {o.id.split("/")[0] for o in wanted if o.kind == "service"} - external:
            if self._client.get(f"/v1/catalog/node/{quote(node)}"):
                raise DriverError(f"node {node} is kept by its own agent, which would undo changes: register there")
        return found

    def _node_services(self, node: str) -> list[dict[str, Any]]:
        answer = self._client.get(f"/v1/catalog/node-services/{quote(node)}") or {}
        return list(answer.get("Services") or ())

    def _put(self, obj: Object, *, fresh: bool) -> None:
        body = obj.body or {}
        if obj.kind in ("policy", "role", "token"):
            self._client.call("PUT", f"/v1/acl/{obj.kind}{'' if fresh else '/' + obj.ref}", json=_acl_body(obj, fresh))
        elif obj.kind == "service":
            self._client.call("PUT", "/v1/catalog/register", json=_service_body(obj))
        elif obj.kind == "key":
            path = f"/v1/kv/{quote(obj.id)}?cas={0 if fresh else obj.ref}"
            self._compare_and_set(path, data=str(body["value"]).encode())
        else:
            path = f"/v1/operator/autopilot/configuration?cas={obj.ref}"
            self._compare_and_set(path, json={AUTOPILOT[key]: value for key, value in body.items()})

    def _compare_and_set(self, path: str, *, json: Any = None, data: bytes | None = None) -> None:
        if self._client.call("PUT", path, json=json, data=data).data is not True:
            raise DriverError("somebody else changed it during this run; run again")

    def _delete(self, obj: Object) -> None:
        if obj.kind in ("policy", "role", "token"):
            self._client.call("DELETE", f"/v1/acl/{obj.kind}/{obj.ref}")
        elif obj.kind == "key":
            self._client.call("DELETE", f"/v1/kv/{quote(obj.id)}")
        elif obj.kind == "service":
            node, service_id = obj.id.split("/", 1)
            self._client.call("PUT", "/v1/catalog/deregister", json={"Node": node, "ServiceID": service_id})
            if not self._node_services(node):  # an external node without services is a leftover
                self._client.call("PUT", "/v1/catalog/deregister", json={"Node": node})


def converge(api: ConsulObjects, wanted: list[Object], options: Mapping[str, Any], check: bool) -> dict[str, Any]:
    """Make the cluster hold what is wanted. Returns changed, actions, rogue and diff, in check mode as predicted.

    A failure raises DriverError that carries the `actions` that were done before it.
    """
    known = not (check and options["fresh"]) and _known(api, options)
    done = [] if known else ["bootstrap ACLs"]
    if not known and not check:
        api.bootstrap(options["connection"]["token"], options["wait_s"])
    actual = api.read(wanted, options["owned_keys"], options["protected"]) if known or not check else []
    todo = plan_generations(wanted, actual, options["prune"], options.get("previous", "replace"))
    for action in todo.actions:
        if not check:
            try:
                api.apply(action)
            except DriverError as err:
                raise DriverError(str(err), **{**err.result, "actions": done}) from err
        done.append(str(action))
    return {"changed": bool(done), "actions": done, "rogue": [o.label for o in todo.rogue], "diff": todo.diff()}


def _known(api: ConsulObjects, options: Mapping[str, Any]) -> bool:
    """Whether the management token is known once there is a leader; False asks for a bootstrap."""
    api.wait_for_leader(options["wait_s"])
    known = api.bootstrapped()
    if not known and not options["bootstrap"]:
        raise DriverError("Consul does not know the management token, and a bootstrap was not asked for")
    return known


def _grants(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "policies": sorted(p["Name"] for p in entry.get("Policies") or ()),
        "node_identities": sorted(f"{n['NodeName']}@{n['Datacenter']}" for n in entry.get("NodeIdentities") or ()),
        "service_identities": sorted(s["ServiceName"] for s in entry.get("ServiceIdentities") or ()),
    }


def _role(entry: Mapping[str, Any], protected: Collection[str]) -> Object:
    name, body = entry["Name"], {"description": entry["Description"], **_grants(entry)}
    return Object("role", name, name, body, ref=entry["ID"], protected=name in protected)


def _service(node: str, entry: Mapping[str, Any]) -> Object:
    path = f"{node}/{entry['ID']}"
    body = {
        "name": entry["Service"],
        "address": entry["Address"],
        "port": entry["Port"],
        "tags": sorted(entry["Tags"] or ()),
        "meta": entry["Meta"] or {},
    }
    return Object("service", path, path, body)


def _acl_body(obj: Object, fresh: bool) -> dict[str, Any]:
    """The body of a PUT for a policy, role or token."""
    body = obj.body or {}
    if obj.kind == "policy":
        sent: dict[str, Any] = {"Name": obj.name, "Description": body["description"], "Rules": body["rules"]}
        return sent if fresh else {**sent, "ID": obj.ref}
    sent = {
        "Description": body["description"],
        "Policies": [{"Name": name} for name in body["policies"]],
        "NodeIdentities": [
            dict(zip(("NodeName", "Datacenter"), n.rsplit("@", 1), strict=True)) for n in body["node_identities"]
        ],
        "ServiceIdentities": [{"ServiceName": name} for name in body["service_identities"]],
    }
    if obj.kind == "role":
        return {**sent, "Name": obj.name} if fresh else {**sent, "Name": obj.name, "ID": obj.ref}
    roles = [{"Name": name} for name in body["roles"]]
    accessor = obj.id if fresh else obj.ref
    return {**sent, "AccessorID": accessor, "SecretID": body["secret"], "Roles": roles, "Local": body["local"]}


def _service_body(obj: Object) -> dict[str, Any]:
    """A catalog registration on a node that no agent keeps; such a node has the service's address."""
    node, service_id = obj.id.split("/", 1)
    body = obj.body or {}
    names = {"name": "Service", "address": "Address", "port": "Port", "tags": "Tags", "meta": "Meta"}
    service = {"ID": service_id, **{names[key]: value for key, value in body.items()}}
    return {"Node": node, "Address": body["address"], "NodeMeta": EXTERNAL_NODE, "Service": service}
