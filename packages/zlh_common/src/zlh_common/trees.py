"""Deleting a folder with all that is in it, whatever a customer has made of it."""

from __future__ import annotations

import subprocess
from pathlib import Path


def delete_tree(tree: Path) -> None:
    """Delete a folder and all below it; one that is not there is deleted. Blocks. Raises OSError where something stays.

    It may be nested deeper than Python can recurse, and hold folders that its owner may not write into (Go's module
    cache is such a one), so the work is that of `rm` and `chmod`. Links are not followed, and another file system that
    is mounted inside is not touched: what is in there is elsewhere too.
    """
    if not _run("rm", "-rf", "--one-file-system", "--", str(tree)):
        return
    if not tree.is_symlink():
        _run("chmod", "-R", "--", "u+rwX", str(tree))
    if trouble := _run("rm", "-rf", "--one-file-system", "--", str(tree)):
        raise OSError(f"{tree} cannot be deleted: {trouble}")


def _run(*command: str) -> str:
    """Return the first thing that the program complained of, or nothing where all went well."""
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, errors="replace")
    if done.returncode == 0:
        return ""
    return done.stderr.partition("\n")[0][-300:] or f"{command[0]} ended with {done.returncode}"
