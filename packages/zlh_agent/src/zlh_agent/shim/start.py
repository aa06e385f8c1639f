"""How a process becomes a shim: its configuration, its socket, and its leave from the agent's process tree.

Under systemd it is a unit of its own from the start; elsewhere it forks away from whoever has started it. Either way
whoever started it hears whether it listens: from systemd, or on standard output.
"""

from __future__ import annotations

import _socket
import errno
import os
import sys

from zlh_agent.shim.config import Config, parse_config
from zlh_agent.shim.files import remove
from zlh_agent.shim.log import note
from zlh_agent.shim.peers import MAX_PEERS
from zlh_agent.shim.ring import RingWriter
from zlh_agent.shim.shim import Shim
from zlh_agent.shim.subreaper import become_subreaper
from zlh_common.processes import read_boot_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal

MAX_CONFIG_BYTES = 64 * 1024


def open_shim(config: Config) -> Shim:
    """Take the ring and the socket name for this process; raise OSError where another shim holds them."""
    folder = os.open(config.socket_folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    status = os.fstat(folder)
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise PermissionError(errno.EPERM, "the folder of the sockets is open to others")
    boot = bytes.fromhex(read_boot_id().replace("-", ""))
    # The lock on the ring decides who is the shim; whatever socket is left over then belongs to nobody.
    ring = RingWriter.open(f"{config.state_folder}/ring", boot_id=boot, capacity=config.capacity)
    remove(f"{config.name}.sock", folder)
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    # The path of a socket has at most 107 bytes; through the descriptor the folder may lie as deep as it likes.
    listener.bind(f"/proc/self/fd/{folder}/{config.name}.sock")
    listener.setblocking(False)
    listener.listen(MAX_PEERS)
    return Shim(config, ring, listener, folder)


def _fork_away() -> None:
    """Leave the agent's process tree; what began this ends as soon as the daemon is there."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)


def _settle(config: Config, ready: int) -> None:
    """Take the places of a daemon; on the descriptor `ready` somebody waits for the word that all is well."""
    os.chdir("/")
    os.umask(0o077)
    for number in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGPIPE):
        _signal.signal(number, _signal.SIG_IGN)
    null = os.open("/dev/null", os.O_RDWR)
    log = os.open(f"{config.state_folder}/shim.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    for source, target in ((null, 0), (null, 1), (log, 2)):
        os.dup2(source, target)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - no pathlib here
        fd = int(name)
        if fd > 2 and fd != ready:
            try:  # noqa: SIM105
                os.close(fd)
            except OSError:
                pass  # the descriptor of the listing itself


def _tell_systemd() -> None:
    """Say that this unit is up; elsewhere nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        sender = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        sender.sendto(b"READY=1", "\0" + address[1:] if address.startswith("@") else address)
        sender.close()


def main() -> None:
    """Read the configuration, become a daemon, say whether that worked, and serve."""
    raw = b""
    while chunk := os.read(0, MAX_CONFIG_BYTES):
        raw += chunk
    config = parse_config(raw)
    if not config.is_unit:
        _fork_away()
    ready = os.dup(1)
    try:
        _settle(config, ready)
        become_subreaper()
        shim = open_shim(config)
    except OSError as exc:
        os.write(ready, f"{exc.errno or errno.EIO} {exc.strerror or exc}".encode())
        # For an agent that hears nothing else, since systemd starts it; the log may lie on the disk that is full.
        note("shim.not_started", level="ERROR", error=exc.strerror or str(exc))
        sys.exit(1)
    os.write(ready, b"0 ready")
    os.close(ready)
    _tell_systemd()
    shim.serve()
