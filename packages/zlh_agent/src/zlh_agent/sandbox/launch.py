"""How confined children are started: by exec, never by a fork of the daemon and its threads.

A child is a fresh interpreter that takes its order from standard input or from arguments without secrets, and confines
itself before it does anything else. Whoever starts it must do so from a thread that lives as long as the child may:
the kernel ties the child to that thread. The event loop's own is one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import zlh_agent
import zlh_common
from zlh_agent.sandbox.confinement import Confinement, render_confinement

# What programs of the system are and load; none of it is a customer's.
SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib64")

# Where this agent's code really is, asked once: a bundle may be swapped under an agent that runs.
# In a bundle both packages are in the same folder.
_FOLDERS = [str(Path(package.__path__[0]).resolve().parent) for package in (zlh_agent, zlh_common)]
_BOOT = "import sys; sys.path += sys.argv[2:4]; from {module} import main; main(sys.argv[4:])"


def bare_child(module: str, title: str, *arguments: str) -> list[str]:
    """Return the command of a child that needs the standard library and our own packages alone.

    `title` is what people see in `ps`; the module's `main` is called with the arguments.
    """
    return [sys.executable, "-I", "-S", "-c", _BOOT.format(module=module), title, *_FOLDERS, *arguments]


def confined_program(confinement: Confinement, argv: Sequence[str]) -> list[str]:
    """Return a command that confines itself and then becomes `argv`, whose program is an absolute path.

    It dies with this process; its environment and standard streams are those that it is started with. It exits with
    `confined_program.NOT_CONFINED`, and one line on standard error, where it could not be confined or started.
    """
    line = render_confinement(confinement)
    return bare_child("zlh_agent.sandbox.confined_program", f"zlh-confined:{argv[0]}", line, str(os.getpid()), *argv)
