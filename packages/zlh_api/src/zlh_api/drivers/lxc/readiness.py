"""Whether this host can make containers at all, each reason in one sentence. Blocks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from zlh_api.drivers.lxc.control_groups import ControlGroups
from zlh_api.drivers.lxc.host import ENVIRONMENT
from zlh_api.drivers.lxc.model import HostUnready, LxcSettings

PROGRAMS = {
    "lxc-start": "lxc", "lxc-stop": "lxc", "newuidmap": "uidmap", "nft": "nftables", "ip": "iproute2",
    "bridge": "iproute2", "mount": "mount", "unshare": "util-linux",
}  # fmt: skip
IMAGE_PROGRAMS = {"mkfs.xfs": "xfsprogs", "xfs_growfs": "xfsprogs", "losetup": "mount"}
APPARMOR = Path("/sys/module/apparmor/parameters/enabled")


def check_host(settings: LxcSettings, groups: ControlGroups) -> None:
    """Raise HostUnready with the first thing that is missing; makes the root folder."""
    if os.geteuid() != 0:
        raise HostUnready("it needs root")
    programs = PROGRAMS | (IMAGE_PROGRAMS if settings.disk == "image" else {})
    missing = sorted(
        {package for name, package in programs.items() if not shutil.which(name, path=ENVIRONMENT["PATH"])}
    )
    if missing:
        raise HostUnready(f"Debian's {', '.join(missing)} must be installed")
    _check_ids(settings)
    if not groups.unified and "pids" not in dict(groups.legacy):
        raise HostUnready("no control groups are mounted that tell what runs (cgroup2, or pids of version 1)")
    _check_template(settings)
    settings.root.mkdir(parents=True, exist_ok=True)
    settings.root.chmod(0o711)
    for folder in (settings.root, settings.template):
        _check_passable(folder)


def choose_apparmor(settings: LxcSettings) -> str:
    """Return the profile of guests: one of their own where the kernel has AppArmor."""
    if settings.apparmor is not None:
        return settings.apparmor
    try:
        return "generated" if APPARMOR.read_text().strip() == "Y" else "unconfined"
    except OSError:
        return "unconfined"


def _check_ids(settings: LxcSettings) -> None:
    line = f"root:{settings.first_id}:{settings.id_count}"
    for file in (Path("/etc/subuid"), Path("/etc/subgid")):
        if not file.is_file() or line not in file.read_text().split():
            raise HostUnready(f"{file} lacks the line {line}, the users of containers")


def _check_template(settings: LxcSettings) -> None:
    try:
        owner = settings.template.stat().st_uid
    except OSError as exc:
        raise HostUnready(f"the template {settings.template} cannot be read ({exc.strerror})") from exc
    if owner != settings.first_id:
        raise HostUnready(
            f"the template {settings.template} belongs to user {owner} and not to {settings.first_id}, root of a "
            f"container; build it with --shift {settings.first_id}"
        )


def _check_passable(folder: Path) -> None:
    """A container's root, who is nobody here, has to pass every folder above its root file system."""
    for above in (folder, *folder.parents):
        if not above.stat().st_mode & 0o001:
            raise HostUnready(
                f"containers must be able to pass {above}, whose mode lets nobody else through; chmod o+x it, or "
                "choose another folder for lxc.root and lxc.template"
            )
