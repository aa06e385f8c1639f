"""Builds the agent's bundle: one folder with everything that the agent needs beside a container's own Python.

    build_bundle.py <folder>                       makes <folder>/<version>, for every Python in PYTHONS
    build_bundle.py <folder> --python 3.11         for that one alone; may be given several times
    build_bundle.py <folder> --platform linux-aarch64

    bin/zlh-agent                     runs it with the container's Python, from wherever the bundle lies
    bin/python3, pyvenv.cfg           with them the bundle is a virtual environment of `/usr/bin/python3`
    lib/site-packages                 what all Pythons share, with the compiled modules of each beside each other
    lib/python3.X/site-packages       a link to it for each Python, where that looks by itself
    system/                           what starts the agent of this version

What others wrote comes from `requirements.lock`, checked by hash, and no more of it than agent and common ask for. Two
wheels of one distribution differ in their compiled modules alone, whose names tell the Python; a build in which any
other file differs fails. Modules are compiled ahead for each of these Pythons that is on this machine.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import distribution
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
OUR_PACKAGES = ("zlh_agent", "zlh_common")
INTERPRETER = Path("/usr/bin/python3")
# Debian 12, Ubuntu 24.04, Debian 13, Ubuntu 26.04.
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MACHINES = {"linux-x86_64": "x86_64", "linux-aarch64": "aarch64"}
# Debian 12 has glibc 2.36, and each newer one carries what the older ones had.
GLIBC_MINORS = range(36, 4, -1)
MANYLINUX_NAMES = ("manylinux2014", "manylinux2010", "manylinux1")
SYSTEM_FILES = (
    "deploy/agent/zlh-agent.service",
    "deploy/agent/zlh.slice",
    "packages/zlh_agent/src/zlh_agent/launcher.py",
)
# How pip has put a wheel here, and for which Python it was: of no use to who runs it, and another for each.
PIP_NOTES = {"RECORD", "WHEEL", "INSTALLER", "REQUESTED", "direct_url.json"}
# The same compressor once more, for Pythons other than CPython: a quarter of the whole.
LEFT_OUT = re.compile(r"zstandard/_cffi\.[a-z0-9_.-]+\.so")
_TAGGED = re.compile(r"(?P<stem>.+)\.cpython-3(?P<minor>\d+)-[a-z0-9_-]+\.so")

# The modules of this bundle are found without `site`, so nothing of the container's own is seen.
PROGRAM = """\
#!/usr/bin/python3 -IS
import os
import sys

root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path.append(os.path.join(root, "lib", "python%d.%d" % sys.version_info[:2], "site-packages"))
sys.dont_write_bytecode = True

from zlh_agent.cli import main

main()
"""


class BundleUnfit(SystemExit):
    """A bundle of these wheels would not run everywhere; the message says what is wrong with which file."""


def main() -> None:
    """Build the bundle that the arguments ask for, and print where it is."""
    parser = argparse.ArgumentParser(description="Build the agent's bundle.")
    parser.add_argument("folder", type=Path, help="where the folder of this version is made")
    parser.add_argument("--python", action="append", choices=PYTHONS, help="for this one alone (default: all)")
    parser.add_argument("--platform", choices=MACHINES, default="linux-x86_64", help="default: %(default)s")
    asked = parser.parse_args()
    print(build(asked.folder, pythons=asked.python or PYTHONS, platform=asked.platform))


def build(folder: Path, *, pythons: Sequence[str] = PYTHONS, platform: str = "linux-x86_64") -> Path:
    """Make the bundle beside its place and move it there whole; return the folder of this version."""
    final = folder / distribution("zlh-agent").version
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as beside:
        bundle = Path(beside) / "bundle"
        _fill(bundle, Path(beside), pythons, platform)
        shutil.rmtree(final, ignore_errors=True)
        bundle.rename(final)
    return final


def _fill(bundle: Path, beside: Path, pythons: Sequence[str], platform: str) -> None:
    site = bundle / "lib/site-packages"
    site.mkdir(parents=True)
    for python in pythons:
        fetched = beside / python
        _fetch_libraries(fetched, python, platform)
        merge(fetched, site)
        _link_site(bundle, python)
    check_compiled_modules((path.name for path in site.rglob("*.so")), pythons)
    for package in OUR_PACKAGES:
        source = ROOT / "packages" / package / "src" / package
        shutil.copytree(source, site / package, ignore=shutil.ignore_patterns("__pycache__"))
    _make_environment(bundle)
    _add_system(bundle)
    for interpreter in filter(None, map(find_interpreter, pythons)):
        _compile(interpreter, site, bundle)
    _settle_modes(bundle)


def find_requirements(lock: str, names: set[str]) -> str:
    """Return the part of a hashed lock file that is about these distributions; raise BundleUnfit where it lacks one."""
    blocks: dict[str, str] = {
        canonicalize_name(re.split(r"==|\[", block)[0]): block for block in re.split(r"\n(?=[A-Za-z0-9])", lock)
    }
    if lacking := sorted(names - set(blocks)):
        raise BundleUnfit(f"requirements.lock lacks {', '.join(lacking)}, which other Pythons than its own need.")
    return "\n".join(blocks[name] for name in sorted(names))


def find_libraries(*ours: str, python: str, machine: str) -> set[str]:
    """Return the names of everything that our distributions need with a Python, themselves left out."""
    environment = {
        **{key: str(value) for key, value in default_environment().items()},
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": machine,
    }
    seen: set[tuple[str, str]] = set()
    todo = [(name, "") for name in ours]
    while todo:
        fresh = set(_needs(*todo.pop(), environment)) - seen
        seen |= fresh
        todo += fresh
    return {name for name, _ in seen} - set(ours)


def _needs(name: str, extra: str, environment: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what a distribution needs with one of its extras, or without any: (name, extra) each."""
    for text in distribution(name).requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({**environment, "extra": extra}):
            for wanted in ("", *requirement.extras):
                yield canonicalize_name(requirement.name), wanted


