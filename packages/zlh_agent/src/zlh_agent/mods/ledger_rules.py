"""The ledger: read as a stranger's word, changed by acts, written no larger than it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

from msgspec.structs import replace

from zlh_common.errors import InvalidBody
from zlh_common.schema.mod_refusals import ModChangeImpossible, ModRollbackImpossible, ModUnknown
from zlh_common.schema.mods import (
    DISABLED_SUFFIX,
    LEDGER_FORMAT,
    MAX_CHANGES,
    MAX_MODS,
    LedgerChange,
    LedgerEntry,
    ModAct,
    ModChange,
    ModLedger,
    PutMod,
    RemoveMod,
    SwitchMod,
)
from zlh_common.schema.structs import decode, encode

MAX_LEDGER_BYTES = 8 * 2**20
# What is written is shorter, so that there is room for what is told besides the ledger.
MOST_WRITTEN_BYTES = 6 * 2**20
# Of that, what changes may take besides the mods themselves.
_MAX_CHANGE_BYTES = 3 * 2**20


class LedgerUnreadable(Exception):
    """The file is no ledger; the text says why, for people."""


def parse_ledger(raw: bytes) -> ModLedger:
    """Return the ledger of a file's bytes; raise LedgerUnreadable."""
    if len(raw) > MAX_LEDGER_BYTES:
        raise LedgerUnreadable(f"it is longer than {MAX_LEDGER_BYTES} bytes")
    try:
        ledger = decode(raw, ModLedger)
    except InvalidBody as error:
        raise LedgerUnreadable(error.detail) from error
    if ledger.format != LEDGER_FORMAT:
        raise LedgerUnreadable(f"its format is {ledger.format}, and {LEDGER_FORMAT} is known here")
    for what, values in (
        ("project", [entry.file.project_id for entry in ledger.entries]),
        ("file", [entry.file.file_name for entry in ledger.entries]),
    ):
        if len(set(values)) < len(values):
            raise LedgerUnreadable(f"it has one {what} twice")
    return ledger


def render_ledger(ledger: ModLedger) -> bytes:
    """Return the bytes of a ledger, without the oldest changes where they would take too much room."""
    kept: list[LedgerChange] = []
    left = _MAX_CHANGE_BYTES
    for change in reversed(ledger.changes[-MAX_CHANGES:]):
        left -= len(encode(change))
        # The last one is what a rollback goes by.
        if left < 0 and kept:
            break
        kept.append(change)
    return encode(replace(ledger, changes=tuple(reversed(kept)))) + b"\n"


def present_name(entry: LedgerEntry) -> str:
    """Return what the file of a mod is called in the folder."""
    return entry.file.file_name + ("" if entry.is_enabled else DISABLED_SUFFIX)


def apply_change(ledger: ModLedger, change: ModChange, *, now: datetime, is_rollback: bool = False) -> ModLedger:
    """Return the ledger after a change.

    Raise ModUnknown where an act is about a mod that is not there, ModChangeImpossible for a ledger that nobody would
    read again.
    """
    entries = {entry.file.project_id: entry for entry in ledger.entries}
    touched = tuple(entries[project] for project in dict.fromkeys(map(project_of, change.acts)) if project in entries)
    for act in change.acts:
        _apply(entries, act)
    made = LedgerChange(
        id=change.id,
        at=now.astimezone(UTC),
        actor=change.actor,
        reason=change.reason,
        acts=change.acts,
        before=touched,
        is_rollback=is_rollback,
    )
    after = replace(
        ledger,
        revision=ledger.revision + 1,
        entries=tuple(entries.values()),
        changes=(*ledger.changes, made)[-MAX_CHANGES:],
    )
    if (reason := _find_fault(after)) is not None:
        raise ModChangeImpossible(reason=reason)
    return after


def _find_fault(ledger: ModLedger) -> str | None:
    """Return why a ledger could not be read again, or None."""
    if len(ledger.entries) > MAX_MODS:
        return f"a server takes {MAX_MODS} mods at most, and this comes to {len(ledger.entries)}"
    names = Counter(entry.file.file_name for entry in ledger.entries)
    if twice := next((name for name, count in names.items() if count > 1), None):
        return f"{twice} would be the file of two mods"
    if len(render_ledger(ledger)) > MOST_WRITTEN_BYTES:
        return f"its ledger would be longer than {MOST_WRITTEN_BYTES} bytes"
    return None


def find_undoing(ledger: ModLedger, change_id: str) -> tuple[ModAct, ...]:
    """Return the acts that undo the last change; raise ModRollbackImpossible for any other."""
    if not ledger.changes or ledger.changes[-1].id != change_id:
        raise ModRollbackImpossible(reason="it is not the last one")
    last = ledger.changes[-1]
    before = {entry.file.project_id: entry for entry in last.before}
    present = {entry.file.project_id for entry in ledger.entries}
    undone: list[ModAct] = [PutMod(entry=entry) for entry in before.values()]
    projects = dict.fromkeys(map(project_of, last.acts))
    undone += [RemoveMod(project_id=each) for each in projects if each not in before and each in present]
    if not undone:
        raise ModRollbackImpossible(reason="it has left nothing to undo")
    return tuple(undone)


def project_of(act: ModAct) -> str:
    """Return which project an act is about."""
    return act.entry.file.project_id if isinstance(act, PutMod) else act.project_id


def touched_projects(acts: Iterable[ModAct]) -> tuple[str, ...]:
    """Return the projects of acts, each once, in their order."""
    return tuple(dict.fromkeys(map(project_of, acts)))


def _apply(entries: dict[str, LedgerEntry], act: ModAct) -> None:
    match act:
        case PutMod(entry=entry):
            entries[entry.file.project_id] = entry
        case RemoveMod(project_id=project):
            if entries.pop(project, None) is None:
                raise ModUnknown(project_id=project)
        case SwitchMod(project_id=project):
            before = entries.get(project)
            if before is None:
                raise ModUnknown(project_id=project)
            entries[project] = replace(
                before,
                is_enabled=before.is_enabled if act.is_enabled is None else act.is_enabled,
                is_pinned=before.is_pinned if act.is_pinned is None else act.is_pinned,
            )
