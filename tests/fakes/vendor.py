"""A vendor that lists its releases with their checksums and serves them, and that misbehaves to order."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from fakes.debs import tar_of

VENDOR_RECIPE = """
name = "dot"
title = "Dot"
version = "{line}"
upstream = "https://example.org"
licence = "MIT"
bin = ["bin"]
smoke_test = ["bin/dot", "--version"]
smoke_expect = "{{version}}"
[vendor]
base_url = "https://vendor.example/dot"
{more}
[vendor.files]
linux-x86_64 = "sdk-linux-x64.tar.gz"
[layout.links]
"bin/dot" = "../dot"
[layout.copies]
"LICENSE" = "LICENSE.txt"
"""


@dataclass
class Vendor:
    """Answers with the files it has; `fault` is how it misbehaves."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    fault: str = ""
    url: str = ""

    def offer_dotnet(self, line: str, version: str, content: bytes) -> None:
        """Publish an SDK in a list of the shape that .NET's has, with all that it says besides."""
        base = "https://builds.dotnet.microsoft.com/dotnet"
        name, runtime = f"dotnet-sdk-{version}-linux-x64.tar.gz", f"{line}.1"
        sdk = {
            "version": version,
            "version-display": version,
            "runtime-version": runtime,
            "vs-version": "17.8.0",
            "files": [
                {
                    "name": "dotnet-sdk-linux-musl-x64.tar.gz",
                    "rid": "linux-musl-x64",
                    "url": f"{base}/Sdk/{version}/musl.tar.gz",
                    "hash": "0" * 128,
                },
                {
                    "name": "dotnet-sdk-linux-x64.tar.gz",
                    "rid": "linux-x64",
                    "url": f"{base}/Sdk/{version}/{name}",
                    "hash": hashlib.sha512(content).hexdigest(),
                },
            ],
        }
        release = {
            "release-date": "2026-11-10",
            "release-version": runtime,
            "security": True,
            "cve-list": [{"cve-id": "CVE-2026-0000", "cve-url": "https://cve.example/CVE-2026-0000"}],
            "runtime": {"version": runtime, "files": []},
            "sdk": sdk,
            "sdks": [sdk],
            "aspnetcore-runtime": {"version": runtime, "files": []},
            "windowsdesktop": {"version": runtime, "files": []},
        }
        channel = {
            "channel-version": line,
            "latest-release": runtime,
            "latest-sdk": version,
            "release-type": "lts",
            "support-phase": "active",
            "eol-date": "2028-11-14",
            "releases": [release],
        }
        self.files[f"/dot/release-metadata/{line}/releases.json"] = msgspec.json.encode(channel)
        self.files[f"/dot/Sdk/{version}/{name}"] = content

    def offer(self, version: str, content: bytes, *, checksum: str | None = None) -> None:
        """Publish a release beside those that there are."""
        name = "sdk-linux-x64.tar.gz"
        self.files[f"/dot/Sdk/{version}/{name}"] = content
        known = msgspec.json.decode(self.files.get("/dot/8.0/releases.json", b'{"releases": []}'))
        file = {
            "name": name,
            "rid": "linux-x64",
            "url": f"https://vendor.example/dot/Sdk/{version}/{name}",
            "hash": checksum or hashlib.sha512(content).hexdigest(),
        }
        known["releases"].append({"release-version": version, "sdk": {"version": version, "files": [file]}})
        self.files["/dot/8.0/releases.json"] = msgspec.json.encode(known)


@contextmanager
def running_vendor() -> Iterator[Vendor]:
    """Give a vendor that listens on loopback."""
    made = Vendor()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            content = made.files.get(self.path)
            is_file = self.path.endswith(".gz")
            if made.fault == "redirect" and is_file:
                self.send_response(302)
                self.send_header("Location", "file:///etc/passwd")
                self.end_headers()
                return
            if content is None or made.fault == "gone":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if made.fault == "cut" and is_file:
                content = content[: len(content) // 2]
            if made.fault == "flip" and is_file:
                content = content[:-1] + bytes([content[-1] ^ 1])
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}/dot"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def vendor_tarball(version: str, **more: tuple[bytes, int]) -> bytes:
    """Make what the vendor offers."""
    files = {
        "dot": (f"#!/bin/sh\necho {version}\n".encode(), 0o755),
        "LICENSE.txt": (b"Do as you like.", 0o644),
        **more,
    }
    return gzip.compress(tar_of(files), mtime=0)
