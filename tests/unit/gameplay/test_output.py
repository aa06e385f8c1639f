"""Lines of the server's output, each once, and of which run they are."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from zlh_agent.gameplay.output import READ_BYTES, Line, Lost, OutputReader, RunEnded
from zlh_agent.supervision.runs import Runs

CAPACITY = 1 << 20
PREFIX = "[12:00:00] [Server thread/INFO]: "


@dataclass
class Ring:
    """The part of a console that is read: a history with its last CAPACITY bytes."""

    data: bytes = b""
    id: str = "first"
    capacity: int = CAPACITY

    def stream(self) -> str:
        """See Console."""
        return self.id

    def bounds(self) -> tuple[int, int]:
        """See Console."""
        return max(0, len(self.data) - self.capacity), len(self.data)

    def read(self, start: int, limit: int) -> bytes:
        """See Console."""
        return self.data[start : start + limit]


def hear(reader: OutputReader, ring: Ring, *starts: int, goes_on: bool = True) -> list[str]:
    """Return everything that is to be heard, in words."""
    told, runs = [], Runs(starts, goes_on)
    while True:
        before = (reader.offset, reader.run, reader._at)
        heard = reader.read(ring, runs)  # type: ignore[arg-type]
        told += [one.text if isinstance(one, Line) else type(one).__name__ for one in heard]
        if before == (reader.offset, reader.run, reader._at):
            return told


def test_lines_are_heard_once_and_of_the_run_alone() -> None:
    """What was printed before the first run that was seen is nobody's."""
    ring, reader = Ring(b"old\n"), OutputReader(None, 0, None)
    assert hear(reader, ring, 4) == []
    ring.data += b"one\ntw"
    assert hear(reader, ring, 4) == ["one"]
    ring.data += b"o\n"
    assert hear(reader, ring, 4) == ["two"]
    assert hear(reader, ring, 4) == []


def test_a_run_ends_behind_its_last_line() -> None:
    """Also where the next one has begun before anybody has read it."""
    ring, reader = Ring(), OutputReader(None, 0, None)
    hear(reader, ring, 0)
    ring.data = b"one\nlast\n"
    begun = len(ring.data)
    ring.data += b"next\n"
    assert hear(reader, ring, 0, begun) == ["one", "last", "RunEnded", "next"]
    assert hear(reader, ring, 0, begun, goes_on=False) == ["RunEnded"]
    assert hear(reader, ring, 0, begun, goes_on=False) == []


def test_runs_that_were_over_before_anybody_looked_are_heard() -> None:
    """What they have said of why they ended is what people need."""
    ring, reader = Ring(b"old\n"), OutputReader(None, 0, None)
    starts = []
    for line in (b"first\n", b"second\n"):
        starts.append(len(ring.data))
        ring.data += line
    told = ["first", "RunEnded", "second", "RunEnded"]
    assert hear(reader, ring, *starts, goes_on=False) == told
    assert hear(reader, ring, *starts, goes_on=False) == []


def test_a_run_that_printed_nothing_does_not_hide_the_next() -> None:
    """They begin at the same place."""
    ring, reader = Ring(), OutputReader(None, 0, None)
    assert hear(reader, ring, 0) == []
    assert hear(reader, ring, 0, goes_on=False) == ["RunEnded"]
    ring.data += b"one\n"
    assert hear(reader, ring, 0) == ["one"]


@given(st.lists(st.lists(st.sampled_from([b"a\n", b"bb\n", b"cc cc\n"]), max_size=5), max_size=12), st.data())
def test_however_late_it_is_looked_every_run_is_heard_whole(runs: list[list[bytes]], data: st.DataObject) -> None:
    """And no line of one is taken for one of another."""
    ring, reader, told = Ring(), OutputReader(None, 0, None), []
    starts: list[int] = []
    for lines in runs:
        starts.append(len(ring.data))
        for line in lines:
            ring.data += line
            if data.draw(st.booleans()):
                told += hear(reader, ring, *starts)
        if data.draw(st.booleans()):
            told += hear(reader, ring, *starts, goes_on=False)
    told += hear(reader, ring, *starts, goes_on=False)
    spoken = ",".join(told).split("RunEnded")
    heard = [tuple(line for line in part.split(",") if line) for part in spoken]
    assert [part for part in heard if part] == [
        tuple(line.decode().strip() for line in lines) for lines in runs if lines
    ]


