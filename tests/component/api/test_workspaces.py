"""What a customer asks of a workspace: written, told to the agent, shown, and recorded without what may be secret."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from component.api.people_world import OWNER, VIEWER
from component.api.test_audit_log import entries
from component.api.test_http import CONTAINERS, create, problem, status_of
from fakes.api_world import NODE, World
from zlh_api.containers import store
from zlh_api.containers.addon_rules import ADDON_PROTOCOL
from zlh_api.reconcile.spec import render_spec
from zlh_common.names import Vmid
from zlh_common.schema.spec import AgentSpec, Repository, WantedWorkspace

Client = TestClient[Request, Application]
URL = "https://git.example.org/me/shop.git"
SECRET = "export TOKEN=s3cr3t\n"


async def spec_of(world: World, vmid: int) -> AgentSpec:
    """Return what the agent of a container is told."""
    async with world.database.connection() as connection:
        container = await store.find_by_vmid(connection, Vmid(vmid))
    assert container is not None
    return render_spec(container, ADDON_PROTOCOL)


async def test_a_wish_is_told_to_the_agent_and_shown_without_the_script(world: World, client: Client) -> None:
    """Whoever may see the container sees where its files come from; the script's text nobody gets back."""
    repository = {"url": URL, "branch": "next"}
    made = await create(client, sudo=True, repository=repository, startScript=SECRET)
    assert made["workspace"] == {"sudo": True, "repository": repository, "hasStartScript": True}
    told = await spec_of(world, made["vmid"])
    assert told.workspace == WantedWorkspace(
        sudo=True, repository=Repository(url=URL, branch="next"), start_script=SECRET
    )
    seen = await client.get(f"{CONTAINERS}/{made['vmid']}", headers=VIEWER)
    assert "s3cr3t" not in await seen.text()
    (entry,) = await entries(client, act="container.create")
    noted = (
        {fact["name"]: fact["value"] for fact in entry["details"]}
        if isinstance(entry["details"], list)
        else entry["details"]
    )
    assert (noted["repository"], noted["branch"], noted["sudo"]) == (URL, "next", "true")
    kept = str([dict(row) for row in await world.fetch("select * from audit_entries")])
    assert "s3cr3t" not in kept


async def test_sudo_is_switched_as_a_new_spec_and_only_when_it_changes(world: World, client: Client) -> None:
    """The agent hears of a change; of none there is nothing to hear."""
    made = await create(client, startScript="true")
    one = f"{CONTAINERS}/{made['vmid']}"
    for is_wanted, generation in ((True, 2), (True, 2), (False, 3)):
        answer = await client.patch(one, json={"sudo": is_wanted}, headers=OWNER)
        body = await answer.json()
        assert (answer.status, body["workspace"]["sudo"], body["specGeneration"]) == (200, is_wanted, generation)
    told = await spec_of(world, made["vmid"])
    assert told.workspace == WantedWorkspace(start_script="true")
    answer = await client.patch(one, json={"sudo": True}, headers=VIEWER)
    await problem(answer, 403, "role_missing")


async def test_a_workspace_is_tried_again(world: World, client: Client) -> None:
    """As a new spec, each time; where there is nothing to try that is said."""
    made = await create(client, startScript="true")
    for attempt in (1, 2):
        answer = await client.post(f"{CONTAINERS}/{made['vmid']}/workspace/retry", headers=OWNER)
        assert answer.status == 202
        told = await spec_of(world, made["vmid"])
        assert (told.workspace.attempt, told.generation) == (attempt, attempt + 1)
    bare = await create(client)
    answer = await client.post(f"{CONTAINERS}/{bare['vmid']}/workspace/retry", headers=OWNER)
    await problem(answer, 409, "workspace_has_nothing")
    assert (await status_of(client, bare["vmid"]))["specGeneration"] == 1


@pytest.mark.parametrize(
    ("wish", "status", "code"),
    [
        ({**NODE, "repository": {"url": "https://me:s3cr3t@git.example.org/x"}}, 422, "repository_has_credentials"),
        ({**NODE, "repository": {"url": f"{URL}?private_token=s3cr3t"}}, 422, "repository_invalid"),
        ({**NODE, "repository": {"url": "s3cr3t@git.example.org:x"}}, 422, "repository_invalid"),
        ({**NODE, "repository": {"url": "ssh://git@git.example.org/x"}}, 422, "repository_invalid"),
        ({**NODE, "repository": {"url": URL, "branch": "-x"}}, 422, "branch_invalid"),
        ({**NODE, "repository": {"url": URL, "depth": 1}}, 400, "invalid_body"),
        ({**NODE, "startScript": "a\0b"}, 400, "invalid_body"),
        ({**NODE, "startScript": ""}, 400, "invalid_body"),
        ({**NODE, "startScript": "x" * 65_537}, 400, "invalid_body"),
        ({"kind": "game", "template": "minecraft", "sudo": True}, 422, "workspace_of_game"),
    ],
)
async def test_what_cannot_be_is_refused_before_anything_is_written(
    world: World, client: Client, wish: dict[str, Any], status: int, code: str
) -> None:
    """Each by its code, and no secret comes back or stands in the audit log."""
    body = await problem(await client.post(CONTAINERS, json=wish, headers=OWNER), status, code)
    assert "s3cr3t" not in str(body)
    assert await world.fetch("select 1 from containers") == []
    kept = str([dict(row) for row in await world.fetch("select * from audit_entries")])
    assert "s3cr3t" not in kept
