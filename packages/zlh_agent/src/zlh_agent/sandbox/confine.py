"""How a child gives up what it does not need, in an order in which each step still may do the next.

    tied to its parent → limits → descriptors → bounding set → groups, gid, uid → capabilities
    → tied again → not dumpable → no new privileges → Landlock

After it, nothing that the process reads can give it more than its `Confinement` names: it has one user for good, no
capability, no way to gain one by exec, and where the kernel has Landlock no file, port, signal or abstract socket
outside of it. Who runs as the same user can stop or kill it, and cannot look into it, trace it, nor take its
descriptors.
"""

from __future__ import annotations

import errno
import os
import resource
import struct

from zlh_agent.sandbox.landlock import READ, RUN, WRITE, find_abi, restrict
from zlh_agent.sandbox.lifeline import die_with
from zlh_agent.sandbox.syscalls import capset, prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from zlh_agent.sandbox.confinement import Confinement

PR_SET_DUMPABLE, PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 4, 23, 24, 38, 47
_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_MAX_CAPABILITIES = 64
_NO_CAPABILITIES = bytes(24)
_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


class NotConfined(Exception):
    """A step failed, so the process must not go on."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"{step}: {reason}")
        self.step = step
        self.reason = reason


class Confined:
    """What holds now: 0 is no Landlock. `left_out` are steps that only root may take, where it was not."""

    __slots__ = ("landlock_abi", "left_out", "unreachable")

    def __init__(self, landlock_abi: int, left_out: Sequence[str], unreachable: Sequence[str]) -> None:
        self.landlock_abi = landlock_abi
        self.left_out = tuple(left_out)
        # Paths of the confinement that the user cannot open, so they were not allowed.
        self.unreachable = tuple(unreachable)


def enter(confinement: Confinement, *, parent: int, keep: Sequence[int] = (0, 1, 2)) -> Confined:
    """Confine this process, which has one thread, for good; raise NotConfined, after which it must end.

    `keep` are the descriptors that stay open. It dies with its `parent`, a pid, by SIGKILL.
    """
    step = "threads"
    left_out: list[str] = []
    try:
        if len(os.listdir("/proc/self/task")) != 1:  # noqa: PTH208 - no pathlib here
            raise NotConfined(step, "what one thread gives up, the others keep")
        step = "parent"
        die_with(parent)
        step = "limits"
        _settle(confinement)
        if not _offer_to_the_oom_killer(confinement.oom_score_adj):
            left_out.append("oom score")
        step = "descriptors"
        _close_others(keep)
        step = "bounding set"
        has_no_bounding_set = _drop_bounding_set()
        if not has_no_bounding_set:
            left_out.append(step)
        step = "user"
        _become(confinement)
        step = "capabilities"
        _drop_capabilities(may_keep_bounding=not has_no_bounding_set)
        step = "parent"
        die_with(parent)
        step = "privileges"
        prctl(PR_SET_DUMPABLE, 0)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        step = "landlock"
        abi = find_abi()
        unreachable = _restrict(abi, confinement) if abi else []
    except OSError as exc:
        raise NotConfined(step, exc.strerror or str(exc)) from exc
    return Confined(abi, left_out, unreachable)


def _settle(confinement: Confinement) -> None:
    """Hold no folder, and lower what may be used; a hard limit that is already lower stays."""
    os.chdir("/")
    os.umask(confinement.umask)
    for kind, limit in (
        (resource.RLIMIT_AS, confinement.address_space_bytes),
        (resource.RLIMIT_FSIZE, confinement.file_bytes),
        (resource.RLIMIT_NOFILE, confinement.open_files),
        (resource.RLIMIT_NPROC, confinement.processes),
        (resource.RLIMIT_CORE, confinement.core_bytes),
    ):
        if limit is not None:
            hard = resource.getrlimit(kind)[1]
            lower = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(kind, (lower, lower))


def _offer_to_the_oom_killer(score: int) -> bool:
    """Have the kernel kill this process sooner than its parent; a score that is higher already stays.

    Tells whether it may: a process that has changed its user without an exec may not, unless it is root.
    """
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
    except PermissionError:
        return False
    try:
        if int(os.read(fd, 16)) < score:
            os.write(fd, str(score).encode())
    finally:
        os.close(fd)
    return True


def _close_others(keep: Sequence[int]) -> None:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - no pathlib here
        if int(name) not in keep:
            try:
                os.close(int(name))
            except OSError as exc:
                # The descriptor of the listing itself is gone already.
                if exc.errno != errno.EBADF:
                    raise


def _drop_bounding_set() -> bool:
    """Make sure that no program that is started later can gain a capability; tell whether this process may."""
    for capability in range(_MAX_CAPABILITIES):
        try:
            if prctl(PR_CAPBSET_READ, capability):
                prctl(PR_CAPBSET_DROP, capability)
        except OSError as exc:
            # Anything else is that the kernel knows no further one.
            return exc.errno != errno.EPERM
    return True


def _become(confinement: Confinement) -> None:
    """Be the user, and believe nothing but what the kernel says afterwards."""
    if confinement.user is None:
        return
    uid, gid, groups = confinement.user
    if os.geteuid() == 0:
        # Groups first: whoever has become somebody else may not set them any more.
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        if set(os.getgroups()) != set(groups):
            raise NotConfined("user", f"has the groups {os.getgroups()} instead of {list(groups)}")
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid):
        raise NotConfined("user", f"is {os.getresuid()} {os.getresgid()} instead of {uid} {gid}")
    if uid != 0 and _may_become_root():
        raise NotConfined("user", "may become root again")


def _drop_capabilities(*, may_keep_bounding: bool) -> None:
    prctl(PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    capset(struct.pack("Ii", _CAPABILITY_VERSION_3, 0), _NO_CAPABILITIES)
    held = _held_sets() - ({"CapBnd"} if may_keep_bounding else set())
    if held:
        raise NotConfined("capabilities", f"{', '.join(sorted(held))} not empty")


def _may_become_root() -> bool:
    try:
        os.setresuid(0, 0, 0)
    except PermissionError:
        return False
    return True


def _held_sets() -> set[str]:
    fd = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
    try:
        lines = os.read(fd, 16384).decode().splitlines()
    finally:
        os.close(fd)
    rows = dict(line.split(":", 1) for line in lines if ":" in line)
    return {name for name in _SETS if int(rows[name], 16)}


def _restrict(abi: int, confinement: Confinement) -> list[str]:
    rules = [(path, READ) for path in confinement.readable]
    rules += [(path, RUN) for path in confinement.executable]
    rules += [(path, WRITE) for path in confinement.writable]
    return restrict(abi, rules, connect_ports=confinement.connect_ports)
