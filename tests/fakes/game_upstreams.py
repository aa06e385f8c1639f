"""The services from which versions of game servers come, on loopback, in the shapes that they have.

One server stands in for all of them: Mojang's list of versions, PaperMC's Fill, the services of Fabric and Quilt, and
the repositories of Forge and NeoForge. `faults` says how the answer to a path goes wrong.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

MANIFEST = "/mc/game/version_manifest_v2.json"
PROMOTIONS = "/net/minecraftforge/forge/promotions_slim.json"
NEOFORGE = "/net/neoforged/neoforge/maven-metadata.xml"
UPSTREAMS = ("mojang", "papermc", "fabric", "quilt", "forge", "forge-maven", "neoforge")
# Newest first: id, type, Java.
GAMES = (
    ("26.3-snapshot-3", "snapshot", 25),
    ("26.2", "release", 25),
    ("1.21.8", "release", 21),
    ("1.21.1", "release", 21),
    ("1.20.1", "release", 17),
    ("1.2.1", "release", None),
    ("b1.7.3", "old_beta", None),
)


@dataclass
class GameUpstreams:
    """Answers with the files it has, and writes down who has asked for what."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    # Path → how its answer goes wrong; "…:3" does so three times and then no more.
    faults: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)

    @property
    def mirrors(self) -> dict[str, str]:
        """What stands in for each upstream's own address."""
        return dict.fromkeys(UPSTREAMS, self.url)

    def publish(self, path: str, document: Any) -> None:
        """Have something to answer."""
        self.files[path] = document if isinstance(document, bytes) else msgspec.json.encode(document)

    def offer_mojang(self) -> None:
        """Publish the list of versions and a description of each."""
        listed = []
        for number, (name, kind, java) in enumerate(GAMES):
            server = f"server of {name}".encode()
            downloads: dict[str, Any] = {"client": {"sha1": "0" * 40, "size": 1, "url": f"{self.url}/client.jar"}}
            if name != "1.2.1" and kind != "old_beta":
                sha1 = hashlib.sha1(server, usedforsecurity=False).hexdigest()
                url = f"{self.url}/v1/objects/{sha1}/server.jar"
                downloads["server"] = {"sha1": sha1, "size": len(server), "url": url}
                self.publish(f"/v1/objects/{sha1}/server.jar", server)
            described: dict[str, Any] = {"id": name, "type": kind, "downloads": downloads, "assets": "x"}
            if java is not None:
                described["javaVersion"] = {"component": f"java-runtime-{java}", "majorVersion": java}
            raw = msgspec.json.encode(described)
            sha1 = hashlib.sha1(raw, usedforsecurity=False).hexdigest()
            self.publish(f"/v1/packages/{sha1}/{name}.json", raw)
            at = f"2026-0{9 - number}-01T10:00:00+00:00"
            listed.append(
                {
                    "id": name, "type": kind, "url": f"{self.url}/v1/packages/{sha1}/{name}.json", "time": at,
                    "releaseTime": at, "sha1": sha1, "complianceLevel": 1,
                }
            )  # fmt: skip
        latest = {"release": "26.2", "snapshot": "26.3-snapshot-3"}
        self.publish(MANIFEST, {"latest": latest, "versions": listed})

    def offer_paper(self, project: str = "paper") -> None:
        """Publish a project of Fill, version 3: families, versions, builds."""
        families = {"26.2": ["26.2"], "1.21": ["1.21.8", "1.21.1"], "1.20": ["1.20.1"]}
        self.publish(
            f"/v3/projects/{project}", {"project": {"id": project, "name": project.title()}, "versions": families}
        )
        for version, java, channels in (
            ("26.2", 25, ("ALPHA",)),
            ("1.21.8", 21, ("BETA", "STABLE", "STABLE")),
            ("1.21.1", 21, ("RECOMMENDED",)),
            ("1.20.1", 17, ("STABLE",)),
        ):
            facts = {
                "id": version,
                "support": {"status": "SUPPORTED", "end": None},
                "java": {"version": {"minimum": java}, "flags": {"recommended": ["-XX:+UseG1GC"]}},
            }
            numbers = [60 - place for place in range(len(channels))]
            self.publish(f"/v3/projects/{project}/versions/{version}", {"version": facts, "builds": numbers})
            builds = [
                self._build(project, version, number, channel)
                for number, channel in zip(numbers, channels, strict=True)
            ]
            self.publish(f"/v3/projects/{project}/versions/{version}/builds", builds)

    def _build(self, project: str, version: str, number: int, channel: str) -> dict[str, Any]:
        content = f"{project} {version} build {number}".encode()
        sha256, name = hashlib.sha256(content).hexdigest(), f"{project}-{version}-{number}.jar"
        self.publish(f"/v1/objects/{sha256}/{name}", content)
        download = {
            "name": name,
            "checksums": {"sha256": sha256},
            "size": len(content),
            "url": f"{self.url}/v1/objects/{sha256}/{name}",
        }
        return {
            "id": number, "time": "2026-08-01T10:00:00Z", "channel": channel, "commits": [],
            "downloads": {"server:default": download},
        }  # fmt: skip

    def offer_loader(self, api: str) -> None:
        """Publish games, loaders and profiles as Fabric (`v2`) or Quilt (`v3`) does."""
        is_fabric = api == "v2"
        games = [
            {"version": name, "stable": kind == "release"}
            for name, kind, _java in GAMES
            if name not in {"1.2.1", "b1.7.3"}
        ]
        self.publish(f"/{api}/versions/game", games)
        loaders: list[dict[str, Any]] = [
            {"separator": ".", "build": number, "maven": f"net.loader:loader:{version}", "version": version}
            for number, version in ((2, "0.18.0-beta.1"), (1, "0.17.2"))
        ]
        if is_fabric:
            loaders = [entry | {"stable": "beta" not in entry["version"]} for entry in loaders]
        self.publish(f"/{api}/versions/loader", loaders)
        asm = b"asm in a jar"
        self.publish("/maven/org/ow2/asm/asm/9.8/asm-9.8.jar", asm)
        self.publish("/maven/net/loader/loader/0.17.2/loader-0.17.2.jar", b"the loader in a jar")
        for game in games:
            self.publish(f"/maven/net/mappings/{game['version']}/mappings-{game['version']}.jar", b"x")
            name = f"net.loader:mappings:{game['version']}"
            self.publish(f"/maven/net/loader/mappings/{game['version']}/mappings-{game['version']}.jar", b"mappings")
            hashed = {
                "name": "org.ow2.asm:asm:9.8", "url": f"{self.url}/maven/", "size": len(asm),
                "sha1": hashlib.sha1(asm, usedforsecurity=False).hexdigest(),
                "sha512": hashlib.sha512(asm).hexdigest(), "md5": "0" * 32,
            }  # fmt: skip
            plain = [{"name": one, "url": f"{self.url}/maven/"} for one in (name, "net.loader:loader:0.17.2")]
            profile = {
                "id": f"loader-0.17.2-{game['version']}", "inheritsFrom": game["version"], "type": "release",
                "mainClass": "net.loader.impl.launch.knot.KnotServer",
                "arguments": {"game": []}, "libraries": [hashed, *plain],
            }  # fmt: skip
            self.publish(f"/{api}/versions/loader/{game['version']}/0.17.2/server/json", profile)

    def offer_forge(self) -> None:
        """Publish promotions and installers, each with its SHA-1 beside it."""
        promos = {
            "1.20.1-latest": "47.4.10", "1.20.1-recommended": "47.4.0", "1.21.8-latest": "58.1.0",
            "1.7.10-latest": "10.13.4.1614",
        }  # fmt: skip
        self.publish(PROMOTIONS, {"homepage": "https://example.org", "promos": promos})
        for version in ("1.20.1-47.4.0", "1.21.8-58.1.0"):
            self._offer_jar(f"/net/minecraftforge/forge/{version}/forge-{version}-installer.jar", version)

    def offer_neoforge(self) -> None:
        """Publish the list of versions as a repository has it, oldest first, and installers."""
        versions = ("20.4.9", "21.1.9", "21.1.200", "21.1.201-beta", "21.8.3-beta", "26.2.0.4", "0.25w14craftmine.3")
        text = "".join(f"\n      <version>{version}</version>" for version in versions)
        self.publish(
            NEOFORGE,
            (
                '<?xml version="1.0" encoding="UTF-8"?>\n<metadata>\n  <groupId>net.neoforged</groupId>\n'
                f"  <versioning>\n    <latest>26.2.0.4</latest>\n    <versions>{text}\n    </versions>\n"
                "    <lastUpdated>20260801</lastUpdated>\n  </versioning>\n</metadata>\n"
            ).encode(),
        )
        for version in versions:
            self._offer_jar(f"/net/neoforged/neoforge/{version}/neoforge-{version}-installer.jar", version)

    def _offer_jar(self, path: str, content: str) -> None:
        raw = f"installer of {content}".encode()
        self.publish(path, raw)
        self.publish(f"{path}.sha1", hashlib.sha1(raw, usedforsecurity=False).hexdigest().encode())

    def offer_all(self) -> None:
        """Publish everything."""
        self.offer_mojang()
        for project in ("paper", "velocity"):
            self.offer_paper(project)
        for api in ("v2", "v3"):
            self.offer_loader(api)
        self.offer_forge()
        self.offer_neoforge()

    def take_fault(self, path: str) -> str:
        """Return how this answer goes wrong, and count it."""
        fault, _, times = self.faults.get(path, self.faults.get("*", "")).partition(":")
        if times:
            self.faults[path] = f"{fault}:{int(times) - 1}" if int(times) > 1 else ""
        return fault


