"""Whether a home or workspace is what it must be, by what lies there: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Lying:
    """What lies at a path, without following it."""

    kind: Literal["folder", "link", "other"]
    uid: int
    # Whether its owner may read, write and enter it.
    is_open: bool


Fault = Literal["missing", "link", "not_folder", "foreign", "closed"]


def find_fault(lying: Lying | None, uid: int) -> Fault | None:
    """Return what is wrong with a folder that must be this user's own, None where nothing is."""
    if lying is None:
        return "missing"
    if lying.kind != "folder":
        return "link" if lying.kind == "link" else "not_folder"
    if lying.uid != uid:
        return "foreign"
    return None if lying.is_open else "closed"


def tell_fault(path: str, fault: Fault, *, user: str, uid: int | None) -> str:
    """Return what is wrong and what to do, for people."""
    match fault:
        case "missing":
            return f"{path} is missing and cannot be made. Make it, and give it to {user}."
        case "link":
            return f"{path} is a link, which we do not follow. Move the link away, and it is made anew."
        case "not_folder":
            return f"{path} is no folder. Move it away, and the folder is made anew."
        case "foreign":
            return f"{path} belongs to user {uid} and not to {user}. Give it back, as root: chown {user}: {path}"
        case "closed":
            return f"{path} cannot be written by {user}. Open it: chmod u+rwx {path}"
