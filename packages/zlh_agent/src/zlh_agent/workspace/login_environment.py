"""The environment of a terminal, derived anew from who the user is: nothing of the agent's own gets in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# One for every kind of shell: what Debian gives a service and a login, with /usr/local/bin in front, where the commands
# of runtimes are linked in a real container.
SYSTEM_PATH = (
    "/usr/local/bin", "/usr/local/sbin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/games", "/usr/games",
)  # fmt: skip
SHELLS = ("/bin/bash", "/usr/bin/bash", "/bin/sh")
LANG = "C.UTF-8"
TERM = "xterm-256color"
# What this module says itself; configuration and runtimes cannot change it.
# Of /etc/default/locale, which a login takes up as it is.
_LOCALE = re.compile(
    r"^[ \t]*(?:export[ \t]+)?(LANG|LANGUAGE|LC_[A-Z]+)=[\"']?([A-Za-z0-9_.@:-]+)[\"']?[ \t]*$", re.MULTILINE
)
_FIXED = frozenset({"HOME", "USER", "LOGNAME", "SHELL", "TERM", "PATH"})


@dataclass(frozen=True, slots=True)
class Account:
    """One user, as passwd has it."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str = ""


def choose_shell(account: Account, *, is_program: Callable[[str], bool]) -> tuple[str, ...]:
    """Return the command of a login shell: bash where there is one, else sh."""
    shell = next((path for path in SHELLS if is_program(path)), SHELLS[-1])
    # The user's own, where it is another kind of interactive shell that is installed (zsh, fish).
    own = account.shell
    if own and Path(own).name not in {"sh", "dash", "bash", "false", "nologin", "true"} and is_program(own):
        shell = own
    return (shell, "-l")


def parse_locale(text: str) -> dict[str, str]:
    """Return the language that /etc/default/locale gives a login."""
    return dict(_LOCALE.findall(text))


def derive_environment(
    account: Account,
    *,
    shell: str,
    path_entries: Sequence[Path] = (),
    variables: Mapping[str, str] | None = None,
    bash_env: Path | None = None,
) -> dict[str, str]:
    """Return the whole environment of a new terminal; `path_entries` come first on PATH.

    `variables` (HOST, what runtimes want) are taken as they are, but never over what makes a login.
    """
    environment = {key: value for key, value in (variables or {}).items() if key not in _FIXED}
    environment.setdefault("LANG", LANG)
    if bash_env is not None:
        environment["BASH_ENV"] = str(bash_env)
    return environment | {
        "HOME": account.home,
        "USER": account.name,
        "LOGNAME": account.name,
        "SHELL": shell,
        "TERM": TERM,
        "PATH": ":".join([*map(str, path_entries), *SYSTEM_PATH]),
    }
