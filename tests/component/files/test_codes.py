"""Every call on every kind of thing, through real children: done, or refused with the code that the table says."""

from __future__ import annotations

import pytest

from component.files.asked import CALLS, OF_BOTH, outcome_of
from component.files.code_table import AT_THE_END, DONE, IN_THE_MIDDLE, Row, told_of
from component.files.kinds import DEVICE, LINKS, SPELT, every_kind
from fakes.hostile_files import Ground
from zlh_agent.files.service import FileService

KINDS = {
    *LINKS, "file", "empty", "folder", "shut-file", "shut", "pipe", "socket", DEVICE, "none", "folder/..", "long",
}  # fmt: skip


def look_at(ground: Ground) -> list[object]:
    """Return everything in the root that a call could have changed."""
    return [
        (str(path), status.st_ino, status.st_mode, status.st_size, status.st_nlink)
        for path in sorted(ground.inside.rglob("*"))
        for status in [path.lstat()]
    ]


async def outcomes(ground: Ground, service: FileService, call: str, row: Row, below: str) -> dict[str, str]:
    """Return what a call comes to for each kind, each time in a root that is as it was; a refusal leaves it so."""
    found: dict[str, str] = {}
    kinds = iter(told_of(row))
    async with service.borrow() as files:
        while len(found) < len(told_of(row)):
            with every_kind(ground):
                before = look_at(ground)
                for kind in kinds:
                    path = SPELT.get(kind, kind) + below
                    found[kind] = await outcome_of(CALLS[call](files, path), path, of_both=OF_BOTH.get(call))
                    assert ground.is_untouched()
                    assert [path.name for path in ground.inside.rglob("*.zlh-*")] == []
                    if found[kind] == DONE:
                        break
                    assert look_at(ground) == before
    return found


def test_the_table_is_whole() -> None:
    """Each call has a row for each kind, at the end of a path and in its middle."""
    assert set(AT_THE_END) == set(IN_THE_MIDDLE) == set(CALLS)
    for call in CALLS:
        assert set(" ".join(AT_THE_END[call].values()).split()) == {*KINDS, "root", ".."}, call
        assert set(" ".join(IN_THE_MIDDLE[call].values()).split()) == KINDS, call


@pytest.mark.parametrize("call", CALLS)
async def test_what_stands_at_the_end_of_a_path(ground: Ground, service: FileService, call: str) -> None:
    """A link that leads out is refused, or meant itself; nothing outside is touched."""
    row = AT_THE_END[call]
    assert await outcomes(ground, service, call, row, "") == told_of(row)


@pytest.mark.parametrize("call", CALLS)
async def test_what_stands_in_the_middle_of_a_path(ground: Ground, service: FileService, call: str) -> None:
    """Gone through where it is a folder or leads to one, and else refused by what it is."""
    row = IN_THE_MIDDLE[call]
    assert await outcomes(ground, service, call, row, "/new") == told_of(row)
