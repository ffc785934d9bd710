# SPDX-License-Identifier: Apache-2.0
"""Buckets as data: versioning, object lock, who may do what. The plan is pure, `apply` does the talking."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.s3.client import GONE, S3Client, S3Error
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError

# What an account that writes backups may do. It can hide an object, never destroy a version, and not loosen the lock.
WRITER = (
    "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)  # fmt: skip
LISTER = (
    "s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads", "s3:GetBucketLocation",
    "s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration",
)  # fmt: skip
READER = ("s3:GetObject", "s3:GetObjectVersion")


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket as it shall be, or as it is.

    Attributes:
        versioning: whether each write makes a new version.
        lock_mode: COMPLIANCE (nobody deletes a version before its time), GOVERNANCE, or None.
        lock_days: for so long.
        policy: who may do what, as S3 has it; None: nobody but the owner.
    """

    name: str
    versioning: bool = True
    lock_mode: str | None = None
    lock_days: int = 0
    policy: Mapping[str, Any] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class Step:
    """One change, named for people."""

    kind: str
    about: str


def wanted_from(entry: Mapping[str, Any]) -> Bucket:
    """A Bucket of an entry of the data: name, versioning, lock_mode, lock_days, writers, readers."""
    mode = entry.get("lock_mode")
    mode = None if mode in (None, "none") else str(mode).upper()
    days = int(entry.get("lock_days") or 0)
    if mode and days < 1:
        raise DriverError(f"bucket {entry['name']}: lock_mode {mode} needs lock_days of at least 1")
    if mode and not entry.get("versioning", True):
        raise DriverError(f"bucket {entry['name']}: a lock is about versions → versioning must be true")
    rules = policy_of(entry["name"], entry.get("writers") or (), entry.get("readers") or ())
    return Bucket(entry["name"], entry.get("versioning", True), mode, days if mode else 0, rules)


def policy_of(bucket: str, writers: Any, readers: Any) -> dict[str, Any] | None:
    """The policy that gives accounts what they need and nothing else; None without accounts."""
    found = []
    for title, accounts, on_objects in (("Writers", writers, WRITER), ("Readers", readers, READER)):
        who = {"AWS": sorted(accounts)}
        if accounts:
            everything, itself = f"arn:aws:s3:::{bucket}/*", f"arn:aws:s3:::{bucket}"
            found += [
                _statement(f"{title}Objects", who, on_objects, everything),
                _statement(f"{title}List", who, LISTER, itself),
            ]
    return {"Version": "2012-10-17", "Statement": found} if found else None


def plan(wanted: Bucket, actual: Bucket | None) -> list[Step]:
    """What to change. Raises DriverError for what a store can't change: a lock on a bucket that was made without."""
    if actual is None:
        steps = [Step("create", f"make bucket {wanted.name}{' with object lock' if wanted.lock_mode else ''}")]
        actual = Bucket(wanted.name, versioning=wanted.lock_mode is not None)
    elif wanted.lock_mode and actual.lock_mode is None and not actual.versioning:
        raise DriverError(f"bucket {wanted.name} was made without object lock → make another one and name it")
    else:
        steps = []
    if wanted.versioning != actual.versioning:
        steps.append(Step("versioning", f"versioning {'on' if wanted.versioning else 'off'}"))
    if wanted.lock_mode and (wanted.lock_mode, wanted.lock_days) != (actual.lock_mode, actual.lock_days):
        steps.append(Step("lock", f"keep each version for {wanted.lock_days} days in mode {wanted.lock_mode}"))
    if _canonical(wanted.policy) != _canonical(actual.policy):
        steps.append(Step("policy", "who may do what"))
    return steps


def read(client: S3Client, name: str) -> Bucket | None:
    """The bucket as it is; None when it is not there."""
    if client.call("HEAD", name, accept=(200, GONE)).status == GONE:
        return None
    versioning = client.call("GET", name, query={"versioning": ""}).xml().findtext("Status") == "Enabled"
    mode, days = None, 0
    lock = client.call("GET", name, query={"object-lock": ""}, accept=(200, GONE))
    if lock.status != GONE:
        rule = lock.xml().find("Rule/DefaultRetention")
        mode = rule.findtext("Mode") if rule is not None else None
        days = int((rule.findtext("Days") if rule is not None else None) or 0)
    policy = client.call("GET", name, query={"policy": ""}, accept=(200, GONE))
    rules = None if policy.status == GONE or not policy.body.strip() else json.loads(policy.body)
    return Bucket(name, versioning, mode, days, rules)


def apply(client: S3Client, wanted: Bucket, region: str, check: bool = False) -> list[Step]:
    """Bring one bucket in line; the steps that were, or in check mode would be, made."""
    steps = plan(wanted, read(client, wanted.name))
    for step in () if check else steps:
        try:
            _do(client, wanted, step.kind, region)
        except S3Error as err:
            raise DriverError(f"bucket {wanted.name}: {step.about}: {err}", **err.result) from None
    return steps


def _do(client: S3Client, wanted: Bucket, kind: str, region: str) -> None:
    name = wanted.name
    if kind == "create":
        place = f"<LocationConstraint>{region}</LocationConstraint>"
        body = b"" if region == "us-east-1" else _xml("CreateBucketConfiguration", place)
        headers = {"x-amz-bucket-object-lock-enabled": "true"} if wanted.lock_mode else {}
        client.call("PUT", name, headers=headers, body=body)
    elif kind == "versioning":
        status = f"<Status>{'Enabled' if wanted.versioning else 'Suspended'}</Status>"
        client.call("PUT", name, query={"versioning": ""}, body=_xml("VersioningConfiguration", status))
    elif kind == "lock":
        rule = f"<Mode>{wanted.lock_mode}</Mode><Days>{wanted.lock_days}</Days>"
        text = f"<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>{rule}</DefaultRetention></Rule>"
        client.call("PUT", name, query={"object-lock": ""}, body=_xml("ObjectLockConfiguration", text))
    elif wanted.policy is None:
        client.call("DELETE", name, query={"policy": ""})
    else:
        client.call("PUT", name, query={"policy": ""}, body=json.dumps(wanted.policy).encode())


def _xml(root: str, inner: str) -> bytes:
    return f'<{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</{root}>'.encode()


def _statement(sid: str, who: Mapping[str, Any], actions: tuple[str, ...], resource: str) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Principal": who, "Action": list(actions), "Resource": [resource]}


def _canonical(policy: Mapping[str, Any] | None) -> Any:
    """A policy whatever the order of its statements and whether one-item lists are lists."""
    if policy is None:
        return None
    return sorted(json.dumps(_listed(s), sort_keys=True) for s in policy.get("Statement", ()))


def _listed(statement: Mapping[str, Any]) -> dict[str, Any]:
    who = statement.get("Principal", {})
    names = who.get("AWS", []) if isinstance(who, Mapping) else who
    found = {key: _sorted(statement.get(key, [])) for key in ("Action", "Resource")}
    return {**found, "Effect": statement.get("Effect"), "Principal": _sorted(names)}


def _sorted(value: Any) -> list[str]:
    return sorted([value] if isinstance(value, str) else value)
