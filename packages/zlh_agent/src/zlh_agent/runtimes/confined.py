"""What each part of an install may reach: one place for who reads and writes what.

the install child   reads the system and our own code; writes below the four folders of installs, of the trees only its
                    own kind's; TCP
the unpacker        writes the new tree; no socket
the smoke test      runs the new tree and the system's programs; writes a folder of its own; no network
the comparison      reads the tree; writes nothing, runs nothing, no socket
the removal         writes below the folders of runtimes and locks; runs the system's programs; no network
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from zlh_agent.runtimes.errors import InstallNotConfined
from zlh_agent.runtimes.model import InstallOrder, RemoveOrder, VerifyOrder
from zlh_agent.sandbox.confine import NotConfined, enter
from zlh_agent.sandbox.confinement import Confinement
from zlh_agent.sandbox.launch import SYSTEM_FOLDERS
from zlh_agent.sandbox.no_network import leave_network

# Who is who, where names lead, what libraries there are. Not all of /etc: our own configuration is there too.
_ETC = tuple(
    f"/etc/{name}"
    for name in (
        "alternatives", "ca-certificates", "gai.conf", "group", "host.conf", "hosts", "ld.so.cache", "ld.so.conf",
        "ld.so.conf.d", "locale.alias", "localtime", "machine-id", "mime.types", "nsswitch.conf", "os-release",
        "passwd", "pki", "protocols", "resolv.conf", "services", "ssl", "timezone",
    )
)  # fmt: skip
SYSTEM_FILES = (*_ETC, "/proc", "/run/systemd/resolve")
MACHINE_FILES = (*_ETC, "/proc", "/sys", "/dev/zero", "/dev/random", "/dev/urandom")
NULL = "/dev/null"


def confine_install(order: InstallOrder, folders: Sequence[Path]) -> None:
    """Confine this process to what an install takes, trees in the first folder; raise InstallNotConfined."""
    ours = dict.fromkeys(str(Path(path).resolve()) for path in (sys.prefix, sys.base_prefix, *filter(None, sys.path)))
    _enter(
        Confinement(
            user=_user(order.user),
            readable=(*SYSTEM_FILES, "/dev/urandom", *ours),
            # What is installed is run once, by a child of this one.
            executable=(*SYSTEM_FOLDERS, *MACHINE_FILES, sys.prefix, sys.base_prefix, str(folders[0])),
            writable=(NULL, *map(str, folders)),
            connect_ports=None,
        ),
        parent=os.getppid(),
        keep=(0, 1, 2),
    )


def confine_unpacking(tree: Path | None, *, parent: int, keep: Sequence[int]) -> None:
    """Confine this process to writing below `tree` and to the descriptors that it has; raise InstallNotConfined."""
    _enter(Confinement(user=None, writable=[str(tree)] if tree else []), parent=parent, keep=keep)
    leave_network()


def confine_comparison(order: VerifyOrder) -> None:
    """Confine this process to reading one tree; raise InstallNotConfined."""
    _enter(Confinement(user=_user(order.user), readable=[order.tree]), parent=os.getppid(), keep=(0, 1, 2))
    leave_network()


def confine_removal(order: RemoveOrder) -> None:
    """Confine this process to the folders of runtimes and their locks; raise InstallNotConfined."""
    writable = (NULL, order.trees_dir, order.locks_dir)
    _enter(
        Confinement(user=_user(order.user), readable=MACHINE_FILES, executable=SYSTEM_FOLDERS, writable=writable),
        parent=os.getppid(),
        keep=(0, 1, 2),
    )
    leave_network()


def testing(tree: Path, scratch: Path) -> Confinement:
    """Return what a smoke test is confined to."""
    return Confinement(
        user=None,
        readable=MACHINE_FILES,
        executable=(*SYSTEM_FOLDERS, str(tree)),
        writable=(NULL, str(scratch)),
    )


def leave_network_but_for_talk() -> None:
    """Keep sockets between processes of this machine, which some runtimes make when they start, and to the kernel."""
    leave_network(domains=(socket.AF_UNIX, socket.AF_NETLINK))


def _user(ids: tuple[int, int] | None) -> tuple[int, int, tuple[int, ...]] | None:
    return None if ids is None else (*ids, ())


def _enter(confinement: Confinement, *, parent: int, keep: Sequence[int]) -> None:
    try:
        enter(confinement, parent=parent, keep=keep)
    except NotConfined as exc:
        raise InstallNotConfined(step=exc.step, reason=exc.reason) from exc
