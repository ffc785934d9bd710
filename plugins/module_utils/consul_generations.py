# SPDX-License-Identifier: Apache-2.0
"""Tokens whose secret is rotated: the next one is made beside the old one, which goes when nobody uses it any more.

Consul can't change a token's secret in place, so a name may have several tokens for a while. Pure decisions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ansible_collections.rsp.platform.plugins.module_utils.consul_objects import (
    MANAGEMENT,
    RESERVED_TOKENS,
    Action,
    Object,
    Plan,
    accessor_id,
    plan,
)


def plan_generations(wanted: Sequence[Object], actual: Iterable[Object], prune: str, previous: str) -> Plan:
    """As `plan`, for tokens that may have older ones of the same name.

    `previous` says what becomes of a token whose secret is not the wanted one: it is replaced at once, or kept while
    one with the wanted secret is made beside it, or deleted once that one is there.
    """
    known = list(generations(wanted, actual, beside=previous != "replace"))
    todo = plan(wanted, known, prune)
    if previous == "replace":
        return todo
    old = {obj.name for obj in known if obj.previous}
    actions = tuple(_beside(a) if a.verb == "create" and a.subject.name in old else a for a in todo.actions)
    made = {action.subject.name for action in actions if action.verb == "create"}
    gone = [obj for obj in known if previous == "delete" and obj.previous and obj.name not in made]
    return replace(todo, actions=(*actions, *(Action("delete", obj, obj) for obj in gone)))


def generations(wanted: Sequence[Object], actual: Iterable[Object], *, beside: bool) -> Iterator[Object]:
    """What was found, with each token under the id of the wanted one of its name whose secret it has.

    Others of a wanted name are marked as previous and are never pruned; unless `beside`, the first of them stands for
    the wanted one.
    """
    others = list(actual)
    for want in wanted:
        if want.kind != "token" or want.body is None:
            continue
        same = [obj for obj in others if obj.kind == "token" and _is_of(obj, want.name)]
        current = [obj for obj in same if (obj.body or {}).get("secret") == want.body["secret"]]
        stands = current or ([] if beside else sorted(same, key=lambda obj: obj.id != want.id))
        for each in same:
            others.remove(each)
            if stands and each is stands[0]:
                yield replace(each, id=want.id, name=want.name)
            else:
                yield replace(each, id=f"{each.id} (previous)", name=want.name, previous=True, protected=True)
    yield from others


def generation_id(name: str, secret: str) -> str:
    """The accessor of a token that is made while an older one of the same name is still there."""
    return accessor_id(f"{name}#{hashlib.sha256(secret.encode()).hexdigest()}")


def _is_of(token: Object, name: str) -> bool:
    """Whether a token was made for a name, now or before its secret was rotated."""
    secret = str((token.body or {}).get("secret", ""))
    bootstrapped = name == RESERVED_TOKENS[0] and token.name == MANAGEMENT
    return bootstrapped or token.id in (accessor_id(name), generation_id(name, secret))


def _beside(action: Action) -> Action:
    token = action.subject
    return replace(action, subject=replace(token, id=generation_id(token.name, (token.body or {})["secret"])))
