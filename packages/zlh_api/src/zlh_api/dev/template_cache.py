"""Which templates of real containers are still used, by any installation of this machine, and the end of the others.

used-by/<digest>.json      one for each ZLH_HOME: what it is made with now, and where its containers have ever lain
<template>.noted           made since such notes are kept: only what has this is ever deleted

All of it is called with the cache's lock held, and blocks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from zlh_api.drivers.lxc.guest_folders import read_mark
from zlh_api.drivers.lxc.model import GuestFolder
from zlh_common.durable_files import write_durably
from zlh_common.trees import delete_tree

MOUNTS = Path("/proc/self/mountinfo")


class Use(msgspec.Struct, frozen=True):
    """What one installation uses."""

    home: str
    templates: tuple[str, ...]
    roots: tuple[str, ...]


class MarkUnreadable(Exception):
    """Nobody can tell what a guest is made of, so nothing is deleted."""


def note_template(template: Path) -> None:
    """Note that a template is one whose users are noted; before it is made."""
    _noted(template).touch()


def note_use(cache: Path, *, home: Path, root: Path, templates: Collection[Path]) -> None:
    """Note what an installation uses from now on; before it makes anything of it."""
    place = cache / "used-by" / f"{hashlib.sha256(str(home).encode()).hexdigest()[:16]}.json"
    place.parent.mkdir(exist_ok=True)
    before = msgspec.json.decode(place.read_bytes(), type=Use).roots if place.exists() else ()
    roots = (*(each for each in before if each != str(root)), str(root))
    names = tuple(sorted(template.name for template in templates))
    write_durably(place, msgspec.json.encode(Use(str(home), names, roots)))


def prune(cache: Path, *, roots: Path) -> list[str]:
    """Delete the templates that no container and no installation uses, and half-made ones; return their names.

    Below `roots` lie installations that may have no note. Raises OSError where something cannot be deleted.
    """
    for unfinished in cache.glob(".*"):
        delete_tree(unfinished)
    try:
        used = _find_used(cache, roots)
    except MarkUnreadable:
        return []
    pruned = []
    for template in sorted(cache.iterdir()):
        if template.name not in used and _noted(template).exists():
            grave = cache / f".gone-{template.name}"
            template.rename(grave)
            delete_tree(grave)
            _noted(template).unlink()
            pruned.append(template.name)
    return pruned


def _find_used(cache: Path, default_roots: Path) -> set[str]:
    used = {template.name for template in cache.iterdir() if f"lowerdir={template}," in MOUNTS.read_text()}
    places = [entry for entry in default_roots.iterdir() if entry.is_dir()] if default_roots.is_dir() else []
    for note in (cache / "used-by").glob("*.json"):
        use = msgspec.json.decode(note.read_bytes(), type=Use)
        if Path(use.home).exists():
            used.update(use.templates)
        places += map(Path, use.roots)
    return used | {Path(template).name for root in places for template in _templates_of_guests(root)}


def _templates_of_guests(root: Path) -> Iterator[str]:
    """Yield what the guests below a root are made of, half-made ones too."""
    for file in root.glob("*/guest.json") if root.is_dir() else ():
        mark = read_mark(GuestFolder(file.parent))
        if mark is None:
            raise MarkUnreadable
        yield mark.template


def _noted(template: Path) -> Path:
    return template.with_name(f"{template.name}.noted")
