"""SQL of the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from zlh_api.audit_log.chain import BEGINNING, hash_entry
from zlh_api.audit_log.model import Act, Ending, Entry, Head, Link, Wanted, Who
from zlh_api.database.pool import Connection
from zlh_common.schema.audit_log import Outcome

# A process that has not renewed for so long carries out nothing any more.
LEASE_S = 15
_HOLD = f"""
insert into act_holders values ($1, now() + interval '{LEASE_S} seconds')
on conflict (holder) do update set until = excluded.until
"""
_LET_GO = "delete from act_holders where holder = $1"
# Only who is known to be there may begin: nobody takes what it does for the work of one that has died.
_BEGIN = """
insert into acts_begun (id, holder, chain, act, user_id, email, credential_id, by_token, subject, request_id, address,
                        details)
select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
where exists (select from act_holders where holder = $2 and until > now())
returning true
"""
_CHANGE = """
update acts_begun set chain = $2, act = $3, user_id = $4, email = $5, credential_id = $6, by_token = $7, subject = $8,
                      request_id = $9, address = $10, details = $11, begun_at = clock_timestamp()
where id = $1 returning true
"""
_BEGUN = """
select id, begun_at, chain, act, user_id, email, credential_id, by_token, subject, request_id, address, details
from acts_begun
"""
# What nobody will end any more: its process is gone, or has it no longer.
_LEFT = f"""
{_BEGUN} b where not exists (select from act_holders h where h.holder = b.holder and h.until > now())
order by begun_at limit $1
"""
_LOST = f"""
{_BEGUN} where holder = $1 and begun_at < now() - make_interval(secs => $2) and not id = any ($3::uuid[])
order by begun_at limit $4
"""
_FORGET_HOLDERS = """
delete from act_holders h where until < now() - interval '1 minute'
    and not exists (select from acts_begun where holder = h.holder)
"""
# Takes the head of the chain, so that nobody else appends to it until the end of the transaction.
_GROW = """
insert into audit_heads values ($1, 1, clock_timestamp(), $2)
on conflict (chain) do update
    set number = audit_heads.number + 1, at = greatest(audit_heads.at, clock_timestamp())
returning number, at, hash
"""
_GROW_FOR = f"""
with taken as (delete from acts_begun where id = $3 returning true)
{_GROW.replace("values ($1, 1, clock_timestamp(), $2)", "select $1, 1, clock_timestamp(), $2 from taken")}
"""
_APPEND = """
with entry as (
    insert into audit_entries (chain, number, at, act, outcome, user_id, email, credential_id, by_token, subject,
                               status, code, request_id, address, details, hash)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16))
update audit_heads set hash = $16 where chain = $1
"""
_IS_TOLD_UNKNOWN = """
select exists (
    select from audit_entries
    where chain = $1 and act = $2 and request_id = $3 and outcome = 'unknown'
        and number > (select number from audit_heads where chain = $1) - 10000)
"""
_ENTRY = """
select chain, number, at, act, outcome, user_id, email, credential_id, by_token, subject, status, code, request_id,
       address, details, hash
from audit_entries
"""


@dataclass(frozen=True, slots=True)
class Begun:
    """An act that is being carried out, or was."""

    id: UUID
    at: datetime
    act: Act


async def hold(connection: Connection, holder: UUID) -> None:
    """Go on being there."""
    await connection.execute(_HOLD, holder)


async def let_go(connection: Connection, holder: UUID) -> None:
    """Be gone: whatever is begun and not ended can be ended by others at once."""
    await connection.execute(_LET_GO, holder)


async def forget_holders(connection: Connection) -> None:
    """Forget processes that are gone and have left nothing."""
    await connection.execute(_FORGET_HOLDERS)


async def insert_begun(connection: Connection, begun: UUID, holder: UUID, act: Act) -> bool:
    """Write down that an act begins; False where its process does not hold any more."""
    return bool(await connection.fetchval(_BEGIN, begun, holder, *_columns(act)))


async def update_begun(connection: Connection, begun: UUID, act: Act) -> bool:
    """Write down what an act has turned out to be; False where somebody has ended it."""
    return bool(await connection.fetchval(_CHANGE, begun, *_columns(act)))


async def drop_begun(connection: Connection, begun: UUID) -> None:
    """Take away an act that becomes no entry."""
    await connection.execute("delete from acts_begun where id = $1", begun)


async def find_left(connection: Connection, *, limit: int) -> list[Begun]:
    """Return acts whose process is gone."""
    return [_to_begun(row) for row in await connection.fetch(_LEFT, limit)]


async def find_lost(
    connection: Connection, holder: UUID, *, known: Sequence[UUID], older_s: float, limit: int
) -> list[Begun]:
    """Return acts of a process that are none of those it knows of."""
    return [_to_begun(row) for row in await connection.fetch(_LOST, holder, older_s, list(known), limit)]


async def is_told_unknown(connection: Connection, act: Act) -> bool:
    """Tell whether somebody has ended this act for its process, not long ago."""
    return bool(await connection.fetchval(_IS_TOLD_UNKNOWN, act.chain, act.word, act.request_id))


async def append(connection: Connection, act: Act, ending: Ending, *, begun: UUID | None = None) -> bool:
    """Append an entry, inside the caller's transaction; False where the begun act has become one already."""
    if begun is None:
        place = await connection.fetchrow(_GROW, act.chain, BEGINNING)
    else:
        place = await connection.fetchrow(_GROW_FOR, act.chain, BEGINNING, begun)
    if place is None:
        return False
    link = Link(place["number"], place["at"], place["hash"])
    chain, word, *rest = _columns(act)
    who_and_subject, request = rest[:5], rest[5:]
    await connection.execute(
        _APPEND,
        chain,
        link.number,
        link.at,
        word,
        ending.outcome.value,
        *who_and_subject,
        ending.status,
        ending.code,
        *request,
        hash_entry(link, act, ending),
    )
    return True


