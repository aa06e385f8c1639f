"""Has systemd start services with the variables of runtimes: its files, and the word that they have changed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from zlh_agent.shells.model import SystemPlaces, Trouble
from zlh_agent.shells.system_files import ensure_manager_files, is_manager_outdated
from zlh_common.durable_files import write_durably

RELOAD_LIMIT_S = 20.0


class Manager:
    """Writes and reloads. A mark says from before the first write that a reload is owed, whatever comes between."""

    def __init__(self, state: Path, *, reload: Callable[[], None]) -> None:
        """`reload` raises OSError where systemd has not read its files anew."""
        self._mark = state / "shells/reload-owed"
        self._reload = reload

    def ensure(self, places: SystemPlaces, variables: Mapping[str, str]) -> list[Trouble]:
        """Write what has changed and have it read, once; return what did not work. Blocks."""
        troubles: list[Trouble] = []
        try:
            if is_manager_outdated(places, variables):
                write_durably(self._mark, b"")
                troubles = ensure_manager_files(places, variables)
            # Where they cannot be written there is nothing new to read, at each start of the agent for ever.
            if not troubles and self._mark.exists():
                self._reload()
                self._mark.unlink()
        except OSError as exc:
            text = f"Services go on with the variables from before: {exc.strerror or exc}."
            troubles.append(Trouble("shells.not_reloaded", "systemd", text))
        return troubles


def reload_managers() -> None:
    """Have systemd read its files, and that of each user; raise OSError. What runs is left alone."""
    _systemctl("daemon-reload")
    with suppress(OSError):
        # By the signal that means the same: no session of theirs is needed for that. There may be none.
        _systemctl("kill", "--kill-whom=main", "--signal=HUP", "user@*.service")


def _systemctl(*arguments: str) -> None:
    try:
        done = subprocess.run(
            ["systemctl", "--quiet", *arguments], check=False, capture_output=True, timeout=RELOAD_LIMIT_S, cwd="/",
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as exc:
        raise TimeoutError("systemd does not answer") from exc
    if done.returncode:
        raise OSError(done.stderr.decode("utf-8", "replace").strip()[-300:] or f"ended with {done.returncode}")
