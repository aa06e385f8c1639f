"""Why the child did not do what it was asked to: a stable code for every error that the kernel can answer with.

The agent's words for the codes stand in `zlh_common.schema.file_refusals`.
"""

from __future__ import annotations

import errno

PATH_INVALID, PATH_NOT_FOUND, PATH_OUTSIDE, PATH_BUSY = "path_invalid", "path_not_found", "path_outside", "path_busy"
NAME_TOO_LONG, TOO_MANY_LINKS, IS_THE_ROOT = "name_too_long", "too_many_links", "is_the_root"
IS_A_FOLDER, NOT_A_FOLDER, FOLDER_NOT_EMPTY = "is_a_folder", "not_a_folder", "folder_not_empty"
NOT_A_REGULAR_FILE, IS_A_LINK, LINK_OUTSIDE = "not_a_regular_file", "is_a_link", "link_outside"
FILE_EXISTS, FILE_CHANGED, FILE_TOO_LARGE = "file_exists", "file_changed", "file_too_large"
PERMISSION_DENIED, MODE_NOT_ALLOWED = "permission_denied", "mode_not_allowed"
INTO_ITSELF, OTHER_FILE_SYSTEM = "into_itself", "other_file_system"
DISK_FULL, DISK_READ_ONLY, DISK_FAILED = "disk_full", "disk_read_only", "disk_error"
FILES_LIMIT, FILES_FAILED = "files_limit", "files_failed"

_CODES = {
    errno.ENOENT: PATH_NOT_FOUND,
    errno.ESTALE: PATH_NOT_FOUND,
    errno.ENOTDIR: NOT_A_FOLDER,
    errno.EISDIR: IS_A_FOLDER,
    errno.ENOTEMPTY: FOLDER_NOT_EMPTY,
    errno.EEXIST: FILE_EXISTS,
    errno.EACCES: PERMISSION_DENIED,
    errno.EPERM: PERMISSION_DENIED,
    errno.ENOSPC: DISK_FULL,
    errno.EDQUOT: DISK_FULL,
    errno.EROFS: DISK_READ_ONLY,
    errno.EIO: DISK_FAILED,
    errno.EUCLEAN: DISK_FAILED,
    errno.ENAMETOOLONG: NAME_TOO_LONG,
    errno.EILSEQ: PATH_INVALID,
    errno.ELOOP: TOO_MANY_LINKS,
    errno.EMLINK: TOO_MANY_LINKS,
    errno.ENXIO: NOT_A_REGULAR_FILE,
    errno.ENODEV: NOT_A_REGULAR_FILE,
    errno.EXDEV: OTHER_FILE_SYSTEM,
    errno.EFBIG: FILE_TOO_LARGE,
    errno.EOVERFLOW: FILE_TOO_LARGE,
    errno.EAGAIN: PATH_BUSY,
    # What has a name is a place where something is mounted.
    errno.EBUSY: OTHER_FILE_SYSTEM,
    errno.ETXTBSY: PATH_BUSY,
    errno.EMFILE: FILES_LIMIT,
    errno.ENFILE: FILES_LIMIT,
    errno.ENOMEM: FILES_LIMIT,
}
# Names can lie deeper than a message is long.
_MAX_WHERE_BYTES = 1000


class Refused(Exception):
    """It was not done; `where` is what was in the way, below the path that was asked for: its end, where it is long.

    `of_other` tells that this is the second path of a call: where something was to go.
    """

    def __init__(self, code: str, where: bytes = b"", *, of_other: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.where = where[-_MAX_WHERE_BYTES:]
        self.of_other = of_other


class _OfOther:
    """What is refused in such a block is told of the second path of a call, unless it is of both."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            raise told_of_other(refusal_of(error)) from error
        if isinstance(error, Refused) and error.code != INTO_ITSELF:
            raise told_of_other(error) from error


OF_OTHER = _OfOther()


def told_of_other(refused: Refused) -> Refused:
    """Return the same refusal, told of the second path."""
    return Refused(refused.code, refused.where, of_other=True)


def refusal_of(error: OSError) -> Refused:
    """Return what an error of the kernel means."""
    return Refused(_CODES.get(error.errno or 0, FILES_FAILED))


def own_disk_code(error: OSError) -> str:
    """Return the code of work that is not begun because the agent's own disk does not keep the record of it."""
    code = refusal_of(error).code
    return code if code in {DISK_FULL, DISK_READ_ONLY} else DISK_FAILED
