"""The child that compares one installed version with the list of its files, and ends. It changes nothing."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from zlh_agent.runtimes.checking.comparison import compare_tree
from zlh_agent.runtimes.confined import confine_comparison
from zlh_agent.runtimes.model import VerifiedLine, VerifyOrder
from zlh_agent.runtimes.order_taker import serve_order
from zlh_common.schema.runtime import MAX_NAMED_FILES

MAX_NAME = 200
# What a check at low priority gives way to: everything.
NICE = 19
# Neither has a name in Python: ioprio_set(2) of this process, and the class that waits until nobody else reads.
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
_IOPRIO_WHO_PROCESS, _IOPRIO_IDLE = 1, 3 << 13


def verify(order: VerifyOrder) -> VerifiedLine:
    """Return what differs."""
    found = compare_tree(Path(order.tree))
    return VerifiedLine(
        faults=len(found.names()),
        changed=_name(found.changed),
        missing=_name(found.missing),
        added=_name(found.added),
    )


def main(order: VerifyOrder) -> VerifiedLine:
    """Give up all rights but that to read the tree, and compare."""
    if order.is_idle:
        _give_way()
    confine_comparison(order)
    return verify(order)


def _name(files: list[str]) -> tuple[str, ...]:
    """Return the first of them as text that JSON can hold, whatever bytes the customer has named a file with."""
    return tuple(os.fsencode(name).decode("utf-8", "backslashreplace")[:MAX_NAME] for name in files[:MAX_NAMED_FILES])


def _give_way() -> None:
    os.nice(NICE)
    number = _IOPRIO_SET.get(os.uname().machine)
    if number is not None:
        # Refused where the kernel has none of it; then the processor's priority must do.
        ctypes.CDLL(None, use_errno=True).syscall(number, _IOPRIO_WHO_PROCESS, 0, _IOPRIO_IDLE)


if __name__ == "__main__":
    serve_order(VerifyOrder, main)
