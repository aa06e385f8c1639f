"""What shim and agent say: the same frames however the stream is cut, and nothing lost on the way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.shim import model
from zlh_agent.shim import shim_wire as wire
from zlh_agent.shim.config import Config, parse_config, render_config

FRAMES = [(wire.INPUT, b"ls\n"), (wire.PROGRESS, bytes(16)), (99, b""), (wire.INPUT, bytes(300)), (wire.STATE, b"x")]
STREAM = b"".join(wire.render_frame(kind, body) for kind, body in FRAMES)
SNAPSHOT = {
    "shim_pid": 7,
    "shim_start_ticks": 9,
    "boot_id": "b",
    "stream": "s",
    "written": 2**40,
    "state": model.EXITED,
}


@pytest.mark.parametrize("size", range(1, len(STREAM) + 1, 1))
def test_feed_gives_the_same_frames_for_every_chunk_size(size: int) -> None:
    """Cutting the stream anywhere changes nothing."""
    feed = wire.FrameFeed()
    got = [frame for at in range(0, len(STREAM), size) for frame in feed.feed(STREAM[at : at + size])]
    assert got == FRAMES


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=200))), st.lists(st.integers(1, 64), min_size=1))
def test_feed_returns_what_was_rendered_for_any_cuts(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    """Any frames in any pieces come out as they went in."""
    stream = b"".join(wire.render_frame(kind, body) for kind, body in frames)
    feed, got, at, turn = wire.FrameFeed(), [], 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        got += feed.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert got == frames


@pytest.mark.parametrize("length", [0, wire.MAX_FRAME_BYTES + 1, 2**32 - 1])
def test_feed_refuses_an_impossible_length(length: int) -> None:
    """A stranger cannot make the other side wait for four gigabytes."""
    with pytest.raises(wire.WireError):
        wire.FrameFeed().feed(length.to_bytes(4, "big") + b"\x01")


@given(
    argv=st.lists(st.text(max_size=20), min_size=1, max_size=5),
    env=st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="="), min_size=1, max_size=9), st.text(max_size=40)
    ),
    groups=st.lists(st.integers(0, 2**32 - 2), max_size=4),
    uid=st.none() | st.integers(0, 2**32 - 2),
)
def test_launch_comes_back_as_it_was_rendered(
    argv: list[str], env: dict[str, str], groups: list[int], uid: int | None
) -> None:
    """Empty words, spaces, newlines and equal signs in values survive."""
    groups = groups if uid is not None else []
    launch = model.Launch(argv=argv, env=env, cwd="/a b", uid=uid, gid=uid, groups=groups, cols=1, rows=2, umask=7)
    body = wire.FrameFeed().feed(wire.render_spawn(5, launch))[0][1]
    serial, back = wire.parse_spawn(body)
    assert serial == 5
    assert all(getattr(back, name) == getattr(launch, name) for name in model.Launch.__slots__)


def test_launch_shows_no_environment_in_its_repr() -> None:
    """A secret in a variable never reaches a log."""
    assert "hush" not in repr(model.Launch(argv=["sh"], env={"TOKEN": "hush"}, cwd="/"))


def test_snapshot_comes_back_also_with_fields_of_a_newer_version() -> None:
    """What a newer shim has added behind is ignored."""
    snapshot = model.Snapshot(**SNAPSHOT, exit_code=0, exited_at_ns=3)  # type: ignore[arg-type]
    body = wire.FrameFeed().feed(wire.render_snapshot(wire.HELLO, snapshot))[0][1]
    back = wire.parse_snapshot(body + wire.render_fields([b"newer"]))
    assert all(getattr(back, name) == getattr(snapshot, name) for name in model.Snapshot.__slots__)


@given(st.binary(max_size=100))
def test_parsers_raise_nothing_but_wire_error_on_rubbish(body: bytes) -> None:
    """Whatever comes, the loop has one kind of error to expect."""
    for parse in (wire.parse_snapshot, wire.parse_spawn, wire.parse_spawned, wire.parse_resize, wire.parse_stop):
        try:
            parse(body)
        except wire.WireError:
            continue


def test_config_cut_short_is_refused() -> None:
    """An agent that dies while it writes the configuration starts nothing."""
    whole = render_config(Config(name="main", socket_folder="/s", state_folder="/t", capacity=5))
    assert parse_config(whole).capacity == 5
    for cut in range(len(whole)):
        with pytest.raises(wire.WireError):
            parse_config(whole[:cut])
