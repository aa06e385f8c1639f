"""A client that is generated from the document compiles, and does what its user wants."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fakes.api_world import PASSWORD, World
from zlh_api.customers.secret import Secret
from zlh_api.describe import describe_api
from zlh_api.files.upload_routes import PIECE

UPLOADS = "/api/containers/{vmid}/files/uploads"


async def generate(folder: Path) -> str:
    """Generate a client, as anybody would, and return the name of its package."""
    document = folder / "openapi.json"
    document.write_text(json.dumps(await describe_api()))
    program = Path(sys.executable).with_name("openapi-python-client")
    process = await asyncio.create_subprocess_exec(
        str(program),
        *("generate", "--path", str(document), "--output-path", str(folder / "zlh_client"), "--meta", "none"),
        # It has its own ruff put what it wrote in order.
        env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    said = (await process.stdout.read()).decode()
    assert await process.wait() == 0, said
    # Whoever sends a file in pieces takes a client of that protocol (tus); the generator knows no such type.
    assert re.findall(r"WARNING parsing (.*?) within", said) == [f"POST {UPLOADS}", f"PATCH {UPLOADS}/{{upload}}"], said
    assert re.findall(r"Unsupported content type (\S+)", said) == [PIECE, PIECE], said
    return "zlh_client"


def use(name: str, url: str) -> dict[str, Any]:
    """Sign in, create, read until it runs, list, and be refused; return what was seen."""

    def call(module: str) -> ModuleType:
        return importlib.import_module(f"{name}.api.{module}")

    package, models = importlib.import_module(name), importlib.import_module(f"{name}.models")
    with package.Client(base_url=url) as nobody:
        refused = call("account.get_me").sync_detailed(client=nobody)
        body = models.Login(email="first@example.org", password=PASSWORD)
        signed_in = call("account.login").sync_detailed(client=nobody, body=body)
    with package.AuthenticatedClient(base_url=url, token="first-token") as client:
        wish = models.CreateContainer(kind=models.CreateContainerKind.DEV, runtime="node", version="24")
        create = call("containers.create_container")
        made = create.sync(client=client, body=wish, idempotency_key="a-key")
        again = create.sync(client=client, body=wish, idempotency_key="a-key")
        status = call("containers.get_container_status")
        deadline = time.monotonic() + 20
        while not (seen := status.sync(vmid=made.vmid, client=client)).ready and time.monotonic() < deadline:
            time.sleep(0.05)
        listed = call("containers.list_containers").sync(client=client, limit=10)
        wrong = models.CreateContainer(kind=models.CreateContainerKind.DEV, runtime="cobol")
        problem = create.sync(client=client, body=wrong)
    return {
        "refused": (int(refused.status_code), refused.parsed.code),
        "signed in": (int(signed_in.status_code), signed_in.parsed.user.email),
        "once": made.vmid == again.vmid,
        "ready": seen.ready,
        "listed": [item.vmid for item in listed.items] == [made.vmid],
        "problem": (type(problem).__name__, problem.status, problem.code),
    }


async def test_a_generated_python_client_works(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Types, parameters and errors are those of the document."""
    await world.accounts.users.ensure_operator(
        email="first@example.org", password=Secret(PASSWORD), customer_name="first", api_token=Secret("first-token")
    )
    name = await generate(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    async with world.reconciler(), world.client() as client:
        seen = await asyncio.to_thread(use, name, str(client.make_url("/")).rstrip("/"))
    assert seen == {
        "refused": (401, "not_signed_in"),
        "signed in": (200, "first@example.org"),
        "once": True,
        "ready": True,
        "listed": True,
        "problem": ("Problem", 422, "cannot_install"),
    }
