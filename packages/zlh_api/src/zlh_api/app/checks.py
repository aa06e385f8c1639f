"""What of the parts is asked whether it is well."""

from __future__ import annotations

from zlh_api.artifacts.serving.served_tree import ServedTree
from zlh_api.authority.service import AuthorityService
from zlh_api.catalog.service import CatalogService
from zlh_api.database.pool import Database, DatabaseUnavailable
from zlh_api.edge.traefik import Traefik
from zlh_api.web import platform_routes


def make_checks(
    database: Database,
    proxy: Traefik,
    catalog: CatalogService,
    artifacts: ServedTree,
    authority: AuthorityService,
) -> dict[str, platform_routes.Check]:
    """Return what is asked, by the name of the dependency."""
    return {
        "database": _database_check(database),
        "proxy": _proxy_check(proxy),
        "catalog": _catalog_check(catalog),
        "artifacts": _artifacts_check(artifacts),
        "authority": _authority_check(authority),
    }


def _database_check(database: Database) -> platform_routes.Check:
    async def check() -> str | None:
        try:
            async with database.connection() as connection:
                await connection.execute("select 1")
        except DatabaseUnavailable as error:
            return error.detail
        return None

    return check


def _proxy_check(proxy: Traefik) -> platform_routes.Check:
    async def check() -> str | None:
        return None if await proxy.is_alive() else "Traefik's API does not answer."

    return check


def _catalog_check(catalog: CatalogService) -> platform_routes.Check:
    async def check() -> str | None:
        return catalog.trouble

    return check


def _artifacts_check(artifacts: ServedTree) -> platform_routes.Check:
    async def check() -> str | None:
        # The answer is for everybody, and the reason may name files of this machine.
        return artifacts.trouble and "The signatures of the catalog are not renewed; the API's log says why."

    return check


def _authority_check(authority: AuthorityService) -> platform_routes.Check:
    async def check() -> str | None:
        return authority.trouble

    return check
