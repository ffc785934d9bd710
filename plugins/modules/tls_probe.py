#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Asks listeners which certificate they serve at this moment."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tls_probe
short_description: Fail unless every listener serves the certificate that it should
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Connects to each listener, and looks at the certificate that the process serves, whatever is on the disk.
  - Proves a renewal, and while a CA is rolled, that a certificate chains to the new one or that the new one is trusted.
options:
  endpoints:
    description: The listeners. An empty list fails, because it proves nothing.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: What it is called in the result., type: str, required: true}
      address: {description: IP address or name., type: str, required: true}
      port: {description: Port., type: int, required: true}
      protocol:
        description: What comes before the handshake.
        type: str
        choices: [tls, postgresql, consul_rpc]
        default: tls
      asks_clients:
        description: Whether it refuses clients whose certificate no CA has signed that it trusts.
        type: bool
        default: false
  authority:
    description: PEM text of the only CA that is trusted. What does not chain to it is a problem.
    type: str
    required: true
  sha256:
    description: Fingerprint that every listener must serve, in hexadecimal digits.
    type: str
  client_certificate:
    description: PEM text of a certificate that listeners with C(asks_clients) must let in.
    type: str
  client_key:
    description: Its key. It is never written to a file.
    type: str
  wait_s:
    description: Seconds to wait until everything is as it should be.
    type: float
    default: 10
attributes:
  check_mode:
    description: It only reads, so it runs in check mode as well.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Does pgBouncer serve the new certificate?
  rsp.platform.tls_probe:
    endpoints:
      - {name: pgbouncer, address: 10.0.0.11, port: 6432, protocol: postgresql}
    authority: "{{ lookup('rsp.platform.certificate', 'postgresql', part='issuer') }}"
    sha256: "{{ lookup('rsp.platform.certificate', 'postgresql', part='sha256') }}"
"""

RETURN = r"""
served:
  description: What each listener that is as it should be serves.
  returned: always
  type: list
  elements: dict
  contains:
    name: {description: Name of the listener., type: str}
    sha256: {description: Fingerprint., type: str}
    serial: {description: Serial number in hexadecimal digits., type: str}
    not_after: {description: When it ends., type: str}
    days: {description: Days until then., type: float}
problems:
  description: What is not as it should be, one sentence each.
  returned: always
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.tls_probe import PROTOCOLS, Endpoint, Expected, ask_all


def main() -> None:
    """Doorway: options to listeners and what they must serve."""
    endpoint = {
        "name": {"type": "str", "required": True},
        "address": {"type": "str", "required": True},
        "port": {"type": "int", "required": True},
        "protocol": {"type": "str", "choices": list(PROTOCOLS), "default": "tls"},
        "asks_clients": {"type": "bool", "default": False},
    }
    options = {
        "endpoints": {"type": "list", "elements": "dict", "required": True, "options": endpoint},
        "authority": {"type": "str", "required": True},
        "sha256": {"type": "str"},
        "client_certificate": {"type": "str"},
        "client_key": {"type": "str", "no_log": True},
        "wait_s": {"type": "float", "default": 10},
    }
    module = AnsibleModule(
        argument_spec=options,
        required_together=[("client_certificate", "client_key")],
        supports_check_mode=True,
    )
    params = module.params
    expected = Expected(params["authority"], params["sha256"], params["client_certificate"], params["client_key"])
    served, problems = ask_all([Endpoint(**each) for each in params["endpoints"]], expected, params["wait_s"])
    result: dict[str, Any] = {"served": [each.as_dict() for each in served], "problems": problems}
    if problems:
        module.fail_json(msg="; ".join(problems), **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
