"""The life of a container: who starts it may die, how it ends, and what its file systems are made of."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from lxc.guest import Guest, running_guest
from lxc.own_host import OwnHost, made_driver, own_host
from zlh_api.containers.model import Guest as State
from zlh_api.drivers.lxc import driver as lxc_driver
from zlh_api.drivers.lxc import host as lxc_host
from zlh_api.drivers.lxc.control_groups import find_control_groups
from zlh_api.drivers.lxc.model import groups_of
from zlh_api.drivers.lxc.storage import find_mounts

pytestmark = [pytest.mark.real("lxc"), pytest.mark.timeout(240)]
PATIENCE_S = 30.0
UNIT = """[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/bin/sh -c '{stop}'
TimeoutStopSec=1000
"""


async def wait_state(host: OwnHost, guest: Guest, state: State) -> None:
    """Return once it is seen so."""
    async with asyncio.timeout(PATIENCE_S):
        while (await host.driver.observe(guest.plan)).state is not state:
            await asyncio.sleep(0.02)


async def start_again(host: OwnHost, guest: Guest) -> None:
    """Start a stopped container and wait for its agent."""
    await host.driver.ensure_started(guest.plan, guest.warrant)
    await guest.wait_online()


def read_groups(guest: Guest) -> set[str]:
    """Return the control groups of the process that watches a container."""
    info = ["lxc-info", "-P", str(guest.folder.parent), "-n", guest.folder.name, "-p", "-H"]
    init = subprocess.run(info, check=True, capture_output=True, text=True).stdout.strip()
    status = Path(f"/proc/{init}/status").read_text().splitlines()
    monitor = next(row.split()[1] for row in status if row.startswith("PPid"))
    return {row.rpartition(":")[2] for row in Path(f"/proc/{monitor}/cgroup").read_text().splitlines()}


@asynccontextmanager
async def services_group() -> AsyncIterator[list[Path]]:
    """Make a service's control group, in each hierarchy by which systemd ends one; it is empty when the block ends."""
    groups = await asyncio.to_thread(make_groups)
    try:
        yield groups
    finally:
        await asyncio.to_thread(end_group, groups)
        for group in groups:
            await asyncio.to_thread(group.rmdir)


def make_groups() -> list[Path]:
    """Make the groups of a service."""
    unified, named = find_control_groups().unified, Path("/sys/fs/cgroup/systemd")
    roots = [root for root in (unified, named) if root is not None and (root / "cgroup.procs").exists()]
    groups = [root / f"zlh-test-{os.getpid()}.service" for root in roots]
    for group in groups:
        group.mkdir()
    return groups


def end_group(groups: list[Path]) -> int:
    """Kill all that is in a service's group, as systemd does at its restart; return how many that were."""
    found = {int(pid) for group in groups for pid in (group / "cgroup.procs").read_text().split()}
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + PATIENCE_S
    while any((group / "cgroup.procs").read_text().split() for group in groups):
        assert time.monotonic() < end
        time.sleep(0.02)
    return len(found)


async def test_the_end_of_the_services_control_group_ends_no_container(
    host: OwnHost, guest: Guest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What starts containers is in the API's unit, which systemd empties at a restart; what it has started is not."""
    async with services_group() as groups:
        joins = "".join(f"echo $$ > {group}/cgroup.procs\n" for group in groups)
        starter = tmp_path / "lxc-start"
        script = f'#!/bin/sh\n{joins}sleep 1000 < /dev/null > /dev/null 2>&1 &\nexec /usr/bin/lxc-start "$@"\n'
        await asyncio.to_thread(starter.write_text, script)
        await asyncio.to_thread(starter.chmod, 0o755)
        monkeypatch.setitem(lxc_host.ENVIRONMENT, "PATH", f"{tmp_path}:{lxc_host.ENVIRONMENT['PATH']}")
        await host.driver.ensure_stopped(guest.plan, guest.warrant)
        await start_again(host, guest)
        # What was left there by the start, and nothing of the container.
        assert await asyncio.to_thread(end_group, groups) == 1
        assert await asyncio.to_thread(read_groups, guest) == {f"/{groups_of(guest.owner)[1]}"}
        assert (await host.driver.observe(guest.plan)).state is State.RUNNING
        await guest.status()


async def test_whoever_started_it_may_go(host: OwnHost, guest: Guest) -> None:
    """A container is in no control group of ours, which a service manager would empty; another driver finds it."""
    assert await asyncio.to_thread(read_groups, guest) == {f"/{groups_of(guest.owner)[1]}"}
    other = await asyncio.to_thread(made_driver, host.settings)
    await other.prepare()
    assert (await other.observe(guest.plan)).state is State.RUNNING
    await guest.status()
    await other.ensure_stopped(guest.plan, guest.warrant)
    assert (await host.driver.observe(guest.plan)).state is State.STOPPED


async def test_one_that_ends_by_itself_is_stopped_and_one_that_starts_anew_runs(host: OwnHost, guest: Guest) -> None:
    """Whoever looks in between sees it running."""
    seen = set()
    began = await guest.inside("cat", "/proc/sys/kernel/random/boot_id", "/proc/1/stat")
    await guest.inside("systemctl", "reboot", "--no-block")
    until = time.monotonic() + 3
    while time.monotonic() < until:
        seen.add((await host.driver.observe(guest.plan)).state)
        await asyncio.sleep(0.005)
    await guest.wait_online()
    assert await guest.inside("cat", "/proc/sys/kernel/random/boot_id", "/proc/1/stat") != began
    assert seen == {State.RUNNING}
    assert (await host.driver.observe(guest.plan)).is_closed
    await guest.inside("systemctl", "poweroff", "--no-block")
    await wait_state(host, guest, State.STOPPED)
    await start_again(host, guest)


def kill_watcher(guest: Guest) -> None:
    """Kill LXC's own process."""
    group = find_control_groups().unified or Path("/sys/fs/cgroup/pids")
    procs = (group / groups_of(guest.owner)[1] / "cgroup.procs").read_text().split()
    subprocess.run(["kill", "-9", *procs], check=True)


async def test_one_whose_watcher_was_killed_can_be_stopped_and_started(host: OwnHost, guest: Guest) -> None:
    """Nothing of it goes on unseen."""
    await asyncio.to_thread(kill_watcher, guest)
    await host.driver.ensure_stopped(guest.plan, guest.warrant, at_once=True)
    await wait_state(host, guest, State.STOPPED)
    await start_again(host, guest)


async def test_a_stop_in_order_lets_programs_save(host: OwnHost, guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the deadline; at once, nobody is asked."""
    monkeypatch.setattr(lxc_driver, "ORDERLY_STOP_S", 20)
    await put_unit(guest, "sleep 1; echo saved >> /home/dev/saved")
    await host.driver.ensure_stopped(guest.plan, guest.warrant)
    await start_again(host, guest)
    assert await guest.inside("cat", "/home/dev/saved") == "saved"
    await guest.inside("systemctl", "start", "saver")
    await host.driver.ensure_stopped(guest.plan, guest.warrant, at_once=True)
    await start_again(host, guest)
    assert await guest.inside("cat", "/home/dev/saved") == "saved"
    monkeypatch.setattr(lxc_driver, "ORDERLY_STOP_S", 2)
    await put_unit(guest, "sleep 1000")
    began = time.monotonic()
    await host.driver.ensure_stopped(guest.plan, guest.warrant)
    assert 2 <= time.monotonic() - began < 10
    assert (await host.driver.observe(guest.plan)).state is State.STOPPED


async def put_unit(guest: Guest, stop: str) -> None:
    """Have something run that does this when it is stopped."""
    text = UNIT.format(stop=stop)
    await guest.inside("sh", "-c", f"systemctl stop saver; cat > /etc/systemd/system/saver.service <<'E'\n{text}E\n")
    await guest.inside("sh", "-c", "systemctl daemon-reload && systemctl start saver")


@pytest.mark.parametrize(("storage", "disk"), [("overlay", "none"), ("copy", "image")])
async def test_what_was_written_is_there_again(storage: str, disk: str) -> None:
    """With a root file system of any kind; stopped, nothing of it is mounted."""
    async with own_host(storage=storage, disk=disk) as host, running_guest(host) as guest:
        await guest.wait_online()
        await guest.inside(
            "sh", "-c", "rm -rf /usr/share/doc && mkdir /usr/share/doc && echo kept > /usr/share/doc/kept"
        )
        await host.driver.ensure_stopped(guest.plan, guest.warrant)
        assert await asyncio.to_thread(find_mounts, guest.folder) == []
        await start_again(host, guest)
        assert await guest.inside("sh", "-c", "ls /usr/share/doc; cat /usr/share/doc/kept") == "kept\nkept"
        assert ("disk_mib" in host.driver.enforced_limits) is (disk == "image")


async def test_a_host_that_shuts_down_stops_all_in_order(host: OwnHost) -> None:
    """Each of them, at the same time."""
    async with running_guest(host) as first, running_guest(host) as second:
        await host.driver.ensure_all_stopped()
        states = [(await host.driver.observe(guest.plan)).state for guest in (first, second)]
        assert states == [State.STOPPED, State.STOPPED]


async def test_other_users_of_this_host_are_kept_out(guest: Guest) -> None:
    """They read nothing of what a customer leaves for all, and run no program that makes them root of the guests."""
    leave = "cp /bin/sh /become; chmod 4755 /become; echo told > /left; chmod 666 /left"
    await guest.inside("sh", "-c", leave)
    # What setpriv starts still finds its program with the rights of root.
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", "env", "--"]
    for tree in (guest.folder / "rootfs", guest.folder / "data/upper"):
        for command in (["cat", f"{tree}/left"], [f"{tree}/become", "-p", "-c", "id"]):
            done = await asyncio.to_thread(subprocess.run, [*nobody, *command], capture_output=True, text=True)
            assert (done.returncode, done.stdout) != (0, "told\n")
            assert "euid" not in done.stdout
            assert "Permission denied" in done.stderr
        assert await asyncio.to_thread((tree / "left").read_text) == "told\n"


async def test_restarts_from_inside_leave_nothing_in_the_log(host: OwnHost, guest: Guest) -> None:
    """A customer can restart a container without end, and the log lies on this host's own disk."""
    log = guest.folder / "lxc.log"
    before = log.stat().st_size if log.exists() else 0
    boot = (await guest.status()).started_at
    await guest.inside("systemctl", "reboot", "--force", "--force", check=False)
    async with asyncio.timeout(PATIENCE_S):
        while (await guest.wait_online()).started_at == boot:
            await asyncio.sleep(0.1)
    assert (await host.driver.observe(guest.plan)).is_closed
    assert (log.stat().st_size if log.exists() else 0) == before
