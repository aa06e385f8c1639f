"""Foreign files that stop the real Traefik: what we hold against a file is what it holds against it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from component.edge.conftest import make_connection
from fakes.sshd import Sshd
from guards import leaks
from guards.ports import free_port
from zlh_api.dev.traefik import find_traefik
from zlh_api.edge import traefik as traefik_module
from zlh_api.edge.directory_rules import Entry, judge_file
from zlh_api.edge.foreign_files import Verdict, judge
from zlh_api.edge.kept_directory import KeptDirectory
from zlh_api.edge.local_directory import LocalPlace, _kind, _read
from zlh_api.edge.model import ExposedPort, ProxySetting, RouteFile, RouteWish
from zlh_api.edge.port import RouteNotLoaded
from zlh_api.edge.relieving_proxy import RelievingProxy
from zlh_api.edge.sftp_directory import SftpPlace
from zlh_api.edge.traefik import Traefik
from zlh_api.edge.traefik_file import render_route_file
from zlh_api.edge.traefik_hosts import render_hosts_file
from zlh_api.edge.traefik_static import StaticSetting, WebEntry, render_static_file
from zlh_common.names import HostName, OwnerMark, Vmid

pytestmark = [pytest.mark.real("traefik"), pytest.mark.usefixtures("sshd")]
OWNER = OwnerMark("6a4a6f2e-4a0f-4f5c-9d53-0a2b7d3c9c11")
SETTING = ProxySetting("example.org", "web", "http://127.0.0.1:1")
ROUTER = "routers: {a: {rule: 'Host(`a`)', service: s}}"
B, U, H = Verdict.BROKEN, Verdict.UNSURE, Verdict.HARMLESS
# What a file holds, what we say of it, and whether it stops Traefik.
CASES: dict[str, tuple[bytes, Verdict, bool]] = {
    "empty.yml": (b"", H, False),
    "comment.yml": (b"# nothing\n", H, False),
    "null.yml": (b"null\n", H, False),
    "good.yml": (f"http: {{{ROUTER}}}\n".encode(), H, False),
    "marked.yml": (f"\ufeffhttp: {{{ROUTER}}}\n".encode(), H, False),
    "upper-case.YAML": (f"HTTP: {{{ROUTER.replace('routers', 'Routers')}}}\n".encode(), H, False),
    "json.yml": (b'{"http": {"routers": {"a": {"rule": "Host(`a`)", "service": "s", "priority": 7}}}}', H, False),
    "tab-after-colon.yml": (b"http:\n  routers:\n    a:\n      rule:\t'Host(`a`)'\n      service: s\n", H, False),
    "anchor.yml": (b"x: &a {rule: 'Host(`a`)', service: s}\nhttp: {routers: {a: *a}}\n", H, False),
    "two-documents.yml": (f"http: {{{ROUTER}}}\n---\n- bad\n".encode(), H, False),
    "unknown-at-top.yml": (b"bogus: 1\n", H, False),
    "null-section.yml": (b"http:\n", H, False),
    "good.toml": (b"[http.routers.a]\nrule = 'Host(`a`)'\nservice = 's'\n", H, False),
    "empty.toml": (b"", H, False),
    "list.yml": (b"- a\n", B, True),
    "text.yml": (b"abc\n", B, True),
    "cut.yml": (b"http: {routers: {a: {rule: 'Host(`a`)'", B, True),
    "indented-by-tab.yml": (b"http:\n\trouters:\n", B, True),
    "latin.yml": (f"# \xff\nhttp: {{{ROUTER}}}\n".encode("latin-1"), B, True),
    "control.yml": (b'http: {routers: {a: {rule: "a\x01", service: s}}}\n', B, True),
    "twice.yml": (f"http: {{{ROUTER}}}\nhttp: {{{ROUTER}}}\n".encode(), B, True),
    "twice-deep.yml": (b"http: {routers: {a: {rule: x, service: s, rule: y}}}\n", B, True),
    "section-is-text.yml": (b"http: 1\n", B, True),
    "empty-section.yml": (b"http: {}\n", B, True),
    "empty-part.yml": (b"http: {middlewares: {}}\n", B, True),
    "empty-part-beside.yml": (f"http: {{{ROUTER}, middlewares: {{}}}}\n".encode(), B, True),
    "null-part.yml": (b"http:\n  routers:\n", B, True),
    "null-router.yml": (b"http: {routers: {a: }}\n", B, True),
    "list-of-routers.yml": (b"http: {routers: [a]}\n", B, True),
    "unknown-in-section.yml": (b"http: {bogus: {a: {}}}\n", B, True),
    "middlewares-of-udp.yml": (b"udp: {middlewares: {a: {}}}\n", B, True),
    "empty-tls.yml": (b"tls: {}\n", B, True),
    "cut.toml": (b"[http\n", B, True),
    "twice.toml": (b"[http]\n[http]\n", B, True),
    "empty-part.toml": (b"[http.routers]\n", B, True),
    "unknown-in-section.toml": (b"[http.bogus.a]\n", B, True),
    "template.yml": (f'# {{{{ env "HOME" }}}}\nhttp: {{{ROUTER}}}\n'.encode(), U, False),
    "bad-template.yml": (b"{{ bad\n", U, True),
    "unknown-in-router.yml": (b"http: {routers: {a: {rule: x, bogus: 1}}}\n", U, True),
    "date.yml": (b"http: {routers: {a: {rule: 2020-01-01, service: s}}}\n", U, True),
    "priority-is-text.yml": (b"http: {routers: {a: {rule: x, service: s, priority: abc}}}\n", U, True),
    "empty-balancer.yml": (b"http: {services: {s: {loadBalancer: {}}}}\n", U, True),
    "services.yml": (b"http: {services: {s: {loadBalancer: {servers: [{url: 'http://x'}]}}}}\n", U, False),
    "directive.yml": (f"%YAML 1.2\n---\nhttp: {{{ROUTER}}}\n".encode(), U, True),
    "tag.yml": (b"http: {routers: {a: {rule: !foo x, service: s}}}\n", U, False),
    "no-file-of-traefik.json": (b"{bogus", B, False),
}  # fmt: skip


@dataclass
class Running:
    """A real Traefik and its directory."""

    folder: Path
    api_url: str
    start: Callable[[], None]
    kill: Callable[[], None]
    published = 0

    def takes_up(self, *, within_s: float = 1.2) -> bool:
        """Publish something good, and tell whether Traefik lists it in time."""
        self.published += 1
        name = f"probe{self.published}"
        (self.folder / ".probe.new").write_text(f"http: {{routers: {{{name}: {{rule: 'Host(`p`)', service: s}}}}}}\n")
        (self.folder / ".probe.new").rename(self.folder / "probe.yml")
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if self.lists(name):
                return True
            time.sleep(0.03)
        return False

    def lists(self, name: str) -> bool:
        """Tell whether it has a router of this name."""
        try:
            with urllib.request.urlopen(f"{self.api_url}/api/http/routers/{name}@file", timeout=5):
                return True
        except urllib.error.HTTPError:
            return False


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run one Traefik for a module; its directory is emptied after each test."""
    base = tmp_path_factory.mktemp("traefik")
    folder, api, web = base / "dynamic", free_port(), free_port()
    folder.mkdir()
    entry = WebEntry("web", f"127.0.0.1:{web}")
    text = render_static_file(StaticSetting(str(folder), f"127.0.0.1:{api}", (entry,)))
    (base / "static.yml").write_text(text)
    children: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        with (base / "log").open("ab") as log:
            children.append(
                subprocess.Popen([find_traefik(), f"--configFile={base}/static.yml"], stdout=log, stderr=log)
            )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{api}/ping", timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError((base / "log").read_text())

    def kill() -> None:
        child = children.pop()
        child.send_signal(signal.SIGKILL)
        child.wait()

    # Tests kill it and start it again.
    leaks.long_lived.add(str(base))
    start()
    yield Running(folder, f"http://127.0.0.1:{api}", start, kill)
    kill()
    leaks.long_lived.discard(str(base))


