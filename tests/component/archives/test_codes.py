"""Archives of, from and to every kind of thing, through real children: done, or refused as the table says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from component.archives.code_table import AT_THE_END, IN_THE_MIDDLE
from component.archives.harness import Odd, Workshop, write_archive
from component.files.asked import outcome_of
from component.files.code_table import told_of
from component.files.kinds import SPELT, every_kind
from zlh_common.schema.files import ArchiveFormat, Overwrite

pytestmark = pytest.mark.timeout(300)
TAR_GZ = ArchiveFormat("tar.gz")


def beside(path: str) -> str:
    """Return where what is not whole yet is kept."""
    return f"{path.rpartition('/')[0]}/.s.zlh-staging"


async def pack_to(workshop: Workshop, path: str, *, replace: bool) -> None:
    """Pack a file to a path."""
    made = workshop.archives.pack(workshop.root, ["held"], path, TAR_GZ, partial=beside(path), replace=replace)
    await made


async def unpack_to(workshop: Workshop, path: str) -> None:
    """Unpack an archive to a path; what it has staged is removed by whoever asked."""
    made = workshop.archives.unpack(workshop.root, "held", path, staging=beside(path), overwrite=Overwrite.REFUSE)
    await made


CALLS: dict[str, Callable[[Workshop, str], Awaitable[object]]] = {
    "pack": lambda workshop, path: workshop.pack(path),
    "download": lambda workshop, path: workshop.stream(path),
    "pack to": lambda workshop, path: pack_to(workshop, path, replace=False),
    "pack over": lambda workshop, path: pack_to(workshop, path, replace=True),
    "unpack": lambda workshop, path: workshop.unpack(path),
    "unpack to": unpack_to,
}
ROWS = [(call, row, "") for call, row in AT_THE_END.items()]
ROWS += [(call, row, "/new") for call, row in IN_THE_MIDDLE.items()]


def test_every_call_has_its_rows() -> None:
    """At the end of a path and in its middle."""
    assert set(AT_THE_END) == set(IN_THE_MIDDLE) == set(CALLS)


@pytest.mark.parametrize(("call", "row", "below"), ROWS, ids=[f"{call}{below}" for call, _, below in ROWS])
async def test_archives_of_every_kind(workshop: Workshop, call: str, row: dict[str, str], below: str) -> None:
    """Whoever is refused is told of the path that is the reason; nothing outside is touched."""
    found = {}
    for kind in told_of(row):
        path = SPELT.get(kind, kind) + below
        with every_kind(workshop.ground):
            for name in ("held", "file"):
                write_archive(workshop.folder / name, "tar", [Odd("packed")])
            found[kind] = await outcome_of(CALLS[call](workshop, path), path)
            assert workshop.ground.is_untouched()
    assert found == told_of(row)
