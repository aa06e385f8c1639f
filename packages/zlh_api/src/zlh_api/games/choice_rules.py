"""Which version of a game template is meant, and which versions of runtimes it needs: pure decisions over a catalog."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import msgspec

from zlh_common.runtime_choice import choose_offer, is_pre_release
from zlh_common.schema.catalog import Catalog, CatalogProblem, Channel
from zlh_common.schema.spec import WantedRuntime
from zlh_common.schema.template import CatalogTemplate, Requirement, TemplateVersion


def find_template(catalog: Catalog, name: str, channels: frozenset[Channel]) -> CatalogTemplate | None:
    """Return the template of this name with the versions that are offered here; None where there is none."""
    found = next((offer for offer in catalog.game_templates if offer.name == name), None)
    if found is None:
        return None
    versions = tuple(entry for entry in found.versions if entry.channel in channels)
    return msgspec.structs.replace(found, versions=versions) if versions else None


def suggest_template(catalog: Catalog, name: str) -> str | None:
    """Return the name of a template that is nearly the one that was asked for."""
    close = get_close_matches(name, [offer.name for offer in catalog.game_templates], n=1)
    return close[0] if close else None


def choose_version(offer: CatalogTemplate, asked: str | None) -> TemplateVersion | CatalogProblem:
    """Return which version is meant, or why none is.

    `asked` is exact or the leading part of one ("1.21"); the newest match is taken, and where nothing is asked the
    default, else the newest release. A leading part never means a pre-release.
    """
    if asked is None:
        return min(offer.versions, key=lambda entry: (not entry.default, is_pre_release(entry.version)))
    exact = next((entry for entry in offer.versions if entry.version == asked), None)
    matching = [entry for entry in offer.versions if _begins(entry, asked)]
    if exact is not None or matching:
        return exact or matching[0]
    return _not_offered(offer, asked)


def choose_exactly(offer: CatalogTemplate, version: str) -> TemplateVersion | CatalogProblem:
    """Return this very version, or why there is none: what lies in a backup is no other one."""
    exact = next((entry for entry in offer.versions if entry.version == version), None)
    return exact or _not_offered(offer, version)


def _not_offered(offer: CatalogTemplate, asked: str) -> CatalogProblem:
    newest = choose_version(offer, None)
    assert isinstance(newest, TemplateVersion)
    return CatalogProblem(
        code="version_not_offered",
        field="version",
        message=f"{offer.name} {asked[:64]} is not offered; {newest.version} is.",
        suggestion=newest.version,
    )


def choose_runtimes(
    catalog: Catalog, requires: Sequence[Requirement], *, platform: str, channels: frozenset[Channel]
) -> tuple[tuple[WantedRuntime, ...], tuple[CatalogProblem, ...]]:
    """Return the exact runtimes that a version of a game server needs, and why some cannot be had."""
    # Programs of game servers are offered to nobody by themselves, and to whatever requires them.
    runtimes = tuple(msgspec.structs.replace(each, for_games=False) for each in catalog.runtimes)
    whole = msgspec.structs.replace(catalog, runtimes=runtimes)
    wanted, problems = [], []
    for need in requires:
        found = choose_offer(
            whole, "runtime", name=need.name, version=need.version, platform=platform, channels=channels
        )
        if isinstance(found, CatalogProblem):
            problems.append(found)
        else:
            wanted.append(WantedRuntime(name=need.name, version=found.version.version))
    return tuple(wanted), tuple(problems)


def _begins(entry: TemplateVersion, asked: str) -> bool:
    return bool(asked) and entry.version.startswith(f"{asked}.") and not is_pre_release(entry.version)
