"""Builds a release: everything that is needed to run the product without this checkout, as `<dist>/<version>`.

    build_release.py <dist>                         needs the portal to be built; templates besides where root runs it
    build_release.py <dist> --template lxc          with that one alone
    build_release.py <dist> --without-templates
    build_release.py <dist> --sign <key>            signs the sums by this key of SSH

    install.py                     installs all of it on a control host
    wheels/, requirements.txt      the control API with the portal, the agent, what both share; libraries by hash
    artifacts/                     the agent's archive and record: `zlh-api artifacts import <dist>/<version>`
    templates/                     root file systems for the drivers `lxc` and `proxmox`
    zlh-deploy-….tar.zst           units, settings and scripts
    RELEASE.md, SHA256SUMS         what there is, with sizes; sums of every other file
    SHA256SUMS.sig                 whose it is, where a key was given

The same checkout gives the same bytes, but for the templates, whose packages are Debian's of the day. It is made beside
its place and moved there whole.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_artifact import pack_agent
from build_bundle import PYTHONS, BundleUnfit, find_libraries, find_requirements
from release_rules import MTIME_S, Item, find_uncompiled, render_notes, render_requirements, render_sums
from versions import read_version
from zlh_api.artifacts.building.layout_rules import TreeEntry, arrange
from zlh_api.artifacts.building.repack import pack_tree
from zlh_api.artifacts.tree import hash_file
from zlh_api.dev.portal_build import find_sources, is_built

ROOT = Path(__file__).parents[2]
PACKAGES = ("zlh_common", "zlh_agent", "zlh_api")
PLATFORM = "linux-x86_64"
FIRST_ID = 100_000
DRIVERS = ("lxc", "proxmox")
# What the signature is for: one for another purpose is none.
NAMESPACE = "zlh-release"


@dataclass(frozen=True, slots=True)
class Release:
    """One release that is being made: its folder, its version, and a folder for what is not part of it."""

    folder: Path
    version: str
    work: Path


def main() -> None:
    """Build the release that the arguments ask for, and print where it is."""
    parser = argparse.ArgumentParser(description="Build a release of the product.")
    parser.add_argument("dist", type=Path, help="the folder in which the folder of the version is made")
    templates = parser.add_mutually_exclusive_group()
    templates.add_argument("--template", action="append", choices=DRIVERS, help="for this driver alone (default: all)")
    templates.add_argument("--without-templates", action="store_true", help="as for a user other than root")
    parser.add_argument("--sign", type=Path, metavar="KEY", help="sign the sums by this private key of ssh-keygen")
    asked = parser.parse_args()
    drivers = [] if asked.without_templates else asked.template or DRIVERS
    if drivers and (os.geteuid() != 0 or shutil.which("mmdebstrap") is None):
        drivers = []
        print("Without the templates: they need root and Debian's mmdebstrap.", file=sys.stderr)
    print(build(asked.dist.absolute(), drivers=drivers, key=asked.sign))


def build(dist: Path, *, drivers: Sequence[str], key: Path | None = None) -> Path:
    """Make the release and return its folder; one of the same version that was there is replaced."""
    version = read_version(ROOT)
    sources = find_sources()
    if sources is None or not is_built(sources):
        raise SystemExit("The portal of this checkout is not built; run `make portal` first.")
    dist.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=dist, prefix=".") as beside:
        release = Release(Path(beside) / version, version, Path(beside) / "work")
        release.folder.mkdir()
        release.work.mkdir()
        _build_wheels(release)
        bundle = _build_agent(release)
        _pack_deploy(release)
        for driver in drivers:
            _build_template(release, bundle, driver)
        shutil.copy(ROOT / "deploy/install.py", release.folder)
        _describe(release, bundle, has_templates=bool(drivers))
        if key is not None:
            sign(release.folder, key)
        shutil.rmtree(dist / version, ignore_errors=True)
        release.folder.rename(dist / version)
    return dist / version


def _build_wheels(release: Release) -> None:
    """Build our distributions, and write what an installation without the checkout needs of others."""
    wheels = release.folder / "wheels"
    builder = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    packages = [str(ROOT / "packages" / name) for name in PACKAGES]
    subprocess.run(
        [*builder, "--no-build-isolation", "--wheel-dir", str(wheels), *packages],
        check=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(MTIME_S)},
    )
    hashes = {path.name.split("-")[0]: hash_file(path)[0] for path in wheels.iterdir()}
    libraries = find_requirements((ROOT / "requirements.lock").read_text(), _find_libraries())
    text = render_requirements({name: hashes[name] for name in ("zlh_common", "zlh_api")}, release.version, libraries)
    (release.folder / "requirements.txt").write_text(text)


def _find_libraries() -> set[str]:
    """Return what the API needs with any of the Pythons that it may run with."""
    found = [find_libraries("zlh-common", "zlh-api", python=python, machine="x86_64") for python in PYTHONS]
    return set().union(*found)


def _build_agent(release: Release) -> Path:
    builder = [sys.executable, str(ROOT / "deploy/agent/build_bundle.py"), str(release.work / "agent")]
    built = subprocess.run(builder, check=True, stdout=subprocess.PIPE, text=True)
    bundle = Path(built.stdout.strip())
    if bundle.name != release.version:
        raise BundleUnfit(f"The installed agent is {bundle.name} and the files say {release.version}; run make again.")
    artifacts, lock = release.folder / "artifacts", ROOT / "requirements.lock"
    pack_agent(bundle, artifacts, version=release.version, platform=PLATFORM, lock=lock)
    return bundle


def _pack_deploy(release: Release) -> None:
    """Pack what is under version control below `deploy`, by the names that it has there."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--", "deploy"], check=True, capture_output=True, text=True
    )
    files = [(name, (ROOT / name).stat()) for name in listed.stdout.split("\0") if name]
    entries = arrange(
        TreeEntry(name, "file", name, status.st_size, bool(status.st_mode & 0o100)) for name, status in files
    )
    archive = release.folder / f"zlh-deploy-{release.version}.tar.zst"
    pack_tree(entries, archive, open_file=lambda name: (ROOT / name).open("rb"), read_text=str.encode)


