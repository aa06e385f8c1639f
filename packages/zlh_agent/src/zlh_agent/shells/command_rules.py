"""Which commands stand in /usr/local/bin, and what has to change for that: decisions without I/O.

A link there is ours if it leads through `<runtimes>/<name>/current/` to a file of its own name; nothing else is kept of
what is ours, so whatever a crash has left is found and finished by the next look.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zlh_agent.shells.model import RuntimeInUse, Trouble

# What a file in a bin folder must be called to become a command.
_COMMAND = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,63}")
MAX_COMMANDS = 512
# A link of ours that has no name yet; a crash leaves one at most.
FRESH_PREFIX, FRESH_SUFFIX = ".zlh-", ".new"


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """What has to be done in the folder of commands, in this order."""

    remove: tuple[str, ...] = ()
    # Command → target: where nothing stands, and where a link of ours leads elsewhere.
    make: tuple[tuple[str, str], ...] = ()
    change: tuple[tuple[str, str], ...] = ()
    # Commands in whose place something stands that is not ours.
    foreign: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Tell whether everything stands as it should."""
        return not (self.remove or self.make or self.change)


def is_command(name: str) -> bool:
    """Tell whether a name can be one of a command, in every shell and in a folder of links."""
    return _COMMAND.fullmatch(name) is not None


def choose_commands(runtimes: Sequence[RuntimeInUse]) -> tuple[dict[str, str], list[Trouble]]:
    """Return command → target, and what was decided between runtimes that give the same one.

    A command is its namesake's; else that of the runtime whose name comes first.
    """
    chosen: dict[str, str] = {}
    troubles: list[Trouble] = []
    for command in sorted({name for runtime in runtimes for name in runtime.commands}):
        givers = sorted(
            (runtime for runtime in runtimes if command in runtime.commands),
            key=lambda runtime: (runtime.name != command, runtime.name),
        )
        chosen[command] = givers[0].commands[command]
        if len(givers) > 1:
            others = " and ".join(runtime.name for runtime in givers[1:])
            text = f"{command} is the one of {givers[0].name}; {others} has one too, which is found by its whole path."
            troubles.append(Trouble("shells.command_twice", command, text, is_lasting=False))
    return dict(list(chosen.items())[:MAX_COMMANDS]), troubles


def is_ours(name: str, target: str | None, runtimes: str) -> bool:
    """Tell whether what stands under a name is a link that the agent has made, for whatever runtime."""
    if target is None or not target.startswith(f"{runtimes}/"):
        return False
    parts = target.removeprefix(f"{runtimes}/").split("/")
    return len(parts) > 2 and parts[1] == "current" and parts[-1] == name and not {"", ".", ".."} & set(parts)


def is_unfinished(name: str, target: str | None) -> bool:
    """Tell whether it is a link of ours that a crash has kept from its name."""
    return target is not None and name.startswith(FRESH_PREFIX) and name.endswith(FRESH_SUFFIX)


def plan_links(wanted: Mapping[str, str], found: Mapping[str, str | None], *, runtimes: str) -> LinkPlan:
    """Return what has to be done where `found` stands: name → target of a link, None for anything else."""
    ours = {name: target for name, target in found.items() if is_ours(name, target, runtimes)}
    gone = [name for name in ours if name not in wanted]
    return LinkPlan(
        remove=tuple(sorted(gone + [name for name, target in found.items() if is_unfinished(name, target)])),
        make=tuple(sorted((name, target) for name, target in wanted.items() if name not in found)),
        change=tuple(sorted((name, wanted[name]) for name in ours if name in wanted and wanted[name] != ours[name])),
        foreign=tuple(sorted(name for name in wanted if name in found and name not in ours)),
    )
