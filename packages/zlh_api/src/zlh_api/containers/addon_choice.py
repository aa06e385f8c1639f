"""Which version of an addon a wish means, by the catalog of this moment."""

from __future__ import annotations

from zlh_api.catalog.service import CatalogService
from zlh_api.containers.addon_rules import AddonNotOffered, check_addons, disable_addon, enable_addon, names_of
from zlh_api.containers.model import Container, RuntimeWish
from zlh_api.containers.refusals import CannotInstall
from zlh_common.addons import ADDON_PORTS, CODE_SERVER
from zlh_common.schema.catalog import ValidateRuntime
from zlh_common.schema.spec import CreateContainer


def resolve_addon(catalog: CatalogService, name: str, version: str | None) -> str:
    """Return the exact version that is meant; raise AddonNotOffered, CannotInstall, CatalogNotLoaded."""
    answer = catalog.validate_wish(ValidateRuntime(addon=name, version=version))
    if answer.ok and answer.version is not None:
        if name not in ADDON_PORTS:
            # Of a catalog that was signed for a later version of us.
            raise AddonNotOffered(name)
        return answer.version
    unknown = next((problem for problem in answer.problems if problem.code == AddonNotOffered.code), None)
    if unknown is not None:
        raise AddonNotOffered(name, suggestion=unknown.suggestion)
    raise CannotInstall(answer.problems)


def choose_first_addons(catalog: CatalogService, wish: CreateContainer) -> tuple[RuntimeWish, ...]:
    """Return the addons that a new container begins with; raise as `resolve_addon` does."""
    if not wish.enable_code_server:
        return ()
    return enable_addon((), CODE_SERVER, resolve_addon(catalog, CODE_SERVER, None))


def switch_code_server(catalog: CatalogService, current: Container, *, is_wanted: bool) -> tuple[RuntimeWish, ...]:
    """Return the addons of a container with the editor or without; raise AddonNeedsDev, AddonNameTaken as well."""
    if not is_wanted:
        return disable_addon(current.addons, CODE_SERVER)
    check_addons(current, frozenset({CODE_SERVER}))
    if CODE_SERVER in names_of(current.addons):
        # What is there stays, whatever is offered by now.
        return current.addons
    return enable_addon(current.addons, CODE_SERVER, resolve_addon(catalog, CODE_SERVER, None))
