"""Which address a new container gets: pure, over a block and what is taken."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator


def candidate_addresses(block: str, *, start: int, unusable: Collection[str], limit: int) -> Iterator[str]:
    """Yield up to `limit` free addresses of `block`, counting from `start` round the block.

    Addresses ending in .0 and .255 are left out: some tools take them for a network or for everybody.
    """
    network = ipaddress.IPv4Network(block)
    size, found = network.num_addresses, 0
    for step in range(size):
        address = network.network_address + (start + step) % size
        if int(address) & 0xFF in {0, 255} or str(address) in unusable:
            continue
        yield str(address)
        found += 1
        if found == limit:
            return
