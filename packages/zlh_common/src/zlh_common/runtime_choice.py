"""Which version of a runtime or game server is meant, and whether it can be installed: pure decisions over a catalog.

The API asks before it accepts a container, the agent asks again before it downloads; both get the same answer.
"""

from __future__ import annotations

import platform as machine
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

import msgspec

from zlh_common.schema.catalog import (
    Artifact,
    Catalog,
    CatalogAddon,
    CatalogAgent,
    CatalogProblem,
    CatalogRuntime,
    CatalogVersion,
    Channel,
    OfferKind,
    ValidateRuntime,
    Validation,
)
from zlh_common.schema.template import CatalogTemplate, Requirement, TemplateVersion

CatalogOffer = CatalogRuntime | CatalogAddon | CatalogAgent
# 3.13.0rc1, 25.0.0-beta.2, 26-ea: letters between what is no letter.
_PRE_RELEASE = re.compile(r"(?:^|[^a-z])(?:a|b|c|rc|alpha|beta|pre|preview|dev|ea|nightly|snapshot|canary)(?:[^a-z]|$)")
SHOWN_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class Choice:
    """One installable artifact: the runtime, its exact version and the archive for the platform."""

    runtime: CatalogOffer
    version: CatalogVersion
    artifact: Artifact


@dataclass(frozen=True, slots=True)
class TemplateChoice:
    """One game server in one version, and the archives of the runtimes that this needs."""

    template: CatalogTemplate
    version: TemplateVersion
    runtimes: tuple[Choice, ...]


def this_platform() -> str:
    """Return the platform of this machine as the catalog names it, such as `linux-x86_64`."""
    return f"linux-{machine.machine()}"


def is_pre_release(version: str) -> bool:
    """Tell whether a version comes before a release of its own."""
    return _PRE_RELEASE.search(version.lower()) is not None


def choose_offer(
    catalog: Catalog,
    kind: OfferKind,
    *,
    name: str,
    version: str | None,
    platform: str,
    channels: frozenset[Channel],
) -> Choice | CatalogProblem:
    """Return what `name` and `version` mean among the runtimes or addons, or why they mean nothing.

    `version` is exact or the leading part of one ("24", "24.19"); the newest match is taken, and without one the
    version that is marked as default, else the newest. A leading part never means a pre-release: that is asked for
    by its whole name. Programs of game servers are among the runtimes: see `for_people`.
    """
    offers = {offer.name: _in_channels(offer, channels) for offer in _offers_of_kind(catalog, kind)}
    offered = offers.get(name)
    if not offered:
        return _unknown_name(kind, name, [known for known, versions in offers.items() if versions])
    matching = [entry for entry in offered if _means(version, entry)]
    if not matching:
        return _unknown_version(name, version or "", offered, platform)
    ordered = matching if version is not None else sorted(matching, key=_rank_as_default)
    for chosen in ordered:
        artifact = next((entry for entry in chosen.artifacts if entry.platform == platform), None)
        if artifact is not None:
            offer = next(offer for offer in _offers_of_kind(catalog, kind) if offer.name == name)
            return Choice(offer, chosen, artifact)
    return _unknown_platform(name, matching, platform)


def validate_wish(
    catalog: Catalog, wish: ValidateRuntime, *, platform: str, channels: frozenset[Channel]
) -> Validation:
    """Return the answer of `POST /api/catalog/validate`: every problem at once, the version of what was asked first."""
    named = (("runtime", wish.runtime), ("template", wish.template), ("addon", wish.addon))
    asked = [(kind, name) for kind, name in named if isinstance(name, str)]
    if not asked:
        return Validation(ok=False, problems=(_nothing_asked(),))
    problems: list[CatalogProblem] = []
    chosen: str | None = None
    for place, (kind, name) in enumerate(asked):
        version = wish.version if place == 0 else None
        found = _choose(catalog, kind, name, version, platform=platform, channels=channels)
        if isinstance(found, CatalogProblem):
            problems.append(found)
        elif place == 0:
            chosen = found
    if not any(problem.field == "platform" for problem in problems):
        problems += _find_foreign_platform(catalog, platform)
    return Validation(ok=not problems, problems=tuple(problems), version=None if problems else chosen)