def test_the_next_agent_goes_on_behind_the_last_whole_line() -> None:
    """And knows of which run it is, so one that ended meanwhile is over."""
    ring, reader = Ring(), OutputReader(None, 0, None)
    hear(reader, ring, 0)
    ring.data = b"one\ntw"
    hear(reader, ring, 0)
    ring.data += b"o\n"
    heir = OutputReader(reader.stream, reader.offset, reader.run)
    assert hear(heir, ring, 0) == ["two"]
    assert hear(OutputReader(heir.stream, heir.offset, heir.run), ring, 0, goes_on=False) == ["RunEnded"]


def test_output_that_was_too_fast_is_told_as_lost() -> None:
    """The line that was cut by it is none."""
    ring, reader = Ring(), OutputReader(None, 0, None)
    hear(reader, ring, 0)
    ring.data = b"begun " + b"x" * (CAPACITY + 10) + b"\nlast\n"
    told = hear(reader, ring, 0)
    assert told == [Lost.__name__, "last"]


def test_what_is_left_of_a_line_is_no_line() -> None:
    """What a player has said, cut where it may be, never reads as the server's own word."""
    said = PREFIX + "Steve joined the game"
    for cut in range(len(said) + 8):
        ring, reader = Ring(), OutputReader(None, 0, None)
        hear(reader, ring, 0)
        line = b"<Alex> " + said.encode() + b"\n"
        ring.data = line + b"y" * (CAPACITY - len(line) + cut - 1) + b"\n"
        assert not any("joined" in told for told in hear(reader, ring, 0) if cut)


def test_the_next_agent_does_not_begin_in_what_is_left_of_a_line() -> None:
    """The one before has lost its beginning, and was gone before its end had come."""
    ring, reader = Ring(b"a\n"), OutputReader(None, 0, None)
    hear(reader, ring, 0)
    ring.data = b"x" * (CAPACITY + 5)
    assert hear(reader, ring, 0) == [Lost.__name__]
    heir = OutputReader(reader.stream, reader.offset, reader.run)
    ring.data += b"rest\nnext\n"
    ring.capacity = len(ring.data)
    assert hear(heir, ring, 0) == ["next"]


def test_an_agent_that_comes_when_all_before_is_gone_begins_with_the_next_line() -> None:
    """And reads that one to its end, in however many parts it comes."""
    ring = Ring(b"x" * 10)
    ring.capacity = 5
    heir = OutputReader(ring.id, 5, 0)
    assert hear(heir, ring, 0) == []
    ring.data, ring.capacity = ring.data + b"\nne", 8
    assert hear(heir, ring, 0) == []
    ring.data, ring.capacity = ring.data + b"xt\n", 11
    assert hear(heir, ring, 0) == ["next"]


def test_a_run_whose_beginning_is_lost_is_not_begun_in_a_line() -> None:
    """It is heard from the next line on, by whoever hears of the run."""
    ring, reader = Ring(b"x" * (CAPACITY + 5) + b"rest\nnext\n"), OutputReader(None, 0, None)
    assert hear(reader, ring, 3) == [Lost.__name__, "next"]


def test_another_history_begins_at_its_beginning() -> None:
    """The one before was removed, and its run is over."""
    ring, reader = Ring(), OutputReader(None, 0, None)
    hear(reader, ring, 0)
    ring.data = b"one\n"
    hear(reader, ring, 0)
    assert hear(reader, Ring(b"new\n", "second"), 0) == [RunEnded.__name__, "new"]


@given(st.lists(st.sampled_from([b"a\n", b"bb\n", b"c", b"\r\n", b"dd dd\n"]), max_size=60), st.data())
def test_however_it_is_read_the_lines_are_the_same(parts: list[bytes], data: st.DataObject) -> None:
    """In whatever pieces it comes, and by however many agents, each of which goes on from what the last one kept."""
    ring, reader, told = Ring(), OutputReader(None, 0, None), []
    hear(reader, ring, 0)
    for part in parts:
        ring.data += part
        if data.draw(st.booleans()):
            told += hear(reader, ring, 0)
        if data.draw(st.booleans()):
            reader = OutputReader(reader.stream, reader.offset, reader.run)
    told += hear(reader, ring, 0)
    assert told == [line.decode().rstrip("\r") for line in ring.data.split(b"\n")[:-1]]


def test_much_is_read_in_parts() -> None:
    """Everybody else has a turn between two."""
    ring, reader = Ring(), OutputReader(None, 0, None)
    hear(reader, ring, 0)
    ring.data = b"x" * 99 + b"\n"
    ring.data *= 2000
    assert len(list(reader.read(ring, Runs((0,), goes_on=True)))) <= READ_BYTES // 100 + 1  # type: ignore[arg-type]
    assert reader.is_behind(ring)  # type: ignore[arg-type]
