"""Builds the agent's bundle for Debian 12: one folder with everything that the agent needs beside Python itself.

    build_bundle.py <folder>      makes <folder>/<version>

A bundle is laid out as a virtual environment whose interpreter is the container's own `/usr/bin/python3`, so that every
program that is started with it finds the same modules and nothing else. What others wrote comes from
`requirements.lock`, checked by hash, and no more of it than agent and common ask for. Run it with the Python of this
checkout's environment; Debian 12 has the same version.
"""

from __future__ import annotations

import argparse
import compileall
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from py_compile import PycInvalidationMode

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
OUR_PACKAGES = ("zlh_agent", "zlh_common")
INTERPRETER = Path("/usr/bin/python3")
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


def main() -> None:
    """Build the bundle that the arguments ask for, and print where it is."""
    parser = argparse.ArgumentParser(description="Build the agent's bundle for Debian 12.")
    parser.add_argument("folder", type=Path, help="where the folder of this version is made")
    print(build(parser.parse_args().folder))


def build(folder: Path) -> Path:
    """Make the bundle beside its place and move it there whole; return the folder of this version."""
    final = folder / distribution("zlh-agent").version
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as beside:
        bundle = Path(beside) / "bundle"
        site = bundle / "lib" / PYTHON / "site-packages"
        site.mkdir(parents=True)
        _install_libraries(site, Path(beside) / "requirements.txt")
        for package in OUR_PACKAGES:
            source = ROOT / "packages" / package / "src" / package
            shutil.copytree(source, site / package, ignore=shutil.ignore_patterns("__pycache__"))
        _make_environment(bundle)
        # Checked by hash and not by time: a bundle is the same bytes whenever it is built.
        mode = PycInvalidationMode.UNCHECKED_HASH
        if not compileall.compile_dir(site, quiet=1, invalidation_mode=mode, stripdir=str(bundle)):
            raise SystemExit("A module of the bundle does not compile.")
        bundle.chmod(0o755)
        shutil.rmtree(final, ignore_errors=True)
        bundle.rename(final)
    return final


def find_requirements(lock: str, names: set[str]) -> str:
    """Return the part of a hashed lock file that is about these distributions."""
    blocks = re.split(r"\n(?=[A-Za-z0-9])", lock)
    return "\n".join(block for block in blocks if canonicalize_name(block.split("==")[0].split("[")[0]) in names)


def find_libraries(*ours: str) -> set[str]:
    """Return the names of everything that our distributions need here, themselves left out."""
    seen: set[tuple[str, str]] = set()
    todo = [(name, "") for name in ours]
    while todo:
        fresh = set(_needs(*todo.pop())) - seen
        seen |= fresh
        todo += fresh
    return {name for name, _ in seen} - set(ours)


def _needs(name: str, extra: str) -> Iterator[tuple[str, str]]:
    """Yield what a distribution needs with one of its extras, or without any: (name, extra) each."""
    for text in distribution(name).requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            for wanted in ("", *requirement.extras):
                yield canonicalize_name(requirement.name), wanted


def _install_libraries(site: Path, requirements: Path) -> None:
    names = find_libraries(*(canonicalize_name(package) for package in OUR_PACKAGES))
    requirements.write_text(find_requirements((ROOT / "requirements.lock").read_text(), names))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
         "--require-hashes", "--only-binary=:all:", "--no-compile", "--target", str(site), "-r", str(requirements)],
        check=True,
    )  # fmt: skip


def _make_environment(bundle: Path) -> None:
    (bundle / "pyvenv.cfg").write_text(f"home = {INTERPRETER.parent}\ninclude-system-site-packages = false\n")
    (bundle / "bin").mkdir()
    (bundle / "bin/python3").symlink_to(INTERPRETER)


if __name__ == "__main__":
    main()
