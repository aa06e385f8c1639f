"""What an agent says of mods, as far as it is handed on."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from zlh_api.mods.modrinth_wire import clean
from zlh_common.errors import ZlhError
from zlh_common.schema.mod_refusals import (
    GameFilesChanging,
    ModChangeImpossible,
    ModChangeUnknown,
    ModRollbackImpossible,
    ModsBusy,
    ModsChanged,
    ModsNotOffered,
    ModUnknown,
)
from zlh_common.schema.mods import MAX_CHANGES, MAX_MODS, LedgerEntry, ModLedger, ModsReport

MAX_WORDS = 512


def bound_report(report: ModsReport) -> ModsReport:
    """Return what an agent has said, no longer than what a ledger can be."""
    return replace(
        report,
        folder=clean(report.folder, MAX_WORDS),
        revision=max(0, min(report.revision, 2**53)),
        mods=report.mods[:MAX_MODS],
        changes=report.changes[-MAX_CHANGES:],
        trouble=None if report.trouble is None else clean(report.trouble, MAX_WORDS),
    )


def ledger_of(report: ModsReport) -> ModLedger:
    """Return the ledger that a report speaks of; of mods that stand in it twice the first counts."""
    entries: dict[str, LedgerEntry] = {}
    for seen in report.mods:
        entries.setdefault(seen.entry.file.project_id, seen.entry)
    return ModLedger(revision=report.revision, entries=tuple(entries.values()), changes=report.changes)


def refusal_of(code: str, detail: str) -> ZlhError | None:
    """Return what an agent has refused, in our own words; None for what is none of mods."""
    made: dict[str, Callable[[], ZlhError]] = {
        ModsBusy.code: ModsBusy,
        GameFilesChanging.code: GameFilesChanging,
        ModsNotOffered.code: ModsNotOffered,
        ModsChanged.code: ModsChanged,
        ModChangeUnknown.code: ModChangeUnknown,
        ModUnknown.code: lambda: ModUnknown(project_id="that was named"),
        ModChangeImpossible.code: lambda: ModChangeImpossible(reason=f"its agent says: {clean(detail, 300)}"),
        ModRollbackImpossible.code: lambda: ModRollbackImpossible(reason=f"its agent says: {clean(detail, 300)}"),
    }
    return made[code]() if code in made else None
