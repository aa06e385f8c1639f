"""Who and what the matrix is about: people of every kind with every credential, and what three customers have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from fakes.api_world import NODE, PORTAL, World
from zlh_api.customers.secret import token_digest
from zlh_common.schema.permissions import Permission

Client = TestClient[Request, Application]
# By person: the customer and the role. `held` is suspended as a user, `holder` owns a customer that is.
PEOPLE: dict[str, tuple[str, str] | None] = {
    "owner": ("mine", "owner"),
    "member": ("mine", "member"),
    "viewer": ("mine", "viewer"),
    "stranger": ("other", "owner"),
    "holder": ("suspended", "owner"),
    "held": ("mine", "owner"),
    "lonely": None,
    "operator": None,
}
CUSTOMERS = ("mine", "other", "suspended")
SCOPES = tuple(permission.value for permission in Permission)
# What is written of refusals too, and never taken back.
RECORDS = {"act_holders", "acts_begun", "audit_heads", "audit_entries"}
# What nobody writes on purpose, and what whoever looks in leaves.
VOLATILE = {"last_seen_at", "last_used_at"}


@dataclass(frozen=True)
class Pass:
    """What somebody shows with a request, and what that is good for."""

    name: str
    # None for nobody.
    person: str | None
    headers: dict[str, str]
    is_valid: bool = True
    # None for everything.
    scope: str | None = None
    # The customer that it is held to.
    bound_to: str | None = None

    def __str__(self) -> str:
        return f"{self.person or 'nobody'} by {self.name}"


@dataclass(frozen=True)
class Ids:
    """What may stand for one parameter of a path."""

    own: str
    # Of another customer or user.
    foreign: str
    # Never was.
    missing: str
    # Could not be.
    malformed: tuple[str, ...]


BAD_UUIDS = ("x", "%00", "A" * 36, "%5B0%5D", str(uuid4()).upper(), f"{uuid4()}x", "..%2f", "%F0%9F%92%A9")
BAD_NAMES = ("Bad!", "-", "x" * 300, "..%2f..%2fetc", "%00", "%F0%9F%92%A9", "a%0Ab")
BAD_NUMBERS = ("0", "0101", "-1", "1e3", "%D9%A1%D9%A0%D9%A1", "9999999999", "x", "%00", "1" * 400)


class Unknown(AssertionError):
    """The matrix does not know what may stand in a path."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(
            f"{path} has a parameter `{name}` that the matrix does not know: say in `MatrixWorld.ids` what stands for "
            "one's own, a foreign, a missing and a malformed one, and add rows of it to `MatrixWorld.add`"
        )


