"""No test speaks to anything beyond this machine: loopback, Unix sockets, and hosts that the test itself made."""

from __future__ import annotations

import ipaddress
import socket
import sys
from typing import Any

# Addresses of hosts that a test has made itself, in a network namespace or a container of its own.
own_test_hosts: set[str] = set()


class OutsideConnection(Exception):
    """A test wanted to speak to something beyond this machine."""


def arm() -> None:
    """Watch every connection of this process from now on."""
    sys.addaudithook(_check)


def _check(event: str, arguments: tuple[Any, ...]) -> None:
    match event:
        case "socket.connect" | "socket.sendto":
            _check_address(arguments[0], arguments[1])
        case "socket.getaddrinfo":
            _check_name(arguments[0])
        case _:
            pass


def _check_address(connection: socket.socket, address: object) -> None:
    if connection.family in {socket.AF_INET, socket.AF_INET6} and isinstance(address, tuple):
        _check_name(address[0])


def _check_name(name: object) -> None:
    text = name.decode() if isinstance(name, bytes) else name
    if text is None or text == "localhost" or text in own_test_hosts:
        return
    try:
        if ipaddress.ip_address(str(text)).is_loopback or str(text) in {"0.0.0.0", "::"}:
            return
    except ValueError:
        pass
    raise OutsideConnection(f"a test wanted to reach {text}; tests stay on this machine")
