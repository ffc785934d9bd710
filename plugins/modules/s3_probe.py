#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""A round trip through a bucket, with a deletion that must be refused."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_probe
short_description: Write to a bucket, read back, and be refused the deletion of a locked version
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Writes a small object, reads it back, tries to delete its version, again with a bypass of the lock, and hides it.
  - Fails when anything else comes back, when the version could be deleted, or when the write made no version.
  - Each run leaves one small version behind until its lock ends.
options:
  buckets:
    description: Buckets to go through.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: Name., type: str, required: true}
      locked: {description: Whether its versions are locked., type: bool, default: false}
  key:
    description: Key of the object.
    type: str
    required: true
extends_documentation_fragment: [rsp.platform.s3]
attributes:
  check_mode:
    description: Nothing is written; what is there is not asked either.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Verify | Be refused a deletion
  rsp.platform.s3_probe:
    connection: "{{ s3_connection }}"
    buckets: [{name: rsp-postgresql, locked: true}]
    key: rsp-probe/ops
"""

RETURN = r"""
refused:
  description: How the deletion of the locked version was refused, by bucket; empty where no lock is promised.
  returned: success
  type: dict
  sample: {rsp-postgresql: AccessDenied}
checked:
  description: How many buckets proved themselves.
  returned: success
  type: int
"""

import uuid

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.s3.client import S3Client
from ansible_collections.rsp.platform.plugins.module_utils.s3.options import s3_options
from ansible_collections.rsp.platform.plugins.module_utils.s3.probe import prove
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError


def main() -> None:
    """Doorway: one round trip a bucket."""
    bucket = {"name": {"type": "str", "required": True}, "locked": {"type": "bool", "default": False}}
    spec = {
        "connection": s3_options(),
        "buckets": {"type": "list", "elements": "dict", "required": True, "options": bucket},
        "key": {"type": "str", "required": True, "no_log": False},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    params, refused = module.params, {}
    try:
        client = S3Client.from_params(params["connection"])
        for each in () if module.check_mode else params["buckets"]:
            proof = prove(client, each["name"], params["key"], uuid.uuid4().hex, each["locked"])
            refused[each["name"]] = proof.refused
    except DriverError as err:
        module.fail_json(msg=str(err), **err.result)
    module.exit_json(changed=False, refused=refused, checked=len(refused))


if __name__ == "__main__":
    main()
