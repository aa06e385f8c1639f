"""What the agent and its forwarder say to each other: one message each way, on a socket that keeps them apart. Pure.

first    parent and confinement        → `ready`, or `failed` and why
lead     a port and where it leads     → `done 0`; with the descriptor of a socket that listens where it is new
close    a port: listen no more        → `done 0`; connections go on
cut      a port: end its connections   → `done` and how many
"""

from __future__ import annotations

MAX_MESSAGE_BYTES = 4096
READY = b"ready"
LEAD, CLOSE, CUT = "lead", "close", "cut"


def render_order(parent: int, confinement: str) -> bytes:
    """Return the first message to a forwarder."""
    return f"{parent} {confinement}".encode()


def parse_order(message: bytes) -> tuple[int, str]:
    """Return what `render_order` was given."""
    parent, confinement = message.decode().split(" ", 1)
    return int(parent), confinement


def render_call(verb: str, port: int, target: str = "") -> bytes:
    """Return one request; `target` is the address that a port leads to."""
    return f"{verb} {port} {target}".rstrip().encode()


def parse_call(message: bytes) -> tuple[str, int, str]:
    """Return what `render_call` was given."""
    verb, port, *target = message.decode().split(" ")
    return verb, int(port), target[0] if target else ""


def render_failed(reason: str) -> bytes:
    """Return that the forwarder could not begin."""
    return f"failed {reason}".encode()[:MAX_MESSAGE_BYTES]


def render_done(number: int) -> bytes:
    """Return the answer to a request."""
    return f"done {number}".encode()


def parse_done(message: bytes) -> int | None:
    """Return the number of an answer, or None where it is none."""
    word, _, number = message.partition(b" ")
    return int(number) if word == b"done" and number.isdigit() and len(number) < 10 else None
