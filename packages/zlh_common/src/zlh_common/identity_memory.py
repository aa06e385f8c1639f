"""A certificate and its key for OpenSSL, which takes them from files alone: nothing of it ever reaches a disk."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager


def load_identity(context: ssl.SSLContext, pem: bytes) -> None:
    """Let a context show this identity to whoever connects from now on; raise OSError where it is none."""
    # An encrypted key would be asked for at a terminal that nobody sits at.
    with _as_file(pem) as path:
        context.load_cert_chain(path, password=lambda: "")


@contextmanager
def _as_file(pem: bytes) -> Iterator[str]:
    """Lend a path at which the text can be read."""
    descriptor = os.memfd_create("identity", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
