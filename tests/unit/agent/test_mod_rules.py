"""The ledger and its changes as decisions: what comes of acts, which files move, and what is no ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from zlh_agent.mods.change_rules import find_in_the_way, plan_change
from zlh_agent.mods.ledger_rules import (
    MAX_LEDGER_BYTES,
    LedgerUnreadable,
    apply_change,
    find_undoing,
    parse_ledger,
    render_ledger,
)
from zlh_common.errors import ZlhError
from zlh_common.schema.mod_refusals import ModChangeImpossible
from zlh_common.schema.mods import (
    MAX_MODS,
    LedgerEntry,
    ModAct,
    ModChange,
    ModFile,
    ModLedger,
    PutMod,
    RemoveMod,
    SwitchMod,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def entry(project: str, number: int = 1, *, name: str | None = None, is_enabled: bool = True) -> LedgerEntry:
    """Return a mod; its hash is as its project and number say."""
    file = ModFile(
        project_id=project, slug=project, title=project, version_id=f"{project}v{number}", version_number=str(number),
        channel="release", file_name=name or f"{project}-{number}.jar", url="https://cdn.example.net/x", size=number,
        sha512=digest(project, number),
    )  # fmt: skip
    return LedgerEntry(file=file, installed_at=NOW + timedelta(days=number), actor="x", is_enabled=is_enabled)


def digest(project: str, number: int) -> str:
    """Return what stands for the hash of a version."""
    return f"{ord(project):x}{number:x}".zfill(128)


def ledger(*entries: LedgerEntry) -> ModLedger:
    """Return a ledger."""
    return ModLedger(revision=3, entries=entries)


def change(*acts: ModAct, number: int = 1) -> ModChange:
    """Return a change of these acts."""
    return ModChange(id=f"{number:032x}", actor="x", revision=3, acts=acts)


def test_acts_are_applied_in_their_order_and_remember_what_was() -> None:
    """The revision rises by one, and what was touched stands in the change as it was."""
    before = ledger(entry("a"), entry("b"), entry("c"))
    acts = (PutMod(entry=entry("a", 2)), RemoveMod(project_id="b"), SwitchMod(project_id="c", is_enabled=False))
    after = apply_change(before, change(*acts), now=NOW)
    assert after.revision == 4
    assert [(e.file.version_number, e.is_enabled) for e in after.entries] == [("2", True), ("1", False)]
    assert after.changes[-1].before == before.entries


@pytest.mark.parametrize("act", [RemoveMod(project_id="x"), SwitchMod(project_id="x", is_pinned=True)])
def test_acts_about_mods_that_are_not_there_are_refused(act: ModAct) -> None:
    """Nothing is done about what nobody has."""
    with pytest.raises(ZlhError) as error:
        apply_change(ledger(entry("a")), change(act), now=NOW)
    assert error.value.code == "mod_unknown"


def test_undoing_brings_back_exactly_what_was() -> None:
    """Whatever the acts were: what was there is as it was, what was not is gone."""
    before = ledger(entry("a"), entry("b"), entry("c", is_enabled=False))
    acts = (PutMod(entry=entry("a", 2)), RemoveMod(project_id="b"), PutMod(entry=entry("d")))
    after = apply_change(before, change(*acts, SwitchMod(project_id="c", is_enabled=True)), now=NOW)
    undone = apply_change(after, change(*find_undoing(after, change().id), number=2), now=NOW, is_rollback=True)
    assert {e.file.project_id: e for e in undone.entries} == {e.file.project_id: e for e in before.entries}


def test_a_ledger_stays_short_enough_to_be_read() -> None:
    """The oldest changes are left out, the last one never."""
    held = ledger(*(entry(chr(97 + number % 26), number, name=f"{number}.jar") for number in range(1, 26)))
    acts = tuple(PutMod(entry=replace(entry("a", 2), reason="x" * 256)) for _ in range(900))
    for number in range(1, 20):
        held = apply_change(held, change(*acts, number=number), now=NOW)
    raw = render_ledger(held)
    assert len(raw) < MAX_LEDGER_BYTES
    read = parse_ledger(raw)
    assert read.entries == held.entries
    assert 0 < len(read.changes) < 19
    assert read.changes[-1] == held.changes[-1]


@pytest.mark.parametrize("entries", [(entry("a"), entry("a", 2)), (entry("a", name="x.jar"), entry("b", name="x.jar"))])
def test_a_ledger_that_says_something_twice_is_none(entries: tuple[LedgerEntry, ...]) -> None:
    """One project, or one file, is one mod."""
    with pytest.raises(LedgerUnreadable):
        parse_ledger(render_ledger(ledger(*entries)))


def plan(before: ModLedger, after: ModLedger, digests: dict[str, str | None]) -> list[tuple[str, str]]:
    """Return the renames, without where they are."""
    found = plan_change(before, after, folder="mods", change_id="1" * 32, digests=digests)
    return [(step.source.rpartition("/")[2], step.target.rpartition("/")[2]) for step in found.steps]


def test_what_goes_moves_before_what_comes() -> None:
    """So that a new file may have the name of an old one."""
    before, after = ledger(entry("a", name="x.jar")), ledger(entry("a", 2, name="x.jar"))
    digests: dict[str, str | None] = {"x.jar": digest("a", 1)}
    assert plan(before, after, digests) == [("x.jar", "old-0"), ("new-0", "x.jar")]
    found = plan_change(before, after, folder="mods", change_id="1" * 32, digests=digests)
    assert find_in_the_way(found, "mods", {"x.jar"}) is None


def test_the_same_bytes_are_not_fetched() -> None:
    """A version that lies there under another name gets its own."""
    before, after = ledger(), ledger(entry("a", name="x.jar", is_enabled=False))
    assert plan(before, after, {"x.jar": digest("a", 1)}) == [("x.jar", "x.jar.disabled")]
    assert plan(before, after, {"x.jar.disabled": digest("a", 1)}) == []


def test_a_pin_moves_no_file_whatever_is_in_it() -> None:
    """Nor does it bring back one that is gone."""
    before, after = ledger(entry("a")), ledger(replace(entry("a"), is_pinned=True))
    assert plan(before, after, {"a-1.jar": digest("z", 9)}) == []
    assert plan(before, after, {}) == []


def test_a_name_that_nobody_frees_is_in_the_way() -> None:
    """Of a file that the ledger does not know, or of another mod that stays."""
    after = ledger(entry("a"))
    found = plan_change(ledger(), after, folder="mods", change_id="1" * 32, digests={"a-1.jar": digest("z", 9)})
    assert find_in_the_way(found, "mods", {"a-1.jar"}) == "a-1.jar"
    assert find_in_the_way(found, "mods", {"b.jar"}) is None


def test_a_ledger_that_nobody_would_read_again_is_not_made() -> None:
    """More mods than one holds, one file for two of them, and more bytes than are read: the ledger stays as it is."""

    def numbered(number: int, **given: Any) -> LedgerEntry:
        file = replace(entry("a").file, project_id=f"p{number}", file_name=f"{number}.jar", **given)
        return replace(entry("a"), file=file)

    full = ledger(*map(numbered, range(MAX_MODS)))
    twice = replace(entry("b", name="a-1.jar"), is_enabled=False)
    games = tuple(f"{number:0256}" for number in range(512))
    acts = [PutMod(entry=numbered(number, game_versions=games)) for number in range(60)]
    for before, change_of in (
        (full, change(PutMod(entry=entry("a")))),
        (ledger(entry("a")), change(PutMod(entry=twice))),
        (ledger(), change(*acts)),
    ):
        with pytest.raises(ModChangeImpossible):
            apply_change(before, change_of, now=NOW)
    parse_ledger(render_ledger(apply_change(full, change(PutMod(entry=full.entries[0])), now=NOW)))
