"""Asks agents about files: whether one can be asked, and whether what it answers has the shape that it must have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from zlh_api.agents.appetite import Appetite
from zlh_api.agents.client import (
    CALL_TIMEOUT_S,
    AgentAddress,
    AgentAnswer,
    AgentClient,
    AgentNonsense,
    decode_report,
)
from zlh_api.agents.transfers import Transfer
from zlh_api.containers.model import Container, Guest
from zlh_api.containers.refusals import AgentTooOld, BeingDeleted, ContainerNotUp, ContainerOff, ContainerSuspended
from zlh_api.direct_bytes import Bytes
from zlh_api.files.refusals import telling_refusals
from zlh_api.files.rules import Nonsense, render_query
from zlh_common.schema.structs import encode

T = TypeVar("T")
# From this version of the protocol on, agents work on files.
FILES_PROTOCOL = 8
# A page of the longest names that a disk can hold, with each byte of them written out.
MAX_LIST_BYTES = 8 * 1024 * 1024
# A search ends by itself after 10 s, work that may take long is answered within two.
LOOK_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Told(Generic[T]):
    """What an agent has answered, and with which status of success."""

    value: T
    status: int


class FileService:
    """One for each API process."""

    def __init__(self, client: AgentClient, *, agent_port: int) -> None:
        self._client = client
        self._port = agent_port
        self._appetite = Appetite()

    async def ask(
        self,
        container: Container,
        method: str,
        path: str,
        shape: type[T],
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        max_bytes: int = MAX_LIST_BYTES,
    ) -> Told[T]:
        """Return what an agent says, as a `shape`; raise what it refuses."""
        answer = await self.exchange(
            container, method, path, query=query, body=None if body is None else encode(body), max_bytes=max_bytes
        )
        await self._appetite.wait_for_turn(container.owner, len(answer.body))
        return Told(decode_report(answer.body, shape), answer.status)

    async def exchange(
        self,
        container: Container,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        max_bytes: int = MAX_LIST_BYTES,
    ) -> AgentAnswer:
        """Return an agent's whole answer; raise what it refuses."""
        target, timeout_s = f"/files{path}{render_query(query or {})}", max(CALL_TIMEOUT_S, LOOK_TIMEOUT_S)
        with telling_refusals(), taking_nonsense():
            return await self._client.exchange(
                find_files_agent(container, self._port),
                method,
                target,
                body=body,
                headers=headers,
                timeout_s=timeout_s,
                max_bytes=max_bytes,
            )

    @asynccontextmanager
    async def open_transfer(
        self,
        container: Container,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str],
        body: AsyncIterator[Bytes] | None = None,
        also: frozenset[int] = frozenset(),
    ) -> AsyncIterator[Transfer]:
        """Send and take bytes; see AgentClient.open_transfer."""
        agent, target = find_files_agent(container, self._port), f"/files{path}{render_query(query or {})}"
        with telling_refusals(), taking_nonsense():
            async with self._client.open_transfer(
                agent, method, target, headers=headers, body=body, also=also
            ) as transfer:
                yield transfer


@contextmanager
def taking_nonsense() -> Iterator[None]:
    """Raise AgentNonsense for what the rules find in an agent's answer."""
    try:
        yield
    except Nonsense as error:
        raise AgentNonsense(str(error)) from error


def find_files_agent(container: Container, port: int) -> AgentAddress:
    """Return where the agent of a container is; raise why it cannot be asked about files."""
    if container.is_deleting:
        raise BeingDeleted(container.vmid)
    if container.is_suspended:
        raise ContainerSuspended(container.vmid)
    if not container.is_meant_to_run:
        raise ContainerOff(container.vmid)
    if container.address is None or container.guest is not Guest.RUNNING or container.agent is None:
        raise ContainerNotUp(container.vmid)
    if container.agent.protocol_version < FILES_PROTOCOL:
        raise AgentTooOld("work on files")
    return AgentAddress(container.owner, container.address, port)
