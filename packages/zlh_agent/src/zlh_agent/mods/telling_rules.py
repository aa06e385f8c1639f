"""What is told of changes of mods: in the journal, and of a server whose start waits for one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zlh_agent.journal.model import Occurrence
from zlh_agent.mods.ledger_rules import touched_projects
from zlh_common.schema.mods import LedgerChange, LedgerEntry, ModLedger
from zlh_common.schema.process import ProcessReason

SUBJECT = "mods"
# A sentence names so many; the ledger names all.
MOST_NAMED = 8
MESSAGE_CHARS, TITLE_CHARS, REASON_CHARS, DETAIL_CHARS = 1000, 60, 200, 600


def tell_hold(trouble: str | None) -> ProcessReason:
    """Return why the server waits; `trouble` is what keeps a change from its end."""
    message = "It is started once the change of its mods is through."
    if trouble is not None:
        message = f"{message} That is tried again by itself, and failed last: {_plain(trouble, DETAIL_CHARS)}"
    return ProcessReason(code="mods_changing", message=message)


def tell_change(before: ModLedger, after: ModLedger) -> Occurrence:
    """Return what is told of a change that was made, the last one of the ledger after it."""
    made = after.changes[-1]
    was, now = _by_project(before), _by_project(after)
    acts: dict[str, list[str]] = {}
    for project in touched_projects(made.acts):
        word, name = _tell_one(was.get(project), now.get(project))
        acts.setdefault(word, []).append(name)
    counts = {word: len(names) for word, names in acts.items()}
    facts: dict[str, str | int] = {"change": made.id, "actor": made.actor, "revision": after.revision, **counts}
    if made.reason:
        facts["reason"] = _plain(made.reason, REASON_CHARS)
    kind = "mods.rolled_back" if made.is_rollback else "mods.changed"
    return Occurrence(kind, SUBJECT, _tell_all(made, acts)[:MESSAGE_CHARS], facts, made.at)


def tell_failure(change_id: str, actor: str, code: str, detail: str) -> Occurrence:
    """Return what is told of a change of which nothing is there."""
    message = f"The mods were not changed: {_plain(detail, DETAIL_CHARS)}"
    return Occurrence("mods.change_failed", SUBJECT, message, {"change": change_id, "actor": actor, "code": code})


def _tell_all(made: LedgerChange, acts: Mapping[str, list[str]]) -> str:
    begin = "The last change of the mods was undone" if made.is_rollback else "The mods were changed"
    parts = "; ".join(f"{word} {_enumerate(names)}" for word, names in acts.items())
    return f"{begin}: {parts}." if parts else f"{begin}."


def _tell_one(was: LedgerEntry | None, now: LedgerEntry | None) -> tuple[str, str]:
    """Return the word for what was done to one mod, and what it is called."""
    if now is None:
        return ("removed", _name(was)) if was is not None else ("left", "what was not there")
    if was is None:
        return "installed" if now.source == "modrinth" else "identified", _name(now)
    if was.file.version_id != now.file.version_id:
        return "updated", f"{_title(now)} {_number(was)} to {_number(now)}"
    if was.is_enabled != now.is_enabled:
        return ("enabled" if now.is_enabled else "disabled"), _title(now)
    if was.is_pinned != now.is_pinned:
        return ("pinned" if now.is_pinned else "unpinned"), _title(now)
    return ("kept" if was.installed_at == now.installed_at else "repaired"), _name(now)


def _enumerate(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - MOST_NAMED} more" if len(listed) > MOST_NAMED else ""
    return ", ".join(listed[:MOST_NAMED]) + more


def _by_project(ledger: ModLedger) -> dict[str, LedgerEntry]:
    return {entry.file.project_id: entry for entry in ledger.entries}


def _name(entry: LedgerEntry | None) -> str:
    return "" if entry is None else f"{_title(entry)} {_number(entry)}"


def _title(entry: LedgerEntry) -> str:
    return _plain(entry.file.title, TITLE_CHARS)


def _number(entry: LedgerEntry) -> str:
    return _plain(entry.file.version_number, TITLE_CHARS)


def _plain(text: str, most: int) -> str:
    """Return a stranger's text as part of one line."""
    return "".join(char if char.isprintable() else " " for char in text)[:most].strip()
