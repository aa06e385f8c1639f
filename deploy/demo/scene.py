"""What a small agency would have on the platform: customers, people, containers, and something that runs in them.

Everything is made through the public API, and only what is not there yet, so it may be called any number of times.
"""

from __future__ import annotations

import json
import secrets
import time
import urllib.request
from typing import Any
from urllib.parse import quote

from websockets.sync.client import ClientConnection

from demo import OFFSET_BYTES, Api, DemoFailed, fetch, run

PATIENCE_S = 600
STUDIO, GUILD, BAKERY = "Harbour Studio", "Northwind Guild", "Lindqvist Bakery"
SHOP, BILLING, PREVIEW, SQUID = "shop-frontend", "billing-api", "docs-preview", "friday-night"
PEOPLE = (("maria@harbour.example", "owner"), ("jonas@harbour.example", "member"), ("ines@harbour.example", "viewer"))
QUOTA = {"containers": 5, "cpu": 8, "memoryMib": 8192, "diskMib": 40_960, "exposures": 10, "members": 8}
SERVER = """// The shop: answers every request, and says so.
const http = require("node:http");

const port = Number(process.env.PORT ?? 3000);
const items = ["harbour mug", "tide table 2027", "rope, 12 m"];

http
  .createServer((request, response) => {
    console.log(`${request.method} ${request.url}`);
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({ items }));
  })
  .listen(port, process.env.HOST, () => console.log(`listening on ${port}`));
"""
WORKER = """// Works off the orders, a few at a time.
let done = 0;
const spare = [];
setInterval(() => {
  spare.push(Buffer.alloc(200_000, done % 256));
  if (spare.length > 60) spare.length = 0;
  done += 1 + (done % 3);
  console.log(`${new Date().toISOString()} orders ${String(done).padStart(5)}  queue ${(done * 7) % 11}`);
}, 500);
"""
MAILER = """// Sends what the worker has left for it.
console.error("smtp.harbour.example: connection refused");
process.exit(1);
"""
FILES = {
    "shop/server.js": SERVER,
    "shop/worker.js": WORKER,
    "shop/mailer.js": MAILER,
    "shop/package.json": '{\n  "name": "shop",\n  "private": true,\n  "scripts": { "start": "node server.js" }\n}\n',
    "shop/README.md": "# Shop\n\nThe front of the harbour's shop. `npm start` runs it on port 3000.\n",
    "shop/.env.example": "PORT=3000\n",
    "notes.txt": "Rename the bucket before the release.\n",
}
PROCESSES: dict[str, dict[str, object]] = {
    "web": {"argv": ["node", "server.js"], "folder": "shop", "environment": {"PORT": "3000"}},
    "worker": {"argv": ["node", "worker.js"], "folder": "shop"},
    "mailer": {"argv": ["node", "mailer.js"], "folder": "shop", "policy": {"restart": {"delaysS": [1, 2]}}},
}
# What somebody types, and what is printed then.
COMMANDS = {"cd ~/workspace/shop && ls -l": "server.js", "node --version": "v2", "cat package.json": "private"}


def build(api: Api) -> dict[str, int]:
    """Make what is missing, and return the VMIDs by name once all of it is ready."""
    studio, guild, bakery = (ensure_customer(api, name) for name in (STUDIO, GUILD, BAKERY))
    api.call("PUT", f"/api/customers/{studio}/quota", QUOTA)
    for email, role in PEOPLE:
        ensure_member(api, studio, email, role)
    wishes: dict[str, dict[str, object]] = {
        SHOP: {"kind": "dev", "runtime": "node", "customerId": studio, "resources": {"cpu": 2, "memoryMib": 2048}},
        BILLING: {"kind": "dev", "runtime": "node", "customerId": studio},
        PREVIEW: {"kind": "dev", "runtime": "node", "version": "22", "customerId": bakery},
    }
    if any(each["name"] == "flying-squid" for each in api.call("GET", "/api/catalog/templates")["items"]):
        wishes[SQUID] = {"kind": "game", "template": "flying-squid", "customerId": guild}
    vmids = {name: ensure_container(api, name, wish) for name, wish in wishes.items()}
    for vmid in vmids.values():
        wait_ready(api, vmid)
    furnish(api, vmids[SHOP])
    api.call("POST", f"/api/containers/{vmids[BILLING]}/stop")
    api.try_call("POST", f"/api/customers/{bakery}/suspend", {"reason": "The invoice of October is unpaid."})
    return vmids


