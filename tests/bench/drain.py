"""Viewers that read as fast as they can, in a process of their own so that they do not slow the one that measures.

Arguments: address as JSON, how many. Prints a line once all are attached; ends when it is ended.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading

from bench.sockets import Address, WebSocket


def drain(socket: WebSocket) -> None:
    """Read until the server goes."""
    with contextlib.suppress(OSError, ConnectionError):
        for _ in socket.frames():
            pass


def main() -> None:
    """Attach, and read."""
    address = Address(**json.loads(sys.argv[1]))
    sockets = [WebSocket(address) for _ in range(int(sys.argv[2]))]
    threads = [threading.Thread(target=drain, args=(socket,), daemon=True) for socket in sockets]
    for thread in threads:
        thread.start()
    print("attached", flush=True)
    for thread in threads:
        thread.join()


main()
