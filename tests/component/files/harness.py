"""Calls on a root in this very process, and why they were refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from zlh_agent.files.beneath import Root
from zlh_agent.files.model import EXCHANGE, KEEP
from zlh_agent.files.refusals import Refused, refusal_of
from zlh_agent.files.work import Work


def names_in(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def code_of(call: Callable[..., object], *arguments: object, **named: object) -> str:
    """Return why a call is refused."""
    try:
        result = call(*arguments, **named)
    except Refused as refused:
        return refused.code
    except OSError as error:
        return refusal_of(error).code
    if isinstance(result, tuple) and isinstance(result[0], int):
        os.close(result[0])
    return f"not refused: {result!r}"


def read(root: Root, path: bytes) -> bytes:
    """Return the content of a file."""
    fd, _ = root.open_to_read(path)
    with os.fdopen(fd, "rb") as file:
        return file.read()


def write(root: Root, path: bytes, content: bytes, *, replace: bool = True, expected: str | None = None) -> None:
    """Write a whole file."""
    work = root.begin_file(path, replace=replace, expected=expected)
    try:
        os.write(work.fd, content)
        work.finish()
    finally:
        work.close()


CALLS: dict[str, Callable[[Root, bytes], object]] = {
    "stat": lambda root, path: root.stat(path, follow=True),
    "list": lambda root, path: root.list_folder(path, limit=9),
    "read": lambda root, path: root.open_to_read(path),
    "append": lambda root, path: (root.open_to_append(path, offset=0),),
    "write": lambda root, path: write(root, path, b"changed"),
    "copy from": lambda root, path: root.copy(path, b"copy", replace=False, work=Work()),
    "copy to": lambda root, path: root.copy(b"file", path, replace=True, work=Work()),
    "make folder": lambda root, path: root.make_folder(path + b"/new", parents=False),
    "make folders": lambda root, path: root.make_folder(path + b"/new/er", parents=True),
    "move from": lambda root, path: root.move(path + b"/file", b"moved", how=KEEP),
    "move to": lambda root, path: root.move(b"file", path + b"/moved", how=KEEP),
    "exchange": lambda root, path: root.move(b"file", path + b"/file", how=EXCHANGE),
    "make link": lambda root, path: root.make_link(path + b"/link", b"file"),
    "remove": lambda root, path: root.remove(path + b"/file"),
    "remove tree": lambda root, path: root.remove_tree(path + b"/folder", work=Work()),
    "change mode": lambda root, path: root.change_mode(path + b"/file", 0o600),
    "set times": lambda root, path: root.set_times(path + b"/file", modified_ns=5),
}
