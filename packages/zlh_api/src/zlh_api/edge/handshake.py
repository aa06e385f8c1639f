"""Which certificate is shown for a name: a TLS handshake that believes nothing and only looks."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from datetime import UTC

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

from zlh_common.schema.edge import Certificate

MAX_NAMES = 10
NAME_CHARS = 128


class TlsHandshake:
    """Opens a connection to the public side of the proxy, looks at what it shows, and closes it."""

    def __init__(self, *, address: str, port: int) -> None:
        self._address = address
        self._port = port
        # It must show what has run out, too, and what is signed by nobody that we know.
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    async def fetch_certificate(self, host: str) -> Certificate | None:
        """Return what is shown for a host, however wrong or old it is; None where nothing is."""
        try:
            _reader, writer = await asyncio.open_connection(
                self._address, self._port, ssl=self._context, server_hostname=host
            )
        except (OSError, ValueError):
            return None
        try:
            secured = writer.get_extra_info("ssl_object")
            shown = secured.getpeercert(binary_form=True) if secured is not None else None
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        return read_certificate(shown) if shown else None


def read_certificate(shown: bytes) -> Certificate | None:
    """Return what a certificate in DER says; None where it cannot be read."""
    try:
        certificate = x509.load_der_x509_certificate(shown)
        names, issuer = _names_of(certificate), _common_name(certificate.issuer)
    except ValueError:
        return None
    return Certificate(
        names=tuple(name[:NAME_CHARS] for name in names[:MAX_NAMES]),
        issuer=issuer[:NAME_CHARS],
        not_after=certificate.not_valid_after_utc.astimezone(UTC),
    )


def _names_of(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    except x509.ExtensionNotFound:
        return [_common_name(certificate.subject)]
    assert isinstance(extension.value, x509.SubjectAlternativeName)
    return extension.value.get_values_for_type(x509.DNSName)


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME) or list(name)
    return str(found[0].value) if found else ""
