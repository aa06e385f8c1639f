"""What is told of the mods: the ledger, and what the folder makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec.structs import replace

from zlh_agent.files.model import FILE, Entry
from zlh_agent.mods.change_rules import find_present
from zlh_common.schema.mods import (
    DISABLED_SUFFIX,
    MAX_MODS,
    LedgerEntry,
    ModCondition,
    ModLedger,
    ModSeen,
    ModsReport,
    UnknownFile,
)


class Known:
    """Hashes of files as they were when they were looked at."""

    def __init__(self) -> None:
        self._digests: dict[str, tuple[str, str]] = {}

    def learn(self, name: str, entry: Entry, digest: str) -> None:
        """Note the hash of a file."""
        self._digests[name] = (entry.version, digest)

    def find(self, name: str, entry: Entry) -> str | None:
        """Return the hash of a file that nobody has touched since."""
        version, digest = self._digests.get(name, ("", ""))
        return digest if version == entry.version else None


def render_report(
    folder: str,
    ledger: ModLedger,
    names: Mapping[str, Entry],
    known: Known,
    *,
    trouble: str | None,
    started_at: datetime | None,
) -> ModsReport:
    """Return the report; `started_at` is when the server that runs was started."""
    claimed = {name for entry in ledger.entries if (name := find_present(entry, names)) is not None}
    return ModsReport(
        folder=folder,
        revision=ledger.revision,
        mods=tuple(_see(entry, names, known) for entry in ledger.entries),
        unknown=tuple(_tell_unknown(name, names[name], known) for name in sorted(names.keys() - claimed))[:MAX_MODS],
        changes=ledger.changes,
        trouble=trouble,
        is_restart_due=_is_restart_due(ledger, started_at),
    )


def _see(entry: LedgerEntry, names: Mapping[str, Entry], known: Known) -> ModSeen:
    name = find_present(entry, names)
    if name is None:
        return ModSeen(entry=entry, condition=ModCondition.MISSING)
    # Who renames a file by hand disables it just as well.
    seen = replace(entry, is_enabled=not name.endswith(DISABLED_SUFFIX))
    found = names[name]
    if found.kind != FILE or found.size != entry.file.size:
        return ModSeen(entry=seen, condition=ModCondition.CHANGED)
    digest = known.find(name, found)
    if digest is None:
        return ModSeen(entry=seen)
    is_intact = digest == entry.file.sha512
    return ModSeen(entry=seen, condition=ModCondition.INTACT if is_intact else ModCondition.CHANGED)


def _tell_unknown(name: str, found: Entry, known: Known) -> UnknownFile:
    text = name.encode("utf-8", "replace").decode()[:256]
    is_enabled = not name.endswith(DISABLED_SUFFIX)
    return UnknownFile(file_name=text, is_enabled=is_enabled, size=found.size, sha512=known.find(name, found))


def _is_restart_due(ledger: ModLedger, started_at: datetime | None) -> bool:
    if started_at is None or not ledger.changes:
        return False
    changed_at = ledger.changes[-1].at
    return changed_at.tzinfo is not None and changed_at > started_at
