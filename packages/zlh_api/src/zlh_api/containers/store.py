"""SQL of containers, their steps and exposures, as customers ask for them.

Whoever writes a container's steps or exposures writes its own row first: two who lock them in the other order wait for
each other until PostgreSQL ends one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import msgspec

from zlh_api.containers.model import Container, Guest, HeldIdentity, Power, Published, RuntimeWish
from zlh_api.database.pool import Connection
from zlh_api.games.model import GameWish, HeldPort
from zlh_common.names import OwnerMark, Vmid
from zlh_common.request_ids import current_request_id
from zlh_common.schema.process import WantedProcess
from zlh_common.schema.resources import Resources
from zlh_common.schema.spec import Visibility, WantedRuntime, WantedWorkspace
from zlh_common.schema.status import AgentStatus, Step, StepState
from zlh_common.schema.status import Connection as AgentConnection
from zlh_common.schema.structs import encode

# Of a container of which nobody has said anything else.
RESOURCES = Resources()

# A version of a row that no other row and no earlier copy of it has had: a database that was restored counts again from
# where the copy was, in transactions of its own.
_VERSION = "(c.version << 32) | c.xmin::text::bigint as version"
# What is read as a struct comes as text, and is parsed once. Text is made of `json` for half the price of `jsonb`.
_SELECT = f"""
select c.owner, c.vmid, c.customer_id, c.kind, c.name, c.created_at, c.spec::text as spec, c.spec_generation, c.power,
       c.restart_wanted, c.deleting_at, host(c.address) as address, c.guest, c.identity_expires_at, c.connection,
       c.agent_status::text as agent_status, c.observed_at, c.restart_done, c.route_confirmed, c.provisioned_at,
       c.attempts, c.waiting_for, c.spec_protocol, c.request_id, c.resources::text as resources,
       c.resources_in_force::text as resources_in_force, c.stop_at_once, c.suspended, c.driver_notes, c.agent_faults,
       c.identity_known, c.identity_wanted, c.identity_issued_until, c.identity_generation, c.identity_trusts_from,
       c.identity_trusts_to, c.identity_asked, c.identity_done, c.records_written,
       c.records_answered, c.edge_faults, c.cut_fault, c.addons_opened, c.spec_origins, c.game::text as game,
       {_VERSION},
       (select json_agg(json_build_object(
            'name', s.name, 'state', s.state, 'startedAt', s.started_at, 'finishedAt', s.finished_at,
            'code', s.code, 'message', s.message, 'output', s.output, 'attempts', s.attempts,
            'nextTryAt', s.next_try_at) order by s.position)
        from steps s where s.owner = c.owner)::text as steps,
       (select json_agg(json_build_object('id', e.id, 'port', e.port, 'visibility', e.visibility,
            'kind', e.kind, 'expires_at', e.expires_at, 'published_by', e.published_by, 'addon', e.addon)
            order by e.addon is null, e.created_at, e.id)
        from exposures e where e.owner = c.owner and (e.expires_at is null or e.expires_at > now()))::text as exposures,
       (select json_agg(json_build_object('name', g.name, 'protocol', g.protocol, 'port', g.port,
            'public_port', g.public_port) order by g.protocol, g.public_port)
        from game_ports g where g.owner = c.owner)::text as game_ports