def _fetch_libraries(site: Path, python: str, platform: str) -> None:
    machine = MACHINES[platform]
    ours = [canonicalize_name(package) for package in OUR_PACKAGES]
    names = find_libraries(*ours, python=python, machine=machine)
    requirements = site.with_suffix(".txt")
    requirements.write_text(find_requirements((ROOT / "requirements.lock").read_text(), names))
    tags = [f"--platform={tag}" for tag in render_platform_tags(machine)]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
         "--require-hashes", "--only-binary=:all:", "--no-compile", "--implementation=cp",
         f"--python-version={python}", *tags, "--target", str(site), "-r", str(requirements)],
        check=True,
    )  # fmt: skip
    # Programs that name this machine's Python in their first line; nobody runs them.
    shutil.rmtree(site / "bin", ignore_errors=True)


def render_platform_tags(machine: str) -> list[str]:
    """Return the tags of wheels that run with the glibc of Debian 12, the newest first."""
    return [f"manylinux_2_{minor}_{machine}" for minor in GLIBC_MINORS] + [
        f"{name}_{machine}" for name in MANYLINUX_NAMES
    ]


def merge(fetched: Path, site: Path) -> None:
    """Move files into the shared folder; raise BundleUnfit for one that is there with other contents."""
    for path in sorted(path for path in fetched.rglob("*") if path.is_file()):
        name = path.relative_to(fetched)
        is_note = name.parent.suffix == ".dist-info" and name.name in PIP_NOTES
        if is_note or LEFT_OUT.fullmatch(str(name)):
            continue
        target = site / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        elif not filecmp.cmp(path, target, shallow=False):
            raise BundleUnfit(f"{name} is not the same in the wheels of all Pythons, so they cannot share it.")


def check_compiled_modules(names: Iterable[str], pythons: Iterable[str]) -> None:
    """Raise BundleUnfit where a compiled module is there for one of the Pythons and not for another."""
    by_stem: dict[str, set[str]] = {}
    for match in filter(None, map(_TAGGED.fullmatch, names)):
        by_stem.setdefault(match["stem"], set()).add(f"3.{match['minor']}")
    for stem, found in sorted(by_stem.items()):
        if lacking := sorted(set(pythons) - found):
            raise BundleUnfit(f"{stem} is not compiled for Python {', '.join(lacking)}.")


def find_interpreter(python: str) -> str | None:
    """Return this machine's interpreter of that version, if it has one."""
    for name in filter(None, (shutil.which(f"python{python}"), sys.executable)):
        asked = [name, "-IS", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        if subprocess.run(asked, check=False, capture_output=True, text=True).stdout.strip() == python:
            return name
    return None


def _compile(interpreter: str, site: Path, bundle: Path) -> None:
    """Compile for one Python.

    Checked by hash and not by time, in the order of the names and without chance: a bundle is the same bytes whenever
    and wherever it is built.
    """
    command = [interpreter, "-S", "-s", "-P", "-m", "compileall", "-q", "-s", str(bundle)]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPYCACHEPREFIX": ""}
    done = subprocess.run([*command, "--invalidation-mode", "unchecked-hash", str(site)], check=False, env=environment)
    if done.returncode:
        raise BundleUnfit(f"A module of the bundle does not compile with {interpreter}.")


def _link_site(bundle: Path, python: str) -> None:
    folder = bundle / "lib" / f"python{python}"
    folder.mkdir()
    (folder / "site-packages").symlink_to("../site-packages")


def _make_environment(bundle: Path) -> None:
    (bundle / "pyvenv.cfg").write_text(f"home = {INTERPRETER.parent}\ninclude-system-site-packages = false\n")
    (bundle / "bin").mkdir()
    (bundle / "bin/python3").symlink_to(INTERPRETER)
    (bundle / "bin/zlh-agent").write_text(PROGRAM)


def _add_system(bundle: Path) -> None:
    (bundle / "system").mkdir()
    for name in SYSTEM_FILES:
        shutil.copyfile(ROOT / name, bundle / "system" / Path(name).name)


def _settle_modes(bundle: Path) -> None:
    """Have everybody read it, whatever the mask of who builds: shims and installs run as others than root."""
    for path in (bundle, *bundle.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent == bundle / "bin" else 0o644)


if __name__ == "__main__":
    main()
