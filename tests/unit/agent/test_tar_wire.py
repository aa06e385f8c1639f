"""The tar reader is fed with pieces, and says the same however the stream is cut."""

from __future__ import annotations

import contextlib
import io
import tarfile
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fakes.runtime_shop import member, noise
from zlh_agent.runtimes.errors import ArchiveRefused, UnpackFailed
from zlh_agent.runtimes.installing.tar_wire import Entry, TarReader

ENTRIES = [
    member("a", b"x"), member("folder", kind=tarfile.DIRTYPE), member("n" * 150, noise(1500)), member("none"),
    member("link", kind=tarfile.SYMTYPE, to="t" * 120), member("also", kind=tarfile.LNKTYPE, to="a"),
    member("block", noise(512)),
]  # fmt: skip


def render(form: int) -> bytes:
    """Return the entries as a tar stream."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=form) as tar:
        for info, content in ENTRIES:
            tar.addfile(info, io.BytesIO(content))
    return plain.getvalue()


STREAMS = {"gnu": render(tarfile.GNU_FORMAT), "pax": render(tarfile.PAX_FORMAT)}


def read(pieces: list[bytes]) -> list[tuple[Entry, bytes]]:
    """Return the entries with their contents."""
    reader, found = TarReader(), list[tuple[Entry, bytes]]()
    for piece in pieces:
        for event in reader.feed(memoryview(piece)):
            if isinstance(event, Entry):
                found.append((event, b""))
            else:
                found[-1] = (found[-1][0], found[-1][1] + bytes(event))
    reader.finish()
    return found


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """Return the stream in pieces."""
    edges = [0, *sorted(place % len(stream) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


@given(st.sampled_from(sorted(STREAMS)), st.lists(st.integers(0, 100_000), max_size=30))
def test_the_cuts_make_no_difference(form: str, places: list[int]) -> None:
    """Not even within a header, a name or the padding."""
    found = read(cut(STREAMS[form], places))
    assert [(entry.name.rstrip("/"), content) for entry, content in found] == [
        (info.name, content) for info, content in ENTRIES
    ]
    assert [entry.target for entry, _ in found] == [info.linkname for info, _ in ENTRIES]


def test_byte_after_byte() -> None:
    """As small as it gets."""
    for stream in STREAMS.values():
        assert read([bytes([byte]) for byte in stream]) == read([stream])


@given(st.sampled_from(sorted(STREAMS)), st.integers(0, 10_000), st.binary(min_size=1, max_size=8))
def test_what_is_changed_is_read_or_refused(form: str, place: int, change: bytes) -> None:
    """Nothing else comes out of it: no other error, and no end that does not come."""
    stream = STREAMS[form]
    place %= len(stream)
    with contextlib.suppress(ArchiveRefused, UnpackFailed):
        read([stream[:place] + change + stream[place + len(change) :]])


@given(st.binary(max_size=3000))
def test_noise_is_refused(content: bytes) -> None:
    """Whatever it is; zeros alone are an empty archive."""
    with contextlib.suppress(ArchiveRefused, UnpackFailed):
        assert read([content]) == []
        assert not any(content)
