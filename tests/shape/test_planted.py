"""Every rule against a planted violation, which it must name, and the clean twin, which it must accept."""

from __future__ import annotations

import pytest
from rules import RULES

CLEAN = {
    "roles/demo/README.md": "# demo\n",
    "roles/demo/defaults/main.yml": "demo_port: 1\ndemo_on: true\n",
    "roles/demo/meta/main.yml": "galaxy_info: {}\ndependencies: []\n",
    "roles/demo/meta/argument_specs.yml": (
        "argument_specs:\n  main:\n    options:\n"
        "      demo_port: {type: int, default: 1}\n      demo_on: {type: bool, default: true}\n"
    ),
    "roles/demo/tasks/main.yml": "- name: Main | Preflight\n  ansible.builtin.import_tasks: preflight.yml\n",
    "roles/demo/tasks/preflight.yml": (
        "- name: Preflight | Look\n  rsp.platform.host_check: {service: demo}\n"
        "  register: __demo_host\n  when: demo_on\n"
    ),
    "roles/demo/templates/demo.j2": "port = {{ demo_port }}\n",
    "plugins/modules/demo.py": (
        'DOCUMENTATION = r"""\nattributes:\n  check_mode: full\n  diff_mode: full\n"""\n'
        'EXAMPLES = r"""\n"""\nRETURN = r"""\n"""\nPORT = 1\n'
    ),
    "plugins/action/demo.py": "PORT = 1\n",
    "tests/unit/test_demo.py": "import plugins.modules.demo\nimport plugins.action.demo\n" + "a = 1\n" * 30,
    "docs/demo.md": "A page.\n",
}

