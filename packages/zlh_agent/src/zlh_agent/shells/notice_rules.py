"""What people at open terminals are told when what shells find has changed: decisions without I/O."""

from __future__ import annotations

from collections.abc import Iterator

from zlh_agent.shells.model import Wanted
from zlh_common.schema.console_wire import Announcement

# In any shell that the customer may have chosen: it reads everything anew and keeps the terminal.
_ANEW = "exec $SHELL -l"
MAX_NAMED = 8


def find_notices(before: Wanted, after: Wanted, *, is_linked: bool) -> list[Announcement]:
    """Return what to tell, runtime by runtime and then of variables; `is_linked` where commands are found at once."""
    return [*_of_versions(before, after, is_linked=is_linked), *_of_variables(before, after, is_linked=is_linked)]


def _of_versions(before: Wanted, after: Wanted, *, is_linked: bool) -> Iterator[Announcement]:
    for name in sorted(before.versions.keys() | after.versions.keys()):
        old, new = before.versions.get(name), after.versions.get(name)
        if old == new:
            continue
        if old is None:
            where = "this terminal finds it at once" if is_linked else "open a new terminal to use it"
            yield _notice("runtime_installed", f"{name} {new} is here now; {where}.")
        elif new is None:
            yield _notice("runtime_removed", f"{name} {old} was removed; its commands are gone, here too.")
        else:
            text = f"{name} is {new} now, after {old}; this terminal uses it at once."
            yield _notice("runtime_switched", f"{text} Programs that run keep what they were started with.")


def _of_variables(before: Wanted, after: Wanted, *, is_linked: bool) -> Iterator[Announcement]:
    fresh = [name for name, value in sorted(after.variables.items()) if before.variables.get(name) != value]
    gone = sorted(before.variables.keys() - after.variables.keys())
    here = f"and this one after `{_ANEW}`" if is_linked else "this one stays as it is"
    if fresh:
        yield _notice("variables_set", f"New terminals have {_listed(fresh)}, {here}.")
    if gone:
        yield _notice("variables_gone", f"New terminals do not have {_listed(gone)} any more, {here}.")


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:MAX_NAMED])
    return shown if len(names) <= MAX_NAMED else f"{shown} and {len(names) - MAX_NAMED} more"


def _notice(kind: str, text: str) -> Announcement:
    return Announcement(code=kind, message=text)
