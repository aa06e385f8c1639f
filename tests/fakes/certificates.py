"""Certificates for agent and API, made by the project's own authority, and the wrong ones that strangers have."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography.x509.oid import ExtendedKeyUsageOID

from zlh_api.agents.authority import Authority, Issued
from zlh_common.clock import SystemClock
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

    def api(self) -> ssl.SSLContext:
        """Return the API's own context."""
        return self.authority.client_context()

    def without_certificate(self) -> ssl.SSLContext:
        """Return a context that trusts the agents and has nothing to show."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.folder / "agents-ca.crt")
        return context

    def foreign(self, other: Certificates) -> ssl.SSLContext:
        """Return a context that shows the API certificate of another installation."""
        other.authority.client_context()
        context = self.without_certificate()
        context.load_cert_chain(other.folder / "api.crt", other.folder / "api.key")
        return context

    def of_another_name(self, name: str = f"x.{API_NAME}") -> ssl.SSLContext:
        """Return a context that the API's CA has signed for somebody else."""
        authority = self.authority
        return self._showing(authority._issue(authority._api, name, ExtendedKeyUsageOID.CLIENT_AUTH))

    def not_for_clients(self) -> ssl.SSLContext:
        """Return a context with the API's name in a certificate that is for servers."""
        authority = self.authority
        return self._showing(authority._issue(authority._api, API_NAME, ExtendedKeyUsageOID.SERVER_AUTH))

    def of_an_agent(self, owner: OwnerMark) -> ssl.SSLContext:
        """Return a context that shows an agent's own certificate."""
        assert agent_name(owner)
        return self._showing(self.authority.issue_agent(owner))

    def _showing(self, issued: Issued) -> ssl.SSLContext:
        certificate, key = self.folder / "shown.crt", self.folder / "shown.key"
        certificate.write_bytes(issued.certificate)
        key.write_bytes(issued.private_key)
        context = self.without_certificate()
        context.load_cert_chain(certificate, key)
        return context
