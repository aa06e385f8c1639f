"""Mutual TLS 1.3: only the API's own certificate opens the agent."""

from __future__ import annotations

import ssl
from typing import Any

from zlh_agent.config import TlsSection
from zlh_common.names import API_NAME


def server_context(tls: TlsSection) -> ssl.SSLContext:
    """Return the context of the listener; OpenSSL refuses clients that another CA signed, or not for clientAuth."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(tls.client_ca)
    context.load_cert_chain(tls.certificate, tls.private_key)
    # The API resumes no session, and would hold five kilobytes for each ticket of each agent.
    context.num_tickets = 0
    return context


def is_api(certificate: dict[str, Any] | None) -> bool:
    """Tell whether a verified client certificate is the API's own."""
    names = (certificate or {}).get("subjectAltName", ())
    return ("DNS", API_NAME) in names
