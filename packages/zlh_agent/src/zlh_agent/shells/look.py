"""One look at every kind of shell that this container has, as its terminals' user."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import structlog

from zlh_agent.shells.probe import probe, run_in_unit
from zlh_agent.shells.probe_rules import Mode, Question, list_modes, parse_pam_environment
from zlh_agent.shells.system_files import read_variables
from zlh_agent.workspace.service import WorkspaceService
from zlh_common.errors import ZlhError
from zlh_common.schema.shells import ShellCheck

log = structlog.get_logger()
PAM_FILE = Path("/etc/environment")


class ShellLook:
    """Asks the workspace anew each time, since shells and users may have changed."""

    def __init__(self, workspace: WorkspaceService) -> None:
        self._workspace = workspace

    async def check(self, question: Question) -> list[ShellCheck]:
        """Return what every kind finds; nothing where there is nobody to be."""
        try:
            modes = await asyncio.to_thread(self._list_modes)
            account = await asyncio.to_thread(self._workspace.account)
        except ZlhError as error:
            log.warning("shells.not_looked", reason=error.detail)
            return []
        return await probe(modes, question, user=account.name, home=account.home, run=run_in_unit)

    def _list_modes(self) -> list[Mode]:
        launch = self._workspace.launch_shell()
        return list_modes(
            self._workspace.account(),
            terminal=launch.argv,
            launched=launch.env,
            pam=parse_pam_environment(read_variables(PAM_FILE)),
            is_program=lambda path: os.access(path, os.X_OK),
        )
