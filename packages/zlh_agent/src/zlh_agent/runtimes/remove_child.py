"""The child that removes one installed version, and ends.

The tree loses its name by one rename and is deleted after, so a kill at any line leaves it whole or gone; what was
begun lies in a folder that the next start of the agent sweeps. `current` goes with the last version alone, before it.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from zlh_agent.runtimes.confined import confine_removal
from zlh_agent.runtimes.current import CURRENT, read_current
from zlh_agent.runtimes.errors import RuntimeIsCurrent
from zlh_agent.runtimes.lock import only_one
from zlh_agent.runtimes.model import STAGING, RemovedLine, RemoveOrder
from zlh_agent.runtimes.order_taker import serve_order
from zlh_agent.runtimes.ownership import ensure_folders
from zlh_agent.runtimes.store import tidy_home, undo_half_exchange
from zlh_common.durable_files import sync_folder
from zlh_common.trees import delete_tree


def remove(order: RemoveOrder) -> RemovedLine:
    """Make sure that the version is not there; raise RuntimeIsCurrent where PATH leads to it and should."""
    home = Path(order.trees_dir) / order.name
    with only_one(Path(order.locks_dir), order.name):
        undo_half_exchange(home)
        _take_from_use(home, order)
        _take_away(home / order.version)
        tidy_home(home)
    return RemovedLine()


def main(order: RemoveOrder) -> RemovedLine:
    """Give up all rights but those that a removal takes, and remove."""
    ensure_folders(Path(order.trees_dir), [Path(order.locks_dir)], order.user)
    confine_removal(order)
    return remove(order)


def _take_from_use(home: Path, order: RemoveOrder) -> None:
    if read_current(home) != order.version:
        return
    if not order.may_be_current:
        raise RuntimeIsCurrent(name=order.name, version=order.version)
    (home / CURRENT).unlink()
    sync_folder(home)


def _take_away(tree: Path) -> None:
    try:
        aside = Path(tempfile.mkdtemp(prefix=STAGING, dir=tree.parent))
        tree.rename(aside / tree.name)
    except FileNotFoundError:
        # Done by one that was killed before it could say so.
        return
    sync_folder(tree.parent)
    # It is gone as a version; what somebody else has put there is deleted by the agent, with the rights that it has.
    with suppress(OSError):
        delete_tree(aside)


if __name__ == "__main__":
    serve_order(RemoveOrder, main)
