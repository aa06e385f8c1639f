"""Every call that a program can make on one path, as it goes through a real child."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

from component.files.code_table import DONE
from zlh_agent.files.model import ALL_OR_NOTHING, EXCHANGE, KEEP, REPLACE, REPLACE_PRESENT
from zlh_agent.files.refusals import INTO_ITSELF, PERMISSION_DENIED
from zlh_agent.files.service import Files
from zlh_common.schema.file_refusals import REFUSALS, FileRefused, show_path

Call = Callable[[Files, str], Awaitable[object]]
STAGING = ".s.zlh-staging"
# Refusals of calls with two paths that are as much of the other one, and told of the first.
OF_BOTH = {
    "move a folder over": INTO_ITSELF,
    "copy a folder to": INTO_ITSELF,
    "copy a folder over": INTO_ITSELF,
    "exchange with": PERMISSION_DENIED,
}


async def outcome_of(work: Awaitable[object], path: str, *, of_both: str | None = None) -> str:
    """Return DONE or the code of a refusal, which must tell of this path unless its code is `of_both`."""
    try:
        await work
    except FileRefused as refused:
        told = refused
    else:
        return DONE
    assert told.status == REFUSALS[told.code].status
    if told.code != of_both:
        assert told.data["path"] == show_path(path or "/")
    return told.code


async def _read(files: Files, path: str) -> None:
    fd, _ = await files.open_to_read(path)
    os.close(fd)


async def _append(files: Files, path: str) -> None:
    os.close(await files.open_to_append(path, offset=0))


async def _write(files: Files, path: str, *, replace: bool = True) -> None:
    async with files.writing(path, replace=replace) as fd:
        os.write(fd, b"changed")


async def _place(files: Files, path: str, *, replace: bool = True) -> None:
    """Put an upload in place; where that is refused, it is given up."""
    await files.make_partial(".p.zlh-part")
    try:
        await files.put_in_place(".p.zlh-part", path, size=0, replace=replace)
    finally:
        await files.remove_if_there(".p.zlh-part")


async def _copy(files: Files, source: str, path: str, overwrite: str) -> None:
    staging = f"{path.rpartition('/')[0]}/{STAGING}"
    await files.copy_tree(source, path, staging=staging, overwrite=overwrite)


CALLS: dict[str, Call] = {
    "stat": lambda files, path: files.stat(path),
    "stat followed": lambda files, path: files.stat(path, follow=True),
    "list": lambda files, path: files.list_folder(path),
    "read": _read,
    "checksum": lambda files, path: files.checksum(path),
    "measure": lambda files, path: files.measure(path),
    "search": lambda files, path: files.search(path, name="file"),
    "write": _write,
    "write new": lambda files, path: _write(files, path, replace=False),
    "begin an upload at": lambda files, path: files.make_partial(path),
    "go on with": _append,
    "place an upload at": _place,
    "place a new upload at": lambda files, path: _place(files, path, replace=False),
    "place as an upload": lambda files, path: files.put_in_place(path, "placed", size=6, replace=False),
    "give up": lambda files, path: files.remove_if_there(path),
    "make a folder": lambda files, path: files.make_folder(path),
    "make folders": lambda files, path: files.make_folder(path, parents=True),
    "make a link": lambda files, path: files.make_link(path, "file"),
    "move": lambda files, path: files.move(path, "moved", how=KEEP),
    "move a file to": lambda files, path: files.move("held", path, how=KEEP),
    "move a file over": lambda files, path: files.move("held", path, how=REPLACE),
    "move a folder over": lambda files, path: files.move("empty", path, how=REPLACE),
    "exchange with": lambda files, path: files.move("held", path, how=EXCHANGE),
    "copy": lambda files, path: files.copy_tree(path, "copied", staging=STAGING),
    "copy a file to": lambda files, path: _copy(files, "held", path, ALL_OR_NOTHING),
    "copy a file over": lambda files, path: _copy(files, "held", path, REPLACE_PRESENT),
    "copy a link over": lambda files, path: _copy(files, "dangling", path, REPLACE_PRESENT),
    "copy a folder to": lambda files, path: _copy(files, "empty", path, ALL_OR_NOTHING),
    "copy a folder over": lambda files, path: _copy(files, "empty", path, REPLACE_PRESENT),
    "copy the content of": lambda files, path: files.copy(path, "copied"),
    "copy the content to": lambda files, path: files.copy("held", path, replace=True),
    "remove": lambda files, path: files.remove(path),
    "remove all of": lambda files, path: files.remove_tree(path),
    "change the rights of": lambda files, path: files.change_mode(path, 0o600),
    "set the time of": lambda files, path: files.set_times(path, modified_ns=5),
}