class _Handler(BaseHTTPRequestHandler):
    upstreams: GameUpstreams

    def do_GET(self) -> None:
        made = self.upstreams
        made.asked.append(self.path)
        made.agents.add(self.headers.get("User-Agent", ""))
        content, fault = made.files.get(self.path), made.take_fault(self.path)
        if fault == "429":
            self._say(429, b'{"ok": false, "error": "rate limited"}', after="7")
        elif fault == "503":
            self._say(503, b"")
        elif fault == "redirect":
            self._say(302, b"", location="http://127.0.0.1:1/elsewhere")
        elif content is None:
            self._say(404, b'{"ok": false, "error": "not_found"}')
        elif fault == "cut":
            self._say(200, content[: len(content) // 2], length=len(content))
        elif fault == "huge":
            self._endless()
        else:
            self._say(200, content + (b" " if fault == "flip" else b""))

    def _say(self, status: int, body: bytes, *, length: int | None = None, after: str = "", location: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in (("Retry-After", after), ("Location", location)):
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _endless(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"[" * 65536)
        except OSError:
            return

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Say nothing."""


@contextmanager
def running_upstreams() -> Iterator[GameUpstreams]:
    """Give all upstreams, on one address of loopback."""
    made = GameUpstreams()
    handler = type("Handler", (_Handler,), {"upstreams": made})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    made.offer_all()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
