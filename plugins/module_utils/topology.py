# SPDX-License-Identifier: Apache-2.0
"""The specification of the shared topology variables, `platform_*`: the only ones that more than one role reads."""

from __future__ import annotations

from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Option

LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
ENVIRONMENTS = ("local", "dev", "staging", "production")
# Only here may a service that votes live on one member: nobody depends on these platforms.
SMALL_ENVIRONMENTS = ("local", "dev")

SECRET_BACKENDS: dict[str, tuple[str, ...]] = {"file": ("path", "key_file"), "environment": ("prefix",)}

# Variables that describe one host; all others are the same on every host.
PER_HOST = ("platform_zone", "platform_address", "platform_nofile")

PLATFORM: dict[str, Option] = {
    "platform_name": Option(required=True, pattern=LABEL),
    "platform_environment": Option(required=True, choices=ENVIRONMENTS),
    "platform_domain": Option(required=True, pattern=rf"{LABEL}(\.{LABEL})+"),
    "platform_zone": Option(required=True, pattern=LABEL),
    "platform_address": Option(required=True),
    "platform_zones": Option(
        type="list",
        elements="dict",
        required=True,
        options={"name": Option(required=True, pattern=LABEL), "cidr": Option(required=True)},
    ),
    "platform_secrets": Option(
        type="dict",
        required=True,
        options={
            "backend": Option(required=True, choices=tuple(SECRET_BACKENDS)),
            "path": Option(type="path"),
            "key_file": Option(type="path"),
            "prefix": Option(pattern=r"[A-Z][A-Z0-9_]*"),
        },
    ),
    "platform_mirror_url": Option(required=True, pattern=r"https?://[^\s/]+(/\S*)?"),
    "platform_nofile": Option(type="int", required=True, minimum=1024, maximum=1048576),
    "platform_allow_single": Option(type="bool", default=False),
}

MEMBER = Option(
    type="list",
    elements="dict",
    options={"name": Option(required=True), "address": Option(required=True), "zone": Option(required=True)},
)
