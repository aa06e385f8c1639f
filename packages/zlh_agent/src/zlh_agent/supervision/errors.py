"""What can be asked of a process that cannot be done."""

from __future__ import annotations

from zlh_common.errors import ZlhError


class ProcessNotFound(ZlhError):
    """There is no process of this name."""

    code, status = "process_not_found", 404

    def __init__(self, name: str) -> None:
        super().__init__("There is no process of this name.", name=name[:64])


class ProcessSwitchedOff(ZlhError):
    """The process is switched off."""

    code, status = "process_switched_off", 409

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is switched off; start it first.", name=name)


class ProcessNotRunning(ZlhError):
    """The process does not run, so there is nothing to kill."""

    code, status = "process_not_running", 409

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} does not run.", name=name)


class NothingToRetry(ZlhError):
    """The process does not wait for a restart."""

    code, status = "nothing_to_retry", 409

    def __init__(self, name: str, *, state: str) -> None:
        super().__init__(f"{name} does not wait for a restart; it is {state}.", name=name, state=state)
