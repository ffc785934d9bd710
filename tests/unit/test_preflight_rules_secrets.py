"""Rules of the secret store: each with its planted violation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Run
from ansible_collections.rsp.platform.plugins.module_utils.preflight.rules import secrets
from fixtures.preflight.builders import CONTRACTS, inventory, told, with_host

GOOD = inventory()


@pytest.mark.parametrize(
    ("store", "path", "rule"),
    [
        ({"backend": "environment"}, "platform_secrets.prefix", "back-end environment needs it"),
        ({"backend": "file", "path": "/x"}, "platform_secrets.key_file", "back-end file needs it"),
        (
            {"backend": "environment", "prefix": "X_", "path": "/x"},
            "platform_secrets.path",
            "is no key of back-end environment",
        ),
    ],
)
def test_the_back_end_is_described_completely(store, path, rule):
    lines = told(secrets.backend_complete, with_host(GOOD, "a1", {"platform_secrets": store}))
    assert [line.split("|")[:3] for line in lines] == [["a1", path, rule]]


@pytest.mark.parametrize("store", [{"backend": "valt"}, {}, "file"])
def test_an_unknown_back_end_is_left_to_its_own_rule(store):
    assert told(secrets.backend_complete, inventory(platform_secrets=store)) == []


LACKING = Run(missing={"consul/gossip": "set the environment variable RSP_CONSUL_GOSSIP", "kafka/x": "set it"})


def test_secrets_that_the_store_can_not_make_are_there():
    assert told(secrets.secrets_present, replace(GOOD, run=LACKING)) == [
        "controller|consul/gossip|role consul needs this secret, and the store can't make it"
        "|set the environment variable RSP_CONSUL_GOSSIP"
    ]


@pytest.mark.parametrize(("level", "problems"), [("debug", 1), ("info", 0), (None, 0)])
def test_a_secret_may_be_needed_with_some_settings_only(level, problems):
    contract = replace(CONTRACTS["consul"], secrets={"consul/gossip": {"consul_log_level": "debug"}})
    subject = replace(inventory(consul_log_level=level), contracts={"consul": contract}, run=LACKING)
    assert len(told(secrets.secrets_present, subject)) == problems


def test_services_without_members_need_no_secrets():
    assert told(secrets.secrets_present, replace(inventory(consul_members=[]), run=LACKING)) == []
