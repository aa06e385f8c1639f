"""Whom an agent believes, changed while it runs: real handshakes with what the API shows before, then and after."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec
import pytest

from component.agent.harness import OWNER, AgentProcess, eventually
from fakes.certificates import Certificates
from zlh_api.agents.authority import Authority, Grant
from zlh_api.agents.standing import Standing
from zlh_common.clock import SystemClock
from zlh_common.names import agent_name
from zlh_common.schema.identity import IdentityTaken, RenewIdentity
from zlh_common.schema.structs import decode, encode

REFUSED = (aiohttp.ClientConnectionError, ssl.SSLError)


@dataclass
class Change:
    """The installation's CAs, old and new, and what the API shows of them."""

    authority: Authority
    old: ssl.SSLContext
    new: ssl.SSLContext
    issued: int = 0

    def grant(self, standing: Standing) -> Grant:
        """Return what an agent is given at one moment of the change; each lasts longer than the one before."""
        self.authority.follow(self.authority.held, standing)
        before = self.authority.issue_agent(OWNER).expires_at
        self.issued += 1
        return self.authority.grant(OWNER, after=before.replace(year=before.year + self.issued))


def begin(certificates: Certificates) -> Change:
    """Make a second generation beside the first."""
    authority = Authority(certificates.folder, SystemClock())
    authority.keys.ensure(2)
    held = authority.keys.load()
    authority.follow(held, Standing(2, 1, 1))
    old = authority.client_context()
    authority.follow(held, Standing(2, 2, 1))
    return Change(authority, old, authority.client_context())


async def give(
    agent: AgentProcess, grant: Grant, context: ssl.SSLContext, *, bundle: bytes | None
) -> tuple[int, bytes]:
    """Give an agent another identity, and with it whom it is to believe."""
    wish = RenewIdentity(
        certificate=grant.issued.certificate.decode(),
        private_key=grant.issued.private_key.decode(),
        client_ca=bundle.decode() if bundle is not None else None,
    )
    return await agent.call("POST", "/identity", data=encode(wish), context=context)


async def is_believed(agent: AgentProcess, context: ssl.SSLContext) -> bool:
    """Tell whether the agent answers to who shows this."""
    try:
        return await agent.call("GET", "/healthz", context=context) == (200, b'{"status": "ok"}')
    except REFUSED:
        return False


@pytest.fixture
async def change(certificates: Certificates) -> Change:
    """Both generations."""
    return await asyncio.to_thread(begin, certificates)


async def believes(agent: AgentProcess, change: Change) -> tuple[bool, bool]:
    """Tell whether it believes the old and the new CA."""
    return await is_believed(agent, change.old), await is_believed(agent, change.new)


async def test_from_the_old_ca_over_both_to_the_new_one(agent: AgentProcess, change: Change) -> None:
    """Each moment is one answer; what was taken is taken after a restart as well."""
    assert await believes(agent, change) == (True, False)
    both = change.grant(Standing(2, 1, 1))
    code, answer = await give(agent, both, change.old, bundle=both.client_ca)
    assert (code, decode(answer, IdentityTaken).client_cas) == (200, 2)
    assert await believes(agent, change) == (True, True)
    new = change.grant(Standing(2, 2, 2))
    code, answer = await give(agent, new, change.new, bundle=new.client_ca)
    assert (code, decode(answer, IdentityTaken).client_cas) == (200, 1)
    assert await believes(agent, change) == (False, True)
    await agent.kill()
    await agent.launch()
    await eventually(lambda: is_believed(agent, change.new))
    assert await believes(agent, change) == (False, True)


async def test_an_api_that_says_nothing_of_cas_changes_none(agent: AgentProcess, change: Change) -> None:
    """One of before gives certificate and key alone."""
    code, answer = await give(agent, change.grant(Standing(2, 1, 1)), change.old, bundle=None)
    assert (code, decode(answer, IdentityTaken).client_cas) == (200, 1)
    assert await believes(agent, change) == (True, False)


@pytest.mark.parametrize(
    "bundle", [b"x", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "many", "key"]
)
async def test_cas_that_are_none_are_refused(agent: AgentProcess, change: Change, bundle: bytes | str) -> None:
    """With them goes the identity: it believes whom it believed, and shows what it showed."""
    grant = change.grant(Standing(2, 1, 1))
    told = {"many": grant.client_ca * 5, "key": change.authority.held[1].api.key_pem}.get(str(bundle), bundle)
    assert isinstance(told, bytes)
    code, answer = await give(agent, grant, change.old, bundle=told)
    assert (code, msgspec.json.decode(answer)["code"]) == (422, "identity_refused")
    assert await believes(agent, change) == (True, False)
    assert not (agent.root / "var/lib/zlh/identity.pem").exists()


async def test_what_comes_too_late_is_refused(agent: AgentProcess, change: Change) -> None:
    """Whoever was overtaken while he was on his way takes nothing back."""
    first, second = change.grant(Standing(2, 1, 1)), change.grant(Standing(2, 2, 2))
    assert (await give(agent, second, change.old, bundle=second.client_ca))[0] == 200
    for grant in (first, second):
        code, answer = await give(agent, grant, change.new, bundle=first.client_ca)
        assert (code, msgspec.json.decode(answer)["code"]) == (422, "identity_refused")
    assert await believes(agent, change) == (False, True)


@asynccontextmanager
async def kept_open(
    agent: AgentProcess, context: ssl.SSLContext
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Lend a connection that has asked something already."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", agent.port, ssl=context, server_hostname=agent_name(OWNER)
    )
    with closing(writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: agent\r\n\r\n")
        await reader.readuntil(b'{"status": "ok"}')
        yield reader, writer


async def test_what_was_opened_by_a_ca_that_is_gone_is_closed(
    agent: AgentProcess, change: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has an old key of the API and a connection from before has neither after a while; others stay."""
    # The wait is shortened in the agent, which is a program of its own.
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text("import zlh_agent.identity.service as service\nservice.LINGER_S = 0.5\n")
    monkeypatch.syspath_prepend(hook)
    await agent.kill()
    await agent.start()
    both = change.grant(Standing(2, 1, 1))
    assert (await give(agent, both, change.old, bundle=both.client_ca))[0] == 200
    async with kept_open(agent, change.old) as (old, _):
        new = change.grant(Standing(2, 2, 2))
        assert (await give(agent, new, change.new, bundle=new.client_ca))[0] == 200
        async with kept_open(agent, change.new) as (reader, writer):
            async with asyncio.timeout(10):
                assert await old.read() == b""
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: agent\r\n\r\n")
            await reader.readuntil(b'{"status": "ok"}')
