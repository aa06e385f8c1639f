"""A release of this checkout, as it is built and installed for somebody who has nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def build_release(dist: Path, *options: str) -> Path:
    """Build a release below `dist`; return its folder."""
    script = ROOT / "deploy/release/build_release.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "deploy/agent")}
    command = [sys.executable, str(script), str(dist), *options]
    made = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert made.returncode == 0, made.stderr
    return Path(made.stdout.strip())


def install_release(release: Path, place: Path) -> Path:
    """Install it into an environment of its own; return that."""
    subprocess.run([sys.executable, "-m", "venv", str(place / "venv")], check=True)
    pip = [str(place / "venv/bin/python"), "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--require-hashes", "--only-binary=:all:", "-r", str(release / "requirements.txt")]
    # From a folder that has nothing to do with it.
    done = subprocess.run([*pip, *options], check=False, capture_output=True, text=True, cwd=place)
    assert done.returncode == 0, done.stderr
    return place / "venv"


def unpack_template(release: Path, folder: Path) -> Path:
    """Unpack the template of the driver `lxc` as root does by hand; return the root file system."""
    (archive,) = (release / "templates").glob("*-lxc_*.tar.zst")
    folder.mkdir(mode=0o711)
    unpack = ["tar", "--zstd", "--extract", "--numeric-owner", "--xattrs", "--preserve-permissions"]
    subprocess.run([*unpack, "--file", str(archive), "--directory", str(folder)], check=True)
    return folder
