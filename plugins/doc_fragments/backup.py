# SPDX-License-Identifier: Apache-2.0
"""Options of the modules that read backups."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation of module_utils/backup/opening.py."""

    DOCUMENTATION = r"""
options:
  service:
    description: Whose backups.
    type: str
    choices: [consul, postgresql]
    required: true
  stanza:
    description: pgBackRest's name of the cluster. Needed with O(service=postgresql).
    type: str
  config:
    description: pgBackRest's configuration on this host.
    type: path
    default: /etc/pgbackrest/pgbackrest.conf
  options:
    description: >-
      More options for each call of pgBackRest, such as V(--repo1-path=/srv/copy). Keys are refused, since everybody on
      the host would see them.
    type: list
    elements: str
    default: []
  user:
    description: System user who may read the repository. Empty for the one that the module runs as.
    type: str
    default: postgres
  directories:
    description: Name of a repository to the directory that holds its snapshots. Needed with O(service=consul).
    type: dict
    default: {}
  unseal:
    description: >-
      Command that writes a plain snapshot to its standard output. V({file}) is replaced by the path, and the key is in
      the environment as C(RSP_BACKUP_KEY). Snapshots are not encrypted when it is left out.
    type: list
    elements: str
    default: []
  keys:
    description: Name of a repository to the key that this host has, for O(unseal).
    type: dict
  policy:
    description: What is promised. V(0) promises nothing about it.
    type: dict
    default: {}
    suboptions:
      max_age_s: {description: How old the newest point may be; 26 hours by default., type: int}
      rpo_s:
        description: How old the newest archived log may be, so how much may be lost; 300 by default.
        type: int
      rto_s: {description: How long a restore may take; 3600 by default., type: int}
      min_points: {description: How many points are kept; 2 by default., type: int}
      min_span_s: {description: How far back they must reach; 7 days by default., type: int}
      max_keep_s:
        description: After how long a point must be gone, because it holds personal data; none by default.
        type: int
      size_tolerance:
        description: How far a size may be from the median of its kind, as a share; 0.5 by default.
        type: float
      proof_max_age_s: {description: How old the last proof by a restore may be; 8 days by default., type: int}
"""

    POINT = r"""
options:
  repository:
    description: Name of the repository, such as V(repo1).
    type: str
    required: true
  point:
    description: Label of the point, or V(latest).
    type: str
    default: latest
  identity:
    description: >-
      Whose it must be, told by somebody else than the backup. PostgreSQL's system identifier, Consul's datacentre.
      Unknown, and so not proved, when left out.
    type: str
  escrow:
    description: >-
      Name of a repository to its key, as it was fetched from the escrow. The key that this host has is not used for L3
      and above.
    type: dict
"""
