# SPDX-License-Identifier: Apache-2.0
"""A listener that shows a certificate which no client may accept: one that ended, or one of a stranger.

The controller issues it for the listener's own key, so the key file is not touched; the undo puts the old bytes back.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Mapping
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.chaos.look import Look
from ansible_collections.rsp.platform.plugins.module_utils.chaos.model import (
    ChaosError,
    FaultPlan,
    Kind,
    UnavailableError,
)
from ansible_collections.rsp.platform.plugins.module_utils.preflight.model import Option

END = "-----END CERTIFICATE-----"
EXPIRED, WRONG = "certificate_expired", "certificate_wrong"


def _plan(reason: str) -> Any:
    def plan(params: Mapping[str, Any], look: Look, _fault: str) -> FaultPlan:
        missing = [name for name in FILLED if not params.get(name)]
        if missing:
            raise UnavailableError(f"this service does not say what it serves: {', '.join(missing)}")
        path = look.root / params["path"].lstrip("/")
        if not path.is_file() or path.is_symlink():
            raise ChaosError(f"{params['path']} is no file on this host")
        try:
            old, seen = path.read_bytes().decode("ascii"), path.stat()
        except UnicodeDecodeError as err:
            raise ChaosError(f"{params['path']} holds no PEM: {err}") from err
        if sha256_of(old) == sha256_of(params["pem"]):
            raise ChaosError(f"{params['path']} holds this very certificate already")
        listener = {key: params[key] for key in ("address", "port", "protocol")}
        file = {"path": params["path"], "uid": seen.st_uid, "gid": seen.st_gid, "mode": seen.st_mode & 0o7777}
        again = tuple({"do": "reread", "unit": unit} for unit in params["units"])
        return FaultPlan(
            inject=({"do": "put", **file, "text": params["pem"]}, *again),
            undo=({"do": "put", **file, "text": old}, *again),
            fingerprint=({"see": "node", "path": params["path"]}, {"see": "served", **listener}),
            effect=({"see": "refused", **listener, "ca_path": params["ca_path"],
                     "sha256": sha256_of(params["pem"]), "because": reason},),
            notes=("connections that are open live on; who connects anew is refused",),
        )  # fmt: skip

    return plan


def sha256_of(pem: str) -> str:
    """Fingerprint of the first certificate of a text. Raises ChaosError when there is none."""
    begin = pem.find("-----BEGIN CERTIFICATE-----")
    if begin < 0 or END not in pem:
        raise ChaosError("there is no certificate in the text")
    first = pem[begin : pem.index(END, begin) + len(END)]
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest()


# What the controller fills in: the certificate, and from the role what serves it.
FILLED = ("pem", "address", "path", "units", "ca_path", "port", "protocol")
FILE = Option(pattern=r"/[A-Za-z0-9/._-]+")
OPTIONS = {
    "pem": Option(),
    "address": Option(),
    "path": FILE,
    "units": Option(type="list", elements="str"),
    "ca_path": FILE,
    "port": Option(type="int", minimum=1, maximum=65535),
    "protocol": Option(choices=("tls", "postgresql")),
}
KINDS = (
    Kind(EXPIRED, "Lets a listener show a certificate of the platform's CA that ended yesterday.",
         OPTIONS, _plan("expired"), filled=FILLED),
    Kind(WRONG, "Lets a listener show a certificate that a stranger signed.", OPTIONS, _plan(""), filled=FILLED),
)  # fmt: skip
