"""One endpoint: its path, who may call it, what goes in and what comes out.

Every route of the API is one of these. The server is built from the list, and so is the OpenAPI document; an endpoint
without a policy cannot be written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aiohttp import web

from zlh_api.containers.model import Container
from zlh_api.customers.model import Caller


class Policy(StrEnum):
    """Who may call an endpoint. What a caller may not see answers exactly like what does not exist."""

    # Anyone, signed in or not.
    PUBLIC = "public"
    SIGNED_IN = "signed-in"
    # Who runs the platform.
    OPERATOR = "operator"
    # Whoever has a role with the customer of the container in the path; viewers may look, members may act.
    VIEW_CONTAINER = "view-container"
    CHANGE_CONTAINER = "change-container"


@dataclass(frozen=True, slots=True)
class Call:
    """One request after the gate: the caller, the container of the path where the policy speaks of one, the body."""

    request: web.Request
    body: Any = None
    _caller: Caller | None = None
    _container: Container | None = None
    _pass_again: Callable[[], Awaitable[tuple[Caller | None, Container | None]]] | None = None

    async def check_again(self) -> Caller:
        """Return the caller as of now; raise where he may no longer do this. For what stays open for long."""
        assert self._pass_again is not None
        caller, _ = await self._pass_again()
        assert caller is not None
        return caller

    @property
    def caller(self) -> Caller:
        """Who calls; only behind a policy other than PUBLIC."""
        assert self._caller is not None
        return self._caller

    @property
    def container(self) -> Container:
        """The container of the path; only behind a container policy."""
        assert self._container is not None
        return self._container


@dataclass(frozen=True, slots=True)
class Answer:
    """A body with a status or headers of its own."""

    body: Any
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Awaitable[Any]]


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
    # It answers with the bytes of a file, which can be asked for in ranges.
    is_file: bool = False
    # Whether no body at all stands for {}.
    is_body_optional: bool = False
    # Query parameters, none of them required: {"limit": int}.
    query: Mapping[str, type[int | str]] = field(default_factory=dict)
