"""A tour of ZLH through its public API alone; run it while `make dev` runs.

It makes a dev container with node, watches the steps, opens a terminal, starts a small web server in it, fetches that
through the proxy, prints the status, deletes the container, and proves that nothing is left. Every check that fails
ends the demo with exit code 1.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

HOME = Path(os.environ.get("ZLH_HOME") or ".zlh").absolute()
OFFSET_BYTES = 8
WEB_PORT = 3000
SERVER = (
    "require('http').createServer((q,s)=>s.end('hello from '+process.version+'\\n'))"
    f".listen({WEB_PORT},process.env.HOST)"
)


class DemoFailed(Exception):
    """Something is not as it should be."""


class Api:
    """The few calls that the demo needs."""

    def __init__(self, dev: dict[str, str]) -> None:
        self.url = dev["apiUrl"]
        self.traefik_url = dev["traefikUrl"]
        self.token = dev["adminToken"]

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Return the answer's JSON (None for an empty one); an error answer becomes DemoFailed."""
        status, answer = self.try_call(method, path, body)
        if status >= 400:
            raise DemoFailed(f"{method} {path}: {answer['detail']} [{answer['code']}]")
        return answer

    def try_call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return (status, JSON), whatever the status is."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        status, raw = fetch(request)
        return status, json.loads(raw) if raw else None

    def through_proxy(self, host: str, path: str = "/") -> tuple[int, str]:
        """Fetch a page of a container by its public name, as a browser would."""
        status, raw = fetch(urllib.request.Request(self.traefik_url + path, headers={"Host": host}))
        return status, raw.decode("utf-8", "replace")

    def open_terminal(self, vmid: int, terminal: str | None = None) -> ClientConnection:
        """Attach to a terminal, or to the container's console."""
        where = f"terminals/{terminal}" if terminal else "console"
        return connect(
            f"{self.url.replace('http', 'ws', 1)}/api/containers/{vmid}/{where}",
            additional_headers={"Authorization": f"Bearer {self.token}"},
            subprotocols=[Subprotocol("zlh.console.v1")],
            compression=None,
            proxy=None,
        )


def fetch(request: urllib.request.Request) -> tuple[int, bytes]:
    """Return (status, body) of one request."""
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def say(text: str) -> None:
    """Print one line of the tour."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def wait_ready(api: Api, vmid: int) -> dict[str, Any]:
    """Show each step as it ends, and return the report once the container is ready."""
    shown: set[str] = set()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        report: dict[str, Any] = api.call("GET", f"/api/containers/{vmid}/status")
        for step in report["steps"]:
            if step["state"] in {"done", "skipped", "failed"} and step["name"] not in shown:
                shown.add(step["name"])
                print(f"  {step['state']:>8}  {step['name']:<18} {duration(step)}", flush=True)
        if report["ready"]:
            return report
        if report["lifecycle"] == "error":
            problem = report["provisioningError"]
            raise DemoFailed(f"{problem['step']}: {problem['message']} [{problem['code']}]")
        time.sleep(0.1)
    raise DemoFailed(f"container {vmid} is not ready after two minutes")


def duration(step: dict[str, Any]) -> str:
    """Return how long a step took, where that is known."""
    if not step["startedAt"] or not step["finishedAt"]:
        return ""
    return f"{seconds(step['finishedAt']) - seconds(step['startedAt']):.2f} s"


def seconds(stamp: str) -> float:
    """Return an RFC 3339 time as seconds."""
    return datetime.fromisoformat(stamp).timestamp()


def run(terminal: ClientConnection, command: str, *, until: str) -> str:
    """Type a command and return what was printed up to `until`, which the command must not contain literally."""
    terminal.send((command + "\n").encode())
    printed, deadline = "", time.monotonic() + 30
    while until not in printed:
        frame = terminal.recv(timeout=max(deadline - time.monotonic(), 0.1))
        if isinstance(frame, bytes):
            printed += frame[OFFSET_BYTES:].decode("utf-8", "replace")
    return printed


def wait_page(api: Api, host: str, wanted: str) -> str:
    """Return the page once the proxy serves it."""
    deadline, page = time.monotonic() + 20, ""
    while time.monotonic() < deadline:
        status, page = api.through_proxy(host)
        if status == 200 and wanted in page:
            return page
        time.sleep(0.1)
    raise DemoFailed(f"http://{host} does not show {wanted!r}, but: {page[:200]}")


def check_gone(api: Api, vmid: int, host: str) -> None:
    """Prove that the container's row, route, files and processes are gone."""
    deadline = time.monotonic() + 60
    while api.try_call("GET", f"/api/containers/{vmid}")[0] != 404:
        if time.monotonic() > deadline:
            raise DemoFailed(f"container {vmid} is still there a minute after its deletion")
        time.sleep(0.1)
    print("  the API no longer knows it")
    status, page = api.through_proxy(host)
    # What the platform says of a name that no route has; a route that was left would speak of a container.
    if status != 404 or "There is no such page." not in page:
        raise DemoFailed(f"the proxy still routes {host}: {status}")
    print("  the proxy has no route to it")
    folder = HOME / "containers" / str(vmid)
    if folder.exists() or list((HOME / "routes").glob(f"*-{vmid}.yml")):
        raise DemoFailed(f"files of it are left below {HOME}")
    print("  its files and its route file are gone")
    left = processes_below(folder)
    if left:
        raise DemoFailed(f"processes of it are left: {left}")
    print("  none of its processes is left")