from containers c
"""
_PAGE = f"""
select owner, vmid, {_VERSION} from containers c
where vmid > $1 and ($2::uuid[] is null or customer_id = any($2)) order by vmid limit $3
"""


async def find_by_vmid(connection: Connection, vmid: Vmid) -> Container | None:
    """Return one container, or None."""
    row = await connection.fetchrow(f"{_SELECT} where c.vmid = $1", vmid)
    return to_container(row) if row else None


async def find_by_owner(connection: Connection, owner: OwnerMark) -> Container | None:
    """Return one container by its owner mark, or None."""
    row = await connection.fetchrow(f"{_SELECT} where c.owner = $1", UUID(owner))
    return to_container(row) if row else None


async def find_version(connection: Connection, vmid: Vmid) -> tuple[UUID, OwnerMark, int] | None:
    """Return customer, mark and version of a container, or None."""
    row = await connection.fetchrow(f"select customer_id, owner, {_VERSION} from containers c where vmid = $1", vmid)
    return None if row is None else (row["customer_id"], OwnerMark(str(row["owner"])), row["version"])


async def find_by_owners(connection: Connection, owners: Sequence[OwnerMark]) -> list[Container]:
    """Return those of the containers with these marks that are there, in any order."""
    rows = await connection.fetch(f"{_SELECT} where c.owner = any($1)", [UUID(owner) for owner in owners])
    return [to_container(row) for row in rows]


async def fetch_page(
    connection: Connection, *, customers: Sequence[UUID] | None, after: int, limit: int
) -> list[tuple[OwnerMark, Vmid, int]]:
    """Return mark, VMID and version of up to `limit` containers with a VMID above `after`, in order.

    None for `customers` means all of them.
    """
    rows = await connection.fetch(_PAGE, after, customers, limit)
    return [(OwnerMark(str(row["owner"])), Vmid(row["vmid"]), row["version"]) for row in rows]


async def insert_container(
    connection: Connection,
    *,
    owner: OwnerMark,
    customer_id: UUID,
    kind: str,
    name: str | None,
    runtimes: Sequence[WantedRuntime],
    addons: Sequence[WantedRuntime] = (),
    resources: Resources = RESOURCES,
    workspace: WantedWorkspace | None = None,
    game: GameWish | None = None,
) -> Vmid:
    """Write the wish for a new container; without a name it is called by its label. Returns its VMID."""
    spec: dict[str, Any] = {"runtimes": _names_and_versions(runtimes), "addons": _names_and_versions(addons)}
    if workspace is not None:
        spec["workspace"] = msgspec.json.decode(encode(workspace))
    vmid: int = await connection.fetchval(
        "with number as (select next_vmid() as vmid) "
        "insert into containers (owner, vmid, customer_id, kind, name, spec, request_id, resources, game) "
        "select $1, vmid, $2, $3, coalesce($4, $3 || '-' || vmid), $5, $6, $7, $8 from number returning vmid",
        UUID(owner),
        customer_id,
        kind,
        name,
        spec,
        current_request_id(),
        msgspec.to_builtins(resources),
        None if game is None else _render_game(game),
    )
    return Vmid(vmid)


def _render_game(game: GameWish) -> Any:
    return msgspec.json.decode(encode(game))


def _names_and_versions(wanted: Sequence[WantedRuntime]) -> list[dict[str, str]]:
    return [{"name": each.name, "version": each.version} for each in wanted]


async def insert_steps(connection: Connection, owner: OwnerMark, steps: Sequence[tuple[str, StepState]]) -> None:
    """Write the list of steps that lie ahead, in place of any earlier list."""
    await connection.execute("delete from steps where owner = $1", UUID(owner))
    await connection.execute(
        "insert into steps (owner, position, name, state) "
        "select $1, place - 1, name, state "
        "from unnest($2::text[], $3::text[]) with ordinality as s(name, state, place)",
        UUID(owner),
        [name for name, _ in steps],
        [state.value for _, state in steps],
    )


async def delete_steps(connection: Connection, owner: OwnerMark, names: Sequence[str]) -> None:
    """Forget steps that nobody wants any more."""
    await connection.execute("delete from steps where owner = $1 and name = any($2)", UUID(owner), list(names))


async def update_name(connection: Connection, owner: OwnerMark, name: str) -> None:
    """Rename a container."""
    await connection.execute("update containers set name = $2 where owner = $1", UUID(owner), name)


async def lock(connection: Connection, owner: OwnerMark) -> bool | None:
    """Keep a row as it is until the transaction ends; return whether it is being deleted, or None where it is gone."""
    is_deleting: bool | None = await connection.fetchval(
        "select deleting_at is not null from containers where owner = $1 for no key update", UUID(owner)
    )
    return is_deleting


async def update_processes(connection: Connection, owner: OwnerMark, processes: Sequence[WantedProcess]) -> None:
    """Write what should run in a container, as a new generation of its spec."""
    await wish(
        connection,
        owner,
        "spec = spec || jsonb_build_object('processes', $3::jsonb), spec_generation = spec_generation + 1",
        msgspec.json.decode(encode(processes)),
    )


async def update_runtimes(
    connection: Connection, owner: OwnerMark, runtimes: Sequence[RuntimeWish], *, is_new_spec: bool
) -> None:
    """Write which runtimes a container should have; as a new generation of its spec where its agent must hear of it."""
    generation = ", spec_generation = spec_generation + 1" if is_new_spec else ""
    await wish(
        connection,
        owner,
        f"spec = spec || jsonb_build_object('runtimes', $3::jsonb){generation}",
        msgspec.json.decode(encode(runtimes)),
    )


async def update_addons(
    connection: Connection, owner: OwnerMark, addons: Sequence[RuntimeWish], *, is_new_spec: bool, gone: Sequence[str]
) -> None:
    """Write which addons a container should have; those that are `gone` were never seen to open."""
    generation = ", spec_generation = spec_generation + 1" if is_new_spec else ""
    await wish(
        connection,
        owner,
        "spec = spec || jsonb_build_object('addons', $3::jsonb), "
        f"addons_opened = addons_opened - $4::text[]{generation}",
        msgspec.json.decode(encode(addons)),
        list(gone),
    )


async def publish_addon(
    connection: Connection, owner: OwnerMark, *, addon: str, port: int, visibility: Visibility, enabled_by: UUID | None
) -> bool:
    """Publish the port of an addon; False where the customer has published it already. Only within a transaction."""
    assert connection.is_in_transaction()
    # What has reached its end is as good as gone.
    await connection.execute(
        "delete from exposures where owner = $1 and port = $2 and expires_at <= now()", UUID(owner), port
    )
    done = await connection.execute(
        "insert into exposures (id, owner, port, visibility, published_by, addon) values ($1, $2, $3, $4, $5, $6) "
        "on conflict (owner, port) do nothing",
        uuid4(),
        UUID(owner),
        port,
        visibility,
        enabled_by,
        addon,
    )
    is_published: bool = done == "INSERT 0 1"
    return is_published


async def unpublish_addons(connection: Connection, owner: OwnerMark, addons: Sequence[str]) -> None:
    """Take the ports of addons back, which cuts off whoever is connected. Only within a transaction."""
    assert connection.is_in_transaction()
    await connection.execute("delete from exposures where owner = $1 and addon = any($2)", UUID(owner), list(addons))


async def update_workspace(connection: Connection, owner: OwnerMark, workspace: WantedWorkspace) -> None:
    """Write what is wanted of a workspace, as a new generation of the spec."""
    await wish(
        connection,
        owner,
        "spec = spec || jsonb_build_object('workspace', $3::jsonb), spec_generation = spec_generation + 1",
        msgspec.json.decode(encode(workspace)),
    )


async def update_resources(connection: Connection, owner: OwnerMark, resources: Resources) -> None:
    """Write how much of its host a container may use; a game server's heap follows its memory, so its spec does too."""
    is_new_spec = "(game is not null and resources->'memoryMib' is distinct from $3::jsonb->'memoryMib')::int"
    await wish(
        connection,
        owner,
        f"resources = $3, spec_generation = spec_generation + {is_new_spec}",
        msgspec.to_builtins(resources),
    )


