"""What is in a regular file: copied with its holes, or hashed."""

from __future__ import annotations

import errno
import os
import stat

from zlh_agent.files.refusals import FILE_CHANGED, IS_A_FOLDER, NOT_A_REGULAR_FILE, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from zlh_agent.files.work import Work

_COPY_BYTES = 16 * 1024 * 1024
_BLOCK_BYTES = 1024 * 1024
_NO_COPY_RANGE = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY}


def require_regular(fd: int, *, size: int = 0) -> os.stat_result:
    """Return what an open file is; raise Refused where it is no regular file, or shorter than `size`."""
    status = os.fstat(fd)
    if stat.S_ISDIR(status.st_mode):
        raise Refused(IS_A_FOLDER)
    if not stat.S_ISREG(status.st_mode):
        raise Refused(NOT_A_REGULAR_FILE)
    if status.st_size < size:
        raise Refused(FILE_CHANGED)
    return status


def copy_content(source: int, target: int, work: Work) -> None:
    """Copy what is data, by reference where the disk can; the length is that of the source when it was looked at."""
    size = os.fstat(source).st_size
    at = 0
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as exc:
            if exc.errno == errno.ENXIO:
                break  # only a hole is left
            raise
        end = min(os.lseek(source, at, os.SEEK_HOLE), size)
        while at < end:
            done = _copy_range(source, target, at, min(end - at, _COPY_BYTES))
            if done == 0:
                return  # it was cut while we read
            at += done
            work.count(byte_count=done)
    os.ftruncate(target, size)


def hash_content(fd: int, work: Work) -> str:
    """Return the SHA-256 of what is in a file, as long as it was when it was begun with."""
    import hashlib  # noqa: PLC0415 - in the children that hash, and nowhere else; it is heavy

    digest = hashlib.sha256()
    block = memoryview(bytearray(_BLOCK_BYTES))
    # A file that grows as fast as it is read would be read for ever.
    left = os.fstat(fd).st_size
    while left > 0:
        count = os.readv(fd, [block[: min(left, _BLOCK_BYTES)]])
        if count == 0:
            break
        digest.update(block[:count])
        left -= count
        work.count(byte_count=count)
    return digest.hexdigest()


def _copy_range(source: int, target: int, at: int, count: int) -> int:
    try:
        return os.copy_file_range(source, target, count, at, at)
    except OSError as exc:
        if exc.errno not in _NO_COPY_RANGE:
            raise
    data = os.pread(source, min(count, _BLOCK_BYTES), at)
    return os.pwrite(target, data, at)
