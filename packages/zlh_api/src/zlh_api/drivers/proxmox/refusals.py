"""What Proxmox says when it does not do what it was asked, as errors of ours.

It has no codes: nearly everything is a 500 whose reason phrase holds the message, so that is what is read here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from zlh_common.errors import ZlhError

_LOCKED = re.compile(r"(?:CT|VM) is locked(?: \(([a-z-]+)\))?")
_FLOCK = re.compile(r"can't lock file '([^']+)'")


class GuestLocked(ZlhError):
    """Proxmox itself is at work on the guest, and lets nobody else near it."""

    code, status, retryable = "guest_locked", 503, True

    def __init__(self, *, lock: str) -> None:
        super().__init__(
            f"Proxmox holds a lock on it ({lock}), so it has to wait; it is tried again until that is over.", lock=lock
        )
        self.lock = lock


class ProxmoxDenied(ZlhError):
    """Proxmox does not accept the token, or the token may not do this."""

    code, status, retryable = "proxmox_denied", 502, True

    def __init__(self, *, what: str, reason: str) -> None:
        super().__init__(
            f"Proxmox does not allow {what} ({reason}). Give the API's token the rights that the documentation lists."
        )


class ProxmoxRefused(ZlhError):
    """Proxmox has not done what it was asked, and says why."""

    code, status, retryable = "proxmox_refused", 502, True

    def __init__(self, *, what: str, reason: str, fields: Mapping[str, str] | None = None) -> None:
        said = "; ".join([reason, *(f"{name}: {text}" for name, text in sorted((fields or {}).items()))])
        super().__init__(f"Proxmox refuses {what}: {said}.")
        self.reason = said

    @property
    def is_missing(self) -> bool:
        """Whether there is no such guest on the node that was asked."""
        return "does not exist" in self.reason and ".conf'" in self.reason

    @property
    def is_taken(self) -> bool:
        """Whether something is there already."""
        return "already exists" in self.reason

    @property
    def is_running(self) -> bool:
        """Whether it was to be started and runs."""
        return "already running" in self.reason

    @property
    def is_stopped(self) -> bool:
        """Whether it was to be stopped and does not run."""
        return "not running" in self.reason


class ProxmoxUnsure(ZlhError):
    """The answer to a request was lost, so nobody knows yet whether it was carried out."""

    code, status, retryable = "proxmox_unsure", 503, True

    def __init__(self, *, what: str, reason: str) -> None:
        super().__init__(
            f"Whether Proxmox has carried out {what} is not known ({reason}); it is looked up before it is tried again."
        )


def find_lock(text: str) -> str | None:
    """Return which lock a message speaks of, or None where it speaks of none."""
    if (match := _LOCKED.search(text)) is not None:
        return match[1] or "unknown"
    if (match := _FLOCK.search(text)) is not None:
        return match[1]
    return None


def classify_refusal(what: str, status: int, reason: str, fields: Mapping[str, str], *, changes: bool) -> ZlhError:
    """Return the error for an answer that is no success; `changes` tells whether it was to change something."""
    lock = find_lock(reason)
    if lock is not None:
        return GuestLocked(lock=lock)
    if status in {401, 403}:
        return ProxmoxDenied(what=what, reason=f"{status} {reason}")
    # Some part behind the API took too long: what that part does meanwhile, nobody says.
    if changes and status == 500 and "got timeout" in reason:
        return ProxmoxUnsure(what=what, reason=reason)
    return ProxmoxRefused(what=what, reason=reason or f"status {status}", fields=fields)
