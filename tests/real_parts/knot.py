"""Knot DNS with one zone: dynamic updates and transfers for whoever has the TSIG key, answers for everybody.

with running_knot(tmp_path, "example.test") as knot:
    dns.query.tcp(update, knot.address, port=knot.port)
"""

from __future__ import annotations

import base64
import contextlib
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from guards.parts import find_server
from guards.ports import free_port
from real_parts.program import Program

KEY_NAME = "zlh"
ALGORITHM = "hmac-sha256"
# A query for a SOA record: the header with one question, and what follows the name.
_QUERY_HEADER = bytes.fromhex("515100000001000000000000")
_SOA_IN = bytes.fromhex("0000060001")


@dataclass(frozen=True)
class Knot:
    """A running server; `program.stop()` and `program.start()` are how it fails and comes back, zone and all."""

    zone: str
    port: int
    # Base64, as every client takes it.
    secret: str
    program: Program
    address: str = "127.0.0.1"
    key_name: str = KEY_NAME
    algorithm: str = ALGORITHM


@contextlib.contextmanager
def running_knot(folder: Path, zone: str, records: str = "") -> Iterator[Knot]:
    """Run knotd in `folder` on a free port; `records` are lines of the zone file beside SOA and NS."""
    home = folder / "knot"
    for place in (home, home / "run", home / "zones"):
        place.mkdir(exist_ok=True)
    secret, port = base64.b64encode(secrets.token_bytes(32)).decode(), free_port()
    (home / "zones" / "zone").write_text(_zone_file(zone, records))
    (home / "knot.conf").write_text(_config(home, zone, port, secret))
    program = Program(
        (find_server("knotd") or "knotd", "-c", str(home / "knot.conf")), home / "log", lambda: _answers(port, zone)
    )
    with program.running():
        yield Knot(zone, port, secret, program)


def _config(home: Path, zone: str, port: int, secret: str) -> str:
    # Without a user it stays whoever started it. An update is in the journal before it is answered, and is applied to
    # the zone file at a start: a file that followed each update would be behind where the server is killed.
    return f"""
server:
    listen: 127.0.0.1@{port}
    rundir: {home}/run
    pidfile: {home}/run/knot.pid
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
control:
    listen: {home}/run/knot.sock
database:
    storage: {home}/zones
    journal-db-max-size: 8M
    timer-db-max-size: 1M
log:
  - target: stderr
    any: info
key:
  - id: {KEY_NAME}
    algorithm: {ALGORITHM}
    secret: {secret}
acl:
  - id: ours
    key: {KEY_NAME}
    action: [update, transfer]
zone:
  - domain: {zone}.
    storage: {home}/zones
    file: zone
    acl: ours
    journal-content: changes
    zonefile-sync: -1
    zonefile-load: whole
    semantic-checks: true
"""


def _zone_file(zone: str, records: str) -> str:
    return f"""$ORIGIN {zone}.
$TTL 60
@ SOA ns hostmaster 1 60 60 600 5
@ NS ns
ns A 127.0.0.1
{records}
"""


def _answers(port: int, zone: str) -> bool:
    """Tell whether the server has loaded the zone."""
    name = b"".join(bytes([len(label)]) + label for label in zone.encode().split(b"."))
    with socket.socket(type=socket.SOCK_DGRAM) as client, contextlib.suppress(OSError):
        client.settimeout(1)
        client.connect(("127.0.0.1", port))
        client.send(_QUERY_HEADER + name + _SOA_IN)
        answer = client.recv(512)
        # No error, and one answer.
        return answer[3] & 0x0F == 0 and answer[6:8] == b"\0\1"
    return False
