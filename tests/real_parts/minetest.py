"""Minetest as it is shipped: packed by its recipe from Debian's packages, offered by its template, and asked by UDP."""

from __future__ import annotations

import contextlib
import socket
import struct
from datetime import UTC, datetime

from fakes.runtime_shop import RuntimeShop
from zlh_api.artifacts.building.build import build_artifacts
from zlh_api.artifacts.building.recipes import RecipeBook
from zlh_api.artifacts.building.resolve import resolve_templates
from zlh_api.artifacts.building.template_book import TemplateBook
from zlh_common.runtime_choice import this_platform

# The header of every packet, no peer yet, the first channel, and a packet without a word: who asks to be known.
_MAGIC = 0x4F457403
_HELLO = struct.pack(">IHBB", _MAGIC, 0, 0, 1)
_TRIES, _ANSWER_S = 150, 2.0


def offer_minetest(shop: RuntimeShop) -> None:
    """Pack and sign it; takes a minute or two."""
    book = RecipeBook()
    build_artifacts(shop.tree, book, book.choose(["minetest"]), platforms=[this_platform()])
    unresolved: list[object] = []
    chosen = TemplateBook().choose(["minetest"])
    resolve_templates(shop.tree, chosen, now=datetime.now(UTC), on_unresolved=unresolved.append)
    assert not unresolved
    shop.publish()


def ask_minetest(address: str, port: int) -> int:
    """Return the number that a server gives to somebody who comes, and leave again; blocks."""
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(_ANSWER_S)
        client.connect((address, port))
        for _ in range(_TRIES):
            with contextlib.suppress(TimeoutError, ConnectionError):
                client.send(_HELLO)
                answer = client.recv(1500)
                # The header, a reliable packet with its number, and in it the word of control that names the peer.
                assert answer[:4] == _HELLO[:4]
                assert answer[7:8] == b"\x03"
                assert answer[10:12] == b"\x00\x01"
                (peer,) = struct.unpack(">H", answer[12:14])
                client.send(struct.pack(">IHBBB", _MAGIC, peer, 0, 0, 3))
                return int(peer)
    raise AssertionError("nobody answers")
