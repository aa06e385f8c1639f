"""What is written about a release: pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

# 1980-01-01, the oldest time that a zip file can say.
MTIME_S = 315_532_800
# What each kind of file is for, by how its name begins.
_PURPOSES = (
    ("artifacts/", "the agent, for `zlh-api artifacts import`"),
    ("templates/zlh-debian-12-lxc", "root file system for the driver `lxc`"),
    ("templates/zlh-debian-12-proxmox", "template for Proxmox VE"),
    ("wheels/", "Python package"),
    ("requirements.txt", "packages of the API with their hashes"),
    ("zlh-deploy-", "units, settings and scripts"),
    ("install.py", "installs all of it on a control host"),
)
_COMPILED = re.compile(r".+\.cpython-3(?P<minor>\d+)\.pyc")


class Item(NamedTuple):
    """One file: its path below the release, its SHA-256, its bytes."""

    name: str
    sha256: str
    size: int


def render_requirements(ours: Mapping[str, str], version: str, libraries: str) -> str:
    """Return the file for `pip install --require-hashes -r`; `ours` is distribution → SHA-256 of its wheel.

    pip looks for the wheels beside the file, wherever it is called.
    """
    lines = [f"{name.replace('_', '-')}=={version} --hash=sha256:{digest}" for name, digest in ours.items()]
    return "\n".join(["--find-links wheels", *lines, libraries.strip(), ""])


def render_sums(items: Iterable[Item]) -> str:
    """Return the lines that `sha256sum --check` reads."""
    return "".join(f"{item.sha256}  {item.name}\n" for item in items)


def find_uncompiled(names: Iterable[str], pythons: Iterable[str]) -> list[str]:
    """Return the Pythons for which no module was compiled ahead."""
    compiled = {f"3.{match['minor']}" for match in map(_COMPILED.fullmatch, names) if match is not None}
    return [python for python in pythons if python not in compiled]


def render_notes(
    version: str, items: Iterable[Item], *, pythons: Sequence[str], uncompiled: Sequence[str], has_templates: bool
) -> str:
    """Return the note that lies in the release."""
    rows = [f"| `{item.name}` | {item.size / 1e6:.2f} MB | {_purpose(item.name)} |" for item in items]
    told = [f"The agent runs with Python {', '.join(pythons)}."]
    if uncompiled:
        told.append(f"Its modules are not compiled ahead for {', '.join(uncompiled)}: it starts more slowly there.")
    if not has_templates:
        told.append("It was built without the templates of containers, which need root and mmdebstrap.")
    return "\n".join(
        [
            f"# ZLH {version}",
            "",
            *told,
            "",
            "```sh",
            "sha256sum --check --quiet SHA256SUMS",
            "python3 install.py --dry-run --domain example.org --driver lxc",
            "python3 install.py --domain example.org --driver lxc",
            "```",
            "",
            "| file | size | |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def _purpose(name: str) -> str:
    return next((purpose for beginning, purpose in _PURPOSES if name.startswith(beginning)), "")
