"""Which variables shells get, and the one syntax that every reader of them takes: decisions without I/O.

    KEY="value"      no character in the value that sh, fish, pam_env or systemd reads as anything but itself

`ZLH_RUNTIME_VARIABLES` tells what was set by us: whatever a shell inherits unchanged of it, and is not set any more,
is taken away by it. What the customer has set himself is never replaced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from zlh_agent.shells.model import RuntimeInUse, Trouble

# Names by which the customer could not tell what is theirs, or a shell not what it is.
RESERVED = frozenset({"HOME", "USER", "LOGNAME", "SHELL", "TERM", "PATH", "IFS", "ENV", "BASH_ENV", "PWD", "SHLVL"})
LIST = "ZLH_RUNTIME_VARIABLES"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_VALUE = re.compile(r"[A-Za-z0-9_./+:@,=-]{0,512}")
MAX_VARIABLES = 64


def choose_variables(runtimes: Sequence[RuntimeInUse]) -> tuple[dict[str, str], list[Trouble]]:
    """Return the variables of the runtimes in use, and what was refused; of two with one name the first runtime's."""
    chosen: dict[str, str] = {}
    troubles: list[Trouble] = []
    for runtime in sorted(runtimes, key=lambda runtime: runtime.name):
        for name, text in sorted(runtime.environment.items()):
            value = text.replace("{root}", runtime.current)
            reason = find_fault(name, value)
            if reason is None and name in chosen and chosen[name] != value:
                reason = "another runtime sets it to something else"
            if reason is None and len(chosen) >= MAX_VARIABLES:
                reason = f"there are {MAX_VARIABLES} already"
            if reason is None:
                chosen[name] = value
            else:
                message = f"The variable {name[:64]!r} of {runtime.name} {runtime.version} is not set: {reason}."
                troubles.append(Trouble("shells.variable_refused", runtime.name, message))
    return chosen, troubles


def find_fault(name: str, value: str) -> str | None:
    """Return why a variable cannot be set in every kind of shell, or None."""
    if _NAME.fullmatch(name) is None:
        return "this is no name that every shell takes"
    if name in RESERVED or name.startswith(("ZLH_", "LD_")):
        return "this name is taken"
    if _VALUE.fullmatch(value) is None:
        return "its value has characters that some shell would read as something else, or more than 512"
    return None


def with_list(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with the one that tells which they are."""
    return {**variables, LIST: " ".join(f"{name}={value}" for name, value in sorted(variables.items()))}


def render_variables(variables: Mapping[str, str]) -> str:
    """Return lines of KEY="value"."""
    return "".join(f'{name}="{value}"\n' for name, value in sorted(variables.items()))
