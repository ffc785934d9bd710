#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Has a running HAProxy use new certificates without a reload."""

from __future__ import annotations

DOCUMENTATION = r"""
module: haproxy_tls
short_description: Have a running HAProxy use new certificates and CAs without a reload
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Hands certificates to HAProxy through its socket, each in a transaction. What is on the disk is left as it is.
  - Nothing is reloaded. A reload would start a new process, and the old one ends its sessions after a time. Where
    nothing less will do, RV(reload) asks for it.
  - What is in use already is left alone, so that a run that was cut off can be repeated.
options:
  socket:
    description: HAProxy's socket, of level admin.
    type: path
    required: true
  certificates:
    description: PEM texts of certificate and key by the name of their file, as the configuration has it.
    type: dict
    default: {}
  authorities:
    description: PEM texts of the CAs that servers are checked with, by the name of their file.
    type: dict
    default: {}
  client_authorities:
    description:
      - PEM texts of the CAs that listeners hold their clients against, by the name of their file.
      - They are taken together with a new certificate only, because HAProxy 3.0 can't change that one afterwards.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Says what would be taken. Where there is no socket yet, nothing would be.
    support: full
  diff_mode:
    description: Some hold keys, so nothing is shown.
    support: none
"""

EXAMPLES = r"""
- name: Take what the renewal brought
  rsp.platform.haproxy_tls:
    socket: /run/haproxy/admin.sock
    certificates:
      tls/server.pem: "{{ certificate_and_key }}"
    authorities:
      tls/servers.crt: "{{ lookup('rsp.platform.certificate', 'haproxy', part='ca') }}"
"""

RETURN = r"""
taken:
  description: Names of the files that HAProxy did not use yet.
  returned: success
  type: list
  elements: str
postponed: {description: CAs that go with the next certificate., returned: success, type: list, elements: str}
reload: {description: Whether the files on the disk need a reload., returned: success, type: bool}
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.haproxy_tls import over, take
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError


def main() -> None:
    """Doorway: texts to HAProxy."""
    options = {
        "socket": {"type": "path", "required": True},
        "certificates": {"type": "dict", "default": {}, "no_log": True},
        "authorities": {"type": "dict", "default": {}},
        "client_authorities": {"type": "dict", "default": {}},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    params = module.params
    if module.check_mode and not Path(params["socket"]).exists():
        module.exit_json(changed=False, taken=[], postponed=[], reload=False)
    texts = (params["certificates"], params["authorities"], params["client_authorities"])
    try:
        taken = take(over(params["socket"]), *texts, check=module.check_mode)
    except DriverError as err:
        module.fail_json(msg=str(err))
    changed = bool(taken.names) or taken.reload
    module.exit_json(changed=changed, taken=taken.names, postponed=taken.postponed, reload=taken.reload)


if __name__ == "__main__":
    main()
