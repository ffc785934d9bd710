# SPDX-License-Identifier: Apache-2.0
"""Applying a set of files: recover, compare, stage, validate, swap, and say what the unit needs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.rsp.platform.plugins.module_utils.command import Run
from ansible_collections.rsp.platform.plugins.module_utils.file_node import FilesError, observe
from ansible_collections.rsp.platform.plugins.module_utils.file_set import (
    Change,
    FileSet,
    compare,
    kind_of,
    manifest_files,
    unknown_names,
)
from ansible_collections.rsp.platform.plugins.module_utils.file_set_diff import diff, mask
from ansible_collections.rsp.platform.plugins.module_utils.generations import Generations, Record, make_private
from ansible_collections.rsp.platform.plugins.module_utils.pending import (
    Pending,
    outstanding,
    pending_now,
    read_since,
    strongest,
)
from ansible_collections.rsp.platform.plugins.module_utils.plan.digests import described
from ansible_collections.rsp.platform.plugins.module_utils.units import UnitState, show

TREE = "%s"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a member.

    Attributes:
        wanted: the files; without entries when only the last generation is asked for.
        validators: argv lists; one with `%s` sees the staged tree, one without sees the swapped files.
        unit: the unit that takes the files, None when none does.
        check: predict, write nothing.
        digest_key: tell digests of what changes, keyed with this where the file is secret.
    """

    wanted: FileSet
    validators: tuple[tuple[str, ...], ...] = ()
    unit: str | None = None
    check: bool = False
    digest_key: str | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """The member: how commands run there, and where state is kept."""

    run: Run
    store: Generations
    which: Callable[[str], str | None] = shutil.which


@dataclass(frozen=True, slots=True)
class Needs:
    """What the files need, and what of it the unit has to be asked for now."""

    recorded: str
    now: str


def apply(asked: Asked, host: Host) -> dict[str, Any]:
    """Bring the member's files to the set, or predict it; keys of the module result.

    Raises:
        FilesError: refused or impossible; the files are as they were before.
    """
    if asked.check:
        return _predict(asked, host)
    with host.store.locked():
        undone = host.store.recover()
        manifest = host.store.manifest()
        changes = compare(asked.wanted, manifest["files"], observe)
        problems = unknown_names(asked.wanted) if changes else []
        if problems:
            raise FilesError("nothing was changed:\n  " + "\n  ".join(problems), problems=problems)
        unit = _unit(asked, host, changes, undone)
        needs = _needs(changes, unit, host.store.pending(), undone)
        files = manifest_files(asked.wanted)
        if changes:
            _validate_staged(asked, host, changes)
            manifest = _next(manifest["generation"] + 1, files, unit)
            _swap(asked, host, changes, manifest, needs)
        else:
            host.store.keep_manifest({**manifest, "files": files})
            if unit is not None and unit.running and (undone or needs.recorded == "none"):
                host.store.keep_pending(_pending(asked, needs))
        return _result(asked, changes, needs, manifest["generation"], recovered=undone is not None)


def go_back(asked: Asked, host: Host) -> dict[str, Any]:
    """Bring the last generation back. What is there now becomes the previous one: going back twice changes nothing.

    Raises:
        FilesError: there is no previous generation.
    """
    if asked.check:
        return _go_back(asked, host, host.store.interrupted())
    with host.store.locked():
        return _go_back(asked, host, host.store.recover())


def _go_back(asked: Asked, host: Host, undone: Record | None) -> dict[str, Any]:
    record = host.store.previous()
    if record is None:
        raise FilesError(f"{asked.wanted.service} has no previous generation on this member → nothing to bring back")
    known = {**record.manifest["files"], **host.store.manifest()["files"]}
    changes = []
    for dest, node in record.nodes.items():
        before, facts = observe(dest), known.get(dest, {})
        if before != node:
            need, secret = str(facts.get("need", "none")), bool(facts.get("secret", True))
            changes.append(Change(dest, kind_of(before, node), need, before, node, secret))
    unit = _unit(asked, host, changes, undone)
    needs = _needs(changes, unit, host.store.pending(), undone)
    generation = record.manifest["generation"]
    if changes and not asked.check:
        _swap(asked, host, changes, _next(generation, record.manifest["files"], unit), needs)
    return _result(asked, changes, needs, generation, recovered=undone is not None)


def _predict(asked: Asked, host: Host) -> dict[str, Any]:
    interrupted = host.store.interrupted()
    manifest = interrupted.manifest if interrupted else host.store.manifest()
    as_left = interrupted.nodes if interrupted else {}
    changes = compare(asked.wanted, manifest["files"], lambda path: as_left.get(path) or observe(path))
    unit = _unit(asked, host, changes, interrupted)
    pending = interrupted.pending if interrupted else host.store.pending()
    needs = _needs(changes, unit, pending, interrupted)
    skipped = _validate_staged(asked, host, changes)
    generation = manifest["generation"] + bool(changes)
    return _result(asked, changes, needs, generation, recovered=interrupted is not None, skipped=skipped)


def _next(generation: int, files: Mapping[str, Any], unit: UnitState | None) -> dict[str, Any]:
    return {"generation": generation, "files": files, "unit_was_active": unit is not None and unit.running}


