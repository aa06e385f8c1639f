"""What a path of a customer means, before anything is opened. The kernel decides what it leads to, never we."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# A path may be longer than the kernel takes at once: folders can lie deeper than that.
MAX_PATH_BYTES = 64 * 1024
MAX_NAME_BYTES = 255
MAX_PAGE_ENTRIES = 1000
# The kernel's PATH_MAX counts the byte that ends it.
_MAX_STEP_BYTES = 4095


def split_path(path: bytes) -> list[bytes] | None:
    """Return the parts below the root, none for the root itself; None where it is no path at all.

    A leading `/` means the root; empty parts and `.` count for nothing. `..` is left to the kernel, which knows where
    links lead: `a/../b` is `b` only where `a` is a folder.
    """
    if b"\0" in path or len(path) > MAX_PATH_BYTES:
        return None
    return [part for part in path.split(b"/") if part not in {b"", b"."}]


def cut_into_steps(parts: Sequence[bytes]) -> list[bytes]:
    """Return paths that the kernel takes, each to be opened below the one before; one at least.

    Beyond the first step, `..` and links cannot lead above where the step began.
    """
    steps: list[bytes] = []
    step = b""
    for part in parts:
        longer = step + b"/" + part if step else part
        if len(longer) > _MAX_STEP_BYTES and step:
            steps.append(step)
            step = part
        else:
            step = longer
    return [*steps, step or b"."]


def leads_inside(folder_parts: Sequence[bytes], target: bytes) -> bool:
    """Tell whether a link in this folder to this target stays below the root by what is written in it.

    What it really leads to is decided whenever it is followed; this keeps people from making links that never work.
    """
    if target.startswith(b"/") or not target or b"\0" in target or len(target) > _MAX_STEP_BYTES:
        return False
    depth = len(folder_parts)
    for part in target.split(b"/"):
        depth += -1 if part == b".." else part not in {b"", b"."}
        if depth < 0:
            return False
    return True


def is_name(name: bytes) -> bool:
    """Tell whether a folder can hold an entry of this name."""
    return 0 < len(name) <= MAX_NAME_BYTES and b"/" not in name and b"\0" not in name and name not in {b".", b".."}
