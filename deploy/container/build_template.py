"""Builds the template of our containers: Debian 12 with systemd, its users, and the agent, as a root file system.

    build_template.py <folder>                    makes <folder>, a root file system that belongs to root
    build_template.py <folder> --archive <file>   packs it besides, with its owners in numbers (a name in .tar.zst)
    build_template.py <folder> --for-proxmox      makes one for Proxmox VE; packed, it is a template there
    build_template.py <folder> --shift 100000     makes one for the lxc driver, which belongs to root of its containers
    build_template.py <folder> --bundle <folder>  with an agent that was built before, instead of this checkout's

Needs root and Debian's mmdebstrap. The agent is there and enabled, and starts once its driver has put
`/etc/zlh/agent.toml` and its keys in.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import zstandard

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "iproute2", "procps", "ca-certificates", "python3",
    # What a customer expects to find.
    "bash-completion", "curl", "fish", "git", "less", "nano", "openssh-client", "sudo", "zsh", "zstd",
    # Its daemon is not started; who wants it starts it.
    "openssh-server", "cron",
    # What is published and listens on loopback alone is led there by rules of the container's own.
    "nftables",
)  # fmt: skip
# Proxmox VE writes a Debian's address into /etc/network/interfaces, and leaves it to this to bring it up.
PROXMOX_PACKAGES = ("ifupdown",)
INSTALL_USER = "zlh-install"
# Without it `localhost` is nobody, for servers that are told to listen there.
HOSTS = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
JOURNAL = "[Journal]\nStorage=persistent\nSystemMaxUse=64M\nRuntimeMaxUse=16M\n"


def main() -> None:
    """Build the template that the arguments ask for."""
    parser = argparse.ArgumentParser(description="Build the template of ZLH's containers.")
    parser.add_argument("folder", type=Path, help="the root file system to make; must not be there yet")
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--agent-alone", action="store_true", help="renew the agent in a template that is there")
    agent = parser.add_mutually_exclusive_group()
    agent.add_argument("--bundle", type=Path, metavar="FOLDER", help="the bundle of a version, as build_bundle made it")
    agent.add_argument("--python", action="append", default=[], help="build the agent for this Python alone")
    parser.add_argument("--for-proxmox", action="store_true", help="with what brings up its network there")
    parser.add_argument("--archive", type=Path, metavar="FILE", help="pack it as .tar.zst as well")
    parser.add_argument("--shift", type=int, default=0, metavar="ID", help="give it to the users of containers from ID")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("A root file system can only be made by root.")
    if not arguments.agent_alone:
        build(arguments.folder, suite=arguments.suite, is_for_proxmox=arguments.for_proxmox)
    add_agent(arguments.folder, bundle=arguments.bundle, pythons=arguments.python)
    if arguments.shift:
        parts = ("opt/zlh", "etc/systemd/system", "etc/zlh") if arguments.agent_alone else (".",)
        for part in parts:
            shift(arguments.folder / part, arguments.shift)
    if arguments.archive:
        pack(arguments.folder, arguments.archive)
    print(arguments.folder)


def build(folder: Path, *, suite: str = "bookworm", is_for_proxmox: bool = False) -> None:
    """Make the root file system `folder`, without an agent."""
    packages = (*PACKAGES, *PROXMOX_PACKAGES) if is_for_proxmox else PACKAGES
    run_apart(["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}", suite, str(folder)])
    add_users(folder)
    settle_names(folder)
    settle_systemd(folder)


def run_apart(argv: list[str]) -> None:
    """Run a program with mounts of its own, and shared memory of its own.

    mmdebstrap lends the new system the /dev/shm of the machine, and what Debian's systemd runs while it is set up
    empties it: a PostgreSQL of this machine would lose the memory that it works with. And where it is killed, its
    mounts go with it, so that nobody who removes the half of a system removes what is mounted in it.
    """
    apart = 'mount -t tmpfs -o mode=1777 tmpfs /dev/shm && exec "$@"'
    subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", apart, "sh", *argv], check=True)


def pack(folder: Path, archive: Path) -> None:
    """Write the root file system as an archive with its owners in numbers; it has its name once it is whole."""
    fresh = archive.with_name(f".{archive.name}.new")
    tar = ["tar", "--create", "--numeric-owner", "--xattrs", "--directory", str(folder), "."]
    with subprocess.Popen(tar, stdout=subprocess.PIPE) as packing, fresh.open("wb") as target:
        assert packing.stdout is not None
        zstandard.ZstdCompressor(level=10).copy_stream(packing.stdout, target)
    if packing.returncode != 0:
        fresh.unlink()
        raise SystemExit(f"tar ended with {packing.returncode}, and nothing was packed.")
    fresh.rename(archive)


def shift(root: Path, first_id: int) -> None:
    """Give everything below that is not yet theirs to the container's own users, setuid programs as such."""
    for folder, names, files in os.walk(root):
        for name in (*names, *files, "."):
            path = Path(folder, name)
            status = path.lstat()
            if status.st_uid < first_id:
                os.chown(path, status.st_uid + first_id, status.st_gid + first_id, follow_symlinks=False)
                if not path.is_symlink():
                    path.chmod(status.st_mode & 0o7777)


