"""A Java trust store (JKS) from certificates: the same certificates give the same bytes.

The format is Sun's, read by every Java since 1.2: magic, version 2, entries (kind 2, alias, time, "X.509", bytes), then
SHA-1 over password, "Mighty Aphrodite" and all of it. The password guards nothing, and is the one that Java expects.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Iterable

PASSWORD = "changeit"  # noqa: S105 - Java's own, known to all
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")


def parse_pem(text: bytes) -> list[bytes]:
    """Return the certificates (DER) of a PEM text; raise ValueError for one that is none."""
    try:
        return [base64.b64decode(b"".join(body.split()), validate=True) for body in _PEM.findall(text)]
    except binascii.Error as exc:
        raise ValueError(str(exc)) from exc


def render_trust_store(certificates: Iterable[bytes], *, at_ms: int) -> bytes:
    """Return the store; each certificate's alias is its SHA-256, so order and names do not matter."""
    unique = {hashlib.sha256(certificate).hexdigest(): certificate for certificate in certificates}
    body = struct.pack(">III", 0xFEEDFEED, 2, len(unique))
    for alias, certificate in sorted(unique.items()):
        body += struct.pack(">I", 2) + _text(alias) + struct.pack(">Q", at_ms)
        body += _text("X.509") + struct.pack(">I", len(certificate)) + certificate
    return body + hashlib.sha1(PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite" + body).digest()  # noqa: S324


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data
