"""One endpoint: its path, who may call it, what goes in and what comes out.

Every route of the API is one of these. The server is built from the list, and so is the OpenAPI document; an endpoint
without a policy cannot be written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, TypeVar
from uuid import UUID

from aiohttp import web

from zlh_api.containers.model import Container
from zlh_api.customers.model import Caller, Credential, Customer
from zlh_api.web.query import Parameter, short_text
from zlh_common.errors import ZlhError
from zlh_common.schema.permissions import Permission
from zlh_common.schema.secrets import secret_fields

T = TypeVar("T")


class Subject(Enum):
    """What a call is about, and so whose role is asked for."""

    # Nobody has to be signed in.
    ANYBODY = "anybody"
    # The caller's own account, or whatever the handler picks from all that the caller may see.
    CALLER = "caller"
    # The container of `{vmid}` in the path.
    CONTAINER = "container"
    # The customer of `{customer}` in the path.
    CUSTOMER = "customer"
    # All customers together.
    PLATFORM = "platform"


class Policy(Enum):
    """Who may call an endpoint. What a caller may not see answers exactly like what does not exist.

    The permission is held against the scopes of the credential always, and against the caller's role with the subject
    where that is one; of a CALLER the handler asks for each customer (`Caller.may`).
    """

    PUBLIC = (Subject.ANYBODY, None)
    SIGNED_IN = (Subject.CALLER, None)
    MANAGE_ACCOUNT = (Subject.CALLER, Permission.MANAGE_ACCOUNT)
    LIST_CUSTOMERS = (Subject.CALLER, Permission.VIEW_CUSTOMER)
    LIST_CONTAINERS = (Subject.CALLER, Permission.VIEW_CONTAINERS)
    CREATE_CONTAINER = (Subject.CALLER, Permission.CHANGE_CONTAINERS)
    VIEW_CONTAINER = (Subject.CONTAINER, Permission.VIEW_CONTAINERS)
    POWER_CONTAINER = (Subject.CONTAINER, Permission.POWER_CONTAINERS)
    CHANGE_CONTAINER = (Subject.CONTAINER, Permission.CHANGE_CONTAINERS)
    USE_CONSOLE = (Subject.CONTAINER, Permission.USE_CONSOLES)
    READ_FILES = (Subject.CONTAINER, Permission.READ_FILES)
    WRITE_FILES = (Subject.CONTAINER, Permission.WRITE_FILES)
    # What operators alone do to one container.
    GOVERN_CONTAINER = (Subject.CONTAINER, Permission.MANAGE_PLATFORM)
    VIEW_CUSTOMER = (Subject.CUSTOMER, Permission.VIEW_CUSTOMER)
    MANAGE_CUSTOMER = (Subject.CUSTOMER, Permission.MANAGE_CUSTOMER)
    # Whoever belongs to a customer may go, whatever their role.
    LEAVE_CUSTOMER = (Subject.CUSTOMER, Permission.MANAGE_ACCOUNT)
    VIEW_AUDIT_LOG = (Subject.CUSTOMER, Permission.VIEW_AUDIT_LOG)
    # What operators alone do to one customer.
    GOVERN_CUSTOMER = (Subject.CUSTOMER, Permission.MANAGE_PLATFORM)
    VIEW_PLATFORM = (Subject.PLATFORM, Permission.VIEW_PLATFORM)
    MANAGE_PLATFORM = (Subject.PLATFORM, Permission.MANAGE_PLATFORM)

    def __init__(self, subject: Subject, permission: Permission | None) -> None:
        self.subject = subject
        self.permission = permission

    def __str__(self) -> str:
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class Passed:
    """What the gate has found out about a request that may go on."""

    caller: Caller | None = None
    container: Container | None = None
    customer: Customer | None = None
    # What the caller is signed in with, by which what stays open is judged again.
    credential: Credential | None = None


class Watched(Protocol):
    """A call that is judged again for as long as it stays open."""

    # As of the last judgement.
    passed: Passed
    refusal: ZlhError | None
    # Called after a judgement that has found another caller than the one before.
    on_change: Callable[[], None] | None

    async def wait_certain(self) -> None:
        """See Call."""
        ...


class Record(Protocol):
    """What the audit log is told of a call; see docs/audit-log.md for what is told without a word of the handler."""

    def note(self, name: str, value: object) -> None:
        """Add a fact worth knowing, such as the new role; never a secret. None is none.

        Whatever it is, it is cut and cleaned before it is kept.
        """
        ...

    def acts_on(self, subject: str) -> None:
        """Say what is acted on, such as `container 101`, where the path does not name it."""
        ...

    async def charge_to(self, customer_id: UUID) -> None:
        """Say whose log it stands in, before it is done; for what neither the path nor the gate tells."""
        ...

    async def acts_as(self, caller: Caller) -> None:
        """Say who acts, before it is done; for what may be called without being signed in."""
        ...

    async def note_open(self) -> None:
        """Say that what was asked for is open: that is an entry, and its end will be another."""
        ...

    def note_end(self, reason: str, code: str | None = None) -> None:
        """Say why what was open has ended (`left`, `revoked`, `ended`, `broken`), and the code of what has ended it."""
        ...


class Unrecorded:
    """The record of a call that changes nothing."""

    def note(self, name: str, value: object) -> None:
        """See Record."""

    def acts_on(self, subject: str) -> None:
        """See Record."""

    async def charge_to(self, customer_id: UUID) -> None:
        """See Record."""

    async def acts_as(self, caller: Caller) -> None:
        """See Record."""

    async def note_open(self) -> None:
        """See Record."""

    def note_end(self, reason: str, code: str | None = None) -> None:
        """See Record."""


_UNRECORDED = Unrecorded()


@dataclass(frozen=True, slots=True)
class Call:
    """One request after the gate: the caller, what the path speaks of, the body."""

    request: web.Request
    body: Any = None
    _passed: Passed = Passed()
    _watched: Watched | None = None
    record: Record = _UNRECORDED
    _asked: Mapping[str, Any] = field(default_factory=dict)

    def asked(self, parameter: Parameter[T]) -> T:
        """Return what was asked for; only of a query parameter that the endpoint declares."""
        value: T = self._asked[parameter.name]
        return value

    async def wait_certain(self) -> None:
        """Return once no news of what the caller may do is left unanswered; at once, where there has been none.

        For what stays open: to be awaited before anything is done for the caller. Who may no longer is cancelled.
        """
        if self._watched is not None:
            await self._watched.wait_certain()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Have `listener` called whenever it was found that the caller may do more or less than before."""
        if self._watched is not None:
            self._watched.on_change = listener

    @property
    def refusal(self) -> ZlhError | None:
        """Why a call that stayed open is ended, once it is."""
        return None if self._watched is None else self._watched.refusal

    def note(self, name: str, value: object) -> None:
        """Add a fact to the entry of the audit log that this call becomes."""
        self.record.note(name, value)

    @property
    def caller(self) -> Caller:
        """Who calls, as of the last judgement; only behind a policy other than PUBLIC."""
        passed = self._passed if self._watched is None else self._watched.passed
        assert passed.caller is not None
        return passed.caller

    @property
    def container(self) -> Container:
        """The container of the path; only behind a policy whose subject is one."""
        assert self._passed.container is not None
        return self._passed.container

    @property
    def customer(self) -> Customer:
        """The customer of the path; only behind a policy whose subject is one."""
        assert self._passed.customer is not None
        return self._passed.customer


