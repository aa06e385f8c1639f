"""What shells should find, what keeps them from it, and where all of it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RuntimeInUse:
    """The version of a runtime that `current` leads to, with what its bin folders hold."""

    name: str
    version: str
    # Absolute, through `current`: what links and variables lead to.
    current: str
    # Command → path below `current`.
    commands: Mapping[str, str]
    # As the record has it: `{root}` stands for the tree.
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is not as it should be, for people; `is_lasting` where shells differ for it."""

    kind: str
    subject: str
    message: str
    is_lasting: bool = True


@dataclass(frozen=True, slots=True)
class Wanted:
    """What every shell should find."""

    # Command → what its link leads to.
    commands: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    # Runtime → version in use.
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SystemPlaces:
    """Where a container's system looks, below `root`, which is `/` in a real one."""

    root: Path

    @property
    def links(self) -> Path:
        """The folder of commands that stands first on PATH."""
        return self.root / "usr/local/bin"

    @property
    def etc(self) -> Path:
        """The folder of everything else."""
        return self.root / "etc"
