"""What must hold of a bundle of the agent, whatever the catalog says: it is one, for this Python, of its version."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from zlh_agent.runtimes.errors import AgentPythonUnsupported, UnpackFailed
from zlh_common.schema.catalog import CatalogVersion

PROGRAM = "bin/zlh-agent"
_SITE = "lib/python{}/site-packages/zlh_agent"


def check_bundle(bundle: Path, version: str) -> None:
    """Raise UnpackFailed for what is no bundle, AgentPythonUnsupported where it is for other Pythons than this one."""
    python = "{}.{}".format(*sys.version_info[:2])
    supported = sorted(path.parent.parent.name.removeprefix("python") for path in bundle.glob(_SITE.format("3.*")))
    if not supported or not (bundle / PROGRAM).is_file():
        raise UnpackFailed(reason="it holds no agent")
    if python not in supported:
        raise AgentPythonUnsupported(version=version, python=python, supported=supported)


def own_smoke_test(offered: CatalogVersion) -> CatalogVersion:
    """Return what is offered with the smoke test that every agent must pass: its program says this version."""
    return msgspec.structs.replace(
        offered, smoke_test=(PROGRAM, "--version"), smoke_expect=offered.version, environment={}
    )
