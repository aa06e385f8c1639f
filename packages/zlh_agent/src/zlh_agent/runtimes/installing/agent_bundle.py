"""Whether a bundle of the agent is for this container's Python: looked at before it is tried."""

from __future__ import annotations

import sys
from pathlib import Path

from zlh_agent.runtimes.errors import AgentPythonUnsupported

_SITE = "lib/python{}/site-packages"


def check_python(bundle: Path, version: str) -> None:
    """Raise AgentPythonUnsupported where a bundle has modules for other Pythons than the one that runs this.

    What has modules for none is no bundle, and its smoke test says so.
    """
    python = "{}.{}".format(*sys.version_info[:2])
    supported = sorted(path.parent.name.removeprefix("python") for path in bundle.glob(_SITE.format("3.*")))
    if python in supported or not supported:
        return
    raise AgentPythonUnsupported(version=version, python=python, supported=supported)
