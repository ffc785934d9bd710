#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""All files of one service on a member, in one round trip."""

from __future__ import annotations

DOCUMENTATION = r"""
module: files
short_description: Put all files of a service in place, together or not at all
version_added: 0.1.0
author: rsp.platform maintainers (@rsp-platform)
description:
  - Renders all files of a service on the controller and brings them to the member in one call.
  - There they are compared, staged, shown to the product's own checker and swapped together. A refusal changes nothing.
  - One previous generation is kept. A swap that was cut off is undone by the next call.
  - A managed file that is no longer listed is removed. A directory that is no longer listed stays.
  - Files are owned whole; a link in a file's place is replaced, not followed.
options:
  service:
    description: Key of the manifest on the member. Make one call for each service and host.
    type: str
    required: true
  state:
    description:
      - V(present) brings the files to what is listed.
      - V(previous) brings the last generation back; the present one becomes the previous one.
      - V(previous) reads only O(service) and O(unit).
    type: str
    choices: [present, previous]
    default: present
  owner:
    description: Owner of entries that name none.
    type: str
    default: root
  group:
    description: Group of entries that name neither group nor owner; O(owner) by default.
    type: str
  mode:
    description: Mode of entries that name none, V(0644) by default; secret entries get V(0600).
    type: str
  directories:
    description: Directories, parents first. Parents that are not listed must be there.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      owner:
        description: Owner; O(owner) by default.
        type: str
      group:
        description: Group; the owner by default.
        type: str
      mode:
        description: Mode, quoted octal.
        type: str
        default: "0755"
  files:
    description: Every file of the service. Each has one of C(template), C(content) and C(src), or is V(absent).
    type: list
    elements: dict
    default: []
    suboptions:
      dest:
        description: Absolute path.
        type: path
        required: true
      template:
        description: Template to render, found like that of M(ansible.builtin.template).
        type: str
      content:
        description: The text itself.
        type: str
      src:
        description: File of the controller, found like that of M(ansible.builtin.copy).
        type: str
      state:
        description: V(absent) removes the file.
        type: str
        choices: [present, absent]
        default: present
      owner:
        description: Owner; O(owner) by default.
        type: str
      group:
        description: Group; the owner by default.
        type: str
      mode:
        description: Mode, quoted octal.
        type: str
      needs:
        description: What O(unit) needs when the content changes. A change of owner or mode needs a reload at most.
        type: str
        choices: [none, reload, restart]
        default: none
      secret:
        description: Keep the content out of diffs and of what a validator says.
        type: bool
        default: false
      comment:
        description: Prefix of comment lines, such as V(#); a change of comments and blank lines needs nothing.
        type: str
  validate:
    description:
      - Checkers as argv lists, asked when a content changes.
      - C(%s) is the root of the staged tree, which holds every file of the service at its absolute path.
      - A checker without C(%s) runs after the swap; its refusal rolls everything back.
    type: list
    elements: list
    default: []
  unit:
    description:
      - The unit that takes the files. A need is remembered until its process started later than the files came.
      - Without it RV(needs) is only about this call.
    type: str
  digest_key:
    description: Set by the action plugin itself in a recorded run. Digests of secret files are keyed with it.
    type: str
  payload:
    description: Rendered contents, set by the action plugin; not for playbooks.
    type: str
attributes:
  check_mode:
    description: Predicts changes and asks the validators that are installed; writes nothing that stays.
    support: full
  diff_mode:
    description: One entry a path; secrets are shown as a part of their digest.
    support: full
"""

EXAMPLES = r"""
- name: Configure | Put Consul's files in place
  rsp.platform.files:
    service: consul
    unit: consul.service
    owner: consul
    directories:
      - {path: /etc/consul.d, mode: "0750"}
    files:
      - {dest: /etc/consul.d/consul.hcl, template: consul.hcl.j2, needs: restart, comment: "#"}
      - {dest: /etc/consul.d/acl.hcl, template: acl.hcl.j2, needs: reload, secret: true}
      - {dest: /etc/consul.d/example.hcl, state: absent, needs: reload}
    validate:
      - [consul, validate, "%s/etc/consul.d"]
  register: __consul_files

- name: Configure | Bring the last generation back
  rsp.platform.files:
    service: consul
    unit: consul.service
    state: previous
"""

