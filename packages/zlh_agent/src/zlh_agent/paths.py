"""Where the agent keeps things inside a container; the `process` driver puts all of it under a root of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ContainerPaths:
    """The folders of one container below `root`, which is `/` in a real one."""

    root: Path = Path("/")

    @property
    def config(self) -> Path:
        """The agent's configuration and key, written by the driver."""
        return self.root / "etc/zlh"

    @property
    def state(self) -> Path:
        """What the agent must remember: its spec, its install records, the exit records and rings of its shims."""
        return self.root / "var/lib/zlh"

    @property
    def sockets(self) -> Path:
        """Sockets and pid records; empty after a boot."""
        return self.root / "run/zlh"

    @property
    def runtimes(self) -> Path:
        """`<name>/<version>` trees and a `<name>/current` link for each."""
        return self.root / "opt/zlh/runtimes"

    @property
    def services(self) -> Path:
        """The same for addons, which are never on PATH."""
        return self.root / "opt/zlh/services"

    @property
    def agent(self) -> Path:
        """The agent's own bundles, a folder for each version, and `current`, which leads to the one that is started."""
        return self.root / "opt/zlh/agent"

    @property
    def update(self) -> Path:
        """How far the agent is on its way to another version of itself."""
        return self.state / "update"

    @property
    def home(self) -> Path:
        """The home folder of the customer's user."""
        return self.root / "home/dev"

    @property
    def server(self) -> Path:
        """The folder of a game server."""
        return self.root / "srv/game"

    @property
    def workspace(self) -> Path:
        """What a dev container shows as `/workspace`."""
        return self.home / "workspace"
