"""What a shim leaves when it dies: a socket, a record, and a child that nobody holds. It blocks: call in a thread."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

from zlh_agent.shim.records import ExitRecord, read_exit_record, read_run_record, remove_history
from zlh_agent.shim.stopping import freeze_below
from zlh_common.processes import ProcessIdentity, is_alive, read_rows, select_kin, send_signal

# The names of files, sockets and units are made from it, so a name is nothing else than this.
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


def find_names(state_folder: Path, socket_folder: Path) -> dict[str, bool]:
    """Return the names of everything that a former agent has left, and whether each has a socket."""
    for folder in (state_folder, socket_folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Not touched without need: on a disk that can only be read, what runs there is taken up all the same.
        if folder.stat().st_mode & 0o777 != 0o700:
            folder.chmod(0o700)
    sockets = {path.stem for path in socket_folder.iterdir() if path.suffix in {".sock", ".run"}}
    histories = {path.name for path in state_folder.iterdir() if path.is_dir()}
    return {name: name in sockets for name in sorted(sockets | histories) if NAME.fullmatch(name)}


def take_history(folder: Path) -> tuple[bool, ExitRecord | None]:
    """Return whether there is a ring to read, and how the last child ended; a folder without a ring is removed."""
    if not (folder / "ring").exists():
        remove_history(folder)
        return False, None
    return True, read_exit_record(folder / "exit")


def is_old(folder: Path, age_s: float) -> bool:
    """Tell whether nothing was printed into this history for so long; one that is not there is not old."""
    try:
        return time.time() - (folder / "ring").stat().st_mtime >= age_s
    except OSError:
        return False


def remove_output(folder: Path) -> None:
    """Remove what was printed and how it ended; nobody writes there now."""
    for name in ("ring", "exit", "shim.log"):
        (folder / name).unlink(missing_ok=True)


def hang_up(socket_folder: Path, name: str, child: ProcessIdentity | None) -> list[ProcessIdentity]:
    """Ask the child of a dead shim and the child's kin to end, and return them.

    `child` is who the dead shim held, as far as one heard; else its record tells, unless a shim lives that wrote it.
    """
    if child is None and not is_held(socket_folder, name):
        run = read_run_record(socket_folder / f"{name}.run")
        child = run.child_identity() if run is not None else None
    kin = find_kin(child)
    for identity in kin:
        send_signal(identity, signal.SIGHUP)
        send_signal(identity, signal.SIGCONT)
    return kin


def is_held(socket_folder: Path, name: str) -> bool:
    """Tell whether the shim lives that has written the record."""
    run = read_run_record(socket_folder / f"{name}.run")
    return run is not None and is_alive(run.shim_identity())


def remove_dead_socket(socket_folder: Path, name: str) -> None:
    """Remove the socket and record of a dead shim; one that lives is left to be."""
    if not is_held(socket_folder, name):
        remove_socket(socket_folder, name)


def find_living(identities: list[ProcessIdentity]) -> list[ProcessIdentity]:
    """Return those of them that still run."""
    return [identity for identity in identities if is_alive(identity)]


def find_kin(child: ProcessIdentity | None) -> list[ProcessIdentity]:
    """Return a living child with everything that belongs to it; nothing for one that has gone."""
    if child is None or not is_alive(child):
        return []
    return [ProcessIdentity(row.pid, row.start_ticks, child.boot_id) for row in select_kin(read_rows(), child.pid)]


def kill(identities: list[ProcessIdentity]) -> None:
    """Kill those of them that still run."""
    for identity in identities:
        send_signal(identity, signal.SIGKILL)


def kill_stuck(shim: ProcessIdentity, child: ProcessIdentity | None) -> None:
    """Kill a shim that does not answer, and everybody below it: stopped first, so that nobody forks unseen."""
    # Whatever has lost its parent is the shim's own child, for as long as that lives.
    below = freeze_below(shim.pid, shim.boot_id) if is_alive(shim) else find_kin(child)
    kill([*below, shim])


def remove_socket(socket_folder: Path, name: str) -> None:
    """Remove what a shim has put beside others'."""
    for suffix in (".sock", ".run"):
        (socket_folder / f"{name}{suffix}").unlink(missing_ok=True)