TASK = "- name: Preflight | Look\n"
PLANTED = [
    ("files_are_small", "roles/demo/tasks/preflight.yml", "# long\n" * 81, "81 lines"),
    ("files_are_small", "roles/demo/defaults/main.yml", "# long\n" * 151, "151 lines"),
    ("files_are_small", "plugins/modules/demo.py", "A = 1\n" * 121, "121 lines"),
    ("files_are_small", "plugins/module_utils/demo.py", "A = 1\n" * 301, "301 lines"),
    ("roles_have_their_files", "roles/demo/README.md", None, "README.md is missing"),
    ("roles_have_their_files", "roles/demo/meta/main.yml", "dependencies: [other]\n", "no dependencies"),
    ("specs_equal_defaults", "roles/demo/defaults/main.yml", "demo_port: 2\ndemo_on: true\n", "defaults say 2"),
    ("specs_equal_defaults", "roles/demo/defaults/main.yml", "demo_port: 1\n", "none in defaults"),
    (
        "specs_equal_defaults",
        "roles/demo/defaults/main.yml",
        "demo_port: 1\ndemo_on: true\ndemo_x: 1\n",
        "not in argument",
    ),
    ("specs_equal_defaults", "roles/demo/defaults/main.yml", "demo_port: '1'\ndemo_on: true\n", "is no int"),
    ("specs_cover_entry_points", "roles/demo/tasks/objects.yml", TASK, "objects has no argument_specs"),
    ("specs_cover_entry_points", "roles/demo/tasks/lock.yml", TASK, "lock has no argument_specs"),
    ("specs_cover_entry_points", "roles/demo/tasks/drain.yml", TASK, "drain has no argument_specs"),
    ("variables_carry_the_role", "roles/demo/defaults/main.yml", "port: 1\n", "default port lacks"),
    (
        "variables_carry_the_role",
        "roles/demo/tasks/preflight.yml",
        TASK + "  a.b.c: {}\n  register: out\n",
        "out does not",
    ),
    (
        "variables_carry_the_role",
        "roles/demo/tasks/preflight.yml",
        TASK + "  a.b.c: {}\n  loop: []\n  loop_control: {loop_var: item2}\n",
        "item2 does not",
    ),
    (
        "main_is_a_table_of_contents",
        "roles/demo/tasks/main.yml",
        "- name: Main | X\n  a.b.c: {}\n",
        "more than an include",
    ),
    (
        "main_is_a_table_of_contents",
        "roles/demo/tasks/preflight.yml",
        "- name: Look\n  a.b.c: {}\n",
        "lacks 'Preflight | '",
    ),
    ("roles_stand_alone", "roles/demo/templates/demo.j2", "{{ groups['demo'] }}\n", "no group names"),
    (
        "roles_stand_alone",
        "roles/demo/tasks/preflight.yml",
        TASK + "  x.y.include_role: {name: rsp.platform.b}\n",
        "another",
    ),
    ("few_commands", "roles/demo/tasks/preflight.yml", TASK + "  ansible.builtin.command: id\n", "1 of 2 tasks"),
    ("tasks_use_full_names", "roles/demo/tasks/preflight.yml", TASK + "  copy: {}\n", "copy is no fully"),
    (
        "errors_are_not_ignored",
        "roles/demo/tasks/preflight.yml",
        TASK + "  a.b.c: {}\n  ignore_errors: true\n",
        "ignores",
    ),
    (
        "errors_are_not_ignored",
        "roles/demo/tasks/preflight.yml",
        TASK + "  a.b.c: {}\n  failed_when: false\n",
        "can't fail",
    ),
    (
        "errors_are_not_ignored",
        "roles/demo/tasks/preflight.yml",
        TASK + "  a.b.c: {validate_certs: false}\n",
        "certificates",
    ),
    ("errors_are_not_ignored", "roles/demo/tasks/preflight.yml", TASK + "  a.b.c: {state: latest}\n", "latest"),
    ("errors_are_not_ignored", "roles/demo/tasks/preflight.yml", TASK + "  ansible.builtin.pause: {}\n", "sleeps"),
    (
        "secrets_are_not_logged",
        "roles/demo/tasks/preflight.yml",
        TASK + "  a.b.c: {login_password: x}\n",
        "login_password",
    ),
    (
        "conditions_are_boolean",
        "roles/demo/tasks/preflight.yml",
        TASK + "  a.b.c: {}\n  when: x | length\n",
        "a number",
    ),
    (
        "conditions_are_boolean",
        "roles/demo/tasks/preflight.yml",
        TASK + "  a.b.c: {}\n  when: '{{ x }}'\n",
        "a template",
    ),
    (
        "backslashes_are_single",
        "roles/demo/tasks/preflight.yml",
        TASK + "  a.b.c: {x: '(\\\\\\\\d)'}\n",
        "doubled",
    ),
    ("plugins_have_tests", "plugins/lookup/other.py", "A = 1\n", "no unit test imports it"),
    ("plugins_have_tests", "plugins/modules/demo.py", "A = 1\n" * 60, "lines of unit tests for"),
    ("plugins_say_what_they_support", "plugins/modules/demo.py", 'DOCUMENTATION = ""\n', "check_mode: is missing"),
    ("plugins_say_what_they_support", "plugins/action/lone.py", "A = 1\n", "plugins/modules/lone.py"),
    ("plugins_are_pure_of_tricks", "plugins/action/demo.py", "A = 1  # noqa\n", "switches a lint off"),
    (
        "plugins_are_pure_of_tricks",
        "plugins/action/demo.py",
        "try:\n    a()\nexcept Exception:\n    pass\n",
        "swallows",
    ),
    ("plugins_are_pure_of_tricks", "plugins/action/demo.py", "run(a, shell=True)\n", "starts a shell"),
    ("no_machine_in_the_text", "docs/demo.md", "see /work/main\n", "names the path /work/"),
    (
        "no_machine_in_the_text",
        "roles/demo/tasks/preflight.yml",
        TASK + "  a.b.c: {}\n  tags: [skip_list]\n",
        "skips a lint",
    ),
]


def plant(root, changes):
    for name, text in {**CLEAN, **changes}.items():
        if text is not None:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


@pytest.mark.parametrize("name", sorted(RULES))
def test_the_clean_twin_passes(name, tmp_path):
    plant(tmp_path, {})
    report = RULES[name](tmp_path)
    assert report.checked > 0
    assert report.violations == []


@pytest.mark.parametrize(("name", "path", "text", "says"), PLANTED)
def test_a_planted_violation_is_named(name, path, text, says, tmp_path):
    plant(tmp_path, {path: text})
    assert any(says in violation for violation in RULES[name](tmp_path).violations), RULES[name](tmp_path).violations


def test_every_rule_has_a_planted_violation():
    assert {row[0] for row in PLANTED} == set(RULES)
