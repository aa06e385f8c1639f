"""What building the template of containers does to the machine that it is built on."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy/container/build_template.py"
pytestmark = pytest.mark.real("lxc")


def load_builder() -> ModuleType:
    """Return the script as a module."""
    spec = importlib.util.spec_from_file_location("build_template", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_shared_memory_of_the_machine_is_left_alone(tmp_path: Path) -> None:
    """Whatever the builder runs empties its own, where there was nothing of others; and no mount of it stays."""
    told, mounts = tmp_path / "told", Path("/proc/self/mounts").read_text()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as ours:
        other = Path(ours, "of-another-program")
        other.write_bytes(b"memory")
        script = 'ls /dev/shm > "$1" && find /dev/shm -mindepth 1 -delete && mount -t tmpfs tmpfs "$2"'
        load_builder().run_apart(["sh", "-c", script, "sh", str(told), str(tmp_path)])
        assert other.read_bytes() == b"memory"
    assert told.read_text() == ""
    assert Path("/proc/self/mounts").read_text() == mounts
