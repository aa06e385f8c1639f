"""Which addresses a new container may get."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from zlh_api.reconcile.addresses import candidate_addresses

BLOCKS = st.integers(20, 30).map(lambda prefix: f"127.77.0.0/{prefix}")


@given(block=BLOCKS, start=st.integers(0, 2**33), limit=st.integers(1, 80), data=st.data())
def test_candidates_are_usable(block: str, start: int, limit: int, data: st.DataObject) -> None:
    """Each candidate lies in the block, is free, ends in neither 0 nor 255, and comes once."""
    network = ipaddress.IPv4Network(block)
    every = [str(address) for address in network]
    unusable = data.draw(st.sets(st.sampled_from(every), max_size=20))
    found = list(candidate_addresses(block, start=start, unusable=unusable, limit=limit))
    assert len(found) == len(set(found)) <= limit
    assert not unusable & set(found)
    for address in found:
        assert ipaddress.IPv4Address(address) in network
        assert address.rpartition(".")[2] not in {"0", "255"}


@given(block=BLOCKS, start=st.integers(0, 2**33))
def test_every_usable_address_is_found(block: str, start: int) -> None:
    """Wherever the count starts, it goes round the whole block."""
    usable = {str(address) for address in ipaddress.IPv4Network(block) if int(address) & 0xFF not in {0, 255}}
    assert set(candidate_addresses(block, start=start, unusable=(), limit=5000)) == usable


@given(block=BLOCKS, start=st.integers(0, 2**33))
def test_a_full_block_has_no_candidate(block: str, start: int) -> None:
    """Nothing is offered where everything is taken."""
    every = {str(address) for address in ipaddress.IPv4Network(block)}
    assert list(candidate_addresses(block, start=start, unusable=every)) == []


def test_the_count_starts_where_it_is_told() -> None:
    """Neighbours of one installation spread over the block instead of racing for its first address."""
    assert next(candidate_addresses("127.77.0.0/16", start=7, unusable=())) == "127.77.0.7"
    assert next(candidate_addresses("127.77.0.0/16", start=65536 + 7, unusable=())) == "127.77.0.7"
