"""Compares an installed tree with the list of its files: changed, missing, added, wrong modes, owners and links.

It runs in a child, since it reads every byte. The tree may have been changed by whoever has root in the container, so
nothing in it is followed, waited for or read without an end; a list or record that lies is a fault of the tree.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from zlh_agent.runtimes.model import FILES_NAME, RECORD_NAME, InstallRecord

# Hashing lets go of the interpreter, so two files are read at a time.
THREADS = 2
BLOCK_BYTES = 1024 * 1024
# So many entries beside those listed are looked at; more of them prove the tree wrong.
MAX_FURTHER = 20_000
MAX_LIST_BYTES = 64 * 1024 * 1024
# Of what the record says the tree holds; one whose listed files are longer in all is not read to their end.
READ_FACTOR, READ_RESERVE_BYTES = 2, 64 * 1024 * 1024
# `<SHA-256>`, and the mode where whoever made the list knew it; links are `-> <target>`.
_FILE = re.compile(r"(?P<sha256>[0-9a-f]{64})(?: (?P<mode>[0-7]{1,4}))?")
# What Python writes beside its modules as soon as its owner runs it: nobody has changed anything.
_CACHE = re.compile(r"(?P<folder>.*/|)__pycache__/(?P<module>[^/.]+)\.[^/]*\.pyc")
_OWN = frozenset({FILES_NAME, RECORD_NAME})


@dataclass(slots=True)
class Findings:
    """What differs; each name stands in one of the lists."""

    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        """Return all of them, sorted."""
        return sorted([*self.changed, *self.missing, *self.added])

    def changed_or_missing(self) -> list[str]:
        """Return what is not as it was installed, sorted: whoever uses a runtime adds to it (`npm install -g`)."""
        return sorted([*self.changed, *self.missing])


def render_file(sha256: str, mode: int) -> str:
    """Return what the list says of a file."""
    return f"{sha256} {stat.S_IMODE(mode):o}"


def compare_tree(tree: Path) -> Findings:
    """Return how a tree differs from its list; all that is of one kind is sorted. Reads all of it, and blocks."""
    try:
        record, listed = _read_list(tree)
    except _Lie as lie:
        return Findings(changed=[lie.name])
    try:
        owner = tree.lstat().st_uid
        seen, findings, is_whole = _look(tree, listed, owner)
    except OSError:
        return Findings(missing=sorted(listed))
    if is_whole:
        findings.missing = sorted(listed.keys() - seen.keys() - set(findings.changed))
        findings.changed += _find_other_bytes(tree, listed, seen, READ_FACTOR * record.size + READ_RESERVE_BYTES)
    findings.changed.sort()
    findings.added.sort()
    return findings


class _Lie(Exception):
    """The record or the list is not what it must be."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _read_list(tree: Path) -> tuple[InstallRecord, dict[str, str]]:
    try:
        record = msgspec.json.decode(_read_whole(tree / RECORD_NAME), type=InstallRecord)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise _Lie(RECORD_NAME) from exc
    try:
        raw = _read_whole(tree / FILES_NAME)
        listed = msgspec.json.decode(raw, type=dict[str, str])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise _Lie(FILES_NAME) from exc
    if hashlib.sha256(raw).hexdigest() != record.files_sha256:
        raise _Lie(FILES_NAME)
    return record, listed


def _read_whole(path: Path) -> bytes:
    with os.fdopen(_open_file(path), "rb") as file:
        raw = file.read(MAX_LIST_BYTES + 1)
    if len(raw) > MAX_LIST_BYTES:
        raise OSError(f"{path} is too long")
    return raw


