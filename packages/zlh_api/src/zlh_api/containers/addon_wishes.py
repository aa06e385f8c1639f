"""Writes which addons a container should have: wish, spec, steps and published port in the transaction of who asks."""

from __future__ import annotations

from uuid import UUID

from zlh_api.containers import store
from zlh_api.containers.addon_rules import ADDON_VISIBILITY, AddonPortTaken, check_addons, names_of
from zlh_api.containers.model import Container, RuntimeWish
from zlh_api.database.pool import Connection
from zlh_api.reconcile.plan import ADDON_STEPS
from zlh_common.addons import ADDON_PORTS
from zlh_common.names import OwnerMark


async def write_addons(
    connection: Connection, current: Container, addons: tuple[RuntimeWish, ...], *, enabled_by: UUID | None
) -> bool:
    """Write which addons a container should have, and publish their ports or take them back; False for no change."""
    if addons == current.addons:
        return False
    before, after = names_of(current.addons), names_of(addons)
    check_addons(current, after - before)
    is_new_spec = [wish.order() for wish in addons] != [wish.order() for wish in current.addons]
    gone = sorted(before - after)
    await store.update_addons(connection, current.owner, addons, is_new_spec=is_new_spec, gone=gone)
    if gone:
        await store.unpublish_addons(connection, current.owner, gone)
        await store.delete_steps(connection, current.owner, ADDON_STEPS)
    await publish_addons(connection, current.owner, after - before, enabled_by=enabled_by)
    return True


async def publish_addons(
    connection: Connection, owner: OwnerMark, names: frozenset[str], *, enabled_by: UUID | None
) -> None:
    """Publish the ports of these addons in the name of a user; raise AddonPortTaken. Only within a transaction."""
    for name in sorted(names):
        port = ADDON_PORTS[name]
        is_published = await store.publish_addon(
            connection, owner, addon=name, port=port, visibility=ADDON_VISIBILITY, enabled_by=enabled_by
        )
        if not is_published:
            raise AddonPortTaken(name, port)
