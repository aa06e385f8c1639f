"""What a shell or process of the customer is: who runs it, where, and with which environment; and the home it finds."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from zlh_agent.paths import ContainerPaths
from zlh_agent.shim.model import Launch
from zlh_agent.workspace.login_environment import Account, choose_shell, derive_environment, parse_locale
from zlh_agent.workspace.profile import ensure_profile, environment_file
from zlh_common.errors import ZlhError
from zlh_common.schema.process import WantedProcess

log = structlog.get_logger()
UMASK = 0o022
LOCALE, MAX_LOCALE_CHARS = Path("/etc/default/locale"), 4096
REFRESH_TIMEOUT_S = 30.0


class TerminalUserUnknown(ZlhError):
    """The user that terminals should run as does not exist in this container."""

    code, status = "terminal_user_unknown", 500

    def __init__(self, name: str) -> None:
        super().__init__(f"Terminals should run as {name}, and this container has no such user.", user=name)


class WorkspaceService:
    """Asked anew for each shell, so that a shell finds what was installed a moment ago."""

    def __init__(
        self,
        paths: ContainerPaths,
        *,
        user: str | None,
        variables: Mapping[str, str],
        runtime_paths: Callable[[], Sequence[Path]],
        runtime_variables: Callable[[], Mapping[str, str]],
    ) -> None:
        """Without a `user`, shells run as the agent's own user in a home folder of the container's."""
        # What sessions start with where the system itself leads to the runtimes; None where the home stands in for it.
        self.system_variables: Callable[[], Mapping[str, str] | None] = lambda: None
        self._paths = paths
        self._user = user
        self._variables = dict(variables)
        self._runtime_paths = runtime_paths
        self._runtime_variables = runtime_variables
        # Whether the folder of the workspace is about to be replaced by a clone.
        self.is_cloning: Callable[[], bool] = lambda: False
        self._is_home_settled = False

    async def refresh(self) -> None:
        """Bring the home folder up to what is installed; a home that the customer has spoilt never stops the agent."""
        try:
            await asyncio.to_thread(self._refresh)
        except (OSError, RuntimeError, ValueError, ZlhError, subprocess.TimeoutExpired) as error:
            # A RuntimeError is a link to itself, a ValueError a variable whose name is none.
            log.warning("workspace.not_refreshed", home=str(self._paths.home), error=str(error))

    def launch_shell(self) -> Launch:
        """Return what a new shell is; raise TerminalUserUnknown."""
        account = self.account()
        shell = choose_shell(account, is_program=_is_program)
        launch = self._launch(account, shell[0])
        # Whoever stood in a workspace that is replaced would stand in a folder that is none any more.
        cwd = account.home if self.is_cloning() else launch.cwd
        # As login(1) does: a customer who has deleted the workspace still gets a shell.
        return launch.replace(argv=shell, cwd=cwd, needs_folder=False)

    def launch_script(self) -> Launch:
        """Return the shell that a script is given to, in the environment of a login; raise TerminalUserUnknown."""
        account = replace(self.account(), shell="")
        return self._launch(account, choose_shell(account, is_program=_is_program)[0])

    def customer(self) -> Account | None:
        """Return whom programs run as, None where that is the agent's own user; raise TerminalUserUnknown."""
        return None if self._user is None else self.account()

    def launch_program(self, wanted: WantedProcess) -> Launch:
        """Return what a process is, in the environment of a login and its own; raise TerminalUserUnknown."""
        account = self.account()
        launch = self._launch(account, choose_shell(account, is_program=_is_program)[0])
        return launch.replace(
            argv=wanted.argv,
            env={**launch.env, **wanted.environment},
            cwd=str(self._paths.workspace / (wanted.folder or "")),
        )

    def _launch(self, account: Account, shell: str) -> Launch:
        environment = self._environment(account, shell)
        launch = Launch(argv=(shell,), env=environment, cwd=str(self._paths.workspace), umask=UMASK)
        if self._user is None:
            return launch
        groups = os.getgrouplist(account.name, account.gid)
        return launch.replace(uid=account.uid, gid=account.gid, groups=groups)

    def _environment(self, account: Account, shell: str) -> dict[str, str]:
        of_system = self.system_variables()
        if of_system is not None:
            return derive_environment(
                account, shell=shell, variables={**self._locale(), **self._variables, **of_system}
            )
        return derive_environment(
            account,
            shell=shell,
            path_entries=self._runtime_paths(),
            variables={**self._locale(), **self._variables, **self._runtime_variables()},
            bash_env=environment_file(Path(account.home)),
        )

    def _locale(self) -> dict[str, str]:
        """Return the language of a login, where the container is a system of its own."""
        if self._user is None:
            return {}
        try:
            with LOCALE.open(encoding="utf-8", errors="replace") as file:
                return parse_locale(file.read(MAX_LOCALE_CHARS))
        except OSError:
            return {}

    def account(self) -> Account:
        """Return who shells run as; raise TerminalUserUnknown."""
        if self._user is None:
            own = pwd.getpwuid(os.geteuid())
            return Account(own.pw_name, own.pw_uid, own.pw_gid, str(self._paths.home), own.pw_shell)
        try:
            found = pwd.getpwnam(self._user)
        except KeyError as exc:
            raise TerminalUserUnknown(self._user) from exc
        return Account(found.pw_name, found.pw_uid, found.pw_gid, found.pw_dir, found.pw_shell)

    def _refresh(self) -> None:
        if self._user is None:
            self._paths.workspace.mkdir(parents=True, exist_ok=True)
            ensure_profile(self._paths.home, self._runtime_paths(), self._runtime_variables())
            return
        is_system = self.system_variables() is not None
        if not (is_system and self._is_home_settled):
            self._refresh_as(self.account(), is_system=is_system)
        self._is_home_settled = is_system

    def _refresh_as(self, account: Account, *, is_system: bool) -> None:
        asked = {
            "home": account.home,
            # The home folder then has none of it, not even what an earlier version has put there.
            "isSystem": is_system,
            "workspace": str(self._paths.workspace),
            "paths": [str(entry) for entry in self._runtime_paths()],
            "variables": dict(self._runtime_variables()),
        }
        done = subprocess.run(
            [sys.executable, "-I", "-m", "zlh_agent.workspace.profile_child"],
            check=False,
            input=json.dumps(asked).encode(),
            capture_output=True,
            timeout=REFRESH_TIMEOUT_S,
            cwd="/",
            env={},
            user=account.uid,
            group=account.gid,
            extra_groups=os.getgrouplist(account.name, account.gid),
            umask=UMASK,
        )
        if done.returncode != 0:
            raise OSError(done.stderr.decode("utf-8", "replace").strip()[-300:])


def _is_program(path: str) -> bool:
    return os.access(path, os.X_OK)
