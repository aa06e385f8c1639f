"""Deleting a folder with all that is in it, whatever a customer has made of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

# Folder by folder, each opened before it is entered, without a path that could become too long.
_OPEN_FOLDERS = ("-xdev", "-type", "d", "!", "-perm", "-u=rwx", "-execdir", "chmod", "u+rwx", "{}", ";")


def delete_tree(tree: Path) -> None:
    """Delete a folder and all below it; one that is not there is deleted. Blocks. Raises OSError where something stays.

    It may be nested deeper than Python can recurse, and hold folders that its owner may not write into (Go's module
    cache is such a one), so the work is that of `rm` and `chmod`. Links are not followed, and another file system that
    is mounted inside is not entered: what is in there is elsewhere too.
    """
    trouble = _remove(tree)
    # No mode is in the way of root, who would only change what a customer swaps for a link under its hands.
    if trouble and os.geteuid() != 0:
        _run("find", "-P", str(tree), *_OPEN_FOLDERS)
        trouble = _remove(tree)
    if trouble:
        raise OSError(f"{tree} cannot be deleted: {trouble}")


def _remove(tree: Path) -> str:
    return _run("rm", "-rf", "--one-file-system", "--", str(tree))


def _run(*command: str) -> str:
    """Return the first thing that the program complained of, or nothing where all went well."""
    # `find` refuses to run anything with a PATH that names the current folder, as some people's does.
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    done = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, capture_output=True, errors="replace", env=environment
    )
    if done.returncode == 0:
        return ""
    return done.stderr.partition("\n")[0][-300:] or f"{command[0]} ended with {done.returncode}"
