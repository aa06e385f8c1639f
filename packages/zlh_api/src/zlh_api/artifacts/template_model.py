"""Values of game templates in the publisher: what a file says, and what came of it. None of them crosses a wire."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from zlh_common.errors import ZlhError
from zlh_common.schema.catalog import Sha256
from zlh_common.schema.spec import RuntimeName
from zlh_common.schema.template import GameTemplate, GameVersion, Requirement, TemplateName, TemplateVersion, Title


class _Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Where the versions of a template come from."""


class ArchiveSource(_Source, frozen=True, kw_only=True, tag="archive", rename="camel"):
    """An archive of ours: a runtime that is `for_games`, in all versions that are offered of it."""

    runtime: RuntimeName
    # What it needs besides.
    requires: tuple[Requirement, ...] = ()
    # As the game calls the version that is played, where archive and game count differently.
    game_version: GameVersion | None = None


class MojangSource(_Source, frozen=True, kw_only=True, tag="mojang"):
    """Minecraft as Mojang publishes it."""


class PaperSource(_Source, frozen=True, kw_only=True, tag="paper"):
    """A project of PaperMC, the newest build of each version."""

    project: Literal["paper", "velocity", "folia", "waterfall"]


class FabricSource(_Source, frozen=True, kw_only=True, tag="fabric"):
    """Fabric: Minecraft with a loader of mods, which publishes a profile of libraries."""


class QuiltSource(_Source, frozen=True, kw_only=True, tag="quilt"):
    """Quilt, which publishes its profiles as Fabric does."""


class ForgeSource(_Source, frozen=True, kw_only=True, tag="forge"):
    """Forge, by its installer."""


class NeoForgeSource(_Source, frozen=True, kw_only=True, tag="neoforge"):
    """NeoForge, by its installer."""


UpstreamSource = MojangSource | PaperSource | FabricSource | QuiltSource | ForgeSource | NeoForgeSource
Source = ArchiveSource | UpstreamSource


class Keep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of a source's versions are offered."""

    # The newest stable versions, and the newest of those that are candidates.
    newest: Annotated[int, Meta(ge=0, le=100)] = 5
    candidates: Annotated[int, Meta(ge=0, le=20)] = 0
    # Versions of the game that are offered however old they are.
    named: tuple[GameVersion, ...] = ()


class TemplateFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of templates, its parts put together."""

    name: TemplateName
    title: Title
    source: Source
    keep: Keep
    template: GameTemplate
    # SHA-256 of the file and its parts: a template whose file has changed is resolved again.
    digest: Sha256


class TemplateRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a build made of a template, kept as JSON: all that publishing needs, so that a source may be away."""

    name: TemplateName
    title: Title
    source: Source
    template: GameTemplate
    # Newest first; none where they are those of an archive.
    versions: tuple[TemplateVersion, ...]
    digest: Sha256
    resolved_at: datetime


@dataclass(frozen=True, slots=True)
class Resolved:
    """The outcome for one template: its record, and whether it was already there."""

    record: TemplateRecord
    reused: bool


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A template whose source could not be used, and why; `is_kept` where it stays as it was resolved before."""

    name: str
    error: ZlhError
    is_kept: bool