def ensure_customer(api: Api, name: str) -> str:
    """Return the id of a customer of this name."""
    for each in api.call("GET", f"/api/customers?q={quote(name)}")["items"]:
        if each["name"] == name:
            return str(each["id"])
    return str(api.call("POST", "/api/customers", {"name": name})["id"])


def ensure_member(api: Api, customer: str, email: str, role: str) -> None:
    """Have somebody belong to a customer; nobody but chance knows the password."""
    if any(each["email"] == email for each in api.call("GET", f"/api/customers/{customer}/members")["items"]):
        return
    made = api.call("POST", f"/api/customers/{customer}/invitations", {"email": email, "role": role})
    wish = {"code": made["url"].partition("#code=")[2], "password": secrets.token_urlsafe()}
    # Without the operator's token, for it is somebody else who follows the link.
    send(api, "POST", "/api/invitations/accept", json.dumps(wish).encode(), {"Content-Type": "application/json"})


def ensure_container(api: Api, name: str, wish: dict[str, object]) -> int:
    """Return the VMID of a container of this name."""
    for each in api.call("GET", "/api/containers?limit=100")["items"]:
        if each["name"] == name:
            return int(each["vmid"])
    return int(api.call("POST", "/api/containers", {**wish, "name": name})["vmid"])


def wait_ready(api: Api, vmid: int) -> None:
    """Return once a container is ready, or was stopped or suspended by an earlier call."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        report: dict[str, Any] = api.call("GET", f"/api/containers/{vmid}/status")
        if report["ready"] or report["power"] == "off" or report["suspended"]:
            return
        time.sleep(0.5)
    raise DemoFailed(f"container {vmid} is not ready after {PATIENCE_S} s")


def furnish(api: Api, vmid: int) -> None:
    """Have files, processes, a published port and a terminal in which somebody has worked."""
    for path, text in FILES.items():
        write_file(api, vmid, path, text)
    for name, process in PROCESSES.items():
        api.call("PUT", f"/api/containers/{vmid}/processes/{name}", process)
    if not api.call("GET", f"/api/containers/{vmid}/exposures")["items"]:
        api.call("POST", f"/api/containers/{vmid}/exposures", {"port": 3000, "visibility": "public"})
    with api.open_terminal(vmid) as terminal:
        for command, printed in {"clear; echo Welcome''.": "Welcome.", **COMMANDS}.items():
            wait_prompt(terminal, run(terminal, command, until=printed))


def wait_prompt(terminal: ClientConnection, printed: str) -> None:
    """Return once a shell waits for the next command, so that none is seen before its prompt."""
    while not printed.endswith(("# ", "$ ")):
        frame = terminal.recv(timeout=PATIENCE_S)
        if isinstance(frame, bytes):
            printed += frame[OFFSET_BYTES:].decode("utf-8", "replace")


def write_file(api: Api, vmid: int, path: str, text: str) -> None:
    """Write a file of the container's home."""
    where = f"/api/containers/{vmid}/files/content?parents=true&path={quote(path)}"
    headers = {"Authorization": f"Bearer {api.token}", "Content-Type": "application/octet-stream"}
    send(api, "PUT", where, text.encode(), headers)


def send(api: Api, method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
    """Send what `Api.call` does not: as nobody, or what is no JSON."""
    status, answer = fetch(urllib.request.Request(api.url + path, method=method, data=body, headers=headers))
    if status >= 400:
        raise DemoFailed(f"{method} {path}: {answer.decode('utf-8', 'replace')}")
