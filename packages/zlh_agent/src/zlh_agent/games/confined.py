"""What each child of a game server may reach: its folder as the customer's user, and no more than its work takes.

staging     reads what name resolution and certificates need; writes the folder; TCP
a script    runs the system's programs, the runtimes and the folder's own; writes the folder; TCP where it may
the rest    writes the folder; no socket
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from zlh_agent.games.model import ChildOrder, Run, Stage, Unpack
from zlh_agent.runtimes.confined import MACHINE_FILES, NULL, SYSTEM_FILES
from zlh_agent.runtimes.errors import InstallNotConfined
from zlh_agent.sandbox.confine import NotConfined, enter
from zlh_agent.sandbox.confinement import Confinement
from zlh_agent.sandbox.launch import SYSTEM_FOLDERS
from zlh_agent.sandbox.no_network import leave_network


def confine(order: ChildOrder) -> None:
    """Confine this process to what its order takes; raise InstallNotConfined."""
    keep = (0, 1, 2, order.descriptor) if isinstance(order, Unpack) else (0, 1, 2)
    try:
        enter(_choose(order), parent=os.getppid(), keep=keep)
        if not isinstance(order, Stage | Run):
            leave_network()
    except NotConfined as exc:
        raise InstallNotConfined(step=exc.step, reason=exc.reason) from exc


def _choose(order: ChildOrder) -> Confinement:
    ours = dict.fromkeys(str(Path(path).resolve()) for path in (sys.prefix, sys.base_prefix, *filter(None, sys.path)))
    match order:
        case Stage():
            return Confinement(
                user=order.user,
                readable=(*SYSTEM_FILES, "/dev/urandom", *ours, *SYSTEM_FOLDERS),
                writable=(NULL, order.folder),
                connect_ports=None,
            )
        case Run():
            return Confinement(
                user=order.user,
                readable=(*MACHINE_FILES, *SYSTEM_FILES, *ours),
                executable=(*SYSTEM_FOLDERS, *order.executable, order.folder),
                writable=(NULL, order.folder),
                connect_ports=None if order.may_use_network else (),
            )
        case _:
            return Confinement(user=order.user, readable=(*ours, *SYSTEM_FOLDERS), writable=(NULL, order.folder))
