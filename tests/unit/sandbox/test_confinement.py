"""A confinement on its way to a child."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.sandbox.confinement import Confinement, parse_confinement, render_confinement

numbers = st.integers(0, 2**32 - 2)
# Every name that a folder can have, as Python holds it.
paths = st.lists(
    st.binary(min_size=1, max_size=20)
    .filter(lambda name: b"\0" not in name)
    .map(lambda name: "/" + name.decode("utf-8", "surrogateescape")),
    max_size=3,
)
limits = st.none() | st.integers(0, 2**62)


@given(
    user=st.none() | st.tuples(numbers, numbers, st.lists(numbers, max_size=3)),
    readable=paths,
    writable=paths,
    executable=paths,
    connect_ports=st.none() | st.lists(st.integers(1, 65535), max_size=3),
    file_bytes=limits,
    open_files=limits,
    core_bytes=limits,
    umask=st.integers(0, 0o777),
    oom_score_adj=st.integers(-1000, 1000),
)
def test_the_child_reads_what_was_written(**fields: object) -> None:
    """Whatever the names of folders hold."""
    confinement = Confinement(**fields)  # type: ignore[arg-type]
    line = render_confinement(confinement)
    assert parse_confinement(line) == confinement
    assert line.isascii()
    assert "\n" not in line


@pytest.mark.parametrize(
    "line", ["", ";;;;;", "1;;;;;-,-,-,-,-;18,500", ";;;;any;-;18,500", ";zz;;;any;-,-,-,-,-;18,0"]
)
def test_another_line_is_refused(line: str) -> None:
    """A child that was told nonsense must not guess."""
    with pytest.raises((ValueError, IndexError)):
        parse_confinement(line)


@pytest.mark.parametrize("path", ["", "relative", "/with\0null"])
def test_paths_are_absolute(path: str) -> None:
    """A confinement holds wherever the child stands."""
    with pytest.raises(ValueError, match="absolute"):
        Confinement(user=None, readable=[path])
