"""Files that root puts into a guest's root file system, where its customer may have been before. All of it blocks.

Every folder is opened beneath the root file system without following anything, and a file gets its name by a rename
within the folder that is held open. So a customer who has put links, pipes or other people's files in the way, or swaps
them under our hands, changes at most where in their own tree the files are.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from zlh_common.openat2 import NO_SYMLINKS, NO_XDEV, openat2

FOLDER = os.O_RDONLY | os.O_DIRECTORY
# How often a look is tried again that the kernel could not finish because of somebody who renames.
_TRIES = 100


def put_files(root: Path, folder: str, files: Mapping[str, bytes], *, owner_id: int, mode: int) -> None:
    """Make these files in `folder` of a root file system, in this order, as a user of the guest.

    Raises OSError where the customer has made something of the folder that is none.
    """
    with _opened(os.open(root, FOLDER | os.O_NOFOLLOW | os.O_CLOEXEC)) as top:
        at = _open_folder(top, folder, owner_id)
        with _opened(at):
            for name, content in files.items():
                _put_file(at, name, content, owner_id=owner_id, mode=mode)
            os.fsync(at)


def _open_folder(top: int, folder: str, owner_id: int) -> int:
    above, _slash, name = folder.rpartition("/")
    with _opened(_open_below(top, above or ".", FOLDER)) as parent:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)
            with _opened(_open_below(parent, name, FOLDER)) as made:
                os.fchown(made, owner_id, owner_id)
        return _open_below(parent, name, FOLDER)


def _put_file(folder: int, name: str, content: bytes, *, owner_id: int, mode: int) -> None:
    temporary = f".{name}.{token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(_open_below(folder, temporary, flags, mode=0o600), "wb") as file:
        try:
            file.write(content)
            file.flush()
            # Its mode first: until it has its owner, nobody but root may read it.
            os.fchmod(file.fileno(), mode)
            os.fchown(file.fileno(), owner_id, owner_id)
            os.fsync(file.fileno())
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise


def _open_below(folder: int, path: str, flags: int, *, mode: int = 0) -> int:
    for _ in range(_TRIES):
        try:
            return openat2(folder, os.fsencode(path), flags, mode=mode, resolve=NO_SYMLINKS | NO_XDEV)
        except OSError as exc:
            if exc.errno != errno.EAGAIN:
                raise OSError(exc.errno, exc.strerror, f"/{path} in the container") from exc
    raise OSError(errno.EAGAIN, "somebody keeps renaming", f"/{path} in the container")


@contextmanager
def _opened(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)
