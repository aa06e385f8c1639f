"""Certificates for agent and API, made by the project's own authority, and the wrong ones that strangers have."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.x509 import ObjectIdentifier
from cryptography.x509.oid import ExtendedKeyUsageOID

from zlh_api.agents.authority import Authority
from zlh_api.agents.certificates import Ca, Issued, issue
from zlh_common.clock import SystemClock
from zlh_common.identity_memory import load_identity
from zlh_common.names import API_NAME, OwnerMark, agent_name


@dataclass
class Certificates:
    """Both CAs of one installation, in a folder."""

    folder: Path

    def __post_init__(self) -> None:
        """Make them."""
        self.authority = Authority(self.folder, SystemClock())

    def write_agent(self, folder: Path, owner: OwnerMark) -> None:
        """Put what an agent needs into its folder of configuration, as a driver does."""
        folder.mkdir(parents=True, exist_ok=True)
        issued = self.authority.issue_agent(owner)
        (folder / "agent.crt").write_bytes(issued.certificate)
        (folder / "agent.key").write_bytes(issued.private_key)
        (folder / "api-ca.crt").write_bytes(self.authority.api_ca)

    @property
    def agents_ca(self) -> Ca:
        """Who signs agents."""
        return self.authority.held[self.authority.standing.issuing].agents

    @property
    def client_ca(self) -> Ca:
        """Who signs the API."""
        return self.authority.held[self.authority.standing.presented].api

    def api(self) -> ssl.SSLContext:
        """Return the API's own context."""
        return self.authority.client_context()

    def without_certificate(self) -> ssl.SSLContext:
        """Return a context that trusts the agents and has nothing to show."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.agents_ca.pem.decode())
        return context

    def foreign(self, other: Certificates) -> ssl.SSLContext:
        """Return a context that shows the API certificate of another installation."""
        return self.showing(sign(other.client_ca, API_NAME, ExtendedKeyUsageOID.CLIENT_AUTH))

    def of_another_name(self, name: str = f"x.{API_NAME}") -> ssl.SSLContext:
        """Return a context that the API's CA has signed for somebody else."""
        return self.showing(sign(self.client_ca, name, ExtendedKeyUsageOID.CLIENT_AUTH))

    def not_for_clients(self) -> ssl.SSLContext:
        """Return a context with the API's name in a certificate that is for servers."""
        return self.showing(sign(self.client_ca, API_NAME, ExtendedKeyUsageOID.SERVER_AUTH))

    def of_an_agent(self, owner: OwnerMark) -> ssl.SSLContext:
        """Return a context that shows an agent's own certificate."""
        assert agent_name(owner)
        return self.showing(self.authority.issue_agent(owner))

    def showing(self, issued: Issued) -> ssl.SSLContext:
        """Return a context that trusts the agents and shows this."""
        context = self.without_certificate()
        load_identity(context, issued.certificate + issued.private_key)
        return context


def sign(ca: Ca, name: str, usage: ObjectIdentifier) -> Issued:
    """Return what a CA can be made to sign by whoever has its key."""
    return issue(ca, name, usage, now=datetime.now(UTC))
