"""What an archive may hold and where its entries go: one rule for every format, asked before anything is opened.

a path is relative, without `..`, whether a backslash parts it or not; `.` and doubled slashes count for nothing
a link leads to a relative place inside; what is no file, folder or link is left out, and told
rights lose set-uid, set-gid and sticky bits; an owner always may enter folders
names that differ in their case are two names, and of two entries with one name the last holds
"""

from __future__ import annotations

from zlh_agent.files.rules import is_name, leads_inside, split_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

ZIP, TAR_GZ, TAR_ZST = "zip", "tar.gz", "tar.zst"
FORMATS = (ZIP, TAR_GZ, TAR_ZST)
MAX_ENTRIES = 1_000_000
# As the kernel takes at once, so that each folder is opened by one call.
MAX_PATH_BYTES, MAX_DEPTH = 4095, 256
# What may be said of what was left out; the rest is counted.
MAX_TOLD = 100
LONGEST_S = 3600
# A disk is not filled to its last block: what runs beside must go on.
RESERVE_BYTES, RESERVE_SHARE = 256 * 1024 * 1024, 20
RESERVE_FILES = 1000
# What may follow the end of a tar, all of it zeros: tapes have long blocks.
MAX_PADDING_BYTES = 16 * 1024 * 1024

ENCRYPTED, UNKNOWN, DAMAGED, UNSAFE = "archive_encrypted", "archive_unknown", "archive_damaged", "archive_unsafe_name"
METHOD, WINDOW, TOO_MANY, TOO_LONG = "archive_method", "archive_window", "archive_too_many", "archive_too_long"
LINK, CONTRADICTION, OVERLAP, SPLIT = "archive_link", "archive_contradiction", "archive_overlap", "archive_split"
SPARSE, ENDLESS = "archive_sparse", "archive_endless"
# What is wrong with an archive, as the end of a sentence that begins with its name; `{entry}` is where it is.
REASONS = {
    ENCRYPTED: "{entry} is encrypted",
    UNKNOWN: "it is no zip, tar, tar.gz, tar.xz or tar.zst",
    DAMAGED: "it is damaged{at}",
    UNSAFE: "the name {entry} is empty, absolute, too long or leads out of the folder",
    METHOD: "{entry} is packed in a way that is not known here; pack it anew as an ordinary zip or tar.gz",
    WINDOW: "unpacking it takes more memory than is given to that; pack it anew with a window of 128 MiB at most",
    TOO_MANY: "it has more than 1000000 entries",
    TOO_LONG: "unpacking it takes longer than an hour",
    LINK: "the link {entry} leads out of the folder, or to what is not in the archive",
    CONTRADICTION: "{entry} is a folder in one place and none in another",
    OVERLAP: "{entry} has the same bytes as another entry",
    SPLIT: "it is one part of several",
    SPARSE: "{entry} is stored with holes; pack it anew without",
    ENDLESS: "something follows its end",
}


def render_reason(code: str, entry: str) -> str | None:
    """Return what is wrong with an archive in words; None where the code is of another kind."""
    sentence = REASONS.get(code)
    return None if sentence is None else sentence.format(entry=entry or "it", at=f" at {entry}" if entry else "")


def split_entry(name: bytes) -> list[bytes] | None:
    """Return the parts of an entry's path, none for the folder itself; None where no such entry is taken."""
    # Somebody on another system may have meant a backslash to part names: neither reading may be a bad one.
    if not _is_plain(name) or not _is_plain(name.replace(b"\\", b"/")):
        return None
    return split_path(name)


def _is_plain(name: bytes) -> bool:
    parts = split_path(name)
    if not name or parts is None or len(name) > MAX_PATH_BYTES or len(parts) > MAX_DEPTH or name.startswith(b"/"):
        return False
    if parts and len(parts[0]) == 2 and parts[0][:1].isalpha() and parts[0][1:] == b":":
        return False
    return all(is_name(part) for part in parts)


def is_link_inside(parts: Sequence[bytes], target: bytes) -> bool:
    """Tell whether a link at this place of the archive leads nowhere out of it, by what is written in it."""
    return leads_inside(parts[:-1], target)


def is_ours(name: bytes) -> bool:
    """Tell whether a file is one of ours that is still being written."""
    stem, dot, ending = name.rpartition(b".")
    # Something of ours stands between: a customer's own `.zlh-new` is a file like any other.
    return dot != b"" and ending in {b"zlh-part", b"zlh-new"} and stem.startswith(b".") and len(stem) > 1


def plan_names(paths: Sequence[bytes]) -> list[tuple[list[bytes], int]] | None:
    """Return what goes into an archive: of each its parts, and how many of them stand before its name in it.

    Names begin below the lowest folder that holds all of them. What is in another one is not named twice. None where
    one is no path.
    """
    chosen: list[list[bytes]] = []
    for path in paths:
        parts = split_path(path)
        if parts is None or b".." in parts:
            return None
        chosen.append(parts)
    chosen.sort()
    left: list[list[bytes]] = []
    for parts in chosen:
        if not left or parts[: len(left[-1])] != left[-1]:
            left.append(parts)
    if not left:
        return None
    parents = [parts[:-1] for parts in left]
    shared = 0
    while all(len(parent) > shared for parent in parents) and len({parent[shared] for parent in parents}) == 1:
        shared += 1
    return [(parts, shared) for parts in left]


def reserve_of(total_bytes: int) -> int:
    """Return what stays free on a disk of this size."""
    return min(RESERVE_BYTES, total_bytes // RESERVE_SHARE)
