"""An API process that keeps no audit log: what the same calls cost without it. `unrecorded_api.py serve --config …`."""

from __future__ import annotations

from dataclasses import replace

from zlh_api import cli
from zlh_api.app import parts as composition
from zlh_api.app.parts import Parts
from zlh_api.config.model import ApiConfig
from zlh_api.web.endpoint import Endpoint

_make = composition.make_endpoints


def make_endpoints(parts: Parts, config: ApiConfig) -> list[Endpoint]:
    """Return the endpoints without their words."""
    return [replace(endpoint, act=None) for endpoint in _make(parts, config)]


if __name__ == "__main__":
    # Before the server is loaded, which takes it from there.
    composition.make_endpoints = make_endpoints
    cli.main()
