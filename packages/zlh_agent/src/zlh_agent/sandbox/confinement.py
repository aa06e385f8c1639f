"""What a child shall be confined to: a value, and the one line by which it travels to the child.

Children import this, so there are no dataclasses here (they cost 8 ms), only slots.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LIMITS = ("address_space_bytes", "file_bytes", "open_files", "processes", "core_bytes")


class Confinement:
    """Who a process becomes and what it may still reach. Paths are absolute and mean all below them.

    `user` is (uid, gid, further groups), None stays who it is. `connect_ports` are the TCP ports that it may connect
    to, None is any. A limit of None is left as it is.
    """

    __slots__ = (
        "address_space_bytes", "connect_ports", "core_bytes", "executable", "file_bytes", "oom_score_adj",
        "open_files", "processes", "readable", "umask", "user", "writable",
    )  # fmt: skip

    def __init__(
        self,
        *,
        user: tuple[int, int, Sequence[int]] | None,
        readable: Sequence[str] = (),
        writable: Sequence[str] = (),
        executable: Sequence[str] = (),
        connect_ports: Sequence[int] | None = (),
        address_space_bytes: int | None = None,
        file_bytes: int | None = None,
        open_files: int | None = None,
        processes: int | None = None,
        core_bytes: int | None = 0,
        umask: int = 0o022,
        oom_score_adj: int = 500,
    ) -> None:
        for path in (*readable, *writable, *executable):
            if not path.startswith("/") or "\0" in path:
                raise ValueError(f"a path of a confinement is absolute, {path!r} is not")
        self.user = None if user is None else (user[0], user[1], tuple(user[2]))
        self.readable = tuple(readable)
        self.writable = tuple(writable)
        self.executable = tuple(executable)
        self.connect_ports = None if connect_ports is None else tuple(connect_ports)
        self.address_space_bytes = address_space_bytes
        self.file_bytes = file_bytes
        self.open_files = open_files
        self.processes = processes
        self.core_bytes = core_bytes
        self.umask = umask
        self.oom_score_adj = oom_score_adj

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Confinement) and all(
            getattr(self, name) == getattr(other, name) for name in self.__slots__
        )

    __hash__ = None  # type: ignore[assignment]  # a value that nobody keeps in a set

    def __repr__(self) -> str:
        return f"Confinement({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


def render_confinement(confinement: Confinement) -> str:
    """Return it as one line: fields in their order, their parts in hexadecimal where they are text. No secret in it."""
    uid, gid, groups = confinement.user or (None, None, ())
    fields = [
        _render_numbers((uid, gid, *groups) if confinement.user else ()),
        *(_render_paths(paths) for paths in (confinement.readable, confinement.writable, confinement.executable)),
        "any" if confinement.connect_ports is None else _render_numbers(confinement.connect_ports),
        _render_numbers([getattr(confinement, name) for name in LIMITS]),
        _render_numbers((confinement.umask, confinement.oom_score_adj)),
    ]
    return ";".join(fields)


def parse_confinement(line: str) -> Confinement:
    """Return what `render_confinement` wrote; raise ValueError where it did not."""
    user, readable, writable, executable, ports, limits, rest = line.split(";")
    ids = _parse_numbers(user)
    umask, oom_score_adj = _parse_numbers(rest)
    return Confinement(
        user=(ids[0], ids[1], ids[2:]) if ids else None,
        readable=_parse_paths(readable),
        writable=_parse_paths(writable),
        executable=_parse_paths(executable),
        connect_ports=None if ports == "any" else _parse_numbers(ports),
        umask=umask,
        oom_score_adj=oom_score_adj,
        **{name: int(text) if text != "-" else None for name, text in zip(LIMITS, limits.split(","), strict=True)},
    )


def _render_numbers(numbers: Sequence[int | None]) -> str:
    return ",".join("-" if number is None else str(number) for number in numbers)


def _parse_numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")] if text else []


def _render_paths(paths: Sequence[str]) -> str:
    # surrogateescape: a folder need not be UTF-8.
    return ",".join(path.encode("utf-8", "surrogateescape").hex() for path in paths)


def _parse_paths(text: str) -> list[str]:
    return [bytes.fromhex(path).decode("utf-8", "surrogateescape") for path in text.split(",")] if text else []
