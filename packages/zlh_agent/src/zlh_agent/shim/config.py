"""What a shim is told at its start, on its standard input."""

from __future__ import annotations

import os

from zlh_agent.shim import shim_wire as wire


class Config:
    """Where a shim lives; the agent has made both folders, for itself alone."""

    __slots__ = ("capacity", "is_unit", "name", "socket_folder", "state_folder")

    def __init__(
        self, *, name: str, socket_folder: str, state_folder: str, capacity: int, is_unit: bool = False
    ) -> None:
        self.name = name
        self.socket_folder = socket_folder
        self.state_folder = state_folder
        self.capacity = capacity
        # systemd has started it, in a control group of its own: there is nothing to fork away from.
        self.is_unit = is_unit


def render_config(config: Config) -> bytes:
    """Return what a shim reads from its standard input."""
    kind = "unit" if config.is_unit else "fork"
    fields = (config.name, config.socket_folder, config.state_folder, str(config.capacity), kind)
    return wire.render_fields([os.fsencode(field) for field in fields])


def parse_config(raw: bytes) -> Config:
    """Return the configuration; raise WireError where the agent died while it wrote it."""
    fields = [os.fsdecode(field) for field in wire.parse_fields(raw)]
    if len(fields) < 5 or not fields[3].isdigit():
        raise wire.WireError("the configuration was cut short")
    return Config(
        name=fields[0],
        socket_folder=fields[1],
        state_folder=fields[2],
        capacity=int(fields[3]),
        is_unit=fields[4] == "unit",
    )