@pytest.fixture(autouse=True)
def emptied(running: Running) -> Iterator[None]:
    """Leave an empty directory to the next test."""
    yield
    for path in sorted(running.folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def test_we_say_of_every_file_what_traefik_does(running: Running) -> None:
    """Nothing that it takes is called broken, and nothing that stops it is called harmless."""
    for name, (content, verdict, is_bad) in CASES.items():
        assert judge(name, content).verdict is verdict, (name, judge(name, content))
        (running.folder / name).write_bytes(content)
        assert running.takes_up(within_s=0.4 if is_bad else 5) is not is_bad, name
        (running.folder / name).unlink()
    assert running.takes_up(within_s=5)


def test_what_is_no_file_stops_it_too(running: Running) -> None:
    """Links that lead nowhere or to a folder, pipes and sockets of such a name; folders are gone into."""
    folder = running.folder

    def bind() -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / "x.yml"))

    cases: dict[str, tuple[Callable[[], None], bool]] = {
        "nowhere": (lambda: (folder / "x.yml").symlink_to("nowhere"), True),
        "to a folder": (lambda: (folder / "x.yml").symlink_to("/"), True),
        "socket": (bind, True),
        "link to a good one": (lambda: (folder / "x.yml").symlink_to(_good(folder)), False),
        # The pipe comes last: Traefik waits for it until it is killed.
        "pipe": (lambda: os.mkfifo(folder / "x.yml"), True),
    }
    for what, (make, is_bad) in cases.items():
        make()
        path = folder / "x.yml"
        status = path.lstat()
        entry = Entry(path.name, _kind(status.st_mode), (0,), 0)
        content = _read(path) if entry.kind == "link" else None
        assert (judge_file(entry, None, content).verdict is B) is is_bad, what
        assert running.takes_up(within_s=0.8 if is_bad else 5) is not is_bad, what
        path.unlink()
    running.kill()
    running.start()


