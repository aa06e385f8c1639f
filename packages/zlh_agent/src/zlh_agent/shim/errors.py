"""What can go wrong between an agent and its shims, as people and programs see it."""

from __future__ import annotations

from zlh_common.errors import ZlhError


class LaunchFailed(ZlhError):
    """A program did not start."""

    code, status = "launch_failed", 500

    def __init__(self, *, step: str, reason: str) -> None:
        super().__init__(f"The program did not start: {step}: {reason}.", step=step)


class ShimLost(ZlhError):
    """The shim of a terminal or process is gone or does not answer."""

    code, status, retryable = "shim_lost", 503, True

    def __init__(self, name: str, *, reason: str) -> None:
        super().__init__(f"The shim of {name} {reason}.", name=name)
