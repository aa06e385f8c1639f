"""What an agent shows and whom it believes, as one file holds it: pure text, so that no crash parts the two."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----\r?\n[A-Za-z0-9+/=\r\n]*-----END \1-----")
_CERTIFICATE = b"CERTIFICATE"


@dataclass(frozen=True, slots=True)
class Held:
    """A certificate with its key, and the CAs that may sign the API."""

    identity: bytes
    client_ca: bytes

    def render(self) -> bytes:
        """Return the file: what an agent of before reads as an identity, since certificates may follow a key."""
        return self.identity.rstrip() + b"\n" + self.client_ca

    @property
    def client_cas(self) -> int:
        """How many CAs there are."""
        return len(find_certificates(self.client_ca))


def find_certificates(pem: bytes) -> list[bytes]:
    """Return the certificates of a PEM text, in order, each as PEM."""
    return [match[0] for match in _BLOCK.finditer(pem) if match[1] == _CERTIFICATE]


def parse_held(pem: bytes, *, otherwise: bytes) -> Held:
    """Return what a file holds; one that names no CA was written by an agent of before, and believes `otherwise`.

    The CAs are the certificates behind the key; whether anything of it is good is not asked here.
    """
    blocks = list(_BLOCK.finditer(pem))
    keys = [at for at, match in enumerate(blocks) if match[1] != _CERTIFICATE]
    if not keys or keys[-1] + 1 == len(blocks):
        return Held(pem, otherwise)
    begin = blocks[keys[-1] + 1].start()
    return Held(pem[:begin], pem[begin:])
