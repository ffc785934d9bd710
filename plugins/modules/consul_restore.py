#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""A snapshot of Consul brought back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_restore
short_description: Have Consul take a snapshot that role backup keeps
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Runs on the backup host. Reads a snapshot, decrypts it, has C(consul snapshot inspect) look at it, and hands it
    to the cluster, whose keys, services, tokens and sessions are then those of the snapshot.
options:
  label: {description: Name of the snapshot; the newest unless set., type: str, default: ''}
  place: {description: Where it is read from., type: str, choices: [files, s3], default: files}
  config: {description: Configuration of the backup job., type: path, default: /etc/rsp-backup/consul.json}
attributes:
  check_mode:
    description: Reads, decrypts and inspects, and hands nothing over.
    support: full
  diff_mode:
    description: RV(label) and RV(index) say what is done.
    support: none
"""

EXAMPLES = r"""
- name: Restore | The newest snapshot, from the store in the other zone
  rsp.platform.consul_restore: {place: s3}
  become: true
  become_user: rsp-backup
"""

RETURN = r"""
label:
  description: The snapshot.
  returned: success
  type: str
index:
  description: Its Raft index.
  returned: success
  type: int
"""

import json
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.backup_job.consul import push
from ansible_collections.rsp.platform.plugins.module_utils.backup_job.consul_back import PLACES, found
from ansible_collections.rsp.platform.plugins.module_utils.backup_job.program import command
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError


def main() -> None:
    """Doorway: one snapshot, one hand-over."""
    spec = {
        "label": {"type": "str", "default": ""},
        "place": {"type": "str", "choices": list(PLACES), "default": "files"},
        "config": {"type": "path", "default": "/etc/rsp-backup/consul.json"},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    params = module.params
    try:
        config = json.loads(Path(params["config"]).read_text(encoding="utf-8"))
        snapshot = found(config, params["place"], params["label"], command)
        if not module.check_mode:
            push(config["servers"], config["ca_path"], config["token"], snapshot.raw)
    except (DriverError, OSError, ValueError) as err:
        module.fail_json(msg=str(err), **getattr(err, "result", {}))
    module.exit_json(changed=True, label=snapshot.label, index=snapshot.index)


if __name__ == "__main__":
    main()