@dataclass(frozen=True, slots=True)
class Answer:
    """A body with a status or headers of its own."""

    body: Any
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Awaitable[Any]]
JSON, BYTES, ANY_TYPE = "application/json", "application/octet-stream", "*/*"
TICKET = short_text(
    "ticket", "A ticket, by programs that cannot offer it as a subprotocol; it then stands in their URL.", max_chars=200
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route. `handler` returns a wire struct, an Answer, None for 204, or a response of its own."""

    method: str
    path: str
    policy: Policy
    handler: Handler
    summary: str
    request: type | None = None
    response: Any = None
    status: int = 200
    # Keys that are accepted besides the camelCase ones: {"enable_code_server": "enableCodeServer"}.
    aliases: dict[str, str] = field(default_factory=dict)
    is_websocket: bool = False
    # It takes or gives bit by bit, for as long as the caller stays.
    is_stream: bool = False
    # It answers with the bytes of a file, which can be asked for in ranges.
    is_file: bool = False
    # The bytes of a file come or go for as long as that takes: watched like a stream, and counted apart from those.
    is_transfer: bool = False
    # The media type of a body that the handler reads itself, bit by bit; ANY_TYPE takes each.
    raw: str | None = None
    # It carries on what another call has begun, so it is counted like a look: a large file comes in many pieces.
    is_piece: bool = False
    # Headers of a request that mean something to it: {"If-Match": "the version that is meant"}.
    takes: Mapping[str, str] = field(default_factory=dict)
    # Headers of each of its answers, refusals included.
    always: Mapping[str, str] = field(default_factory=dict)
    # Whether no body at all stands for {}.
    is_body_optional: bool = False
    # What the audit log calls it, such as `container.create`. Every call that changes something has a word, and so has
    # every WebSocket: `console.open`, whose end is then `console.close`.
    act: str | None = None
    # Query parameters; below /api/ no other one is taken.
    query: tuple[Parameter[Any], ...] = ()
    # It makes something, so a second request with the same Idempotency-Key makes nothing more.
    creates: bool = False
    # False where it is asked by the proxy for others, so that it is counted in other ways.
    is_counted: bool = True
    # False where what is read is never the same twice.
    is_stable: bool = True
    # What it says besides of itself, in Markdown.
    about: str = ""
    # Of the answer. Anything but JSON is the handler's own response.
    media_type: str = JSON
    # Other statuses of success, with the same body: {201: "It was not there before"}.
    also: Mapping[int, str] = field(default_factory=dict)
    # Headers of the successful answer besides those that all have: {"Set-Cookie": "the session"}.
    headers: Mapping[str, str] = field(default_factory=dict)
    # What it may refuse by itself; what the gate, the body and the query refuse is known without.
    refusals: tuple[type[ZlhError], ...] = ()
    # Server-sent events by their names, each with the struct of its data.
    events: Mapping[str, type] = field(default_factory=dict)
    # A body to begin with, where one that is made of the schema alone says little.
    example: Mapping[str, Any] | None = None
    # Its name in generated clients, where the one that follows from method and path is no good.
    name: str | None = None

    @property
    def is_api(self) -> bool:
        """Whether it is part of the API, which documents all that it takes, and takes nothing else."""
        return self.path.startswith("/api/")

    @property
    def has_etag(self) -> bool:
        """Whether who has this very answer gets 304."""
        return self.method == "GET" and self.response is not None and self.is_stable

    @property
    def goes_on(self) -> bool:
        """Whether it lasts for as long as its caller stays, and is watched for as long."""
        return self.is_websocket or self.is_stream or self.is_transfer

    @property
    def shows_secret(self) -> bool:
        """Whether something in the answer is shown this once."""
        return bool(secret_fields(self.response))

    @property
    def parameters(self) -> tuple[Parameter[Any], ...]:
        """All query parameters, with what every WebSocket of a container takes."""
        return (*self.query, TICKET) if self.is_websocket and "{vmid}" in self.path else self.query
