"""What a shim and its agent say to each other over the shim's Unix socket, without any I/O.

A frame is a length (4 bytes, of what follows), a kind (1 byte) and a body. What comes often has a body of fixed
layout; the rest is a list of fields, each with its own length: a receiver takes those that it knows by place and
ignores further ones and whole kinds that it does not know, so that an agent can be newer or older than a shim that it
finds running.

    shim → agent   HELLO, STATE  Snapshot        on connect; whenever something in it has changed
                   PROGRESS      written, accepted   a doorbell: the ring has grown, or input was taken
                   SPAWNED       SpawnResult     the answer to SPAWN
    agent → shim   INPUT         bytes for the child
                   RESIZE        cols, rows, redraw   the last is asked for by agents of version 1 alone
                   STOP          signal, grace   everybody here: the signal, then SIGKILL after the grace
                   SPAWN         serial, Launch
                   END           forget, grace   STOP with SIGHUP, then the shim exits; forget: its files go too
                   LADDER        rungs           since 2: STOP by steps, input or signals, each with its grace
                   REQUEST       id              on whose behalf everything after it is ordered; empty: nobody's

Version 2 added LADDER, the ladder of a Launch, and the fields of a Snapshot from `left` on. An agent may meet shims of
every version since 1: it orders nothing that they do not know, and lives without what they do not say.

The shim imports this, so it needs nothing but `struct`.
"""

from __future__ import annotations

import struct

from zlh_agent.shim.model import Launch, Rung, Snapshot, SpawnResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_FRAME_BYTES = 1024 * 1024
# What an agent may have under way to a shim that has not been accepted; more would only be held in memory.
INPUT_WINDOW_BYTES = 256 * 1024
# A shim reports accepted input at the latest after this much, so that a window can never stay shut.
ACCEPT_STEP_BYTES = 32 * 1024

HELLO, STATE, PROGRESS, SPAWNED = 1, 2, 3, 4
# 18 was given to an order that no agent has ever sent.
INPUT, RESIZE, STOP, SPAWN, END, LADDER, REQUEST = 16, 17, 19, 20, 21, 22, 23

_HEAD = struct.Struct(">IB")
_LENGTH = struct.Struct(">I")
_PROGRESS = struct.Struct(">QQ")
_RESIZE = struct.Struct(">HHB")
_STOP = struct.Struct(">BI")


class WireError(Exception):
    """The other side does not speak this protocol; nothing after this point can be believed."""


class FrameFeed:
    """Cuts a byte stream into frames; the same frames however the stream is cut on its way."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the (kind, body) of every frame that `data` completes; raise WireError on an impossible length."""
        self._buffer += data
        frames: list[tuple[int, bytes]] = []
        at = 0
        while len(self._buffer) - at >= _HEAD.size:
            length, kind = _HEAD.unpack_from(self._buffer, at)
            if not 1 <= length <= MAX_FRAME_BYTES:
                raise WireError(f"a frame has 1 to {MAX_FRAME_BYTES} bytes, this one says {length}")
            end = at + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            frames.append((kind, bytes(self._buffer[at + _HEAD.size : end])))
            at = end
        del self._buffer[:at]
        return frames


def render_frame(kind: int, body: bytes = b"") -> bytes:
    """Return one frame."""
    if len(body) >= MAX_FRAME_BYTES:
        raise WireError(f"a frame has at most {MAX_FRAME_BYTES} bytes, this one would have {len(body) + 1}")
    return _HEAD.pack(len(body) + 1, kind) + body


def render_fields(fields: Sequence[bytes]) -> bytes:
    """Return fields, each behind its length."""
    return b"".join(_LENGTH.pack(len(field)) + field for field in fields)


