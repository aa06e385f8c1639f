"""Starting a child on a PTY of its own, as the user that it shall be.

Not `ptyprocess.spawn`: it looks the program up with the *shim's* PATH, cannot hold the slave side, reports no step, and
its imports (shutil, resource, signal) cost a shim 2 MB and 10 ms. `os.login_tty` does the delicate part since 3.11.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import termios

from zlh_common.processes import ProcessIdentity, read_row

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Sequence

    from zlh_agent.shim.model import Launch
else:
    import _signal

# The line discipline deletes whole characters, not bytes (termios has no name for it in Python).
_IUTF8 = 0o40000
_PIPE_MESSAGE_BYTES = 256
# The customer's programs are the first to go when memory is used up, and the last to compute when all want to: agent
# and shims are to be there for whoever ends them. Who shares the user with the agent shares its fate.
OOM_SCORE, NICENESS = 300, 5


class SpawnFailed(Exception):
    """The child never became the program: which step failed, and the errno of it."""

    def __init__(self, number: int, step: str) -> None:
        super().__init__(number, step)
        self.errno = number
        self.step = step


class Child:
    """A child that runs, and the descriptors that belong to it."""

    __slots__ = ("identity", "master", "pidfd", "slave")

    def __init__(self, *, identity: ProcessIdentity, master: int, slave: int, pidfd: int) -> None:
        self.identity = identity
        self.master = master
        # Held open, so that a child which closes its terminal does not turn poll into a busy loop of hang-ups;
        # the child's end is told by the pidfd instead.
        self.slave = slave
        self.pidfd = pidfd

    def resize(self, cols: int, rows: int, *, redraw: bool) -> None:
        """Set the window; the kernel tells the foreground program if the size is new, `redraw` tells it anyway."""
        before = fcntl.ioctl(self.master, termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, _window(cols, rows))
        if redraw and before[:4] == _window(cols, rows)[:4]:
            try:  # noqa: SIM105 - contextlib would cost the shim 3 ms
                os.killpg(os.tcgetpgrp(self.master), _signal.SIGWINCH)
            except OSError:
                pass  # no foreground group at this moment: nothing to redraw

    def peek_exit(self) -> tuple[int | None, int | None] | None:
        """Return (code, signal), one of them None, without reaping; None while it runs."""
        status = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if status is None:
            return None
        if status.si_code == os.CLD_EXITED:
            return status.si_status, None
        return None, status.si_status

    def release(self) -> None:
        """Reap the child, which has ended, and close everything of it; what still holds the terminal is hung up."""
        os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)
        for fd in (self.pidfd, self.slave, self.master):
            os.close(fd)


def spawn_child(launch: Launch, boot_id: str) -> Child:
    """Start what `launch` says; return once it has become that program, or raise SpawnFailed."""
    step = "terminal"
    opened: list[int] = []
    try:
        master, slave = os.openpty()
        opened += [master, slave]
        _prepare_terminal(master, slave, launch)
        errors, report = os.pipe()
        opened += [errors, report]
        step = "fork"
        pid = os.fork()
    except OSError as exc:
        for fd in opened:
            os.close(fd)
        raise SpawnFailed(exc.errno or errno.EIO, step) from exc
    if pid == 0:
        _become(launch, slave, report)
    os.close(report)
    # Both before the child can be reaped, so that they are of this child for certain.
    pidfd = os.pidfd_open(pid)
    row = read_row(pid)
    try:
        # End of file means that exec has closed the other end.
        message = os.read(errors, _PIPE_MESSAGE_BYTES)
    finally:
        os.close(errors)
    if message or row is None:
        os.waitpid(pid, 0)
        for fd in (pidfd, master, slave):
            os.close(fd)
        number, _, step = message.decode().partition(" ")
        raise SpawnFailed(int(number or errno.EIO), step or "fork")
    return Child(identity=ProcessIdentity(pid, row.start_ticks, boot_id), master=master, slave=slave, pidfd=pidfd)


def _prepare_terminal(master: int, slave: int, launch: Launch) -> None:
    fcntl.ioctl(master, termios.TIOCSWINSZ, _window(launch.cols, launch.rows))
    modes = termios.tcgetattr(slave)
    modes[0] |= _IUTF8
    termios.tcsetattr(slave, termios.TCSANOW, modes)
    if _drops_user(launch) and launch.uid is not None:
        os.fchown(slave, launch.uid, -1)
        os.fchmod(slave, 0o620)
    os.set_blocking(master, False)


def _window(cols: int, rows: int) -> bytes:
    return struct.pack("HHHH", rows, cols, 0, 0)


def _drops_user(launch: Launch) -> bool:
    return launch.uid is not None and (launch.uid, launch.gid) != (os.geteuid(), os.getegid())


def _become(launch: Launch, slave: int, report: int) -> None:
    """Turn this fresh fork into the program; never returns. Every other descriptor closes itself on exec."""
    step = "terminal"
    try:
        os.login_tty(slave)
        step = "signals"
        _reset_signals()
        step = "user"
        _drop_user(launch)
        step = "folder"
        try:
            os.chdir(launch.cwd)
        except OSError:
            if launch.needs_folder:
                raise
            _enter_first((launch.env.get("HOME", "/"), "/"))
        os.umask(launch.umask)
        step = "program"
        _exec(launch)
    except _InterpreterMissing:
        os.write(report, f"{errno.ENOENT} interpreter".encode())
    except OSError as exc:
        os.write(report, f"{exc.errno or errno.EIO} {step}".encode())
    finally:
        os._exit(127)


def _enter_first(folders: Sequence[str]) -> None:
    """Enter the first of these that can be entered; the last one always can."""
    for folder in folders:
        try:
            os.chdir(folder)
        except OSError:
            continue
        return


def _reset_signals() -> None:
    """Undo what Python and the shim ignore; an ignored signal would stay ignored across exec."""
    for number in range(1, _signal.NSIG):
        if _signal.getsignal(number) not in {_signal.SIG_DFL, None}:
            _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def _drop_user(launch: Launch) -> None:
    if launch.uid is None or launch.gid is None or not _drops_user(launch):
        return
    give_way()
    os.setgroups(launch.groups)
    os.setresgid(launch.gid, launch.gid, launch.gid)
    os.setresuid(launch.uid, launch.uid, launch.uid)


def give_way() -> None:
    """Have this process, and all that it starts, be of the customer's programs for memory and processors."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        os.write(fd, str(OOM_SCORE).encode())
        os.close(fd)
        os.nice(NICENESS)
    except OSError:
        pass  # no reason to start nothing


class _InterpreterMissing(Exception):
    """The program is there, and what its first line names, or its loader, is not."""


def _exec(launch: Launch) -> None:
    """Replace this process, looking the program up with the PATH that it will have itself."""
    program = launch.argv[0]
    if "/" in program:
        _exec_file(program, launch)
    missing = errno.ENOENT
    for folder in launch.env.get("PATH", "/usr/bin:/bin").split(":"):
        try:
            _exec_file(f"{folder or '.'}/{program}", launch)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError:
            missing = errno.EACCES
    raise OSError(missing, os.strerror(missing), program)


def _exec_file(path: str, launch: Launch) -> None:
    try:
        os.execve(path, launch.argv, launch.env)  # noqa: S606 - this is the place for it
    except FileNotFoundError:
        if os.access(path, os.F_OK):
            raise _InterpreterMissing from None
        raise