def _swap(asked: Asked, host: Host, changes: list[Change], manifest: Mapping[str, Any], needs: Needs) -> None:
    """Swap all changed files together, ask the validators that need them in place, commit; or put everything back."""
    store = host.store
    try:
        store.begin({change.dest: change.before for change in changes}, pending_now(needs.recorded))
        store.write({change.dest: change.after for change in changes})
        for argv in asked.validators if _contents_change(changes) else ():
            if not _sees_staging(argv):
                _ask(argv, asked, host, "rolled back, the files are as they were before")
        # The time is taken when the files are in place: a process that started before has not read them.
        store.commit(manifest, _pending(asked, needs))
    except BaseException as err:
        rolled_back = _roll_back(store)
        if isinstance(err, OSError):
            raise FilesError(f"nothing was changed: {err}", rolled_back=rolled_back) from err
        raise


def _roll_back(store: Generations) -> bool:
    try:
        return store.recover() is not None
    except OSError as err:
        message = f"the roll-back failed too: {err} → make room and run again: the journal in {store.home} is kept"
        raise FilesError(message, rolled_back=False) from err


def _unit(asked: Asked, host: Host, changes: Sequence[Change], undone: Record | None) -> UnitState | None:
    """State of the unit, asked only when the answer matters."""
    if asked.unit is None or not (changes or undone or host.store.pending()):
        return None
    return show(host.run, [asked.unit])[asked.unit]


def _needs(changes: Sequence[Change], unit: UnitState | None, pending: Pending | None, undone: Record | None) -> Needs:
    """The strongest need of the changes and of what the unit has not yet taken; a start takes all."""
    recorded = strongest(change.need for change in changes)
    if unit is None:
        return Needs(recorded, recorded)
    armed = undone.armed if undone else None
    recorded = strongest([recorded, outstanding(pending, unit), read_since(armed, unit)])
    return Needs(recorded, recorded if unit.running else "none")


def _pending(asked: Asked, needs: Needs) -> Pending | None:
    """The need to remember from now on; without a unit nobody could ever take it."""
    return pending_now(needs.recorded) if needs.recorded != "none" and asked.unit is not None else None


def _contents_change(changes: Sequence[Change]) -> bool:
    return any(change.kind != "attributes" and change.is_file for change in changes)


def _sees_staging(argv: Sequence[str]) -> bool:
    return any(TREE in word for word in argv)


def _validate_staged(asked: Asked, host: Host, changes: Sequence[Change]) -> list[str]:
    """Show the staged tree to the validators; those that a check run cannot ask are returned."""
    if not _contents_change(changes):
        return []
    skipped = [argv for argv in asked.validators if asked.check and not (_sees_staging(argv) and host.which(argv[0]))]
    staged = [argv for argv in asked.validators if _sees_staging(argv) and argv not in skipped]
    if staged:
        with _staged_tree(asked, host) as tree:
            for argv in staged:
                _ask([word.replace(TREE, str(tree)) for word in argv], asked, host, "nothing was changed")
    return [" ".join(argv) for argv in skipped]


@contextmanager
def _staged_tree(asked: Asked, host: Host) -> Iterator[Path]:
    """All files of the set under one private directory that is gone afterwards."""
    if asked.check:
        base = host.store.home.parent
        tree = Path(tempfile.mkdtemp(prefix="rsp-check-", dir=base if base.is_dir() else None))
    else:
        tree = host.store.staging
        make_private(tree)
    try:
        stage(asked.wanted, tree)
        yield tree
    except OSError as err:
        raise FilesError(f"nothing was changed: {err}") from err
    finally:
        shutil.rmtree(tree)


def stage(wanted: FileSet, tree: Path) -> None:
    """Write the whole set under `tree`, mirroring absolute paths. Owners are left out: validators run as root."""
    for directory in wanted.directories:
        (tree / directory.path.lstrip("/")).mkdir(parents=True, exist_ok=True)
    for file in wanted.files:
        if file.content is not None:
            staged = tree / file.dest.lstrip("/")
            staged.parent.mkdir(parents=True, exist_ok=True)
            staged.touch(mode=0o600)
            staged.write_bytes(file.content)
            staged.chmod(0o600 if file.secret else file.mode | 0o400)


def _ask(argv: Sequence[str], asked: Asked, host: Host, outcome: str) -> None:
    if not host.which(argv[0]):
        raise FilesError(f"{outcome}: validator {argv[0]} is not installed → install it before the files, or drop it")
    code, out, err = host.run(argv)
    if code == 0:
        return
    stdout, stderr = mask(out, asked.wanted).strip(), mask(err, asked.wanted).strip()
    raise FilesError(
        f"{outcome}: validator {' '.join(argv)} refused (rc {code}): {stderr or stdout}",
        validator=list(argv),
        rc=code,
        stdout=stdout,
        stderr=stderr,
        rolled_back=outcome.startswith("rolled back"),
    )


def _result(
    asked: Asked,
    changes: Sequence[Change],
    needs: Needs,
    generation: int,
    *,
    recovered: bool,
    skipped: Sequence[str] = (),
) -> dict[str, Any]:
    return {
        "changed": bool(changes) or recovered,
        "needs": needs.now,
        "files": [_told(change, asked.digest_key) for change in changes],
        "generation": generation,
        "skipped_validators": list(skipped),
        "rolled_back": recovered,
        "diff": diff(changes),
    }


def _told(change: Change, key: str | None) -> dict[str, Any]:
    """A change as the result tells it."""
    told: dict[str, Any] = {"dest": change.dest, "change": change.kind, "need": change.need}
    if key:
        for side, node in (("before", change.before), ("after", change.after)):
            told[side] = described(node, change.dest, change.secret, key)
    return told
