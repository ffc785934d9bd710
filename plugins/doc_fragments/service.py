# SPDX-License-Identifier: Apache-2.0
"""Documentation that service_info and service_gate share."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of modules that ask a driver."""

    DOCUMENTATION = r"""
options:
  service:
    description: The service to ask, such as V(consul), V(etcd) or V(postgresql).
    type: str
    required: true
  cluster:
    description: Name of the cluster; the service's name by default.
    type: str
  connection:
    description: How to reach the service's API from this host.
    type: dict
    required: true
    suboptions:
      url:
        description: V(scheme://host:port) of the API.
        type: str
        required: true
      ca_path:
        description: PEM file of the CA that signed the server's certificate; the system's store by default.
        type: path
      cert_path:
        description: PEM file of the client certificate.
        type: path
      key_path:
        description: PEM file of the client certificate's key.
        type: path
      token:
        description: Token of the API.
        type: str
      username:
        description: User of the API.
        type: str
      password:
        description: Password of O(connection.username).
        type: str
      timeout_s:
        description: Seconds to wait for a connection and for each answer.
        type: float
        default: 10.0
  members:
    description: The members that the inventory knows; they give addresses their names and zones.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Inventory name.
        type: str
        required: true
      address:
        description: Address that its peers use.
        type: str
        required: true
      zone:
        description: Failure domain.
        type: str
"""
