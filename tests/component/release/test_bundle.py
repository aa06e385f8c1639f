"""The agent's bundle, as it is built for a release: one folder that runs with the Python of every container."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zstandard

from agent_artifact import pack_agent
from build_bundle import PYTHONS as ALL_PYTHONS
from guards.interpreters import find_interpreter
from zlh_agent import __version__
from zlh_api.artifacts.model import BuildRecord
from zlh_api.artifacts.tree import hash_file

ROOT = Path(__file__).parents[3]
# Of those that a bundle is for, whichever are on this machine; CI's Debian has 3.11 alone.
PYTHONS = tuple(python for python in ALL_PYTHONS if find_interpreter(python) is not None)
PLATFORM = "linux-x86_64"
pytestmark = [pytest.mark.real("package-index"), pytest.mark.timeout(600)]

# Each module that is compiled, and what a daemon imports at its start.
IMPORTS = """
import sys, pathlib
root = pathlib.Path(sys.argv[1]).resolve()
site = root / "lib" / ("python%d.%d" % sys.version_info[:2]) / "site-packages"
sys.path.append(str(site))
import aiohttp._http_parser, aiohttp._websocket.reader_c, multidict._multidict, yarl._quoting_c, propcache._helpers_c
import frozenlist._frozenlist, msgspec._core, psutil, zstandard.backend_c, cryptography.hazmat.bindings._rust
import ruamel.yaml, tomlkit, javaproperties, configupdater, tuf.ngclient, structlog
import zlh_agent.app.serve, zlh_agent.shim, zlh_agent.games, zlh_agent.runtimes
for name, module in list(sys.modules.items()):
    file = getattr(module, "__file__", None)
    if file and name.split(".")[0] not in sys.stdlib_module_names and name != "__main__":
        assert pathlib.Path(file).resolve().is_relative_to(root), (name, file)
print(zlh_agent.__version__)
"""


def build(folder: Path) -> Path:
    """Build a bundle with every interpreter that this machine has; return it."""
    script = ROOT / "deploy/agent/build_bundle.py"
    known = [str(Path(found).parent) for found in map(find_interpreter, PYTHONS) if found is not None]
    environment = {**os.environ, "PATH": os.pathsep.join([*known, os.environ["PATH"]])}
    made = subprocess.run(
        [sys.executable, str(script), str(folder)], check=True, capture_output=True, text=True, env=environment
    )
    return Path(made.stdout.strip())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Lend the bundle of this checkout."""
    folder = tmp_path_factory.mktemp("bundle")
    yield build(folder)
    shutil.rmtree(folder)


@pytest.mark.parametrize("python", PYTHONS)
def test_bundle_runs_with_each_python(bundle: Path, python: str, tmp_path: Path) -> None:
    """Every compiled module is imported from the bundle and from nowhere else, and the program says its version."""
    interpreter = find_interpreter(python)
    assert interpreter is not None
    for command in (["-c", IMPORTS, str(bundle)], [str(bundle / "bin/zlh-agent"), "--version"]):
        said = subprocess.run(
            [interpreter, "-IS", *command], check=False, capture_output=True, text=True, cwd=tmp_path, env={}
        )
        assert (said.stdout.strip(), said.stderr) == (__version__, "")


@pytest.mark.parametrize("python", ALL_PYTHONS)
def test_bundle_has_the_compiled_modules_of_each_python(bundle: Path, python: str) -> None:
    """Also of those that this machine does not have."""
    suffix = f".cpython-{python.replace('.', '')}-x86_64-linux-gnu.so"
    names = {path.name.removesuffix(suffix) for path in bundle.rglob(f"*{suffix}")}
    assert {"_http_parser", "_multidict", "_quoting_c"} <= names


def test_bundle_is_a_virtual_environment_of_the_containers_python(bundle: Path) -> None:
    """Its `bin/python3` finds the folder of its own version, by no path that the bundle was built at."""
    assert (bundle / "bin/python3").readlink() == Path("/usr/bin/python3")
    ask = "import sys, zlh_agent; print(sys.prefix); print(zlh_agent.__file__)"
    said = subprocess.run([bundle / "bin/python3", "-I", "-c", ask], check=True, capture_output=True, text=True)
    prefix, file = said.stdout.splitlines()
    assert Path(prefix) == bundle
    assert Path(file).resolve().is_relative_to(bundle / "lib/site-packages")


def test_running_it_writes_nothing_into_it(bundle: Path) -> None:
    """What a file list was made of stays what it was, whichever Python has run it."""
    before = sorted(bundle.rglob("*"))
    for interpreter in filter(None, map(find_interpreter, PYTHONS)):
        program = [interpreter, "-IS", str(bundle / "bin/zlh-agent"), "--version"]
        subprocess.run(program, check=True, capture_output=True, env={})
    assert sorted(bundle.rglob("*")) == before


def test_two_builds_are_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    """In another folder and at another time, with their record."""
    mask = os.umask(0o077)
    try:
        again = build(tmp_path / "elsewhere/deeper")
    finally:
        os.umask(mask)
    lock = ROOT / "requirements.lock"
    records = [
        pack_agent(each, tmp_path / name, version=__version__, platform=PLATFORM, lock=lock)
        for each, name in ((bundle, "one"), (again, "two"))
    ]
    assert records[0] == records[1]
    assert str(tmp_path) not in "".join(map(repr, records))


def test_archive_is_what_its_record_says(bundle: Path, tmp_path: Path) -> None:
    """It holds no link that leads out, its smoke test is in it, and the record lies beside it."""
    lock = ROOT / "requirements.lock"
    record = pack_agent(bundle, tmp_path, version=__version__, platform=PLATFORM, lock=lock)
    archive = tmp_path / record.path
    assert hash_file(archive) == (record.sha256, record.size)
    beside = archive.with_name(archive.name.removesuffix(".tar.zst") + ".json")
    assert msgspec.json.decode(beside.read_bytes(), type=BuildRecord) == record
    unpacked = tmp_path / "unpacked"
    with (
        archive.open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as plain,
        tarfile.open(fileobj=plain, mode="r|") as tar,
    ):
        tar.extractall(unpacked, filter="data")
    assert len(list(unpacked.rglob("*"))) == record.entries
    said = subprocess.run(
        [sys.executable, "-IS", unpacked / record.smoke_test[0], *record.smoke_test[1:]],
        check=True,
        capture_output=True,
        text=True,
    )
    assert record.smoke_expect in said.stdout
