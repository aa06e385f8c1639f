"""Calls on a root in this very process, and why they were refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from zlh_agent.files.beneath import Root
from zlh_agent.files.model import EXCHANGE, KEEP, Answer
from zlh_agent.files.partials import Placing
from zlh_agent.files.refusals import Refused, refusal_of
from zlh_agent.files.searching import Sought
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


def place(root: Root, partial: bytes, target: bytes, content: bytes = b"changed") -> object:
    """Put a partial file in place; where that is refused, it is gone too."""
    root.make_partial(partial, parents=False)
    try:
        os.close(_filled(root, partial, content))
        return root.put_in_place(partial, target, Placing(size=len(content), replace=True))
    finally:
        root.remove_if_there(partial)


def _filled(root: Root, partial: bytes, content: bytes) -> int:
    fd = root.open_to_append(partial, offset=0)
    os.write(fd, content)
    return fd


def copy_tree(root: Root, source: bytes, target: bytes, *, overwrite: str = "refuse") -> Work:
    """Copy whatever it is; return what was done."""
    work = Work()
    staging = target.rpartition(b"/")[0] + b"/.staging"
    root.copy_tree(source, target, staging=staging, overwrite=overwrite, work=work)
    return work


def measure(root: Root, path: bytes) -> Work:
    """Return how much there is."""
    work = Work()
    root.measure(path, work=work)
    return work


def search(root: Root, path: bytes, **sought: object) -> list[Answer]:
    """Return what is found."""
    found: list[Answer] = []
    asked = {"name": "", "text": "", "match_case": False, "limit": 1000, **sought}
    root.search(path, Sought(**asked), tell=found.append, work=Work())  # type: ignore[arg-type]
    return found


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
    "copy tree from": lambda root, path: copy_tree(root, path + b"/folder", b"copy", overwrite="skip"),
    "copy tree to": lambda root, path: copy_tree(root, b"folder", path + b"/copied", overwrite="replace"),
    "copy tree into": lambda root, path: copy_tree(root, b"folder", path + b"/folder", overwrite="replace"),
    "measure": lambda root, path: root.measure(path, work=Work()),
    "checksum": lambda root, path: root.checksum(path, work=Work()),
    "search": lambda root, path: search(root, path, name="file", text="i"),
    "make partial": lambda root, path: root.make_partial(path + b"/.part", parents=False),
    "make partial below": lambda root, path: root.make_partial(path + b"/new/.part", parents=True),
    "place from": lambda root, path: root.put_in_place(path + b"/file", b"placed", Placing(size=6, replace=True)),
    "place to": lambda root, path: place(root, b".part", path),
    "remove if there": lambda root, path: root.remove_if_there(path + b"/file"),
    "open folder": lambda root, path: (root.open_folder(path),),
}


class _Asked(Exception):
    """A call was made."""


class Recorder:
    """In the place of a root: tells which of its methods a call uses first."""

    def __getattr__(self, name: str) -> Callable[..., object]:
        """Return a method that says its name."""

        def tell(*_given: object, **_named: object) -> object:
            raise _Asked(name)

        return tell


def methods_of(calls: Mapping[str, Callable[[Root, bytes], object]]) -> set[str]:
    """Return which methods of a root some calls are made to, the first of each."""
    found: set[str] = set()
    for call in calls.values():
        try:
            call(cast("Root", Recorder()), b"path")
        except _Asked as asked:
            found.add(str(asked))
    return found


def all_methods() -> set[str]:
    """Return every method of a root that takes a path."""
    others = {"close", "is_safe", "require_current", "room"}
    return {name for name in dir(Root) if not name.startswith("_")} - others