def for_people(catalog: Catalog) -> Catalog:
    """Return the catalog without the programs of game servers, which nobody chooses as a toolchain."""
    return msgspec.structs.replace(
        catalog, runtimes=tuple(runtime for runtime in catalog.runtimes if not runtime.for_games)
    )


def choose_template(
    catalog: Catalog, *, name: str, version: str | None, platform: str, channels: frozenset[Channel]
) -> TemplateChoice | CatalogProblem:
    """Return which game server in which version is meant, with the runtimes that it needs, or why none is.

    `version` is that of the server ("1.21.8-60"), that of the game ("1.21.8"), or the leading part of either; the whole
    name comes before a part of one, and the newest of what is meant is taken. Without one it is the default. What needs
    a runtime that is not there for the platform is not offered.
    """
    usable = {
        offer.name: [entry for entry in offer.versions if entry.channel in channels] for offer in catalog.game_templates
    }
    offered = usable.get(name)
    if not offered:
        return _unknown_name("template", name, [known for known, versions in usable.items() if versions])
    matching = _find_meant(offered, version)
    if not matching:
        return _unknown_template_version(name, version or "", offered)
    template = next(offer for offer in catalog.game_templates if offer.name == name)
    found: list[list[Choice] | CatalogProblem] = []
    for entry in matching:
        runtimes = find_runtimes(catalog, entry.requires, platform=platform, channels=channels)
        if not isinstance(runtimes, CatalogProblem):
            return TemplateChoice(template, entry, tuple(runtimes))
        found.append(runtimes)
    assert isinstance(found[0], CatalogProblem)
    return found[0]


def _find_meant(offered: list[TemplateVersion], asked: str | None) -> list[TemplateVersion]:
    if asked is None:
        return sorted(offered, key=lambda entry: (not entry.default, entry.channel != "stable"))
    names = [(entry, {entry.version, entry.game_version or entry.version}) for entry in offered]
    exact = [entry for entry, known in names if asked in known]
    parts = [entry for entry, known in names if asked and any(text.startswith(f"{asked}.") for text in known)]
    releases = sorted(parts, key=lambda entry: entry.channel != "stable")
    return exact or releases


def find_runtimes(
    catalog: Catalog, requires: tuple[Requirement, ...], *, platform: str, channels: frozenset[Channel]
) -> list[Choice] | CatalogProblem:
    """Return the archives of the runtimes that a version needs, or which of them is not there."""
    runtimes = []
    for need in requires:
        found = choose_offer(
            catalog, "runtime", name=need.name, version=need.version, platform=platform, channels=channels
        )
        if isinstance(found, CatalogProblem):
            return CatalogProblem(
                code="template_runtime_missing",
                field="template",
                message=f"It needs {need.name} {need.version}, which is not there: {found.message}",
            )
        runtimes.append(found)
    return runtimes


def _choose(
    catalog: Catalog,
    kind: str,
    name: str,
    version: str | None,
    *,
    platform: str,
    channels: frozenset[Channel],
) -> str | CatalogProblem:
    """Return the exact version that is meant of a runtime, an addon or a template."""
    if kind == "template":
        template = choose_template(catalog, name=name, version=version, platform=platform, channels=channels)
        return template if isinstance(template, CatalogProblem) else template.version.version
    offers: OfferKind = "addon" if kind == "addon" else "runtime"
    found = choose_offer(for_people(catalog), offers, name=name, version=version, platform=platform, channels=channels)
    return found if isinstance(found, CatalogProblem) else found.version.version


def _unknown_template_version(name: str, asked: str, offered: list[TemplateVersion]) -> CatalogProblem:
    newest = next((entry for entry in offered if entry.default), offered[0])
    known = [text for entry in offered for text in (entry.version, entry.game_version or entry.version)]
    close = get_close_matches(asked, known, n=1)
    return CatalogProblem(
        code="version_not_offered",
        field="version",
        message=f"{name} {_show(asked)} is not offered; {newest.version} is the one that is taken without a version.",
        suggestion=close[0] if close else newest.version,
    )