async def update_power(connection: Connection, owner: OwnerMark, power: Power) -> None:
    """Write whether the guest should run, and wake whoever makes it so; to ask in order takes back no kill.

    Of a game server its agent is told, and each start is one more.
    """
    await wish(
        connection,
        owner,
        "power = $3, stop_at_once = stop_at_once and $3 = 'off', "
        "spec_generation = spec_generation + (game is not null)::int, "
        "game = case when $3 = 'on' and game is not null "
        "then game || jsonb_build_object('starts', coalesce((game->>'starts')::bigint, 0) + 1) else game end",
        power.value,
    )


async def update_game(
    connection: Connection, owner: OwnerMark, game: GameWish, runtimes: Sequence[RuntimeWish]
) -> None:
    """Write what is wanted of a game server and the runtimes that it needs, as a new generation of the spec."""
    await wish(
        connection,
        owner,
        "game = $3, spec = spec || jsonb_build_object('runtimes', $4::jsonb), spec_generation = spec_generation + 1",
        _render_game(game),
        msgspec.json.decode(encode(runtimes)),
    )


async def ask_restart(connection: Connection, owner: OwnerMark) -> None:
    """Write that the guest should be stopped and started once more."""
    await wish(connection, owner, "restart_wanted = restart_wanted + 1, power = 'on', stop_at_once = false")


async def ask_kill(connection: Connection, owner: OwnerMark) -> None:
    """Write that the guest should be off now, whatever runs in it."""
    await wish(connection, owner, "power = 'off', stop_at_once = true")


async def ask_identity(connection: Connection, owner: OwnerMark) -> None:
    """Write that its agent must have another identity now."""
    await wish(connection, owner, "identity_asked = identity_asked + 1")


async def must_stop_at_once(connection: Connection, owner: OwnerMark) -> bool:
    """Tell whether nobody waits any more for a guest to stop in order: it was killed, or is being deleted."""
    is_meant: bool | None = await connection.fetchval(
        "select stop_at_once or deleting_at is not null from containers where owner = $1", UUID(owner)
    )
    return bool(is_meant)


