"""Clones a repository as the customer's user: everything that git touches is theirs, and so is what it may do.

An order comes on standard input, lines of JSON go to standard output. Standard input stays open: when it ends, whoever
waits for this has gone, and the whole group is killed. The clone is made in a folder beside and becomes the workspace
by one rename, which the kernel refuses unless the workspace is an empty folder.
"""

from __future__ import annotations

import errno
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from zlh_agent.shim.child import give_way
from zlh_agent.workspace.clone_rules import clean_output, find_meaning, parse_progress
from zlh_agent.workspace.login_environment import SYSTEM_PATH

BESIDE = ".zlh-clone-"
# Says whose clone a workspace is, should the word of it get lost.
MARK = "zlh-clone"
MAX_ORDER_BYTES = 64 * 1024
TAIL_BYTES = 8192
TELL_PAUSE_S = 0.25
CLEAR_LIMIT_S = 60.0
PROTOCOLS = "https:http:git"
# A server that sends less than this for so long is as good as away.
SLOW_BYTES_PER_S, SLOW_S = 100, 60


def main() -> int:
    """Do what standard input asks for."""
    order: dict[str, Any] = json.loads(_read_line())
    give_way()
    workspace = Path(order["workspace"])
    try:
        _tell(_clone(order, workspace))
    except OSError as error:
        code = "repository_disk_full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "clone_failed"
        _tell({"code": code, "output": str(error)})
    return 0


def _clone(order: dict[str, Any], workspace: Path) -> dict[str, Any]:
    _clear_beside(workspace.parent)
    if any(workspace.iterdir()):
        is_ours = _read_mark(workspace) == order["token"]
        return {"done": True} if is_ours else {"code": "workspace_not_empty"}
    beside = workspace.parent / f"{BESIDE}{os.getpid()}"
    try:
        try:
            exit_code, words = _run_git(order, beside)
        except FileNotFoundError:
            return {"code": "git_missing"}
        if exit_code:
            return {"code": find_meaning(words), "output": clean_output(words.encode()), "exitCode": exit_code}
        (beside / ".git" / MARK).write_text(order["token"])
        _sync(beside)
        beside.rename(workspace)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            return {"code": "workspace_not_empty"}
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return {"done": True}


def _run_git(order: dict[str, Any], target: Path) -> tuple[int, str]:
    """Return git's exit code and the end of what it said."""
    branch = [f"--branch={order['branch']}"] if order["branch"] else []
    settings = {
        "core.hooksPath": "/dev/null",
        "credential.helper": "",
        "http.lowSpeedLimit": str(SLOW_BYTES_PER_S),
        "http.lowSpeedTime": str(SLOW_S),
    }
    words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    git = subprocess.Popen(
        ["git", *words, "clone", "--progress", "--template=", *branch, "--", order["url"], str(target)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
        env=_environment(order["home"]),
    )
    tail = _follow(git)
    return git.wait(), tail.decode("utf-8", "replace")


def _environment(home: str) -> dict[str, str]:
    return {
        "HOME": home,
        "PATH": ":".join(SYSTEM_PATH),
        "LC_ALL": "C",
        # Neither the system's settings and hooks nor what somebody has put into a fresh home.
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": PROTOCOLS,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
    }


def _follow(git: subprocess.Popen[bytes]) -> bytes:
    """Tell how far git is until it says nothing more; return its last words but for progress."""
    assert git.stderr is not None
    tail, unread, told_at = b"", b"", 0.0
    with selectors.DefaultSelector() as selector:
        selector.register(git.stderr, selectors.EVENT_READ)
        selector.register(0, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                block = os.read(key.fd, 16 * 1024)
                if key.fd == 0:
                    if not block:
                        os.killpg(0, signal.SIGKILL)
                    continue
                if not block:
                    return tail + unread
                *lines, unread = (unread + block).replace(b"\r", b"\n").split(b"\n")
                unread = unread[-TAIL_BYTES:]
                for line in lines:
                    progress = parse_progress(line.decode("utf-8", "replace"))
                    if progress is None:
                        tail = (tail + line + b"\n")[-TAIL_BYTES:]
                    elif time.monotonic() - told_at >= TELL_PAUSE_S:
                        told_at = time.monotonic()
                        _tell({"progress": progress[0], "message": progress[1]})


def _clear_beside(home: Path) -> None:
    """Remove what former tries have left; one that is dying just now may still write, so it is looked for again."""
    due = time.monotonic() + CLEAR_LIMIT_S
    while left := [entry.path for entry in os.scandir(home) if _is_left(entry)]:
        for path in left:
            shutil.rmtree(path, ignore_errors=True)
        if time.monotonic() > due:
            return
        time.sleep(0.02)


def _is_left(entry: os.DirEntry[str]) -> bool:
    return entry.name.startswith(BESIDE) and entry.is_dir(follow_symlinks=False)


def _read_mark(workspace: Path) -> str | None:
    try:
        with (workspace / ".git" / MARK).open() as file:
            return file.read(100)
    except (OSError, ValueError):
        return None


def _sync(folder: Path) -> None:
    """Bring all of it to the disk before it has its name: a machine that dies then leaves it whole or absent."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        subprocess.run(["sync", "-f", f"/proc/self/fd/{descriptor}"], pass_fds=(descriptor,), check=False)
    finally:
        os.close(descriptor)


def _read_line() -> bytes:
    raw = b""
    while not raw.endswith(b"\n") and len(raw) < MAX_ORDER_BYTES and (block := os.read(0, MAX_ORDER_BYTES)):
        raw += block
    return raw


def _tell(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
