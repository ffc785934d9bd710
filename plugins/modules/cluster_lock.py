#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""A lock per cluster, held in the platform's own store."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_lock
short_description: Lock a cluster for one job, and remember a job that was cut off
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - A lock with owner, reason and lease in Consul or etcd, so that a second run is refused wherever it comes from,
    and the lock of a dead controller ends by itself.
  - Beside it is a record of the roll without a lease. A run that finds the unfinished record of the same job with the
    same arguments resumes it, with the time at which its first run got the lock.
  - Lock and record are written in one transaction that fails when either changed since it was read.
  - A store that does not answer, or a key that is none of ours, is an error and never a free lock.
  - Times are epoch seconds of the clock of the host that this module runs on.
options:
  cluster:
    description: Name of what is locked. The keys are C(rsp/locks/<cluster>) and C(rsp/rolls/<cluster>).
    type: str
    required: true
  store:
    description: Kind of the store.
    type: str
    choices: [consul, etcd]
    required: true
  connection:
    description: How to reach one member of the store from this host.
    type: dict
    required: true
    suboptions:
      url: {description: 'V(https://host:port) of the API.', type: str, required: true}
      ca_path: {description: PEM file of the CA that signed the server's certificate., type: path}
      cert_path: {description: PEM file of a client certificate., type: path}
      key_path: {description: PEM file of the client certificate's key., type: path}
      token: {description: Consul's token. It needs both prefixes and C(session_prefix "") with write., type: str}
      username: {description: User of etcd. It needs both prefixes with readwrite., type: str}
      password: {description: Password of O(connection.username)., type: str}
      timeout_s: {description: Seconds to wait for each answer., type: float, default: 10.0}
  others:
    description:
      - Further addresses of the same store, like O(connection.url). The first that answers with a quorum is asked.
      - The reasons of all are told when nobody answers.
    type: list
    elements: str
    default: []
  state:
    description:
      - V(held) takes the lock, or renews it when O(owner) has it already. It fails when another owner has it.
      - V(released) gives it up. It fails when another owner has it; to free the lock of a dead run, give its owner.
      - V(read) only looks.
    type: str
    choices: [held, released, read]
    required: true
  owner:
    description: Who asks, unique for each run. Needed unless O(state=read).
    type: str
  reason:
    description: Why, for people. Needed with O(state=held).
    type: str
  job:
    description: Name of the job. Needed with O(state=held).
    type: str
  arguments:
    description: What tells one job of that name from another, at most 4 KiB. It is kept readable, so no secrets.
    type: dict
    default: {}
  lease_s:
    description:
      - Seconds without a renewal after which the lock ends, from 10 to 86400. It is set when the lock is taken.
      - Consul may take up to twice as long. In both stores an election of a leader starts the time anew.
    type: int
    default: 300
  must_hold:
    description: Renew only. Fails when O(owner) does not have the lock any more, also when nobody has it.
    type: bool
    default: false
  resume_within_s:
    description: An unfinished roll that began longer ago is not resumed but reported as RV(abandoned).
    type: int
    default: 86400
  finished:
    description: With O(state=released), the job came to its end, so its record is not resumed again.
    type: bool
    default: false
attributes:
  check_mode:
    description: Predicts the outcome, a refusal too, and only reads.
    support: full
  diff_mode:
    description: The result says what changed.
    support: none
"""

EXAMPLES = r"""
- name: Lock the cluster for this run
  rsp.platform.cluster_lock:
    cluster: consul-main
    store: consul
    connection:
      url: https://127.0.0.1:8501
      ca_path: /etc/consul.d/tls/ca.crt
      token: "{{ lookup('rsp.platform.secret', 'consul/operations') }}"
    state: held
    owner: "{{ run_id }}"
    reason: New certificates
    job: restart
    arguments: {members: all}
    lease_s: 120
  register: lock

- name: Free the lock of a run that is dead
  rsp.platform.cluster_lock:
    cluster: consul-main
    store: consul
    connection: "{{ consul_connection }}"
    state: released
    owner: awx-4711
"""

RETURN = r"""
lock:
  description: Who holds the cluster afterwards; in check mode as it would be. Of the other owner, when it is refused.
  returned: when the store was read
  type: dict
  sample: {owner: awx-4711, reason: New certificates, job: restart, since: 1795571000.123, renewed: 1795571042.5,
    lease_s: 120}
roll:
  description: The record of the roll afterwards.
  returned: when the store was read
  type: dict
  sample: {job: restart, arguments: {members: all}, since: 1795570800.5, owner: awx-4711, finished: false}
resumed:
  description: Whether the roll began before this owner got the lock. Members served after its C(since) are done.
  returned: success
  type: bool
abandoned:
  description: The unfinished record of another job, or of one too old to resume, that this call replaced.
  returned: success
  type: dict
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.cluster_lock import AnyMember, LockStore, Request, apply
from ansible_collections.rsp.platform.plugins.module_utils.lock_consul import ConsulLocks
from ansible_collections.rsp.platform.plugins.module_utils.lock_etcd import EtcdLocks
from ansible_collections.rsp.platform.plugins.module_utils.services.base import connection_options
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

STORES: dict[str, Callable[[Mapping[str, Any]], LockStore]] = {"consul": ConsulLocks.connect, "etcd": EtcdLocks.connect}


def lock_options() -> dict[str, Any]:
    """Argument spec."""
    return {
        "cluster": {"type": "str", "required": True},
        "store": {"type": "str", "choices": list(STORES), "required": True},
        "connection": {"type": "dict", "required": True, "options": connection_options()},
        "others": {"type": "list", "elements": "str", "default": []},
        "state": {"type": "str", "choices": ["held", "released", "read"], "required": True},
        "owner": {"type": "str"},
        "reason": {"type": "str"},
        "job": {"type": "str"},
        "arguments": {"type": "dict", "default": {}},
        "lease_s": {"type": "int", "default": 300},
        "must_hold": {"type": "bool", "default": False},
        "resume_within_s": {"type": "int", "default": 86400},
        "finished": {"type": "bool", "default": False},
    }


def open_store(params: Mapping[str, Any]) -> LockStore:
    """The store, by one of its members."""
    connect, connection = STORES[params["store"]], params["connection"]
    _first, *urls = dict.fromkeys([connection["url"], *params["others"]])
    if not urls:
        return connect(connection)
    return AnyMember(connect(connection), (connect({**connection, "url": url}) for url in urls))


def main() -> None:
    """Doorway: options to a request, the outcome to a result."""
    module = AnsibleModule(
        argument_spec=lock_options(),
        required_if=[("state", "held", ("owner", "reason", "job")), ("state", "released", ("owner",))],
        supports_check_mode=True,
    )
    try:
        request = Request.from_params(module.params)
        outcome = apply(request, open_store(module.params), module.check_mode)
    except DriverError as err:
        module.fail_json(msg=str(err), **err.result)
    module.exit_json(**outcome.as_result())


if __name__ == "__main__":
    main()