async def mark_deleting(connection: Connection, owner: OwnerMark) -> bool:
    """Write that the container must go; False where that was written before."""
    is_deleting = await lock(connection, owner)
    if is_deleting is False:
        await wish(connection, owner, "deleting_at = now()")
    return is_deleting is False


async def wish(connection: Connection, owner: OwnerMark, assignment: str = "", *values: Any) -> None:
    """Write a wish of a customer: past failures count no more, work on it begins at once, and on his request's behalf.

    The values of `assignment` begin with $3.
    """
    wished = [assignment] if assignment else []
    wished += ["attempts = 0", "held_until = '-infinity'", "wake_at = now()", "request_id = $2"]
    await connection.execute(
        f"update containers set {', '.join(wished)} where owner = $1", UUID(owner), current_request_id(), *values
    )
    await connection.execute(
        "update steps set next_try_at = null where owner = $1 and state = 'failed' and next_try_at is not null",
        UUID(owner),
    )


class _Spec(msgspec.Struct, frozen=True):
    """The column `spec`."""

    runtimes: tuple[RuntimeWish, ...] = ()
    processes: tuple[WantedProcess, ...] = ()
    addons: tuple[RuntimeWish, ...] = ()
    workspace: WantedWorkspace = WantedWorkspace()


_read_spec = msgspec.json.Decoder(_Spec).decode
_read_resources = msgspec.json.Decoder(Resources).decode
_read_report = msgspec.json.Decoder(AgentStatus).decode
_read_steps = msgspec.json.Decoder(tuple[Step, ...]).decode
_read_exposures = msgspec.json.Decoder(tuple[Published, ...]).decode
_read_game = msgspec.json.Decoder(GameWish).decode
_read_game_ports = msgspec.json.Decoder(tuple[HeldPort, ...]).decode


def to_container(row: Any) -> Container:
    """Return a row of `_SELECT` as a value."""
    spec = _read_spec(row["spec"])
    return Container(
        owner=OwnerMark(str(row["owner"])),
        vmid=Vmid(row["vmid"]),
        customer_id=row["customer_id"],
        kind=row["kind"],
        name=row["name"],
        created_at=row["created_at"],
        runtimes=spec.runtimes,
        processes=spec.processes,
        addons=spec.addons,
        workspace=spec.workspace,
        game=_read_game(row["game"]) if row["game"] else None,
        game_ports=_read_game_ports(row["game_ports"]) if row["game_ports"] else (),
        addons_opened=row["addons_opened"],
        spec_origins=tuple(row["spec_origins"]),
        spec_generation=row["spec_generation"],
        power=Power(row["power"]),
        restart_wanted=row["restart_wanted"],
        deleting_at=row["deleting_at"],
        address=row["address"],
        guest=Guest(row["guest"]),
        identity_expires_at=row["identity_expires_at"],
        connection=AgentConnection(row["connection"]),
        agent=_to_report(row["agent_status"]),
        observed_at=row["observed_at"],
        restart_done=row["restart_done"],
        route_confirmed=row["route_confirmed"],
        provisioned_at=row["provisioned_at"],
        attempts=row["attempts"],
        waiting_for=row["waiting_for"],
        spec_protocol=row["spec_protocol"],
        request_id=row["request_id"],
        resources=_read_resources(row["resources"]),
        resources_in_force=_read_resources(row["resources_in_force"]) if row["resources_in_force"] else None,
        is_stopped_at_once=row["stop_at_once"],
        identity=_to_identity(row),
        agent_faults=tuple(row["agent_faults"]),
        is_suspended=row["suspended"],
        driver_notes=row["driver_notes"],
        records_written=row["records_written"],
        records_answered=row["records_answered"],
        edge_faults=tuple(row["edge_faults"]),
        cut_fault=row["cut_fault"],
        version=row["version"],
        steps=_read_steps(row["steps"]) if row["steps"] else (),
        exposures=_read_exposures(row["exposures"]) if row["exposures"] else (),
    )


def _to_identity(row: Any) -> HeldIdentity:
    return HeldIdentity(
        known=row["identity_known"],
        wanted=tuple(row["identity_wanted"]),
        issued_until=row["identity_issued_until"],
        generation=row["identity_generation"],
        trusts=(row["identity_trusts_from"], row["identity_trusts_to"]),
        asked=row["identity_asked"],
        done=row["identity_done"],
    )


def _to_report(document: str | None) -> AgentStatus | None:
    # A report that another version of the API has kept may be no report to this one; the agent's next one will be.
    try:
        return _read_report(document) if document else None
    except msgspec.MsgspecError:
        return None