def _good(folder: Path) -> Path:
    path = folder.parent / "elsewhere"
    path.write_text(f"http: {{{ROUTER}}}\n")
    return path


@pytest.fixture(params=["local", "sftp"])
async def directory(request: pytest.FixtureRequest, running: Running, sshd: Sshd) -> AsyncIterator[KeptDirectory]:
    """Give Traefik's directory as we keep it."""
    quarantine = running.folder.with_name(f"quarantine-{request.param}")
    if request.param == "local":
        yield KeptDirectory(LocalPlace(running.folder, quarantine))
        return
    connection = make_connection(sshd)
    yield KeptDirectory(SftpPlace(connection, running.folder, quarantine))
    await connection.close()


def route(vmid: int, port: int) -> RouteFile:
    """Return a file of one container."""
    wish = RouteWish(OWNER, HostName("dev", Vmid(vmid)), "127.0.0.1", (ExposedPort(port),))
    return render_route_file(wish, SETTING)


async def test_a_stuck_traefik_is_set_free(
    directory: KeptDirectory, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken file goes before the publication, a bad template once it shows; good and harmless ones stay.

    Also where Traefik was started with the bad file there, and so has nothing at all.
    """
    monkeypatch.setattr(traefik_module, "LOAD_TIMEOUT_S", 1.5)
    put = {
        "broken.yml": b"http: {\n",
        "fine.yml": f"http: {{{ROUTER}}}\n".encode(),
        "templated.yml": CASES["template.yml"][0],
        "stops.yml": b"{{ bad\n",
    }
    for name, content in put.items():
        (running.folder / name).write_bytes(content)
    await asyncio.to_thread(running.kill)
    await asyncio.to_thread(running.start)
    async with Traefik(api_url=running.api_url, web_url="http://127.0.0.1:1") as traefik:
        proxy = RelievingProxy(traefik, directory)
        file = route(101, 3000)
        for each in (render_hosts_file(SETTING), file):
            await directory.publish(each)
        assert not (running.folder / "broken.yml").exists()
        with pytest.raises(RouteNotLoaded):
            await traefik.wait_loaded(file)
        for _ in range(8):
            try:
                await proxy.wait_loaded(file)
                break
            except RouteNotLoaded:
                # As a worker that tries again.
                continue
        await traefik.wait_loaded(file)
        assert await asyncio.to_thread(running.lists, "a")
        assert not (running.folder / "stops.yml").exists()
        assert (running.folder / "fine.yml").read_bytes() == put["fine.yml"]
        moved = {path.name: path.read_bytes() for path in running.folder.parent.glob("quarantine-*/*/*")}
        assert moved["broken.yml"] == put["broken.yml"]
        assert moved["stops.yml"] == put["stops.yml"]
        await directory.withdraw(file.name, OWNER)
        await proxy.wait_unloaded(tuple(name for name, _service in file.routers))


async def test_nobody_is_suspected_while_traefik_is_well(
    directory: KeptDirectory, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A route that it refuses, and an API that does not answer, are nobody else's fault."""
    monkeypatch.setattr(traefik_module, "LOAD_TIMEOUT_S", 1.0)
    (running.folder / "templated.yml").write_bytes(CASES["template.yml"][0])
    wrong = RouteFile("dev-102.yml", route(102, 1).text.replace('"web"', '"nowhere"'), "d", route(102, 1).routers)
    await directory.publish(wrong)
    async with Traefik(api_url=running.api_url, web_url="http://127.0.0.1:1") as traefik:
        with pytest.raises(RouteNotLoaded, match="nowhere"):
            await RelievingProxy(traefik, directory).wait_loaded(wrong)
    async with Traefik(api_url="http://127.0.0.1:1", web_url="http://127.0.0.1:1") as traefik:
        with pytest.raises(RouteNotLoaded, match="does not answer"):
            await RelievingProxy(traefik, directory).wait_loaded(wrong)
    assert (running.folder / "templated.yml").exists()
