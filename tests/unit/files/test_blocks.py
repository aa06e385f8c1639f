"""The memory that files hold on their way in is lent in turn, and never more of it than there is."""

from __future__ import annotations

import asyncio

import pytest

from zlh_agent.files.blocks import Block, Blocks


async def settle() -> None:
    """Let every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_is_lent_than_there_is() -> None:
    """The third of two is waited for, and had as soon as one comes back, empty."""
    blocks = Blocks(count=2, size=10)
    first, _ = await blocks.take(), await blocks.take()
    assert blocks.take_nowait() is None
    waiting = asyncio.create_task(blocks.take())
    await settle()
    assert not waiting.done()
    first.add(b"something")
    blocks.give_back(first)
    assert (await waiting).filled == 0
    assert blocks.take_nowait() is None


async def test_who_waits_for_longest_is_next() -> None:
    """Nobody passes by those who wait."""
    blocks = Blocks(count=1, size=10)
    block = await blocks.take()
    served: list[int] = []

    async def wait(number: int) -> None:
        taken = await blocks.take()
        served.append(number)
        blocks.give_back(taken)

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(wait(number))
        await settle()
        blocks.give_back(block)
    assert served == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("is_served", [False, True])
async def test_who_gives_up_waiting_holds_nothing(is_served: bool) -> None:
    """Before their turn, and in the very moment of it."""
    blocks = Blocks(count=1, size=10)
    block = await blocks.take()
    waiting = asyncio.create_task(blocks.take())
    await settle()
    if is_served:
        blocks.give_back(block)
        waiting.cancel()
    else:
        waiting.cancel()
        await settle()
        blocks.give_back(block)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert blocks.take_nowait() is not None


async def test_memory_lies_ready_while_somebody_uses_it() -> None:
    """The same block comes again, and another one once all have ended."""
    blocks = Blocks(count=2, size=10)
    with blocks.in_use():
        first = await blocks.take()
        blocks.give_back(first)
        assert await blocks.take() is first
        blocks.give_back(first)
    assert await blocks.take() is not first


def test_a_block_is_filled_from_its_beginning() -> None:
    """What is free follows what is filled."""
    block = Block(10)
    block.add(b"abcd")
    block.free[:2] = b"ef"
    block.filled += 2
    assert (bytes(block.content), len(block.free), block.is_full) == (b"abcdef", 4, False)
    block.add(b"ghij")
    assert block.is_full
