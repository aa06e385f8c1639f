"""Which game server a wish means, by the catalog of this moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from zlh_api.catalog.service import CatalogService
from zlh_api.containers.model import RuntimeWish
from zlh_api.containers.refusals import CannotInstall, TemplateNotOffered
from zlh_api.games.choice_rules import choose_exactly, choose_runtimes, choose_version, find_template, suggest_template
from zlh_api.games.model import GameWish
from zlh_api.games.refusals import EulaNotAccepted, TemplateMissing
from zlh_api.games.rendering import check_values, keep_values, render_game
from zlh_common.runtime_choice import this_platform
from zlh_common.schema.catalog import CatalogProblem
from zlh_common.schema.game import ChangeVersion, EulaAgreement
from zlh_common.schema.spec import CreateContainer
from zlh_common.schema.template import Eula, Value

# Stands for an address that is not known yet, where a wish is tried.
_ANY_ADDRESS = "0.0.0.0"  # noqa: S104 # nothing listens there: it is a text to fill in


@dataclass(frozen=True, slots=True)
class ChosenGame:
    """A game server with the exact runtimes that it needs; None where those that it has stay."""

    wish: GameWish
    runtimes: tuple[RuntimeWish, ...] | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether somebody agrees to what is asked, who, and when."""

    is_given: bool
    by: UUID | None
    at: datetime


def choose_first_game(
    catalog: CatalogService, wish: CreateContainer, *, memory_mib: int, agreement: Agreement
) -> ChosenGame:
    """Return the game server of a new container, tried as its agent will be told it.

    Raise TemplateMissing, TemplateNotOffered, CannotInstall, EulaNotAccepted, VariableUnknown, VariableInvalid,
    MemoryTooSmall, GameUnusable.
    """
    if wish.template is None:
        raise TemplateMissing
    chosen = _choose(catalog, wish.template, wish.version)
    check_values(chosen.wish.definition, wish.variables)
    eula = decide_agreement(chosen.wish.definition.eula, None, agreement)
    made = msgspec.structs.replace(chosen.wish, values=dict(wish.variables), eula=eula)
    try_game(made, memory_mib)
    return ChosenGame(made, chosen.runtimes)


def choose_next_version(
    catalog: CatalogService, had: GameWish, asked: ChangeVersion, *, memory_mib: int, agreement: Agreement
) -> ChosenGame:
    """Return the game server with another version, of the template as it is offered now; values that fit stay.

    Raise TemplateNotOffered, CannotInstall, EulaNotAccepted, MemoryTooSmall, GameUnusable.
    """
    chosen = _choose(catalog, had.template, asked.version)
    definition = chosen.wish.definition
    changed = msgspec.structs.replace(
        had,
        title=chosen.wish.title,
        definition=definition,
        version=chosen.wish.version,
        values=keep_values(definition, had.values),
        eula=decide_agreement(definition.eula, had.eula, agreement),
        backs_up=asked.backup,
        restore=None,
        # The same version once more is another try of what has failed.
        attempt=had.attempt + (chosen.wish.version.version == had.version.version),
    )
    try_game(changed, memory_mib)
    return ChosenGame(changed, chosen.runtimes)


def choose_restored(
    catalog: CatalogService, had: GameWish, *, version: str, backup_id: str, memory_mib: int
) -> ChosenGame:
    """Return the game server with the very version of a backup, and the backup's contents.

    Raise TemplateNotOffered, CannotInstall, MemoryTooSmall, GameUnusable. The version that it has needs no catalog.
    """
    restore = {"restore": backup_id, "attempt": had.attempt + 1}
    if version == had.version.version:
        return ChosenGame(msgspec.structs.replace(had, **restore), None)
    chosen = _choose(catalog, had.template, version, is_exact=True)
    restored = msgspec.structs.replace(had, version=chosen.wish.version, **restore)
    # The template is as it was, and the version as it is offered now.
    try_game(restored, memory_mib)
    return ChosenGame(restored, chosen.runtimes)


def change_values(had: GameWish, values: Mapping[str, Value], *, memory_mib: int) -> GameWish:
    """Return the game server with these values changed; raise VariableUnknown, VariableInvalid, GameUnusable."""
    check_values(had.definition, values)
    changed = msgspec.structs.replace(had, values={**had.values, **values})
    try_game(changed, memory_mib)
    return changed


def try_game(wish: GameWish, memory_mib: int) -> None:
    """Refuse what its agent could not be told in a container of this memory; raise MemoryTooSmall, GameUnusable."""
    render_game(wish, memory_mib=memory_mib, address=_ANY_ADDRESS, power="on")


def find_versions(catalog: CatalogService, template: str) -> tuple[str, ...]:
    """Return the versions of a template that are offered, newest first; raise CatalogNotLoaded."""
    offer = find_template(catalog.current(), template, catalog.channels)
    return tuple(entry.version for entry in offer.versions) if offer else ()


def decide_agreement(eula: Eula | None, had: EulaAgreement | None, agreement: Agreement) -> EulaAgreement | None:
    """Return what is recorded of an agreement; raise EulaNotAccepted. One that there is counts for the same text."""
    if eula is None:
        return had
    if had is not None and (had.title, had.url) == (eula.title, eula.url):
        return had
    if not agreement.is_given:
        raise EulaNotAccepted(title=eula.title, url=eula.url)
    by = None if agreement.by is None else str(agreement.by)
    return EulaAgreement(title=eula.title, url=eula.url, agreed_at=agreement.at, agreed_by=by)


def _choose(catalog: CatalogService, template: str, version: str | None, *, is_exact: bool = False) -> ChosenGame:
    offered = catalog.current()
    offer = find_template(offered, template, catalog.channels)
    if offer is None:
        raise TemplateNotOffered(template, suggestion=suggest_template(offered, template))
    found = choose_exactly(offer, version) if is_exact and version else choose_version(offer, version)
    if isinstance(found, CatalogProblem):
        raise CannotInstall((found,))
    runtimes, problems = choose_runtimes(offered, found.requires, platform=this_platform(), channels=catalog.channels)
    if problems:
        raise CannotInstall(problems)
    wish = GameWish(template=template, title=offer.title, definition=offer.template, version=found)
    return ChosenGame(wish, tuple(RuntimeWish(name=each.name, version=each.version) for each in runtimes))