def add_users(folder: Path) -> None:
    """Add `dev`, whose shell a terminal is, and the owner of the runtimes, whom nobody can sign in as."""
    subprocess.run(["chroot", str(folder), "useradd", "--create-home", "--shell", "/bin/bash", "dev"], check=True)
    subprocess.run(
        ["chroot", str(folder), "useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent",
         "--shell", "/usr/sbin/nologin", INSTALL_USER],
        check=True,
    )  # fmt: skip
    subprocess.run(
        ["chroot", str(folder), "install", "-d", "-o", "dev", "-g", "dev", "/home/dev/workspace"], check=True
    )


def settle_names(folder: Path) -> None:
    """Have `localhost` known, and no name asked of the name server of the machine that builds this.

    A container reaches that never, so whoever looks a name up, as many a server does before it listens, would wait
    for it. A driver writes the name servers of containers that may ask some.
    """
    (folder / "etc/hosts").write_text(HOSTS)
    (folder / "etc/resolv.conf").write_text("")


def settle_systemd(folder: Path) -> None:
    """Have systemd come up whole in an unprivileged container, and the journal stay small."""
    for unit in ("sys-kernel-debug.mount", "sys-kernel-tracing.mount", "systemd-journald-audit.socket"):
        (folder / "etc/systemd/system" / unit).symlink_to("/dev/null")
    journal = folder / "etc/systemd/journald.conf.d/zlh.conf"
    journal.parent.mkdir(parents=True, exist_ok=True)
    journal.write_text(JOURNAL)
    settle_sshd(folder)
    # Each container gets an id of its own at its first start.
    (folder / "etc/machine-id").write_text("")
    (folder / "etc/hostname").unlink(missing_ok=True)


def settle_sshd(folder: Path) -> None:
    """Leave sshd to who starts it, with keys of that container: those of a template would be everybody's."""
    for unit in ("multi-user.target.wants/ssh.service", "sshd.service", "sockets.target.wants/ssh.socket"):
        (folder / "etc/systemd/system" / unit).unlink(missing_ok=True)
    for key in (folder / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    settings = folder / "etc/systemd/system/ssh.service.d/zlh.conf"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(
        "[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t\n"
    )


def add_agent(folder: Path, *, bundle: Path | None = None, pythons: Sequence[str] = ()) -> None:
    """Put the agent's bundle and unit in, enabled: a bundle that is there, or one that is built now."""
    place = folder / "opt/zlh/agent"
    built = build_bundle(place, pythons) if bundle is None else copy_bundle(bundle, place)
    current = place / "current"
    current.unlink(missing_ok=True)
    current.symlink_to(built.name)
    units = folder / "etc/systemd/system"
    for unit in ("zlh-agent.service", "zlh.slice"):
        shutil.copy(built / "system" / unit, units)
    shutil.copy(built / "system/launcher.py", place)
    (units / "multi-user.target.wants").mkdir(exist_ok=True)
    wanted = units / "multi-user.target.wants/zlh-agent.service"
    wanted.unlink(missing_ok=True)
    wanted.symlink_to("/etc/systemd/system/zlh-agent.service")
    (folder / "etc/zlh").mkdir(mode=0o700, exist_ok=True)


def build_bundle(place: Path, pythons: Sequence[str]) -> Path:
    """Build the agent of this checkout; return the folder of its version."""
    builder = [sys.executable, str(ROOT / "deploy/agent/build_bundle.py"), str(place)]
    chosen = [f"--python={python}" for python in pythons]
    return Path(subprocess.run([*builder, *chosen], check=True, stdout=subprocess.PIPE, text=True).stdout.strip())


def copy_bundle(bundle: Path, place: Path) -> Path:
    """Copy a bundle, which belongs to root from then on; return the folder of its version."""
    target = place / bundle.name
    place.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-dR", "--preserve=mode", "--", str(bundle), str(target)], check=True)
    return target


if __name__ == "__main__":
    main()
