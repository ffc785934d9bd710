# SPDX-License-Identifier: Apache-2.0
"""All rules of preflight (a), in the order in which their problems are told."""

from __future__ import annotations

from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Inventory, Problem, Rule
from ansible_collections.rsp.platform.plugins.module_utils.preflight.report import merged
from ansible_collections.rsp.platform.plugins.module_utils.preflight.rules import (
    chaos,
    members,
    platform,
    relations,
    roles,
    run,
    secrets,
)

RULES: tuple[Rule, ...] = (
    run.right_environment,
    run.confirmed,
    run.limit_exists,
    run.limit_keeps_services_whole,
    platform.platform_variables,
    platform.same_everywhere,
    platform.zone_networks,
    platform.known_zones,
    platform.unique_addresses,
    platform.address_in_zone,
    members.has_members,
    members.members_are_hosts,
    members.odd_quorum,
    members.zone_without_majority,
    roles.templates_resolve,
    roles.known_names,
    roles.right_values,
    roles.required_are_set,
    roles.listed_versions,
    roles.separate_ports,
    relations.etcd_election_outlasts_heartbeats,
    relations.postgresql_lock_outlasts_retries,
    relations.postgresql_pool_fits,
    relations.postgresql_standbys_exist,
    relations.postgresql_archives_within_rpo,
    relations.postgresql_store_exists,
    relations.pki_renews_before_the_end,
    secrets.backend_complete,
    secrets.secrets_present,
    chaos.chaos_policy,
    chaos.chaos_policy_names,
)


def find_problems(inventory: Inventory) -> list[Problem]:
    """Every problem of the inventory, each once, with all hosts that have it.

    An inventory without hosts is itself a problem: a check that looped over nothing proves nothing.
    """
    if not inventory.hosts:
        return [Problem((), "hosts", "the inventory has no hosts", "choose an inventory with -i")]
    return merged(problem for rule in RULES for problem in rule(inventory))
