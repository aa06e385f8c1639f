"""A release of this checkout, as it is built and installed for somebody who has nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from release_rules import Item, render_requirements, render_sums
from versions import PLACES, write_version
from zlh_api.artifacts.tree import hash_file

ROOT = Path(__file__).parents[2]
OURS = ("zlh_common", "zlh_agent", "zlh_api")


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


def as_version(release: Path, version: str, folder: Path) -> Path:
    """Return a release of the same code that calls itself another version; its agent is the same."""
    for file in PLACES:
        (folder / "source" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, folder / "source" / file)
    for name in OURS:
        shutil.copytree(ROOT / "packages" / name, folder / "source/packages" / name, dirs_exist_ok=True)
    write_version(folder / "source", version)
    other = folder / version
    shutil.copytree(release, other, ignore=shutil.ignore_patterns("*.whl", "zlh-deploy-*", "SHA256SUMS*"))
    (deploy,) = release.glob("zlh-deploy-*")
    shutil.copy(deploy, other / f"zlh-deploy-{version}.tar.zst")
    builder = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    sources = [str(folder / "source/packages" / name) for name in OURS]
    subprocess.run([*builder, "--wheel-dir", str(other / "wheels"), *sources], check=True, capture_output=True)
    sums = {path.name.split("-")[0]: hash_file(path)[0] for path in (other / "wheels").iterdir()}
    ours = {name: sums[name] for name in ("zlh_common", "zlh_api")}
    libraries = (release / "requirements.txt").read_text().split("\n", 1 + len(ours))[-1]
    (other / "requirements.txt").write_text(render_requirements(ours, version, libraries))
    seal(other)
    return other


def seal(release: Path) -> None:
    """Write the sums of a release anew."""
    files = sorted(path for path in release.rglob("*") if path.is_file() and not path.name.startswith("SHA256SUMS"))
    items = [Item(str(path.relative_to(release)), *hash_file(path)) for path in files]
    (release / "SHA256SUMS").write_text(render_sums(items))


def unpack_template(release: Path, folder: Path) -> Path:
    """Unpack the template of the driver `lxc` as root does by hand; return the root file system."""
    (archive,) = (release / "templates").glob("*-lxc_*.tar.zst")
    folder.mkdir(mode=0o711)
    unpack = ["tar", "--zstd", "--extract", "--numeric-owner", "--xattrs", "--preserve-permissions"]
    subprocess.run([*unpack, "--file", str(archive), "--directory", str(folder)], check=True)
    return folder
