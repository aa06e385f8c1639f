"""A home folder that stands in for /usr/local/bin and /etc, where the agent may not write those.

    ~/.zlh/environment      ours, written anew whenever the runtimes change; sets PATH and the runtimes' variables
    ~/.profile, ~/.bashrc   the customer's; made when missing, and a marked line that sources ours is kept in them
    BASH_ENV                names ours, for the non-interactive bash that reads neither

The customer may edit everything in his own files; only the marked line is put back.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

MARK = "# zlh: runtimes on PATH"
SOURCE_LINE = f'[ -r "$HOME/.zlh/environment" ] && . "$HOME/.zlh/environment"  {MARK}'
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BASHRC = """# ~/.bashrc: read by interactive shells. Edit it as you like; only the marked line is put back.
[ -z "$PS1" ] || PS1='\\u:\\w\\$ '
"""
_PROFILE = """# ~/.profile: read by login shells. Edit it as you like; only the marked line is put back.
[ -n "$BASH_VERSION" ] && [ -r "$HOME/.bashrc" ] && . "$HOME/.bashrc"
"""


def environment_file(home: Path) -> Path:
    """Return the file that sets PATH and variables; BASH_ENV of a terminal names it."""
    return home / ".zlh" / "environment"


def render_environment(path_entries: Sequence[Path], variables: Mapping[str, str]) -> str:
    """Return the file, for any sh: a shell may read it twice. Raises ValueError on a name that is none."""
    for name in variables:
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no name of a variable")
    lines = ["# Written by the agent; changes are lost. Sets the runtimes in front of PATH."]
    # The last that is put in front ends up first. An entry that stands somewhere else is moved to the front.
    for entry in reversed(path_entries):
        quoted = shlex.quote(str(entry))
        lines += [
            f"_zlh={quoted}",
            'PATH=":$PATH:"; while case "$PATH" in *":$_zlh:"*) true;; *) false;; esac; do',
            '  PATH=${PATH%%":$_zlh:"*}:${PATH#*":$_zlh:"}',
            "done",
            "PATH=${PATH#:}; PATH=$_zlh:${PATH%:}",
        ]
    lines += ["unset _zlh", "export PATH"] if path_entries else []
    lines += [f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items())]
    return "\n".join(lines) + "\n"


def with_source_line(text: str) -> str:
    """Return the customer's file with our line in front (a `return` must not skip it), or as it is where it has it."""
    return text if MARK in text else f"{SOURCE_LINE}\n{text}"


def ensure_profile(home: Path, path_entries: Sequence[Path], variables: Mapping[str, str]) -> Path:
    """Write what puts `path_entries` in front of PATH in every kind of shell; return what BASH_ENV has to name.

    Runs as the owner of `home`: it follows links there like any program of the user.
    """
    target = environment_file(home)
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _replace(target, render_environment(path_entries, variables))
    for name, fresh in ((".profile", _PROFILE), (".bashrc", _BASHRC)):
        _ensure_source_line(home / name, fresh)
    # bash reads the first of these alone; where the customer has one, .profile is never read.
    for name in (".bash_profile", ".bash_login"):
        if (home / name).exists():
            _ensure_source_line(home / name, "")
    return target


def remove_profile(home: Path) -> None:
    """Take away what `ensure_profile` has put there: exactly its line, wherever that still stands, and its file.

    Runs as the owner of `home`. Files of the customer's stay, those too that it has made for them.
    """
    for name in (".profile", ".bashrc", ".bash_profile", ".bash_login"):
        path = home / name
        if path.is_file():
            text = path.read_bytes().decode("utf-8", "surrogateescape")
            kept = "".join(line for line in text.splitlines(keepends=True) if line.rstrip("\n") != SOURCE_LINE)
            if kept != text:
                _replace(path, kept)
    environment_file(home).unlink(missing_ok=True)
    with suppress(OSError):
        # Whatever else is in it is theirs.
        environment_file(home).parent.rmdir()


def _ensure_source_line(path: Path, fresh: str) -> None:
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        text = fresh
        path.touch(mode=0o644)
    wanted = with_source_line(text)
    if wanted.encode("utf-8", "surrogateescape") != path.read_bytes():
        _replace(path, wanted)


def _replace(path: Path, text: str) -> None:
    """Write old or new, never half of it; a link (dotfiles in a repository) stays one, and the mode is kept."""
    target = path.resolve()
    fresh = target.with_name(f"{target.name}.zlh-new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(fd, "wb") as file:
        if target.exists():
            os.fchmod(fd, target.stat().st_mode & 0o777)
        file.write(text.encode("utf-8", "surrogateescape"))
        file.flush()
        os.fsync(fd)
    fresh.replace(target)
