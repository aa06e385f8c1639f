"""Entries about what others have changed of ours at the proxy or in DNS, and what is put right by itself.

Who changes it again and again would fill a history in place of all else, so each kind is told at times.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from zlh_api.database.pool import Connection
from zlh_api.history import store
from zlh_common.names import OwnerMark

RESTS = timedelta(minutes=10)
# Enough to see what it is about.
MOST_NAMES = 5


async def tell_route_edited(connection: Connection, owner: OwnerMark, file: str, *, is_there: bool) -> None:
    """Tell that a route file is not as it was written, or is gone; inside the transaction that wrote so in the row."""
    what = "was changed by somebody else" if is_there else "is gone"
    await store.insert_own_at_times(
        connection,
        owner,
        rests=RESTS,
        kind="route.edited",
        subject="route",
        message=f"Its file {file} at the proxy {what}. It is written again.",
        data={"was": "changed" if is_there else "removed"},
    )


async def tell_records_edited(connection: Connection, owner: OwnerMark, provider: str, names: Iterable[str]) -> None:
    """Tell that a provider holds other records than were written; inside the transaction that wrote so in the row."""
    seen = sorted(names)
    found = f" (it has {', '.join(seen[:MOST_NAMES])})" if seen else ""
    await store.insert_own_at_times(
        connection,
        owner,
        rests=RESTS,
        kind="records.edited",
        subject=f"dns:{provider}",
        message=f"The DNS provider {provider} holds other records than were written{found}. Ours are put right.",
        data={"names": len(seen)},
    )
