"""The figures that docs/filesystem.md promises: that they are those of the code, and that a search keeps to its own."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from fakes.hostile_files import Ground
from zlh_agent.archives.rules import LONGEST_S as LONGEST_UNPACKING_S
from zlh_agent.archives.rules import MAX_ENTRIES, RESERVE_BYTES, RESERVE_SHARE
from zlh_agent.archives.streams import MAX_WINDOW_BYTES
from zlh_agent.files.link import FilePlace
from zlh_agent.files.model import Answer
from zlh_agent.files.operations import MAX_KEPT, MAX_RUNNING
from zlh_agent.files.search_rules import LONGEST_S
from zlh_agent.files.searching import Sought, search_tree
from zlh_agent.files.work import Work
from zlh_agent.uploads.rules import KEPT_FOR
from zlh_agent.uploads.service import SILENCE_S
from zlh_api.agents import patience_rules
from zlh_api.agents.client import MAX_TRANSFERS
from zlh_api.config.tables import RateLimitsSection
from zlh_api.files.routes import MAX_ASKED_CHARS
from zlh_common.schema.files import MAX_FOUND, MAX_LISTED, MAX_PATH_CHARS, UPLOAD_CHUNK_BYTES

MIB = 1024 * 1024
CHILD = FilePlace("/", None).confinement
DOCUMENT = Path(__file__).parents[3] / "docs/filesystem.md"
RATES = RateLimitsSection()


@pytest.mark.parametrize(
    "promise",
    [
        f"255 bytes; {MAX_PATH_CHARS:,} letters in a body, {MAX_ASKED_CHARS:,} in an address",
        f"| {MAX_LISTED:,} entries;",
        f"| {'ten' if LONGEST_S == 10 else LONGEST_S} seconds and {MAX_FOUND:,} results",
        f"| {MAX_RUNNING} in a container; the last {MAX_KEPT} are remembered",
        f"{RATES.transfers_per_user} of one user, {MAX_TRANSFERS} of one container",
        f"{RATES.transfers_per_customer} of one customer's containers, {RATES.transfers} of one API process",
        f"| ends after {SILENCE_S:g} s |",
        f"| ends after {patience_rules.SILENCE_S:g} s |",
        f"kept for {KEPT_FOR.total_seconds() / 3600:g} h after its last byte",
        f"{UPLOAD_CHUNK_BYTES / 1e6:g} MB, since",
        f"{MAX_ENTRIES:,} entries, {'an hour' if LONGEST_UNPACKING_S == 3600 else LONGEST_UNPACKING_S};",
        f"dictionaries of {MAX_WINDOW_BYTES // MIB} MiB, as",
        f"address space of {(CHILD.address_space_bytes or 0) // MIB} MiB, and {CHILD.open_files} open files",
        f"| {100 / RESERVE_SHARE:g} % of the disk, {RESERVE_BYTES // MIB} MiB at most;",
    ],
)
def test_the_document_has_the_figures_of_the_code(promise: str) -> None:
    """Each of them, in the words of its row."""
    assert promise in DOCUMENT.read_text()


def search(folder: Path, *, limit: int, longest_s: float = LONGEST_S) -> tuple[str, int]:
    """Look for `e` in names; return what has ended it, and how much was found."""
    found: list[Answer] = []
    sought = Sought(name="e", text="", match_case=False, limit=limit)
    with ExitStack() as opened:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        opened.callback(os.close, fd)
        stopped_by = search_tree(fd, sought, tell=found.append, work=Work(), longest_s=longest_s)
    return stopped_by, len(found)


def test_a_search_says_which_of_its_two_limits_has_ended_it(ground: Ground) -> None:
    """Neither where all was looked at; so many results; so much time, after which nothing more is found."""
    for number in range(5):
        (ground.inside / f"e{number}").touch()
    everything = search(ground.inside, limit=1000)
    assert everything[0] == ""
    assert everything[1] >= 5
    assert search(ground.inside, limit=3) == ("limit", 3)
    assert search(ground.inside, limit=1000, longest_s=-1.0) == ("time", 0)