def _build_template(release: Release, bundle: Path, driver: str) -> None:
    """Build and pack the root file system for one driver; that of `lxc` belongs to the users of its containers."""
    root, templates = release.work / driver, release.folder / "templates"
    templates.mkdir(exist_ok=True)
    archive = templates / f"zlh-debian-12-{driver}_{release.version}_amd64.tar.zst"
    options = ["--for-proxmox"] if driver == "proxmox" else ["--shift", str(FIRST_ID)]
    builder = [sys.executable, str(ROOT / "deploy/container/build_template.py"), str(root), *options]
    built = subprocess.run(
        [*builder, "--bundle", str(bundle), "--archive", str(archive)], check=False, capture_output=True, text=True
    )
    shutil.rmtree(root, ignore_errors=True)
    if built.returncode:
        raise SystemExit(f"The template for {driver} could not be built: {built.stderr[-3000:]}")


def _describe(release: Release, bundle: Path, *, has_templates: bool) -> None:
    """Write the note and the sums."""
    notes = release.folder / "RELEASE.md"
    uncompiled = find_uncompiled((path.name for path in bundle.rglob("*.pyc")), PYTHONS)
    text = render_notes(
        release.version, _items(release.folder), pythons=PYTHONS, uncompiled=uncompiled, has_templates=has_templates
    )
    notes.write_text(text)
    (release.folder / "SHA256SUMS").write_text(render_sums(_items(release.folder)))
    for path in (release.folder, *release.folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def sign(folder: Path, key: Path) -> None:
    """Sign the sums, and so every file that they name; the installer of the next host asks for exactly this."""
    signature = folder / "SHA256SUMS.sig"
    signature.unlink(missing_ok=True)
    signer = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(folder / "SHA256SUMS")]
    subprocess.run(signer, check=True)
    signature.chmod(0o644)


def _items(folder: Path) -> list[Item]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [Item(str(path.relative_to(folder)), *hash_file(path)) for path in files]


if __name__ == "__main__":
    main()
