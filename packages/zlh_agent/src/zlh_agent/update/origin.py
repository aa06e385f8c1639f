"""Whether this agent was started in a way in which it can become another version, and why not where it was not."""

from __future__ import annotations

from pathlib import Path

from zlh_agent.launcher import is_bundle_name, read_started


def find_version(code: Path, bundles: Path) -> str | None:
    """Return the version whose bundle the agent's code lies in; None where that is no bundle of this container."""
    try:
        version = code.relative_to(bundles.resolve()).parts[0]
    except (ValueError, IndexError, OSError):
        return None
    return version if is_bundle_name(version) else None


def find_fixed(code: Path, bundles: Path, run: Path, *, pid: int) -> str | None:
    """Return why the agent cannot bring itself to another version, as a sentence; None where it can.

    `run` is the folder in which the launcher notes which version it has become in which process; `pid` is this one. It
    blocks.
    """
    version = find_version(code, bundles)
    if version is None:
        return f"its code lies in {code} and in no bundle of its own. Bring that to another version, and restart it."
    if read_started(run) != (version, pid):
        return "it was not started by its launcher, which alone could bring the former version back."
    return None
