"""What the steps of an agent are called, which the agent writes and the API reads: pure."""

from __future__ import annotations

from zlh_common.schema.spec import WantedRuntime

_INSTALL, _REMOVAL = "install-", "remove-"
# Of a workspace, in the order in which they are done.
PREPARE_WORKSPACE, ALLOW_SUDO = "prepare-workspace", "allow-sudo"
CLONE_REPOSITORY, RUN_START_SCRIPT = "clone-repository", "run-start-script"
_OF_WORKSPACE = frozenset({PREPARE_WORKSPACE, ALLOW_SUDO, CLONE_REPOSITORY, RUN_START_SCRIPT})


def name_install(runtime: WantedRuntime) -> str:
    """Return the name of the step that brings `runtime`; that of a default stays when its version changes."""
    return f"{_INSTALL}{runtime.name}" if runtime.default else f"{_INSTALL}{runtime.name}-{runtime.version}"


def name_removal(name: str, version: str) -> str:
    """Return the name of the step that removes a version."""
    return f"{_REMOVAL}{name}-{version}"


def name_game_install(template: str, version: str) -> str:
    """Return the name of the step that a version of a game server is, with all that has to be done for it."""
    return f"install {template} {version}"


def is_removal(step_name: str) -> bool:
    """Tell whether a step takes something away, so that nobody waits for it to use the rest."""
    return step_name.startswith(_REMOVAL)


def is_of_workspace(step_name: str) -> bool:
    """Tell whether a step is about the workspace, which people look into while it is under way and mend by hand."""
    return step_name in _OF_WORKSPACE
