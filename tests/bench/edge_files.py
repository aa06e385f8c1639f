"""The proxy's files: how fast they reach its machine, how soon they are served, what a look at all of them costs."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import aiohttp
import psutil
from aiohttp import web

from bench.measure import Case, Row, Run, Samples, at_most, ratio_at_least
from fakes.sshd import Sshd
from real_parts.traefik import running_traefik
from zlh_api.circuit import Circuit
from zlh_api.edge.local_directory import LocalRouteDirectory
from zlh_api.edge.model import ExposedPort, ProxySetting, RouteFile, RouteWish
from zlh_api.edge.sftp_connection import SftpConnection
from zlh_api.edge.sftp_directory import SftpRouteDirectory
from zlh_api.edge.traefik_file import render_route_file
from zlh_api.edge.traefik_hosts import render_hosts_file
from zlh_common.clock import SystemClock
from zlh_common.names import HostName, OwnerMark, Vmid

# A change that takes longer to be served has gone wrong.
SERVED_S = 120.0
SETTING = ProxySetting("example.org", "web", "http://127.0.0.1:1")


def render_files(count: int, *, port: int = 3000, first: int = 100) -> list[RouteFile]:
    """Return the files of so many containers with this one published port."""
    return [
        render_route_file(
            RouteWish(
                OwnerMark(str(UUID(int=number))), HostName("dev", Vmid(number)), "127.0.0.1", (ExposedPort(port),)
            ),
            SETTING,
        )
        for number in range(first, first + count)
    ]


@asynccontextmanager
async def sftp_directory(server: Sshd, folder: Path) -> AsyncIterator[SftpRouteDirectory]:
    """Give a directory over a line of its own."""
    connection = SftpConnection(server.access(), Circuit("bench", clock=SystemClock()))
    try:
        yield SftpRouteDirectory(connection, folder, folder.with_name("quarantine"))
    finally:
        await connection.close()


async def publishing(run: Run) -> list[Row]:
    """Ours synced, validated and read back; the peers with and without a sync of each file."""
    files = render_files(run.choose(1000, 20))
    source = run.fresh_folder("source")
    for file in files:
        (source / file.name).write_text(file.text)
    # rsync runs a program at the other side, which ours must not.
    server = Sshd(run.fresh_folder("sshd"), extra="")
    server.start()
    try:
        sides = {
            "ours": lambda: _publish_all(run, server, files),
            "sftp": lambda: _run_sftp(run, server, source, files, "put -f"),
            "rsync": lambda: _run_rsync(run, server, source, files, ["--fsync"]),
            "sftp-unsynced": lambda: _run_sftp(run, server, source, files, "put"),
            "rsync-unsynced": lambda: _run_rsync(run, server, source, files, []),
        }
        samples = await run.side_by_side("edge.sftp", sides)
    finally:
        server.stop()
    return [
        samples.row("edge.sftp", "files/s", peer="sftp", peer_name="sftp -b, put -f", budget=ratio_at_least(2)),
        samples.row("edge.sftp.rsync", "files/s", peer="rsync", peer_name="rsync --fsync", budget=ratio_at_least(0.9)),
        samples.row("edge.sftp.unsynced", "files/s", peer="sftp-unsynced", peer_name="sftp -b, without any sync"),
        samples.row("edge.sftp.rsync-unsynced", "files/s", peer="rsync-unsynced", peer_name="rsync, without any sync"),
    ]


async def _publish_all(run: Run, server: Sshd, files: Sequence[RouteFile]) -> float:
    async with sftp_directory(server, run.fresh_folder("ours")) as directory:
        # The line is opened as the peers open theirs.
        began = time.monotonic()
        await asyncio.gather(*map(directory.publish, files))
        return len(files) / (time.monotonic() - began)


def _ssh_options(server: Sshd) -> list[str]:
    files = {"UserKnownHostsFile": "known_hosts", "IdentityFile": "key"}
    return [
        "-oBatchMode=yes",
        "-oIdentitiesOnly=yes",
        *(f"-o{key}={server.folder / name}" for key, name in files.items()),
    ]


async def _run_sftp(run: Run, server: Sshd, source: Path, files: Sequence[RouteFile], put: str) -> float:
    target = run.fresh_folder("sftp")
    batch = "".join(f"{put} {source / file.name} {target / file.name}\n" for file in files).encode()
    argv = ["sftp", "-q", *_ssh_options(server), "-P", str(server.port), "-b", "-", f"{server.user}@127.0.0.1"]
    return await _time(argv, batch, target, len(files))


async def _run_rsync(run: Run, server: Sshd, source: Path, files: Sequence[RouteFile], options: Sequence[str]) -> float:
    target = run.fresh_folder("rsync")
    shell = " ".join(["ssh", "-p", str(server.port), *_ssh_options(server)])
    argv = ["rsync", "-a", *options, "-e", shell, f"{source}/", f"{server.user}@127.0.0.1:{target}/"]
    return await _time(argv, b"", target, len(files))


async def _time(argv: Sequence[str], stdin: bytes, target: Path, count: int) -> float:
    began = time.monotonic()
    await asyncio.to_thread(subprocess.run, argv, input=stdin, stdout=subprocess.DEVNULL, check=True, timeout=120)
    took = time.monotonic() - began
    assert len(list(target.iterdir())) == count
    return count / took


async def served(run: Run) -> list[Row]:
    """From the beginning of a publication to the first answer through the real Traefik, beside so many other routes."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="here")

    runner = web.AppRunner(web.Application())
    runner.app.router.add_route("*", "/{path:.*}", answer)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    rows = []
    try:
        for count, limit_s in ((100, 0.3), (run.choose(5000, 200), 1.0)):
            samples = await _serve(run, count, port)
            name = f"edge.served.{count}"
            rows.append(samples.alone(name, "s", budget=at_most(limit_s)))
            rows.append(samples.alone(f"{name}.cpu", "s", side="cpu", note="of Traefik for each change"))
    finally:
        await runner.cleanup()
    return rows


