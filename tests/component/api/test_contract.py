"""The whole document against a live API: schemathesis sends what fits it and what does not, and finds nothing.

ZLH_CONTRACT_EXAMPLES makes the run longer (requests for each operation and phase), ZLH_CONTRACT_SEED repeats one.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from fakes.api_world import NODE, World

HERE = Path(__file__).parent / "contract"
EXAMPLES = int(os.environ.get("ZLH_CONTRACT_EXAMPLES", "4"))
SEED = int(os.environ.get("ZLH_CONTRACT_SEED", random.randrange(2**31)))
ENVIRONMENT = {**os.environ, "SCHEMATHESIS_HOOKS": "documented_code", "PYTHONPATH": str(HERE)}
TIME_S = 240 if EXAMPLES <= 10 else 3 * 3600


async def make_some(client: TestClient[Request, Application]) -> None:
    """Leave things that can be looked at, so that not every path leads nowhere."""
    headers = {"Authorization": "Bearer owner-token"}
    for name in ("first", "second", "third"):
        made = await client.post("/api/containers", json={**NODE, "name": name}, headers=headers)
        assert made.status == 202
        one = f"/api/containers/{(await made.json())['vmid']}"
        assert (await client.put(f"{one}/processes/web", json={"argv": ["serve"]}, headers=headers)).status == 201
        wish = {"port": 3000, "visibility": "public"}
        assert (await client.post(f"{one}/exposures", json=wish, headers=headers)).status == 201


async def schemathesis(url: str, folder: Path, token: str, *options: str) -> tuple[int, str]:
    """Run it in a process of its own; return how it ended and what it said."""
    program = Path(sys.executable).with_name("schemathesis")
    process = await asyncio.create_subprocess_exec(
        str(program),
        "--config-file",
        str(HERE / "schemathesis.toml"),
        "run",
        f"{url}/api/openapi.json",
        "--header",
        f"Authorization: Bearer {token}",
        "--checks",
        "all",
        "--max-examples",
        str(EXAMPLES),
        "--seed",
        str(SEED),
        "--no-color",
        *options,
        cwd=folder,
        env=ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    said = (await process.stdout.read()).decode()
    return await process.wait(), said


@pytest.mark.timeout(TIME_S + 30)
@pytest.mark.parametrize("who", ["owner", "operator"])
async def test_schemathesis_finds_nothing(world: World, tmp_path: Path, who: str) -> None:
    """Every check on every operation, for somebody who may all that there is to do."""
    async with asyncio.timeout(TIME_S), world.reconciler(), world.client() as client:
        await make_some(client)
        code, said = await schemathesis(str(client.make_url("/")).rstrip("/"), tmp_path, f"{who}-token")
    assert code == 0, said
    cases = re.search(r"(\d+) generated", said)
    assert cases is not None, said
    assert int(cases[1]) > 1000, said
    # Beside what schemathesis itself says, so that the seed stands in the log of a run that passes too.
    sys.stdout.write(said)
