"""The child of `launch.confined_program`: confines itself and becomes another program."""

from __future__ import annotations

import os
import sys

from zlh_agent.sandbox.confine import NotConfined, enter
from zlh_agent.sandbox.confinement import parse_confinement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# No program of ours exits with it; shells use it for a command that was found and not run.
NOT_CONFINED = 126


def main(arguments: Sequence[str]) -> None:
    """Become `arguments[2:]`, confined as the first says and tied to the parent that the second names."""
    line, parent, *argv = arguments
    try:
        enter(parse_confinement(line), parent=int(parent))
        os.execv(argv[0], argv)  # noqa: S606 - this is the place for it
    except (NotConfined, OSError) as exc:
        sys.stderr.write(f"{argv[0]} was not started: {exc}\n")
        sys.exit(NOT_CONFINED)
