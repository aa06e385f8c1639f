"""What building the template of containers does to the machine that it is built on."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from build_template import run_apart

pytestmark = pytest.mark.real("lxc")


def test_shared_memory_of_the_machine_is_left_alone(tmp_path: Path) -> None:
    """Whatever the builder runs empties its own, where there was nothing of others; and no mount of it stays."""
    told = tmp_path / "told"
    with tempfile.TemporaryDirectory(dir="/dev/shm") as ours:
        other = Path(ours, "of-another-program")
        other.write_bytes(b"memory")
        script = 'ls /dev/shm > "$1" && find /dev/shm -mindepth 1 -delete && mount -t tmpfs tmpfs "$2"'
        run_apart(["sh", "-c", script, "sh", str(told), str(tmp_path)])
        assert other.read_bytes() == b"memory"
    assert told.read_text() == ""
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
