"""The proxy's directory on this machine and over a real sshd: the same tests for both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.clock import FakeClock
from fakes.sshd import Sshd
from guards import parts
from zlh_api.circuit import Circuit
from zlh_api.edge.directory_rules import WRITING
from zlh_api.edge.kept_directory import KeptDirectory
from zlh_api.edge.local_directory import LocalPlace
from zlh_api.edge.sftp_connection import SftpConnection
from zlh_api.edge.sftp_directory import SftpPlace
from zlh_common.clock import SystemClock


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Run one server for a module."""
    if (reason := parts.why_missing("sshd")) is not None:
        pytest.skip(reason)
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    server.start()
    yield server
    server.stop()


@dataclass
class Rig:
    """One directory, reached in one way, and the folders in which it lies."""

    directory: KeptDirectory
    folder: Path
    quarantine: Path
    clock: FakeClock

    def names(self) -> list[str]:
        """Return what lies in the directory, without the folder in which files are written."""
        return sorted(
            name for path in self.folder.rglob("*") if (name := str(path.relative_to(self.folder))) != WRITING
        )

    def quarantined(self) -> dict[str, bytes]:
        """Return what lies in the quarantine, by the name that it had."""
        return {path.name: path.read_bytes() for path in self.quarantine.glob("*/*") if path.is_file()}


def make_connection(sshd: Sshd, **changes: object) -> SftpConnection:
    """Return a connection to the server, with a circuit of its own."""
    return SftpConnection(sshd.access(**changes), Circuit("proxy", clock=SystemClock()))


@pytest.fixture(params=["local", "sftp"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    """Give an empty directory."""
    folder, quarantine, clock = tmp_path / "dynamic", tmp_path / "quarantine", FakeClock()
    await asyncio.to_thread(folder.mkdir)
    if request.param == "local":
        yield Rig(KeptDirectory(LocalPlace(folder, quarantine), clock=clock.monotonic), folder, quarantine, clock)
        return
    connection = make_connection(request.getfixturevalue("sshd"))
    place = SftpPlace(connection, folder, quarantine)
    yield Rig(KeptDirectory(place, clock=clock.monotonic), folder, quarantine, clock)
    await connection.close()
