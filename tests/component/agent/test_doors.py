"""Who gets in: the API's own certificate, and nothing else."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import aiohttp
import pytest

from component.agent.harness import OWNER, AgentProcess, code_of
from fakes.certificates import Certificates


async def test_the_api_is_answered(agent: AgentProcess) -> None:
    """The right certificate opens the agent, which shows the name of its own container."""
    assert await agent.call("GET", "/healthz") == (200, b'{"status": "ok"}')


@pytest.mark.parametrize("who", ["nobody", "foreign", "server", "agent"])
async def test_strangers_are_refused_by_the_handshake(who: str, agent: AgentProcess, tmp_path: Path) -> None:
    """No certificate, one of another CA, one that is not for clients: no byte of HTTP is read."""
    held = agent.certificates
    contexts = {
        "nobody": held.without_certificate,
        "foreign": lambda: held.foreign(Certificates(tmp_path / "others")),
        "server": held.not_for_clients,
        "agent": lambda: held.of_an_agent(OWNER),
    }
    context = await asyncio.to_thread(contexts[who])
    with pytest.raises((aiohttp.ClientConnectionError, ssl.SSLError)):
        await agent.call("GET", "/status", context=context)


@pytest.mark.parametrize("name", ["x.api.zlh.internal", "*.zlh.internal", "api.zlh.internal.example"])
@pytest.mark.parametrize(("method", "path"), [("GET", "/healthz"), ("PUT", "/spec"), ("GET", "/nowhere")])
async def test_another_name_of_the_same_ca_is_refused(method: str, path: str, name: str, agent: AgentProcess) -> None:
    """Whoever is not the API hears only that, on every path."""
    context = await asyncio.to_thread(agent.certificates.of_another_name, name)
    status, body = await agent.call(method, path, context=context)
    assert (status, code_of(body)) == (403, "client_not_trusted")


async def test_tls_below_1_3_is_refused(agent: AgentProcess) -> None:
    """Older TLS is not spoken, whatever the certificate."""
    context = await asyncio.to_thread(agent.certificates.api)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(aiohttp.ClientConnectionError):
        await agent.call("GET", "/status", context=context)
