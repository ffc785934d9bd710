#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Buckets of an S3 store as data."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_bucket
short_description: Buckets of an S3 store with versioning, object lock and accounts
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Brings buckets in line with the data, one call for all. Works with any store that speaks the S3 protocol.
  - Writers may write, read, list and hide objects, but not delete a version, nor change lock, versioning or policy.
  - A bucket is never deleted. Object lock is chosen when a bucket is made; for another choice it is refused.
options:
  buckets:
    description: The buckets.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: Name., type: str, required: true}
      versioning: {description: Whether each write makes a new version., type: bool, default: true}
      lock_mode:
        description: V(COMPLIANCE) keeps each version until its time is over, whoever asks.
        type: str
        choices: [none, GOVERNANCE, COMPLIANCE]
        default: none
      lock_days: {description: Days that a version is kept at least., type: int, default: 0}
      writers: {description: Access keys of accounts that write., type: list, elements: str, default: []}
      readers: {description: Access keys of accounts that read only., type: list, elements: str, default: []}
  fresh:
    description: Nothing serves yet. In check mode every bucket is then reported as to be made.
    type: bool
    default: false
extends_documentation_fragment: [rsp.platform.s3]
attributes:
  check_mode:
    description: Predicts the steps and only reads.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Service | Keep the buckets
  rsp.platform.s3_bucket:
    connection:
      url: https://10.0.2.12:7443
      ca_path: /etc/s3/tls/ca.crt
      access: admin
      secret: "{{ lookup('rsp.platform.secret', 's3/admin') }}"
    buckets:
      - {name: rsp-postgresql, lock_mode: COMPLIANCE, lock_days: 7, writers: [postgresql]}
"""

RETURN = r"""
steps:
  description: What was done, or in check mode would be, by bucket.
  returned: success
  type: dict
  sample: {rsp-postgresql: [make bucket rsp-postgresql with object lock, who may do what]}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.s3.bucket import apply, plan, wanted_from
from ansible_collections.rsp.platform.plugins.module_utils.s3.client import S3Client
from ansible_collections.rsp.platform.plugins.module_utils.s3.options import s3_options
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

BUCKET: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "versioning": {"type": "bool", "default": True},
    "lock_mode": {"type": "str", "choices": ["none", "GOVERNANCE", "COMPLIANCE"], "default": "none"},
    "lock_days": {"type": "int", "default": 0},
    "writers": {"type": "list", "elements": "str", "default": []},
    "readers": {"type": "list", "elements": "str", "default": []},
}


def main() -> None:
    """Doorway: the data to steps."""
    spec = {
        "connection": s3_options(),
        "buckets": {"type": "list", "elements": "dict", "required": True, "options": BUCKET},
        "fresh": {"type": "bool", "default": False},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    params, steps = module.params, {}
    try:
        wanted = [wanted_from(entry) for entry in params["buckets"]]
        region = params["connection"]["region"]
        for bucket in wanted:
            if params["fresh"] and module.check_mode:
                found = plan(bucket, None)
            else:
                found = apply(S3Client.from_params(params["connection"]), bucket, region, module.check_mode)
            steps[bucket.name] = [step.about for step in found]
    except DriverError as err:
        module.fail_json(msg=str(err), **err.result)
    module.exit_json(changed=any(steps.values()), steps=steps)


if __name__ == "__main__":
    main()
