"""The certificate that an agent shows, renewed while it runs."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import load_der_x509_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID

from component.agent.harness import OWNER, AgentProcess
from fakes.certificates import Certificates, sign
from fakes.clock import FakeClock
from zlh_api.agents.authority import Authority
from zlh_api.agents.certificates import Issued
from zlh_common.names import OwnerMark, agent_name
from zlh_common.schema.identity import IdentityTaken, RenewIdentity
from zlh_common.schema.structs import decode, encode

OTHER = OwnerMark("0e6b3c1e-0d2f-4c51-9d3c-0b6f4f7f2a11")
KILLS = 6


def issue(certificates: Certificates, *, in_days: float = 0.0, owner: OwnerMark = OWNER) -> Issued:
    """Return an identity as the API issues it, so many days from now."""
    clock = FakeClock(datetime.now(UTC) + timedelta(days=in_days))
    return Authority(certificates.folder, clock).issue_agent(owner)


def body(issued: Issued) -> bytes:
    """Return what the API sends."""
    return encode(RenewIdentity(certificate=issued.certificate.decode(), private_key=issued.private_key.decode()))


async def shown(agent: AgentProcess) -> datetime:
    """Return until when the certificate is good that a new connection meets; the API must believe it."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", agent.port, ssl=agent.context, server_hostname=agent_name(OWNER)
    )
    with closing(writer):
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return load_der_x509_certificate(der).not_valid_after_utc


async def renew(agent: AgentProcess, issued: Issued) -> IdentityTaken:
    """Give the agent another identity, which it takes."""
    code, answer = await agent.call("POST", "/identity", data=body(issued))
    assert code == 200, answer
    return decode(answer, IdentityTaken)


async def test_another_identity_is_shown_to_whoever_comes_next(agent: AgentProcess, certificates: Certificates) -> None:
    """What is open goes on; a crash loses nothing; and the keys are nobody's but the agent's."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", agent.port, ssl=agent.context, server_hostname=agent_name(OWNER)
    )
    issued = await asyncio.to_thread(issue, certificates, in_days=0.005)
    before = await shown(agent)
    assert (await renew(agent, issued)).expires_at == issued.expires_at > before
    assert await shown(agent) == issued.expires_at
    with closing(writer):
        writer.write(b"GET /status HTTP/1.1\r\nHost: agent\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    kept = agent.root / "var/lib/zlh/identity.pem"
    assert kept.stat().st_mode & 0o777 == 0o600
    await agent.kill()
    await agent.start()
    assert await shown(agent) == issued.expires_at
    assert issued.private_key.decode().splitlines()[1] not in agent.log.read_text()


def mismatched(certificates: Certificates) -> Issued:
    """Return a certificate with the key of another."""
    return Issued(issue(certificates).certificate, issue(certificates).private_key, datetime.now(UTC))


def for_clients(certificates: Certificates) -> Issued:
    """Return a certificate of the right name that is for clients."""
    return sign(certificates.agents_ca, agent_name(OWNER), ExtendedKeyUsageOID.CLIENT_AUTH)


def locked(certificates: Certificates) -> Issued:
    """Return a key that a password protects."""
    issued = issue(certificates)
    key = serialization.load_pem_private_key(issued.private_key, password=None)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    return Issued(issued.certificate, secret, issued.expires_at)


@pytest.mark.parametrize(
    "make",
    [
        mismatched,
        for_clients,
        locked,
        lambda certificates: issue(certificates, owner=OTHER),
        lambda certificates: issue(certificates, in_days=-366),
        lambda certificates: issue(certificates, in_days=2),
        lambda certificates: Issued(b"not a certificate", issue(certificates).private_key, datetime.now(UTC)),
        lambda certificates: Issued("é\0".encode(), b"\x01", datetime.now(UTC)),
        lambda certificates: Issued(issue(certificates).certificate, b"none", datetime.now(UTC)),
    ],
    ids=["mismatched", "for-clients", "locked", "of-another", "expired", "not-yet", "garbage", "bytes", "no-key"],
)
async def test_what_would_lock_the_api_out_is_refused(
    agent: AgentProcess, certificates: Certificates, make: Callable[[Certificates], Issued]
) -> None:
    """The agent goes on with what it has, and nothing is kept."""
    before = await shown(agent)
    code, answer = await agent.call("POST", "/identity", data=body(await asyncio.to_thread(make, certificates)))
    assert (code, msgspec.json.decode(answer)["code"]) == (422, "identity_refused")
    assert await shown(agent) == before
    assert not (agent.root / "var/lib/zlh/identity.pem").exists()


async def test_a_body_that_is_none_is_refused(agent: AgentProcess) -> None:
    """Too long, or of another shape."""
    for raw in (b"{}", b"[]", encode({"certificate": "x" * 20_000, "privateKey": "k"})):
        assert (await agent.call("POST", "/identity", data=raw))[0] == 400


def keep(agent: AgentProcess, certificates: Certificates, kind: str) -> None:
    """Put something into the place of a renewed identity."""
    of_whom = OTHER if kind == "of-another" else OWNER
    in_days = {"torn": 0.005, "of-another": 0.005, "expired": -366.0, "older": -1.0}[kind]
    issued = issue(certificates, in_days=in_days, owner=of_whom)
    pem = issued.certificate + issued.private_key
    (agent.root / "var/lib/zlh/identity.pem").write_bytes(pem[: len(pem) // 2] if kind == "torn" else pem)


@pytest.mark.parametrize("kept", ["torn", "of-another", "expired", "older"])
async def test_what_was_kept_and_is_no_good_is_left_aside(
    unstarted: AgentProcess, agent: AgentProcess, certificates: Certificates, kept: str
) -> None:
    """The driver's own identity is shown then, as it is where that is the newer one."""
    await agent.kill()
    await asyncio.to_thread(keep, agent, certificates, kept)
    await unstarted.start()
    first = load_pem(agent)
    assert await shown(agent) == first


def load_pem(agent: AgentProcess) -> datetime:
    """Return until when the identity is good that the driver has put in."""
    der = ssl.PEM_cert_to_DER_cert((agent.config.parent / "agent.crt").read_text())
    return load_der_x509_certificate(der).not_valid_after_utc


async def test_killed_at_any_moment_it_has_the_old_identity_or_the_new(
    agent: AgentProcess, certificates: Certificates
) -> None:
    """Never a certificate without its key, and never none."""
    good = {await shown(agent)}
    for number in range(1, KILLS + 1):
        issued = await asyncio.to_thread(issue, certificates, in_days=number / 1000)
        good.add(issued.expires_at)
        asking = asyncio.create_task(agent.call("POST", "/identity", data=body(issued)))
        await asyncio.sleep(random.uniform(0, 0.06))
        await agent.kill()
        (outcome,) = await asyncio.gather(asking, return_exceptions=True)
        await agent.start()
        now = await shown(agent)
        assert now in good
        if isinstance(outcome, tuple) and outcome[0] == 200:
            assert now == issued.expires_at