def parse_fields(raw: bytes) -> list[bytes]:
    """Return the fields of `raw`; raise WireError where it was cut short."""
    fields: list[bytes] = []
    at = 0
    while at < len(raw):
        if at + _LENGTH.size > len(raw):
            raise WireError("a field was cut short")
        (length,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size + length
        if at > len(raw):
            raise WireError("a field was cut short")
        fields.append(raw[at - length : at])
    return fields


def render_snapshot(kind: int, snapshot: Snapshot) -> bytes:
    """Return a HELLO or STATE frame."""
    values = (
        snapshot.version,
        snapshot.shim_pid,
        snapshot.shim_start_ticks,
        snapshot.boot_id,
        snapshot.stream,
        snapshot.written,
        snapshot.state,
        snapshot.child_pid,
        snapshot.child_start_ticks,
        snapshot.started_at_ns,
        snapshot.exit_code,
        snapshot.exit_signal,
        snapshot.exited_at_ns,
        snapshot.left,
        int(snapshot.out_of_memory),
        snapshot.start_offset,
        snapshot.kill_at_ns,
    )
    return render_frame(kind, render_fields([b"" if value is None else str(value).encode() for value in values]))


def parse_snapshot(body: bytes) -> Snapshot:
    """Return the body of a HELLO or STATE frame; raise WireError where it is none."""
    try:
        fields = [field.decode() for field in parse_fields(body)]
        optional = [int(field) if field else None for field in fields[7:17]]
        # A shim of version 1 ends here.
        optional += [None] * (10 - len(optional)) if len(optional) >= 6 else []
        child_pid, child_start_ticks, started_at_ns, exit_code, exit_signal, exited_at_ns, *since_2 = optional
        left, out_of_memory, start_offset, kill_at_ns = since_2
        return Snapshot(
            version=int(fields[0]),
            shim_pid=int(fields[1]),
            shim_start_ticks=int(fields[2]),
            boot_id=fields[3],
            stream=fields[4],
            written=int(fields[5]),
            state=fields[6],
            child_pid=child_pid,
            child_start_ticks=child_start_ticks,
            started_at_ns=started_at_ns,
            exit_code=exit_code,
            exit_signal=exit_signal,
            exited_at_ns=exited_at_ns,
            left=left or 0,
            out_of_memory=bool(out_of_memory),
            start_offset=start_offset,
            kill_at_ns=kill_at_ns,
        )
    except (ValueError, IndexError) as exc:
        raise WireError("this is no snapshot of a shim") from exc


def render_progress(written: int, accepted: int) -> bytes:
    """Return a PROGRESS frame: the ring's written offset, and the input bytes taken since the connection began."""
    return render_frame(PROGRESS, _PROGRESS.pack(written, accepted))


def parse_progress(body: bytes) -> tuple[int, int]:
    """Return (written, accepted)."""
    written, accepted = _unpack(_PROGRESS, body)
    return written, accepted


def render_spawned(result: SpawnResult) -> bytes:
    """Return a SPAWNED frame."""
    return render_frame(
        SPAWNED, render_fields([str(result.serial).encode(), str(result.errno).encode(), result.step.encode()])
    )


def parse_spawned(body: bytes) -> SpawnResult:
    """Return the body of a SPAWNED frame; raise WireError where it is none."""
    try:
        serial, errno, step, *_ = parse_fields(body)
        return SpawnResult(serial=int(serial), errno=int(errno), step=step.decode())
    except ValueError as exc:
        raise WireError("this is no answer to a spawn") from exc


def render_spawn(serial: int, launch: Launch) -> bytes:
    """Return a SPAWN frame; raise WireError where argv and environment are too large for one."""
    owner = "" if launch.uid is None else f"{launch.uid} {launch.gid} {' '.join(map(str, launch.groups))}"
    numbers = f"{serial} {launch.cols} {launch.rows} {launch.umask}"
    # surrogateescape: a folder or a variable need not be UTF-8.
    fields = [
        numbers.encode(),
        owner.encode(),
        launch.cwd.encode("utf-8", "surrogateescape"),
        render_fields([word.encode("utf-8", "surrogateescape") for word in launch.argv]),
        render_fields([f"{key}={value}".encode("utf-8", "surrogateescape") for key, value in launch.env.items()]),
        render_ladder(launch.ladder),
        b"folder" if launch.needs_folder else b"",
    ]
    return render_frame(SPAWN, render_fields(fields))


def parse_spawn(body: bytes) -> tuple[int, Launch]:
    """Return (serial, launch) of a SPAWN frame; raise WireError where it is none."""
    try:
        numbers, owner, cwd, argv, env, *since_2 = parse_fields(body)
        serial, cols, rows, umask = (int(number) for number in numbers.split())
        ids = [int(number) for number in owner.split()]
        pairs = (field.decode("utf-8", "surrogateescape").partition("=") for field in parse_fields(env))
        launch = Launch(
            argv=[word.decode("utf-8", "surrogateescape") for word in parse_fields(argv)],
            env={key: value for key, _, value in pairs},
            cwd=cwd.decode("utf-8", "surrogateescape"),
            cols=cols,
            rows=rows,
            uid=ids[0] if ids else None,
            gid=ids[1] if ids else None,
            groups=ids[2:],
            umask=umask,
            ladder=parse_ladder(since_2[0]) if since_2 else (),
            # An agent of version 1 knows shells only.
            needs_folder=bool(since_2[1]) if since_2 else False,
        )
    except (ValueError, IndexError) as exc:
        raise WireError("this is no launch") from exc
    return serial, launch


def render_ladder(rungs: Sequence[Rung]) -> bytes:
    """Return rungs, the first to be taken first: the body of a LADDER frame, and a field of a SPAWN."""
    return render_fields([f"{rung.signal} {rung.grace_ms} ".encode() + rung.text for rung in rungs])


def parse_ladder(body: bytes) -> tuple[Rung, ...]:
    """Return the rungs of `render_ladder`; raise WireError where these are none."""
    try:
        return tuple(_parse_rung(field) for field in parse_fields(body))
    except ValueError as exc:
        raise WireError("this is no ladder") from exc


def _parse_rung(field: bytes) -> Rung:
    number, grace_ms, text = field.split(b" ", 2)
    return Rung(signal=int(number), grace_ms=int(grace_ms), text=text)


def render_resize(cols: int, rows: int, *, redraw: bool = False) -> bytes:
    """Return a RESIZE frame; `redraw` asks for SIGWINCH even where the size is what it was, as former agents do."""
    return render_frame(RESIZE, _RESIZE.pack(cols, rows, redraw))


def parse_resize(body: bytes) -> tuple[int, int, bool]:
    """Return (cols, rows, redraw)."""
    cols, rows, redraw = _unpack(_RESIZE, body)
    return cols, rows, bool(redraw)


def render_stop(number: int, grace_ms: int) -> bytes:
    """Return a STOP frame: this signal to the child and its kin, SIGKILL after the grace."""
    return render_frame(STOP, _STOP.pack(number, grace_ms))


def parse_stop(body: bytes) -> tuple[int, int]:
    """Return (signal, grace in ms)."""
    number, grace_ms = _unpack(_STOP, body)
    return number, grace_ms


def render_end(*, forget: bool, grace_ms: int) -> bytes:
    """Return an END frame."""
    return render_frame(END, _STOP.pack(forget, grace_ms))


def parse_end(body: bytes) -> tuple[bool, int]:
    """Return (forget, grace in ms)."""
    forget, grace_ms = _unpack(_STOP, body)
    return bool(forget), grace_ms


def render_request(request_id: str) -> bytes:
    """Return a REQUEST frame; a shim that knows none passes over it."""
    return render_frame(REQUEST, request_id.encode())


def parse_request(body: bytes) -> str:
    """Return the id of the request."""
    return body.decode("utf-8", "replace")


def _unpack(layout: struct.Struct, body: bytes) -> tuple[int, ...]:
    """Return what `layout` says, ignoring bytes that a newer version has added behind it."""
    if len(body) < layout.size:
        raise WireError(f"a body of {layout.size} bytes was cut to {len(body)}")
    return layout.unpack_from(body)