def _open_file(path: Path | str) -> int:
    """Open a regular file and nothing else: no link is followed, and a pipe keeps nobody waiting."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no file")
    return descriptor


def _look(tree: Path, listed: dict[str, str], owner: int) -> tuple[dict[str, int], Findings, bool]:
    """Return ({name in the list: size, -1 for a link}, what can be told without reading, whether all listed was seen).

    A folder of the list with too much in it is wrong itself, since what else the list has may stand behind that.
    """
    findings = Findings()
    seen: dict[str, int] = {}
    homes = _find_homes(listed)
    for number, (name, entry, found) in enumerate(_walk(tree, homes), 1):
        wanted = listed.get(name)
        if number > len(listed) + MAX_FURTHER:
            home = name.rpartition("/")[0]
            if home in homes:
                findings.changed.append(home or ".")
                return seen, findings, False
            findings.added.append(name)
            return seen, findings, True
        if stat.S_ISDIR(found.st_mode) and wanted is None:
            # The list has files and links; a folder is wrong where strangers may put something into it.
            if found.st_uid != owner or found.st_mode & stat.S_IWOTH:
                findings.changed.append(name)
        elif wanted is None:
            if not _is_cache_of(name, listed):
                findings.added.append(name)
        elif found.st_uid == owner and _is_alike(wanted, entry, found):
            seen[name] = found.st_size if stat.S_ISREG(found.st_mode) else -1
        else:
            findings.changed.append(name)
    return seen, findings, True


def _is_cache_of(name: str, listed: dict[str, str]) -> bool:
    match = _CACHE.fullmatch(name)
    return match is not None and f"{match['folder']}{match['module']}.py" in listed


def _is_alike(wanted: str, entry: os.DirEntry[str], found: os.stat_result) -> bool:
    """Tell whether kind, mode and, of a link, the target are those of the list."""
    if stat.S_ISLNK(found.st_mode):
        return wanted == _read_link(entry.path)
    match = _FILE.fullmatch(wanted)
    if match is None or not stat.S_ISREG(found.st_mode):
        return False
    return match["mode"] is None or int(match["mode"], 8) == stat.S_IMODE(found.st_mode)


def _read_link(path: str) -> str | None:
    try:
        return f"-> {os.readlink(path)}"  # noqa: PTH115 - one of thousands
    except OSError:
        return None


def _find_homes(listed: dict[str, str]) -> set[str]:
    """Return the folders that what is listed lies in, the root as an empty name."""
    homes = {""}
    for name in listed:
        while (name := name.rpartition("/")[0]) not in homes:
            homes.add(name)
    return homes


def _walk(tree: Path, first: set[str]) -> Iterator[tuple[str, os.DirEntry[str], os.stat_result]]:
    """Yield (relative name, entry, its own state) of all below, the contents of the folders `first` before any others.

    What vanishes or cannot be entered is left out.
    """
    waiting, others = [""], list[str]()
    while waiting or others:
        folder = (waiting or others).pop()
        try:
            entries = os.scandir(tree / folder)
        except OSError:
            if not folder:
                raise
            continue
        with entries:
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                with suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if name not in _OWN:
                        yield name, entry, found
                    if stat.S_ISDIR(found.st_mode):
                        (waiting if name in first else others).append(name)


def _find_other_bytes(tree: Path, listed: dict[str, str], sizes: dict[str, int], allowance: int) -> list[str]:
    files = sorted(name for name, size in sizes.items() if size >= 0)
    affordable = []
    for name in files:
        if sizes[name] <= allowance:
            allowance -= sizes[name]
            affordable.append(name)
    changed = sorted(set(files) - set(affordable))
    with ThreadPoolExecutor(THREADS, "hash") as threads:
        digests = threads.map(lambda name: _digest(tree / name, sizes[name]), affordable)
        changed += [name for name, digest in zip(affordable, digests, strict=True) if listed[name][:64] != digest]
    return changed


def _digest(path: Path, size: int) -> str | None:
    """Return the SHA-256 of a file of that size, or None where it is another one by now, or cannot be read."""
    digest, left = hashlib.sha256(), size
    try:
        with open(_open_file(path), "rb", buffering=0) as file:
            while block := file.read(min(BLOCK_BYTES, left + 1)):
                left -= len(block)
                if left < 0:
                    return None
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest() if left == 0 else None
