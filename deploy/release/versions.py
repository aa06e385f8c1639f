"""The version of the product, which stands in several files: tells whether all agree, and writes it into all.

versions.py          prints it; fails where one file says another
versions.py 1.2.3    writes it everywhere
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")
_PACKAGES = ("zlh_common", "zlh_agent", "zlh_api")
# File → what stands before a version in it, and how often.
PLACES: dict[str, tuple[tuple[str, int], ...]] = {
    **{f"packages/{name}/pyproject.toml": ((r'^version = "', 1),) for name in _PACKAGES[:1]},
    **{f"packages/{name}/pyproject.toml": ((r'^version = "', 1), (r'"zlh-common==', 1)) for name in _PACKAGES[1:]},
    **{f"packages/{name}/src/{name}/__init__.py": ((r'^__version__ = "', 1),) for name in _PACKAGES},
    "packages/zlh_portal/package.json": ((r'^  "version": "', 1),),
    "packages/zlh_portal/package-lock.json": ((r'"name": "zlh-portal",\n +"version": "', 2),),
}


class VersionsDiffer(SystemExit):
    """The files do not agree, or one of them says it otherwise than it should."""


def main() -> None:
    """Print the version, or write another."""
    parser = argparse.ArgumentParser(description="The version of the product.")
    parser.add_argument("version", nargs="?", type=parse_version, help="write this one everywhere")
    asked = parser.parse_args()
    if asked.version is not None:
        write_version(ROOT, asked.version)
    print(read_version(ROOT))


def parse_version(text: str) -> str:
    """Return a version that every kind of package can have, such as 1.2.3."""
    if VERSION.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no version such as 1.2.3")
    return text


def read_version(root: Path) -> str:
    """Return the version that all files say; raise VersionsDiffer, with what each says, where they do not agree."""
    said = {file: _find(root, file) for file in PLACES}
    versions = {version for found in said.values() for version in found}
    if len(versions) != 1:
        told = "; ".join(f"{file}: {', '.join(found)}" for file, found in said.items())
        raise VersionsDiffer(f"The files do not agree on the version: {told}")
    return versions.pop()


def write_version(root: Path, version: str) -> None:
    """Write a version into all files."""
    for file, places in PLACES.items():
        _find(root, file)
        text = (root / file).read_text()
        for before, _ in places:
            text = re.sub(f'({before})[^"]+', rf"\g<1>{version}", text, flags=re.MULTILINE)
        (root / file).write_text(text)


def _find(root: Path, file: str) -> list[str]:
    text = (root / file).read_text()
    found = []
    for before, count in PLACES[file]:
        here = re.findall(f'{before}([^"]+)"', text, flags=re.MULTILINE)
        if len(here) != count:
            raise VersionsDiffer(f"{file} says its version {len(here)} times after {before!r}, and not {count} times.")
        found += here
    return found


if __name__ == "__main__":
    main()