@dataclass
class MatrixWorld:
    """The rows, by name."""

    world: World
    client: Client
    customers: dict[str, UUID] = field(default_factory=dict)
    users: dict[str, UUID] = field(default_factory=dict)
    vmids: dict[str, int] = field(default_factory=dict)
    exposures: dict[str, str] = field(default_factory=dict)
    rows: dict[tuple[str, str], str] = field(default_factory=dict)
    passes: list[Pass] = field(default_factory=list)

    async def add(self) -> None:
        """Write everything, and keep it to be put back."""
        await self.world.fetch("delete from users returning 1")
        await self.world.fetch("delete from customers returning 1")
        for name in CUSTOMERS:
            self.customers[name] = await self._insert("customers", "id, name", uuid4(), name)
        for person, place in PEOPLE.items():
            await self._add_person(person, place)
        for customer, person in {"mine": "owner", "other": "stranger", "suspended": "holder"}.items():
            await self._add_container(customer, person)
            await self._add_invitation(customer)
        await self._add_rollout()
        now = "suspended_at = now(), suspended_reason = 'x'"
        await self.world.fetch(f"update customers set {now} where name = 'suspended' returning 1")
        await self.world.fetch(f"update users set {now} where id = $1 returning 1", self.users["held"])
        await self._keep()

    def ids(self, name: str, path: str) -> Ids:
        """Return what may stand for a parameter; raise Unknown."""
        rows = self.rows
        known = {
            "vmid": Ids(str(self.vmids["mine"]), str(self.vmids["other"]), "999999", BAD_NUMBERS),
            "customer": Ids(str(self.customers["mine"]), str(self.customers["other"]), str(uuid4()), BAD_UUIDS),
            "user": Ids(str(self.users["member"]), str(self.users["stranger"]), str(uuid4()), BAD_UUIDS),
            "session": Ids(rows["session", "owner"], rows["session", "stranger"], str(uuid4()), BAD_UUIDS),
            "token": Ids(rows["token", "owner"], rows["token", "stranger"], str(uuid4()), BAD_UUIDS),
            "invitation": Ids(rows["invitation", "mine"], rows["invitation", "other"], str(uuid4()), BAD_UUIDS),
            "label": Ids(
                f"dev-{self.vmids['mine']}", f"dev-{self.vmids['other']}", "dev-999999", ("dev", "-", "0-dev-101")
            ),
            "exposure": Ids(self.exposures["mine"], self.exposures["other"], str(uuid4()), BAD_UUIDS),
            # Those of nobody, or of all: what is foreign is one that never was.
            "rollout": Ids(rows["rollout", "all"], str(uuid4()), str(uuid4()), BAD_UUIDS),
            "process": Ids("web", "alien", "missing", BAD_NAMES),
            "terminal": Ids("main", "alien", "missing", BAD_NAMES),
            "runtime": Ids("node", "alien", "missing", BAD_NAMES),
            "addon": Ids("code-server", "alien", "missing", BAD_NAMES),
            "version": Ids("24.19.0", "1.27.3", "0.0.1", BAD_NAMES),
            "operation": Ids("a" * 32, "b" * 32, "c" * 32, BAD_NAMES),
            "upload": Ids("a" * 32, "b" * 32, "c" * 32, BAD_NAMES),
            "project": Ids("AANobbMI", "P7dR8mSH", "missing1", BAD_NAMES),
            "change": Ids("a" * 32, "b" * 32, "c" * 32, BAD_NAMES),
            "path": Ids("x", "x", "x", ("%00", "..%2f..%2fetc%2fpasswd")),
        }
        if name not in known:
            raise Unknown(name, path)
        return known[name]

    def passes_of(self, *people: str, names: tuple[str, ...] = ("cookie", "token")) -> Iterator[Pass]:
        """Yield what these people show, of these kinds."""
        return (each for each in self.passes if each.person in people and each.name in names)

    async def digest(self, *, but: frozenset[str] = frozenset()) -> str:
        """Return what tells one state of the database from another, in one query."""
        parts = [
            f"select '{table}' as n, md5(string_agg(t::text, ';' order by t::text)) as d "
            f"from (select {columns} from {table}) t"
            for table, columns in self._tables.items()
            if table not in but
        ]
        rows = await self.world.fetch(
            f"select string_agg(coalesce(d, ''), ',' order by n) as d from ({' union all '.join(parts)}) x"
        )
        return str(rows[0]["d"])

    async def put_back(self) -> None:
        """Make the database what it was when it was kept."""
        async with self.world.database.transaction() as connection:
            # Neither triggers nor keys: every row is put where it was.
            await connection.execute("set local session_replication_role = replica")
            script = "".join(
                f"delete from {table}; insert into {table} overriding system value select * from kept.{table};"
                for table in self._tables
            )
            await connection.execute(script)

    async def _keep(self) -> None:
        rows = await self.world.fetch(
            "select table_name, string_agg(quote_ident(column_name), ',' order by ordinal_position) "
            "filter (where column_name <> all($1)) as columns "
            "from information_schema.columns join information_schema.tables using (table_schema, table_name) "
            "where table_schema = 'public' and table_type = 'BASE TABLE' group by 1",
            list(VOLATILE),
        )
        self._tables = {row["table_name"]: row["columns"] for row in rows if row["table_name"] not in RECORDS}
        async with self.world.database.connection() as connection:
            await connection.execute("create schema kept")
            for table in self._tables:
                await connection.execute(f"create table kept.{table} as table public.{table}")

    async def _insert(self, table: str, columns: str, *values: Any) -> UUID:
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        sql = f"insert into {table} ({columns}) values ({places}) returning id"
        found: UUID = (await self.world.fetch(sql, *values))[0]["id"]
        return found

    async def _add_rollout(self) -> None:
        columns = "id, version, state, wish, started_by"
        row = await self._insert("rollouts", columns, uuid4(), "0.2.0", "running", {"version": "0.2.0"}, "somebody")
        self.rows["rollout", "all"] = str(row)

    async def _add_person(self, person: str, place: tuple[str, str] | None) -> None:
        user = self.users[person] = await self._insert(
            "users",
            "id, email, password_hash, is_operator",
            uuid4(),
            f"{person}@example.org",
            "none",
            person == "operator",
        )
        if place is not None:
            customer, role = place
            await self.world.fetch(
                "insert into memberships (customer_id, user_id, role) values ($1, $2, $3) returning 1",
                self.customers[customer],
                user,
                role,
            )
        is_valid = person != "held"
        self.passes += [
            await self._session(person, "cookie", "1 day", is_valid=is_valid),
            await self._session(person, "session that is over", "-1 s", is_valid=False),
            await self._token(person, "token", is_valid=is_valid),
            await self._token(person, "token that is over", is_valid=False, expires="-1 s"),
        ]
        if is_valid:
            self.passes += [await self._token(person, f"token for {scope}", scope=scope) for scope in SCOPES]
            self.passes += [await self._token(person, f"token of {each}", bound_to=each) for each in CUSTOMERS]

    async def _session(self, person: str, name: str, lasts: str, *, is_valid: bool) -> Pass:
        secret = f"session-{person}-{name}"
        row = await self._insert(
            "sessions",
            "token_sha256, user_id, expires_at",
            token_digest(secret),
            self.users[person],
            await self._in(lasts),
        )
        self.rows.setdefault(("session", person), str(row))
        headers = {"Cookie": f"zlh_session={secret.replace(' ', '-')}", "Origin": PORTAL}
        await self.world.fetch(
            "update sessions set token_sha256 = $2 where id = $1 returning 1",
            row,
            token_digest(secret.replace(" ", "-")),
        )
        return Pass(name, person, headers, is_valid)

    async def _token(
        self,
        person: str,
        name: str,
        *,
        is_valid: bool = True,
        scope: str | None = None,
        bound_to: str | None = None,
        expires: str | None = None,
    ) -> Pass:
        secret = f"zlh_pat_{person}-{name}".replace(" ", "-")
        row = await self._insert(
            "api_tokens",
            "id, token_sha256, user_id, name, scopes, customer_id, expires_at",
            uuid4(),
            token_digest(secret),
            self.users[person],
            name,
            None if scope is None else [scope],
            None if bound_to is None else self.customers[bound_to],
            None if expires is None else await self._in(expires),
        )
        self.rows.setdefault(("token", person), str(row))
        return Pass(name, person, {"Authorization": f"Bearer {secret}"}, is_valid, scope, bound_to)

    async def _in(self, span: str) -> Any:
        return (await self.world.fetch(f"select now() + interval '{span}' as t"))[0]["t"]

    async def _add_container(self, customer: str, person: str) -> None:
        """Wish for a container as its customer's own owner, and let it run."""
        (shown,) = self.passes_of(person, names=("token",))
        answer = await self.client.post("/api/containers", json=NODE, headers=shown.headers)
        assert answer.status == 202, await answer.text()
        vmid = self.vmids[customer] = int((await answer.json())["vmid"])
        path = f"/api/containers/{vmid}"
        process = "web" if customer == "mine" else "alien"
        made = await self.client.put(f"{path}/processes/{process}", json={"argv": ["serve"]}, headers=shown.headers)
        assert made.status == 201, await made.text()
        wish = {"port": 3000, "visibility": "public"}
        exposed = await self.client.post(f"{path}/exposures", json=wish, headers=shown.headers)
        assert exposed.status == 201, await exposed.text()
        self.exposures[customer] = (await exposed.json())["id"]
        await self.world.fetch(
            "update containers set guest = 'running', connection = 'online', address = $2::text::inet, "
            "provisioned_at = now(), wake_at = now() + interval '1 year' where vmid = $1 returning 1",
            vmid,
            f"127.0.0.{vmid % 200 + 2}",
        )

    async def _add_invitation(self, customer: str) -> None:
        row = await self._insert(
            "invitations",
            "id, code_sha256, customer_id, email, role, expires_at",
            uuid4(),
            token_digest(f"code-{customer}"),
            self.customers[customer],
            "guest@example.org",
            "member",
            await self._in("1 day"),
        )
        self.rows["invitation", customer] = str(row)