def processes_below(folder: Path) -> list[int]:
    """Return the pids of processes whose command line names `folder`, or that work in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                names = (entry / "cmdline").read_bytes() + str((entry / "cwd").readlink()).encode()
            except OSError:
                continue
            if str(folder).encode() + b"/" in names:
                found.append(int(entry.name))
    return found


def tour() -> None:
    """The whole demo."""
    dev_file = HOME / "dev.json"
    if not dev_file.exists():
        raise DemoFailed(f"{dev_file} is not there: start `make dev` in another terminal first")
    api = Api(json.loads(dev_file.read_text()))

    offers = api.call("GET", "/api/catalog/runtimes")["runtimes"]
    say("What can be installed, from the signed catalog:")
    for offer in offers:
        print(f"  {offer['title']}: {', '.join(version['version'] for version in offer['versions'])}")

    # The oldest one, so that there is something to upgrade to.
    version = next(offer["versions"][-1]["version"] for offer in offers if offer["name"] == "node")
    say(f"A dev container with node {version}:")
    began = time.monotonic()
    wish = {"kind": "dev", "runtime": "node", "version": version, "enableCodeServer": False}
    vmid = api.call("POST", "/api/containers", wish)["vmid"]
    try:
        report = wait_ready(api, vmid)
        print(f"  ready after {time.monotonic() - began:.1f} s: {report['url']}")
        use(api, vmid, report)
        change_versions(api, vmid)
    finally:
        say("Delete it, and look for what is left:")
        api.try_call("DELETE", f"/api/containers/{vmid}")
    check_gone(api, vmid, report["hostname"])
    say("That was all of it.")


def use(api: Api, vmid: int, report: dict[str, Any]) -> None:
    """Use the terminal, serve a page, fetch it by its name."""
    say("In its terminal:")
    with api.open_terminal(vmid) as terminal:
        printed = run(terminal, 'node --version; echo "exit"=$?', until="exit=")
        version = report["runtimes"][0]["version"]
        if f"v{version}" not in printed or "exit=0" not in printed:
            raise DemoFailed(f"node --version printed {printed!r}")
        print(f"  $ node --version\n  v{version}")
        run(terminal, f'node -e "{SERVER}" & echo "started"=$?', until="started=")
        print(f"  $ node -e … &     (a web server on port {WEB_PORT})")

        say("Publish the port, and fetch it by the container's name:")
        exposure = api.call("POST", f"/api/containers/{vmid}/exposures", {"port": WEB_PORT, "visibility": "public"})
        host = report["hostname"]
        page = wait_page(api, host, "hello from v")
        print(f"  GET {report['url']} → {page.strip()}")
        page = wait_page(api, exposure["url"].split("//")[1].split(":")[0].rstrip("/"), "hello from v")
        print(f"  GET {exposure['url']} → {page.strip()}")

    say("Its status:")
    status = api.call("GET", f"/api/containers/{vmid}/status")
    print(json.dumps({key: status[key] for key in status if key != "steps"}, indent=2))


def change_versions(api: Api, vmid: int) -> None:
    """Upgrade node, and go back; a shell tells what its name leads to."""
    path = f"/api/containers/{vmid}/runtimes"
    newer = [entry["version"] for entry in api.call("GET", path)["upgrades"] if entry["name"] == "node"]
    if not newer:
        say("The catalog has no newer node, so there is nothing to upgrade to.")
        return
    say(f"Upgrade node to {newer[0]}, while everything else goes on:")
    api.call("POST", f"{path}/node/upgrade")
    wait_runtimes(api, vmid)
    show_version(api, vmid)
    say("Roll back to what was kept, which takes no download:")
    api.call("POST", f"{path}/node/rollback")
    wait_runtimes(api, vmid)
    show_version(api, vmid)
    found = api.call("POST", f"{path}/node/verify")
    print(f"  every file of node {found['version']} is what was installed: {'yes' if found['verified'] else 'no'}")


def wait_runtimes(api: Api, vmid: int) -> None:
    """Show how far what was asked for is, and return once nothing is left to do."""
    began, shown = time.monotonic(), ""
    while time.monotonic() - began < 120:
        runtimes = api.call("GET", f"/api/containers/{vmid}/runtimes")
        steps = [entry["step"] for entry in runtimes["pending"] if entry["step"]]
        if failed := [step for step in steps if step["state"] == "failed"]:
            raise DemoFailed(f"{failed[0]['name']}: {failed[0]['message']} [{failed[0]['code']}]")
        if not runtimes["pending"]:
            told = [f"{entry['name']} {entry['version']}{mark(entry)}" for entry in runtimes["runtimes"]]
            print(f"  after {time.monotonic() - began:.1f} s: {', '.join(told)}", flush=True)
            return
        stage = next((step["transfer"]["stage"] for step in steps if step["transfer"]), "")
        if stage and stage != shown:
            print(f"  {stage} …", flush=True)
            shown = stage
        time.sleep(0.05)
    raise DemoFailed("the runtimes are not what was asked for after two minutes")


def mark(runtime: dict[str, Any]) -> str:
    """Return what a version is besides installed."""
    return " (default)" if runtime["default"] else " (kept to go back to)" if runtime["previous"] else ""


def show_version(api: Api, vmid: int) -> None:
    """Ask a new shell which node it has."""
    opened = api.call("POST", f"/api/containers/{vmid}/terminals", {"cols": 80, "rows": 24})["id"]
    with api.open_terminal(vmid, opened) as terminal:
        printed = run(terminal, 'echo "node="$(node --version)"."', until=".\r\n")
    version = printed.rpartition("node=")[2].partition(".\r")[0]
    print(f"  $ node --version\n  {version}")


def main() -> int:
    """Run the tour; 0 when everything was as it should be."""
    try:
        tour()
    except (DemoFailed, OSError, socket.gaierror, TimeoutError) as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