async def _serve(run: Run, count: int, port: int) -> Samples:
    samples = Samples()
    with running_traefik(run.fresh_folder("traefik")) as traefik:
        directory = LocalRouteDirectory(traefik.directory)
        # Each event makes it read all of them again; so it is off while they are put there.
        await asyncio.to_thread(traefik.program.stop)
        for file in [render_hosts_file(SETTING), *render_files(count, port=port)]:
            (traefik.directory / file.name).write_text(file.text)
        await asyncio.to_thread(traefik.program.start)
        last = render_files(run.repeat + 2, port=port, first=100_000)
        process = psutil.Process(traefik.program.pid)
        async with aiohttp.ClientSession() as client:
            for turn, file in enumerate(last):
                # The reload that the one before has set going is over.
                await asyncio.sleep(run.choose(3.0, 0.5))
                before = _cpu_s(process)
                began = time.monotonic()
                await directory.publish(file)
                host = f"{file.name.removesuffix('.yml')}.example.org"
                await _wait_served(client, traefik.web_url, host)
                took = time.monotonic() - began
                await asyncio.sleep(run.choose(2.0, 0.2))
                if turn > 1 or run.is_quick:
                    samples.add("ours", took)
                    samples.add("cpu", _cpu_s(process) - before)
                run.show(f"edge.served.{count} {turn}/{len(last) - 1}: {took:.3f} s")
    return samples


async def _wait_served(client: aiohttp.ClientSession, url: str, host: str) -> None:
    async with asyncio.timeout(SERVED_S):
        while True:
            async with client.get(f"{url}/", headers={"Host": host}) as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.005)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def drift(run: Run) -> list[Row]:
    """Processor time of a survey of files that have not changed, compared with what they should be."""
    files = render_files(run.choose(5000, 200))
    folder = run.fresh_folder("drift")
    for file in files:
        (folder / file.name).write_text(file.text)
    wanted = {file.name: file.sha256 for file in files}
    server = Sshd(run.fresh_folder("sshd"))
    server.start()
    samples = Samples()
    try:
        async with sftp_directory(server, folder) as remote:
            local = LocalRouteDirectory(folder)
            # What was read so shortly after it was written is read again.
            for _ in range(2):
                await remote.survey()
                await local.survey()
                await asyncio.sleep(2.5)
            for _ in range(run.repeat):
                for side, directory in (("sftp", remote), ("local", local)):
                    before = time.process_time()
                    found = {route.name: route.sha256 for route in await directory.survey()}
                    assert found == wanted
                    samples.add(side, time.process_time() - before)
    finally:
        server.stop()
    note = "one file in forty is read at each; of the 2 s that records have a share in"
    return [
        samples.alone("edge.drift.routes-sftp", "CPU s", side="sftp", budget=at_most(1), note=note),
        samples.alone("edge.drift.routes-local", "CPU s", side="local", budget=at_most(1), note=note),
    ]


CASES = (
    Case("edge.sftp", "1,000 route files over SFTP, synced and read back, against sftp and rsync", publishing),
    Case(
        "edge.served", "a route file published and served by Traefik beside 100 and 5,000 others", served, is_slow=True
    ),
    Case("edge.drift.routes", "a survey of 5,000 route files of which none has changed", drift),
)