def _columns(act: Act) -> tuple[Any, ...]:
    who = act.who
    return (
        act.chain,
        act.word,
        who.user_id,
        who.email,
        who.credential_id,
        who.by_token,
        act.subject,
        act.request_id,
        act.address,
        dict(act.details),
    )


async def fetch_entries(connection: Connection, wanted: Wanted) -> list[Entry]:
    """Return entries, newest first."""
    sql, values = render_page(wanted)
    return [_to_entry(row) for row in await connection.fetch(sql, *values)]


def render_page(wanted: Wanted) -> tuple[str, list[Any]]:
    """Return the statement for a page and its values; each of them is answered out of one index, in its order."""
    values: list[Any] = []

    def put(value: object) -> str:
        values.append(value)
        return f"${len(values)}"

    conditions = [f"{column} = {put(value)}" for column, value in _filters(wanted).items() if value is not None]
    is_by_number = wanted.chain is not None and wanted.user is None and wanted.subject is None
    if wanted.before_number is not None:
        conditions.append(f"number < {put(wanted.before_number)}")
    if wanted.before is not None:
        places = ", ".join(put(part) for part in wanted.before)
        conditions.append(f"(at, chain, number) < ({places})")
    where = f"where {' and '.join(conditions)} " if conditions else ""
    order = "number desc" if is_by_number else "at desc, chain desc, number desc"
    return f"{_ENTRY} {where}order by {order} limit {put(wanted.limit)}", values


def _filters(wanted: Wanted) -> Mapping[str, object]:
    return {"chain": wanted.chain, "act": wanted.act, "user_id": wanted.user, "subject": wanted.subject}


async def fetch_heads(connection: Connection, chain: UUID | None = None) -> list[Head]:
    """Return where each chain ends, or that one."""
    rows = await connection.fetch(
        "select chain, number, hash from audit_heads where chain = $1 or $1 is null order by chain", chain
    )
    return [Head(row["chain"], row["number"], row["hash"]) for row in rows]


async def fetch_chains(connection: Connection) -> list[UUID]:
    """Return every chain that has an entry or an end, without a look at all entries."""
    rows = await connection.fetch(
        "with recursive found as ("
        "(select chain from audit_entries order by chain limit 1) union all "
        "select (select e.chain from audit_entries e where e.chain > f.chain order by e.chain limit 1) "
        "from found f where f.chain is not null) "
        "select chain from found where chain is not null union select chain from audit_heads order by chain"
    )
    return [row["chain"] for row in rows]


async def read_chain(connection: Connection, chain: UUID, *, batch: int) -> AsyncIterator[Entry]:
    """Yield every entry of a chain in the order of their numbers, a batch of them in memory at a time."""
    number = -(2**62)
    while True:
        rows = await connection.fetch(
            f"{_ENTRY} where chain = $1 and number > $2 order by number limit $3", chain, number, batch
        )
        for row in rows:
            yield _to_entry(row)
        if len(rows) < batch:
            return
        number = rows[-1]["number"]


def _to_act(row: Any) -> Act:
    return Act(
        word=row["act"],
        who=Who(row["user_id"], row["email"], row["credential_id"], row["by_token"]),
        chain=row["chain"],
        subject=row["subject"],
        request_id=row["request_id"],
        address=row["address"],
        details=row["details"],
    )


def _to_begun(row: Any) -> Begun:
    return Begun(row["id"], row["begun_at"], _to_act(row))


def _to_entry(row: Any) -> Entry:
    ending = Ending(Outcome(row["outcome"]), row["status"], row["code"])
    return Entry(row["number"], row["at"], _to_act(row), ending, row["hash"])
