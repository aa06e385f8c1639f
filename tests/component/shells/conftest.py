"""A folder that stands for the root of a container, as its template leaves it."""

from __future__ import annotations

from pathlib import Path

import pytest

from zlh_agent.shells.model import SystemPlaces

BASHRC = '# System-wide .bashrc\n[ -z "${PS1-}" ] && return\nPS1=x\n'


@pytest.fixture
def places(tmp_path: Path) -> SystemPlaces:
    """Return where a system would look."""
    for name in ("etc/zsh", "etc/profile.d", "usr/local/bin", "opt/zlh/runtimes"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "etc/bash.bashrc").write_text(BASHRC)
    (tmp_path / "etc/zsh/zshenv").write_text("# zsh\n")
    (tmp_path / "etc/environment").write_text("THEIRS=1\n")
    return SystemPlaces(tmp_path)
