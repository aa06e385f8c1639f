"""A small code-server: a real archive whose program takes the same command line, answers on the same path and stops
in the same way. It writes each of its starts into the home of whoever runs it, and shows what it was given.
"""

from __future__ import annotations

import sys

from fakes.runtime_shop import Member, RuntimeShop, member

NAME = "code-server"
_SERVER = """
import http.server, json, os, pathlib, sys, time

version = sys.argv[1]
# So that it is seen to use the tree that it comes from, as a program with a runtime of its own is.
held = open(__file__)
words = sys.argv[2:]
given = dict(zip(words, words[1:]))
host, _, port = given["--bind-addr"].rpartition(":")
home = pathlib.Path(os.environ["HOME"])
with (home / "starts").open("a") as starts:
    starts.write(version + "\\n")
used_at = 0


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global used_at
        if self.path == "/healthz":
            said = {"status": "alive", "lastHeartbeat": used_at}
        else:
            used_at = int(time.time() * 1000)
            said = {
                "version": version, "pid": os.getpid(), "words": words, "environment": dict(os.environ),
                "folder": os.getcwd(),
            }
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


http.server.ThreadingHTTPServer((host, int(os.environ.get("PORT", port))), Handler).serve_forever()
"""


def members(version: str, *, before: str = "") -> list[Member]:
    """Return the archive of one version; `before` is done by a shell before it starts."""
    script = (
        f'#!/bin/sh\n[ "$1" = --version ] && echo {version} && exit\n{before}\n'
        f'exec {sys.executable} -IS "$(dirname "$(readlink -f "$0")")/../lib/server.py" {version} "$@"\n'
    )
    return [member("bin/code-server", script.encode(), mode=0o755), member("lib/server.py", _SERVER.encode())]


def add_addon(shop: RuntimeShop, version: str, *, before: str = "", unpacked_size: int | None = None) -> None:
    """Put one version of it into a shop, not yet published."""
    shop.add(
        version, name=NAME, kind="addon", members=members(version, before=before), unpacked_size=unpacked_size,
        smoke_test=("bin/code-server", "--version"), smoke_expect=version,
    )  # fmt: skip
