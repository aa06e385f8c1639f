"""Pebble, an ACME server: it asks one name server for the proofs, and signs with a root that is new at each start."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from guards.parts import find_server
from guards.ports import free_port
from real_parts.certificates import PublicCa
from real_parts.program import Program, listens


@dataclass(frozen=True)
class Pebble:
    """A running server; `program.stop()` and `program.start()` are how it fails and comes back, with another root."""

    port: int
    management_port: int
    # Who signs the certificate of the server itself, as its clients must know.
    ca: PublicCa
    program: Program

    @property
    def directory(self) -> str:
        """Where clients begin."""
        return f"https://127.0.0.1:{self.port}/dir"

    def fetch_root(self) -> bytes:
        """Return the certificate by which everything is checked that was signed since the start."""
        context = ssl.create_default_context(cafile=str(self.ca.ca))
        with urllib.request.urlopen(
            f"https://127.0.0.1:{self.management_port}/roots/0", timeout=10, context=context
        ) as answer:
            root: bytes = answer.read()
            return root


@contextlib.contextmanager
def running_pebble(folder: Path, name_server: str, *, validity_s: int = 86_400) -> Iterator[Pebble]:
    """Run it in `folder`; `name_server` is `address:port`."""
    home = folder / "pebble"
    ca = PublicCa(home, "Test ACME Server CA")
    own, port, management_port = ca.issue("localhost", addresses=("127.0.0.1",)), free_port(), free_port()
    config = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{management_port}",
        "certificate": str(own.certificate),
        "privateKey": str(own.key),
        # Nobody listens there: DNS is the only proof.
        "httpPort": 1,
        "tlsPort": 1,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
        "certificateValidityPeriod": validity_s,
    }
    (home / "config.json").write_text(json.dumps({"pebble": config}))
    program = Program(
        (find_server("pebble") or "pebble", "-config", str(home / "config.json"), "-dnsserver", name_server),
        home / "log",
        lambda: listens(port) and listens(management_port),
        {
            "PATH": os.environ["PATH"],
            # It would wait up to fifteen seconds, refuse one nonce in twenty, and forget half of the proofs.
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_WFE_NONCEREJECT": "0",
            "PEBBLE_AUTHZREUSE": "0",
        },
    )
    with program.running():
        yield Pebble(port, management_port, ca, program)
