"""Which names and links a tree of the catalog may hold: pure.

The publisher asks before it packs, and agents before they unpack, so nothing is published that no agent takes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping

# Names that an install puts into the tree itself begin so.
OWN_PREFIX = ".zlh-"
MAX_PATH_BYTES, MAX_NAME_BYTES = 1024, 255
# As the kernel's own limit, so that no link is taken that it would refuse to follow.
MAX_HOPS = 40


def find_name_fault(path: str) -> str | None:
    """Return what is wrong with the path of an entry, in words that follow "it is", or None."""
    if path.startswith("/"):
        return "absolute"
    for part in path.split("/"):
        if part in {"", ".", ".."}:
            return f"named with {part!r} in it"
        if _count_bytes(part) > MAX_NAME_BYTES:
            return f"named with more than {MAX_NAME_BYTES} bytes"
    if _count_bytes(path) > MAX_PATH_BYTES:
        return f"named with more than {MAX_PATH_BYTES} bytes"
    if has_control_characters(path):
        return "named with control characters"
    return f"named with {OWN_PREFIX}, which is ours" if path.startswith(OWN_PREFIX) else None


def has_control_characters(text: str) -> bool:
    """Tell whether a name could move the cursor of whoever reads it."""
    return any(character < " " or "\x7f" <= character <= "\x9f" for character in text)


def fold_name(path: str) -> str:
    """Return what all names have in common that some file system takes for one (Unicode, 3.13, D145).

    One that knows no case does, or one that composes letters, as ZFS can.
    """
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())


def find_namesakes(paths: Iterable[str]) -> tuple[str, str] | None:
    """Return two paths that some file system would take for one, or None."""
    folded: dict[str, str] = {}
    for path in paths:
        namesake = folded.setdefault(fold_name(path), path)
        if namesake != path:
            return namesake, path
    return None


def is_plain_target(target: str) -> bool:
    """Tell whether what is written in a link can lead anywhere inside at all."""
    return bool(target) and not target.startswith("/") and _count_bytes(target) <= MAX_PATH_BYTES


def find_link_fault(link: str, targets: Mapping[str, str]) -> str | None:
    """Return what is wrong with where a link leads, as the kernel would walk, or None; `targets` are all the links."""
    at = link.split("/")[:-1]
    waiting = targets[link].split("/")[::-1]
    hops = 1
    while waiting:
        part = waiting.pop()
        if part in {"", "."}:
            continue
        if part == "..":
            if not at:
                return "a link that leads out of the tree"
            at.pop()
            continue
        further = targets.get("/".join((*at, part)))
        if further is None:
            at.append(part)
            continue
        hops += 1
        if hops > MAX_HOPS:
            return f"a link through more than {MAX_HOPS} links"
        waiting += further.split("/")[::-1]
    return None


def _count_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
