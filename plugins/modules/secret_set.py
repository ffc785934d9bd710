# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: secret_set
short_description: Keep secrets in the platform's store
version_added: "0.1.0"
author: "rsp.platform maintainers (@rsp-platform)"
description:
  - Writes secrets to the back-end that C(platform_secrets) names, all of them or none.
  - Runs on the controller; no host is touched.
  - Values are never shown; the result names what changed.
options:
  secrets:
    description: Values by name.
    type: dict
    default: {}
  once:
    description: Keep the values only if the store has none of these names yet; of several runs at a time one wins.
    type: bool
    default: false
  absent:
    description: Names that the store forgets in the same step.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Nothing is written in check mode.
    support: full
  diff_mode:
    description: Names only, never values.
    support: none
"""

EXAMPLES = r"""
- name: Hand in the certificate of a corporate CA
  rsp.platform.secret_set:
    secrets:
      pki/ca/cert: "{{ lookup('ansible.builtin.file', 'corporate-ca.pem') }}"
"""

RETURN = r"""
names:
  description: Names of the secrets whose values changed.
  returned: always
  type: list
  elements: str
forgotten:
  description: Names of the secrets that the store has no longer.
  returned: always
  type: list
  elements: str
"""
