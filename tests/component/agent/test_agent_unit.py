"""The agent's unit as systemd reads it: without a complaint, and no wider open than is written down."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
UNIT = ROOT / "deploy/agent/zlh-agent.service"
pytestmark = pytest.mark.real("systemd")


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """Lend a root that has the unit, the slice beside it, and the programs that the unit names."""
    place = tmp_path / "etc/systemd/system"
    place.mkdir(parents=True)
    for unit in UNIT.parent.glob("zlh*"):
        (place / unit.name).write_text(unit.read_text())
    for program in re.findall(r"^Exec\w+=[-+@:!]*(\S+)", UNIT.read_text(), re.MULTILINE):
        path = tmp_path / program.removeprefix("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    return tmp_path


def analyze(system: Path, *asked: str) -> subprocess.CompletedProcess[str]:
    """Ask systemd-analyze about that root, in plain words."""
    command = ["systemd-analyze", "--man=no", f"--root={system}", *asked, UNIT.name]
    return subprocess.run(command, check=False, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})


def test_systemd_has_no_complaint(system: Path) -> None:
    """It knows every setting; one that it does not know would be told."""
    said = analyze(system, "verify", "--recursive-errors=no")
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
    unit = system / "etc/systemd/system" / UNIT.name
    unit.write_text(unit.read_text().replace("PrivateTmp=", "PrivateTemp="))
    assert "PrivateTemp" in analyze(system, "verify", "--recursive-errors=no").stderr


def test_it_is_no_wider_open_than_is_written_down(system: Path) -> None:
    """What is switched on or off changes the figure, and who changes that has to give a reason there."""
    said = analyze(system, "security", "--offline=true", "--no-pager").stdout
    figure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    written = re.search(r"gives the unit ([0-9.]+) of 10", (ROOT / "docs/operations.md").read_text())
    assert figure is not None, said
    assert written is not None
    assert float(figure[1]) <= float(written[1])
