"""Listening on a port: is it free, and what to say where it is not."""

from __future__ import annotations

import errno
import socket

from zlh_common.errors import ZlhError


class PortInUse(ZlhError):
    """Another program listens where this one was told to."""

    code, status = "port_in_use", 409

    def __init__(self, *, address: str, port: int, setting: str) -> None:
        super().__init__(
            f"Port {port} on {address} is in use by another program; stop it or choose another with {setting}.",
            address=address,
            port=port,
            setting=setting,
        )


class AddressUnusable(ZlhError):
    """This machine cannot listen on the address."""

    code, status = "address_unusable", 409

    def __init__(self, *, address: str, port: int, setting: str, reason: str) -> None:
        super().__init__(f"Cannot listen on {address} port {port}: {reason}; choose another with {setting}.")


def check_port_free(address: str, port: int, setting: str) -> None:
    """Raise PortInUse, which names the setting, if somebody listens there; a look, not a reservation."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as exc:
            raise listen_error(exc, address=address, port=port, setting=setting) from exc


def listen_error(exc: OSError, *, address: str, port: int, setting: str) -> PortInUse | AddressUnusable:
    """Return what a failed bind means in our words."""
    if exc.errno == errno.EADDRINUSE:
        return PortInUse(address=address, port=port, setting=setting)
    return AddressUnusable(address=address, port=port, setting=setting, reason=exc.strerror or str(exc))
