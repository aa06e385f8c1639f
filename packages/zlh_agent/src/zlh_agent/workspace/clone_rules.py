"""What git says while it clones, and what its last words mean: pure.

Git is run with LC_ALL=C, so its words are those of its sources. What a server says (`remote: …`) is never judged by.
"""

from __future__ import annotations

import re

# Of each stage: where it begins in the whole, and its share.
_STAGES = {"Receiving objects": (0.0, 0.8), "Resolving deltas": (0.8, 0.1), "Updating files": (0.9, 0.1)}
_PROGRESS = re.compile(r"^([A-Z][a-z]+ [a-z]+): +(\d{1,3})% \((\d+)/(\d+)\)(?:, ([0-9.]+ [KMGT]?i?B)(?:ytes)?)?")
# In this order: the first that is found says what it was.
_MEANINGS = {
    "repository_disk_full": ("no space left on device", "disk quota exceeded"),
    "repository_branch_not_found": ("remote branch .* not found",),
    "repository_needs_credentials": (
        "could not read (username|password)", "authentication failed", "prompts disabled", "returned error: 40[137]",
    ),
    "repository_not_found": (
        "repository '.*' not found", "returned error: (404|410)", "not found: did you run", "no such repository",
        "access denied or repository not exported", "does not appear to be a git repo", "not valid: is this a git",
    ),
    "repository_unreachable": (
        "(could not|couldn't) resolve", "unable to look up", "(failed|unable) to connect", "couldn't connect",
        "connection (timed out|refused|reset)", "network is unreachable", "no route to host", "early eof", "hung up",
        "rpc failed", "operation (too slow|timed out)", "returned error: (429|5[0-9][0-9])", "unable to access",
        "transfer closed", "unexpected disconnect", "empty reply",
    ),
}  # fmt: skip
_MEANT = {code: re.compile("|".join(patterns), re.IGNORECASE) for code, patterns in _MEANINGS.items()}
_TOLD = {
    "repository_disk_full": "The container's disk has no room for {url}. Make room, and have it tried again.",
    "repository_branch_not_found": "{url} has no branch or tag {branch}. Clone it from a terminal, with another one.",
    "repository_needs_credentials": "{url} is private, or there is no such repository. Clone it from a terminal, where "
    "you can sign in.",
    "repository_not_found": "There is no repository at {url}, or none that everybody may read. Clone the right one "
    "from a terminal.",
    "repository_unreachable": "The server of {url} does not answer as it should. Look whether containers can reach it.",
    "workspace_not_empty": "{folder} is not empty, so {url} was not cloned over it. Clone it from a terminal.",
    "git_missing": "This container has no git. Install it, and have the workspace tried again.",
    "repository_timed_out": "Cloning {url} took too long and was given up. Clone it from a terminal.",
    "clone_interrupted": "Cloning {url} was interrupted.",
    "clone_failed": "Git could not clone {url}; its own words are below.",
}
MAX_TRIES = 8
OUTPUT_CHARS = 4096
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?", re.DOTALL)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def parse_progress(line: str) -> tuple[float, str] | None:
    """Return how far the whole is (0.0 to 1.0) and what people read, or None where a line tells of no progress."""
    found = _PROGRESS.match(line)
    if found is None or found[1] not in _STAGES:
        return None
    start, share = _STAGES[found[1]]
    fraction = round(start + share * min(int(found[2]), 100) / 100, 3)
    size = f", {found[5]}" if found[5] else ""
    return fraction, f"{found[1]}: {found[3]} of {found[4]}{size}"


def find_meaning(words: str) -> str:
    """Return the code of what git's last words mean; `clone_failed` where nobody knows."""
    own = "\n".join(line for line in words.splitlines() if not line.startswith("remote:"))
    return next((code for code, pattern in _MEANT.items() if pattern.search(own)), "clone_failed")


def tell_failure(code: str, url: str, branch: str | None, folder: str) -> str:
    """Return what has happened and what to do, for people."""
    return _TOLD[code].format(url=url, branch=branch, folder=folder)


def retry_pause_s(tries: int) -> float:
    """Return the wait after the n-th failure in a row (from 1): five seconds, doubled up to five minutes."""
    return float(min(300, 5 * 2 ** min(max(tries - 1, 0), 6)))


def clean_output(raw: bytes) -> str:
    """Return the end of what a program printed as text that can be shown: no escapes, no controls but line breaks."""
    text = raw.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", _ESCAPES.sub("", text))[-OUTPUT_CHARS:]
