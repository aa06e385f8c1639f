"""Every unit that is shipped, as systemd itself reads it; nothing of this machine's own units is asked or changed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
UNITS = sorted(path for kind in ("service", "slice", "timer") for path in DEPLOY.glob(f"*/*.{kind}"))
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
# Each of these gives a service mounts of its own.
APART = (
    "ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "BindPaths", "ProtectSystem", "ProtectHome", "PrivateTmp",
    "PrivateDevices", "PrivateMounts", "ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs",
    "ProtectControlGroups", "ProtectProc", "ProcSubset", "ProtectHostname",
)  # fmt: skip
pytestmark = pytest.mark.real("systemd")


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """Lend a root with the units, what Debian's systemd has besides, and the programs that they name."""
    shutil.copytree("/usr/lib/systemd/system", tmp_path / "usr/lib/systemd/system", symlinks=True)
    place = tmp_path / "etc/systemd/system"
    place.mkdir(parents=True)
    for unit in UNITS:
        shutil.copy(unit, place)
        for program in re.findall(r"^Exec\w+=[-+@:!]*(\S+)", unit.read_text(), re.MULTILINE):
            file = tmp_path / program.removeprefix("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("#!/bin/sh\n")
            file.chmod(0o755)
    return tmp_path


def analyze(system: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask systemd-analyze about that root."""
    argv = ["systemd-analyze", "--man=no", f"--root={system}", *arguments]
    return subprocess.run(argv, check=False, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})


def use_lxc(system: Path) -> None:
    """Put the drop-in of the driver `lxc` in."""
    place = system / "etc/systemd/system/zlh-api.service.d"
    place.mkdir()
    shutil.copy(DEPLOY / "control/lxc.conf", place)


def score(system: Path, unit: str) -> float:
    """Return systemd's figure for how much a service that was taken over could do: 0 nothing, 10 everything."""
    said = analyze(system, "security", "--offline=true", unit)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said.stdout)
    assert found is not None, said.stderr
    return float(found[1])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_unit_is_verified(system: Path, unit: Path) -> None:
    """systemd knows every setting of it, and every unit and program that it names."""
    said = analyze(system, "verify", "--recursive-errors=no", unit.name)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_drop_in_is_verified(system: Path) -> None:
    """Together with the unit that it changes."""
    use_lxc(system)
    said = analyze(system, "verify", "--recursive-errors=no", "zlh-api.service")
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_a_setting_that_there_is_not_is_found(system: Path) -> None:
    """The tests above would fail."""
    unit = system / "etc/systemd/system/zlh-api.service"
    unit.write_text(unit.read_text().replace("ProtectHome=", "ProtectHomes="))
    assert "ProtectHomes" in analyze(system, "verify", "--recursive-errors=no", "zlh-api.service").stderr


def test_drop_in_leaves_no_world_of_mounts(system: Path) -> None:
    """Whatever would give it mounts of its own is taken back, or the host would not see those of containers."""
    asked = dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / "control/zlh-api.service").read_text(), re.MULTILINE))
    given = dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / "control/lxc.conf").read_text(), re.MULTILINE))
    assert {name: given.get(name) for name in APART if name in asked and given.get(name) not in {"", "no"}} == {
        "ProtectProc": "default",
        "ProcSubset": "all",
    }


def documented() -> dict[str, float]:
    """Return the figures of the page, by unit."""
    page = (ROOT / "docs/operations.md").read_text()
    rows = re.findall(r"^\| `?([^|]+?)`? \| ([0-9]\.[0-9]) \|", page, re.MULTILINE)
    return {name: float(figure) for name, figure in rows}


def test_figures_of_the_page_are_systemds(system: Path) -> None:
    """For each service of ours, and for the API as root; the figures are those of Debian 12's systemd."""
    figures = {unit.name: score(system, unit.name) for unit in SERVICES if unit.parent.name in {"control", "traefik"}}
    use_lxc(system)
    figures["zlh-api.service` with `lxc.conf"] = score(system, "zlh-api.service")
    told = documented()
    assert told.keys() == figures.keys()
    # Another version of systemd weighs otherwise; what is off or on shows in tenths.
    assert {name: abs(told[name] - figure) < 0.35 for name, figure in figures.items()} == dict.fromkeys(figures, True)
