"""Puts the rules in force by which the kernel leads published ports to the forwarder, by `nft`, all of them or none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from zlh_agent.ports.bridge_rules import render_table

_PROGRAMS = ("/usr/sbin/nft", "/sbin/nft")
LIMIT_S = 10.0
_COMPLAINT_BYTES = 2048


class RulesRefused(Exception):
    """The kernel does not take the rules, or there is nobody to hand them over."""


async def apply_table(entrances: Mapping[int, int] | None) -> None:
    """Have {port: where the forwarder listens} hold instead of what held before; raise RulesRefused.

    None takes the table away.
    """
    program = await asyncio.to_thread(_find_program)
    try:
        child = await asyncio.create_subprocess_exec(
            program, "-f", "-",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            env={}, cwd="/",
        )  # fmt: skip
    except OSError as exc:
        raise RulesRefused(f"{program} cannot be started: {exc}") from exc
    try:
        async with asyncio.timeout(LIMIT_S):
            _, said = await child.communicate(render_table(entrances).encode())
    except TimeoutError as exc:
        raise RulesRefused(f"{program} does not end") from exc
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        raise RulesRefused(said[:_COMPLAINT_BYTES].decode(errors="replace").strip() or f"exit code {child.returncode}")


def _find_program() -> str:
    for program in _PROGRAMS:
        if Path(program).is_file():
            return program
    raise RulesRefused("nft is not installed in this container: apt install nftables")