RETURN = r"""
needs:
  description: Strongest need of these changes and of earlier ones that the unit has not taken; none when it is stopped.
  returned: success
  type: str
  sample: reload
files:
  description: >-
    Every path that differed, directories included. In a run that is recorded for a plan also with C(before)
    and C(after), which have owner, mode and digest, and with C(diff) unless it is secret.
  returned: success
  type: list
  elements: dict
  sample: [{dest: /etc/consul.d/consul.hcl, change: updated, need: restart}]
generation:
  description: Number of the generation that is now in place.
  returned: success
  type: int
skipped_validators:
  description: Checkers that a check run could not ask, because they are not installed or need the files in place.
  returned: success
  type: list
  elements: str
rolled_back:
  description: Whether files were put back, because an earlier call was cut off or because this one failed in its swap.
  returned: success
  type: bool
problems:
  description: Owners, groups and directories that are missing.
  returned: when files cannot be placed
  type: list
  elements: str
validator:
  description: The checker that refused; RV(rc), RV(stdout) and RV(stderr) are its answer without secrets.
  returned: when a checker refused
  type: list
  elements: str
rc:
  description: Return code of the checker.
  returned: when a checker refused
  type: int
stdout:
  description: What the checker said.
  returned: when a checker refused
  type: str
stderr:
  description: What the checker complained about.
  returned: when a checker refused
  type: str
"""

import base64
import json
from collections.abc import Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rsp.platform.plugins.module_utils.file_node import FilesError
from ansible_collections.rsp.platform.plugins.module_utils.file_set import file_set
from ansible_collections.rsp.platform.plugins.module_utils.file_set_apply import Asked, Host, apply, go_back
from ansible_collections.rsp.platform.plugins.module_utils.generations import Generations
from ansible_collections.rsp.platform.plugins.module_utils.units import UnitError


def files_options() -> dict[str, Any]:
    """Argument spec."""
    owned = {"owner": {"type": "str"}, "group": {"type": "str"}}
    directory = {**owned, "path": {"type": "path", "required": True}, "mode": {"type": "str", "default": "0755"}}
    entry = {
        **owned,
        "dest": {"type": "path", "required": True},
        "template": {"type": "str"},
        "content": {"type": "str", "no_log": True},
        "src": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "mode": {"type": "str"},
        "needs": {"type": "str", "choices": ["none", "reload", "restart"], "default": "none"},
        "secret": {"type": "bool", "default": False, "no_log": False},
        "comment": {"type": "str"},
    }
    return {
        "service": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "previous"], "default": "present"},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str"},
        "mode": {"type": "str"},
        "directories": {"type": "list", "elements": "dict", "default": [], "options": directory},
        "files": {"type": "list", "elements": "dict", "default": [], "options": entry},
        "validate": {"type": "list", "elements": "list", "default": []},
        "unit": {"type": "str"},
        "payload": {"type": "str", "no_log": True},
        "digest_key": {"type": "str", "no_log": True},
    }


def member(module: AnsibleModule, service: str) -> Host:
    """This host, seen through the module."""

    def run(argv: Sequence[str]) -> tuple[int, str, str]:
        try:
            code, out, err = module.run_command(list(argv), handle_exceptions=False)
        except OSError as failure:
            return 127, "", str(failure)
        return int(code), str(out), str(err)

    def relabel(new: str, dest: str) -> None:
        module.set_context_if_different(new, module.selinux_default_context(dest), False)

    return Host(run, Generations(service, relabel=relabel if module.selinux_enabled() else None))


def main() -> None:
    """Doorway: options to a set of files, one call, one except."""
    module = AnsibleModule(argument_spec=files_options(), supports_check_mode=True)
    params = module.params
    contents = {dest: base64.b64decode(text) for dest, text in json.loads(params["payload"] or "{}").items()}
    try:
        asked = Asked(
            wanted=file_set(params, contents),
            validators=tuple(tuple(str(word) for word in argv) for argv in params["validate"]),
            unit=params["unit"],
            check=module.check_mode,
            digest_key=params["digest_key"],
        )
        act = go_back if params["state"] == "previous" else apply
        result = act(asked, member(module, params["service"]))
    except (FilesError, UnitError) as err:
        module.fail_json(msg=str(err), **err.result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
