# SPDX-License-Identifier: Apache-2.0
"""Options that all modules about an S3 store share."""

from __future__ import annotations


class ModuleDocFragment:
    """How to reach the store."""

    DOCUMENTATION = r"""
options:
  connection:
    description: How to reach the store from this host, and as whom.
    type: dict
    required: true
    suboptions:
      url: {description: 'V(https://host:port) of the store; buckets are addressed by path.', type: str, required: true}
      ca_path: {description: PEM file of the store's CA; the system's by default., type: path}
      access: {description: Access key., type: str, required: true}
      secret: {description: Secret key., type: str, required: true}
      region: {description: Region that requests are signed for., type: str, default: us-east-1}
      timeout_s: {description: Seconds to wait for each answer., type: float, default: 30.0}
"""
