"""Where an entry may go, and what goes into an archive: decided without opening anything."""

from __future__ import annotations

import io
import tarfile
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.archives import tar_header_wire, zip_header_wire
from zlh_agent.archives.model import Item
from zlh_agent.archives.rules import (
    MAX_DEPTH,
    MAX_PATH_BYTES,
    REASONS,
    is_link_inside,
    is_ours,
    plan_names,
    render_reason,
    reserve_of,
    split_entry,
)
from zlh_agent.files.model import FOLDER, LINK

WORDS = st.sampled_from([b"a", b"..", b".", b"", b"b\\c", b"..\\d", b"C:", b"\\", b"\xff", b"n" * 256])
NAMES = st.lists(WORDS, max_size=6).map(b"/".join)


@given(NAMES | st.binary(max_size=40))
def test_no_name_that_is_taken_leads_out(name: bytes) -> None:
    """Whichever of the two is taken for what parts names."""
    parts = split_entry(name)
    if parts is not None:
        assert len(name) <= MAX_PATH_BYTES
        assert len(parts) <= MAX_DEPTH
        for reading in (name, name.replace(b"\\", b"/")):
            assert not reading.startswith(b"/")
            assert b".." not in reading.split(b"/")
        assert all(part and b"\0" not in part and len(part) < 256 for part in parts)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (b"a/b", [b"a", b"b"]), (b"./a//b/", [b"a", b"b"]), (b"./", []), (b"a\\b", [b"a\\b"]), (b"C:file", [b"C:file"]),
        (b"", None), (b"/a", None), (b"a/../b", None), (b"..\\a", None), (b"C:\\a", None), (b"c:/a", None),
        (b"\\a", None), (b"a\0b", None),
    ],
)  # fmt: skip
def test_an_entry_is_split_or_refused(name: bytes, parts: list[bytes] | None) -> None:
    """One rule, whatever the format."""
    assert split_entry(name) == parts


def test_a_link_stays_below_the_folder_that_is_unpacked_to() -> None:
    """By what is written in it, from where it stands."""
    assert is_link_inside([b"a", b"l"], b"../b")
    assert not is_link_inside([b"a", b"l"], b"../../b")
    assert not is_link_inside([b"l"], b"/b")


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        ([b"a/b"], [b"b"]), ([b"a/b", b"a/c"], [b"b", b"c"]), ([b"a/b/c", b"a/d"], [b"b/c", b"d"]), ([b""], [b""]),
        ([b"a", b"a/b"], [b"a"]), ([b"a/b", b""], [b""]), ([b"/a/", b"a"], [b"a"]),
        ([b"a/b", b"ab/c"], [b"a/b", b"ab/c"]),
    ],
)  # fmt: skip
def test_names_begin_below_the_folder_that_holds_all(paths: list[bytes], names: list[bytes]) -> None:
    """And nothing is there twice."""
    plan = plan_names(paths)
    assert plan is not None
    assert [b"/".join(parts[shared:]) for parts, shared in plan] == names


def test_a_path_that_goes_up_is_no_choice() -> None:
    """Nor is none at all."""
    assert plan_names([b"a/../b"]) is None
    assert plan_names([]) is None


def test_reasons_are_whole_sentences() -> None:
    """Each names the entry, or goes without; other codes are another's to tell."""
    assert all("{" not in (render_reason(code, entry) or "{") for code in REASONS for entry in ("", "a/b"))
    assert render_reason("disk_full", "") is None


def test_what_is_still_written_and_what_stays_free() -> None:
    """Files of ours are known by both ends of their names; a small disk is left a share, a large one a bound."""
    assert is_ours(b".a.0123.zlh-part")
    assert not is_ours(b"a.zlh-part")
    assert reserve_of(10**12) == 256 * 1024 * 1024
    assert reserve_of(1000) == 50


@given(
    st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=6).map(b"/".join),
    st.integers(0, 2**40),
    st.integers(-(2**33), 2**40),
    st.binary(max_size=300),
)
def test_others_read_our_tar_headers(name: bytes, size: int, modified_s: int, target: bytes) -> None:
    """Long names, large sizes and old times too."""
    name, target = name.replace(b"\0", b"x").strip(b"/") or b"x", target.replace(b"\0", b"x")
    for item in (
        Item(name, size=size, modified_s=modified_s),
        Item(name, kind=LINK, target=target or b"x", modified_s=modified_s),
        Item(name, kind=FOLDER, modified_s=modified_s),
    ):
        raw = tar_header_wire.render_headers(item) + tar_header_wire.END
        with tarfile.open(fileobj=io.BytesIO(raw), errors="surrogateescape") as archive:
            found = archive.next()
        assert found is not None
        assert found.name.encode("utf-8", "surrogateescape").rstrip(b"/") == item.name
        assert (found.size, int(found.mtime)) == (item.size, modified_s)
        assert found.linkname.encode("utf-8", "surrogateescape") == item.target


@given(st.integers(0, 2**33), st.integers(0, 2**35), st.integers(315532800, 4354819198))
def test_others_read_our_zip_directory(size: int, offset: int, modified_s: int) -> None:
    """Beyond 32 bits too, with times in steps of two seconds."""
    item = Item("näme".encode(), size=size, modified_s=modified_s)
    row = zip_header_wire.render_central(item, zip_header_wire.Written(0, 7, size, size))
    raw = row + zip_header_wire.render_end(1, len(row), 0)
    (found,) = zipfile.ZipFile(io.BytesIO(raw)).infolist()
    assert (found.filename, found.file_size, found.CRC) == ("näme", size, 7)
    second = zip_header_wire.render_end(1, len(row), offset)
    assert (b"PK\x06\x06" in second) == (offset >= 0xFFFFFFFF)
