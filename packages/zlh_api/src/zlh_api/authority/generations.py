"""Where the database and the folder of the keys meet: which keys count, and how the next ones are made."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from zlh_api.agents.key_folder import Generation, KeyFolder
from zlh_api.authority import store
from zlh_api.authority.model import Scene
from zlh_api.database.pool import Connection
from zlh_common.errors import ZlhError

log = structlog.get_logger()


class AuthorityKeysMissing(ZlhError):
    """The keys' folder lacks what the database says agents are known by."""

    code, status = "authority_keys_missing", 500

    def __init__(self, number: int) -> None:
        super().__init__(
            f"keys_dir lacks generation {number} of the CAs, or has other keys under that number. Copy the folder from "
            "another API process or from a backup; if the keys are lost, run `zlh-api authority adopt`.",
            generation=number,
        )


def find_usable(found: Mapping[int, Generation], scene: Scene) -> dict[int, Generation]:
    """Return the keys of the generations that count: those that the database knows, and has known by these keys."""
    digests = {each.number: each.digest for each in scene.registered}
    return {
        number: each
        for number, each in found.items()
        if number >= scene.standing.oldest and digests.get(number, each.digest) == each.digest
    }


def find_missing(usable: Mapping[int, Generation], scene: Scene) -> list[int]:
    """Return the generations that there are and that are not among these keys, in order."""
    return [each.number for each in scene.registered if each.number not in usable]


async def make_next(connection: Connection, keys: KeyFolder, scene: Scene) -> Generation:
    """Make the next generation, or take up what a crash has left of it, and write down that it is there."""
    generation = await asyncio.to_thread(keys.ensure, scene.newest.number + 1)
    await store.register(connection, generation)
    log.info("authority.made", generation=generation.number, expires_at=generation.expires_at.isoformat())
    return generation