def _offers_of_kind(catalog: Catalog, kind: OfferKind) -> tuple[CatalogOffer, ...]:
    match kind:
        case "runtime":
            return catalog.runtimes
        case "addon":
            return catalog.addons
        case "agent":
            return catalog.agents


def _in_channels(offer: CatalogOffer, channels: frozenset[Channel]) -> list[CatalogVersion]:
    return [entry for entry in offer.versions if entry.channel in channels]


def _rank_as_default(entry: CatalogVersion) -> tuple[bool, bool]:
    return not entry.default, is_pre_release(entry.version)


def _means(asked: str | None, entry: CatalogVersion) -> bool:
    if asked is None or entry.version == asked:
        return True
    return bool(asked) and entry.version.startswith(f"{asked}.") and not is_pre_release(entry.version)


def _nothing_asked() -> CatalogProblem:
    return CatalogProblem(
        code="runtime_missing",
        field="runtime",
        message="Nothing was asked for; name a runtime, an addon or a template.",
    )


def _unknown_name(kind: OfferKind | Literal["template"], name: str, names: list[str]) -> CatalogProblem:
    close = get_close_matches(name, names, n=1)
    suggestion = close[0] if close else None
    of_kind = "" if kind == "runtime" else f" as {kind}s"
    message = f"{_show(name)} is not offered; the catalog has {', '.join(names) or 'nothing'}{of_kind}."
    match kind:
        case "runtime":
            return CatalogProblem(code="runtime_not_offered", field=kind, message=message, suggestion=suggestion)
        case "addon":
            return CatalogProblem(code="addon_not_offered", field=kind, message=message, suggestion=suggestion)
        case "agent":
            return CatalogProblem(code="agent_not_offered", field="version", message=message, suggestion=suggestion)
        case "template":
            return CatalogProblem(code="template_not_offered", field=kind, message=message, suggestion=suggestion)


def _unknown_version(name: str, asked: str, offered: list[CatalogVersion], platform: str) -> CatalogProblem:
    here = [entry.version for entry in offered if any(archive.platform == platform for archive in entry.artifacts)]
    versions = here or [entry.version for entry in offered]
    major = asked.split(".", maxsplit=1)[0]
    releases = [version for version in versions if not is_pre_release(version)] or versions
    of_major = [version for version in (*releases, *versions) if re.split(r"[.-]", version, maxsplit=1)[0] == major]
    return CatalogProblem(
        code="version_not_offered",
        field="version",
        message=f"{name} {_show(asked)} is not offered; {releases[0]} is the newest.",
        suggestion=of_major[0] if of_major else releases[0],
    )


def _unknown_platform(name: str, matching: list[CatalogVersion], platform: str) -> CatalogProblem:
    platforms = sorted({artifact.platform for entry in matching for artifact in entry.artifacts})
    return CatalogProblem(
        code="platform_not_offered",
        field="platform",
        message=(
            f"{name} {matching[0].version} is not offered for {_show(platform)}; "
            f"it is for {', '.join(platforms) or 'none'}."
        ),
        suggestion=platforms[0] if platforms else None,
    )


def _find_foreign_platform(catalog: Catalog, platform: str) -> list[CatalogProblem]:
    """Say that a platform is nobody's, where another problem would hide it."""
    offers: tuple[CatalogOffer, ...] = (*catalog.runtimes, *catalog.addons)
    platforms = {archive.platform for offer in offers for entry in offer.versions for archive in entry.artifacts}
    if platform in platforms or not platforms:
        return []
    told = ", ".join(sorted(platforms))
    return [
        CatalogProblem(
            code="platform_not_offered",
            field="platform",
            message=f"Nothing is offered for {_show(platform)}; the catalog is for {told}.",
            suggestion=min(platforms),
        )
    ]


def _show(text: str) -> str:
    """Return what somebody has asked for in a form that fits into a sentence."""
    plain = "".join(character if character.isprintable() else "?" for character in text[:SHOWN_CHARACTERS])
    return (plain + ("…" if len(text) > SHOWN_CHARACTERS else "")) if plain.strip() else "(nothing)"
