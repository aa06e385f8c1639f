"""PUT /spec and GET /status: every body that is none is refused by its code, and what was taken is held."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import stat
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from component.agent.harness import OWNER, AgentProcess, code_of, step
from zlh_agent import __version__
from zlh_common.schema.status import PROTOCOL_VERSION, StepState

BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", ""),
    "no JSON": (b"{", ""),
    "no text": (b"\xff\xfe\x00", ""),
    "no object": (b"[]", "object"),
    "no generation": (b"{}", "generation"),
    "text for a generation": (b'{"generation":"1"}', "$.generation"),
    "part of a generation": (b'{"generation":1.5}', "$.generation"),
    "null generation": (b'{"generation":null}', "$.generation"),
    "generation below zero": (b'{"generation":-1}', "$.generation"),
    "endless generation": (b'{"generation":' + b"9" * 40 + b"}", "$.generation"),
    "runtimes no list": (b'{"generation":1,"runtimes":{}}', "$.runtimes"),
    "runtime no object": (b'{"generation":1,"runtimes":["tiny"]}', "$.runtimes[0]"),
    "no version": (b'{"generation":1,"runtimes":[{"name":"tiny"}]}', "$.runtimes[0]"),
    "path for a name": (b'{"generation":1,"runtimes":[{"name":"../x","version":"1"}]}', "$.runtimes[0].name"),
    "path for a version": (b'{"generation":1,"runtimes":[{"name":"x","version":"../1"}]}', "$.runtimes[0].version"),
    "hidden version": (b'{"generation":1,"runtimes":[{"name":"x","version":".1"}]}', "$.runtimes[0].version"),
    "link for a version": (b'{"generation":1,"runtimes":[{"name":"x","version":"current"}]}', "$.runtimes[0].version"),
    "line in a version": (b'{"generation":1,"runtimes":[{"name":"x","version":"1\\n"}]}', "$.runtimes[0].version"),
    "empty name": (b'{"generation":1,"runtimes":[{"name":"","version":"1"}]}', "$.runtimes[0].name"),
    "deep": (b'{"generation":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", ""),
}


async def test_a_body_that_is_no_spec_is_refused(agent: AgentProcess) -> None:
    """400, `invalid_body`, the field in the message, and nothing is held."""
    for name, (body, field) in BAD_BODIES.items():
        status, answer = await agent.call("PUT", "/spec", data=body)
        assert (name, status, code_of(answer)) == (name, 400, "invalid_body")
        assert field in json.loads(answer)["detail"], name
    assert (await agent.status()).spec_generation == 0


async def test_a_problem_has_the_whole_shape(agent: AgentProcess) -> None:
    """Content type, type, title, status and the request id that the caller gave."""
    headers = {"X-Request-Id": "request-of-a-test"}
    _, answer = await agent.call("PUT", "/spec", data=b"{", headers=headers)
    problem = json.loads(answer)
    assert {"type", "title", "status", "code", "detail", "requestId"} == set(problem)
    assert (problem["type"], problem["requestId"]) == ("urn:zlh:error:invalid_body", "request-of-a-test")
    lines = [json.loads(line) for line in agent.log.read_text().splitlines()]
    assert [line["code"] for line in lines if line.get("request_id") == "request-of-a-test"] == ["invalid_body"]


async def test_a_request_id_that_is_none_is_replaced(agent: AgentProcess) -> None:
    """What a caller sends does not get into the log as it is."""
    for given in ("short", "x" * 65, "with space", "ünïcode-id"):
        _, answer = await agent.call("GET", "/nowhere", headers={"X-Request-Id": given})
        assert (code_of(answer), len(json.loads(answer)["requestId"])) == ("not_found", 32), given


async def test_another_method_is_not_taken(agent: AgentProcess) -> None:
    """`request_not_taken`, and the status that HTTP has for it beside."""
    for method, path in (("POST", "/spec"), ("GET", "/spec"), ("DELETE", "/status")):
        status, answer = await agent.call(method, path)
        assert (status, code_of(answer), json.loads(answer)["httpStatus"]) == (400, "request_not_taken", 405)


async def test_a_body_beyond_a_mebibyte_is_not_taken(agent: AgentProcess) -> None:
    """The agent's memory is not the caller's."""
    status, answer = await agent.call("PUT", "/spec", data=io.BytesIO(b" " * 1_100_000 + b'{"generation":1}'))
    assert (status, code_of(answer), json.loads(answer)["httpStatus"]) == (400, "request_not_taken", 413)


async def test_a_generation_that_goes_back_is_refused(agent: AgentProcess) -> None:
    """409, with both numbers; what was held stays held, also over a restart."""
    await agent.want(generation=5)
    for _ in range(2):
        status, answer = await agent.call("PUT", "/spec", data=b'{"generation":4}')
        problem = json.loads(answer)
        assert (status, problem["code"]) == (409, "spec_generation_stale")
        assert (problem["sent"], problem["held"]) == (4, 5)
        assert await agent.stop() == 0
        await agent.start()
    assert (await agent.settled()).spec_generation == 5


async def test_the_same_generation_again_changes_nothing(agent: AgentProcess) -> None:
    """An install that is done is not begun anew."""
    await agent.want(("tiny", "1.0"))
    before = await agent.settled()
    answer = await agent.want(("tiny", "1.0"), generation=1)
    assert (answer.steps, answer.runtimes) == (before.steps, before.runtimes)
    assert answer.observed_generation == 1


async def test_unknown_fields_are_taken_and_reported(agent: AgentProcess) -> None:
    """A newer API may say more; the report names what was not understood, until a spec without it comes."""
    body = b'{"generation":1,"zebra":1,"aardvark":[],"runtimes":[]}'
    status, answer = await agent.call("PUT", "/spec", data=body)
    assert (status, json.loads(answer)["unknownFields"]) == (202, ["aardvark", "zebra"])
    assert (await agent.status()).unknown_fields == ("aardvark", "zebra")
    assert (await agent.want(generation=2)).unknown_fields == ()


async def test_a_report_says_who_and_when(agent: AgentProcess) -> None:
    """Owner, versions, this boot, and times in UTC."""
    _, raw = await agent.call("GET", "/status")
    report = await agent.status()
    assert (report.owner, report.agent_version, report.protocol_version) == (OWNER, __version__, PROTOCOL_VERSION)
    boot_id = await asyncio.to_thread(Path("/proc/sys/kernel/random/boot_id").read_text)
    assert report.boot_id == boot_id.strip()
    assert report.started_at <= report.observed_at
    assert json.loads(raw)["startedAt"].endswith("Z")
    assert (report.spec_generation, report.observed_generation, report.steps, report.runtimes) == (0, 0, (), ())


async def test_the_stream_tells_every_change(agent: AgentProcess) -> None:
    """The first report comes at once, a new spec is pushed, and it ends with the agent."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=agent.context)) as session,
        session.ws_connect(
            f"https://127.0.0.1:{agent.port}/events", server_hostname=f"{OWNER}.agent.zlh.internal"
        ) as stream,
    ):
        first = await stream.receive_json(timeout=10)
        assert (first["type"], first["status"]["specGeneration"]) == ("status", 0)
        await agent.want(("tiny", "1.0"))
        seen: list[dict[str, Any]] = []
        while not seen or seen[-1]["observedGeneration"] != 1:
            seen.append((await stream.receive_json(timeout=10))["status"])
        assert seen[-1]["steps"][0]["state"] == "done"
        assert agent.process is not None
        agent.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            async for message in stream:
                assert message.type is aiohttp.WSMsgType.TEXT
    assert await asyncio.wait_for(agent.process.wait(), 10) == 0


async def test_many_specs_at_once_end_with_the_newest(agent: AgentProcess) -> None:
    """However they overtake each other, what is held is the highest that was taken, in memory and on disk."""

    async def put(generation: int) -> int:
        return (await agent.call("PUT", "/spec", data=b'{"generation":%d}' % generation))[0]

    for start in range(1, 101, 20):
        answers = await asyncio.gather(*(put(generation) for generation in range(start, start + 20)))
        assert set(answers) <= {202, 409}
        agent.generation = start + 19
        assert (await agent.settled()).spec_generation == start + 19
    kept = await asyncio.to_thread((agent.root / "var/lib/zlh/spec.json").read_bytes)
    assert msgspec.json.decode(kept)["generation"] == 100


@pytest.mark.parametrize("kept", [b"", b"{", b"\xff", b'{"generation":"x"}'])
async def test_a_broken_spec_on_disk_is_set_aside(kept: bytes, agent: AgentProcess) -> None:
    """The agent starts with none, keeps the broken one to be looked at, and takes the next."""
    await agent.want(("tiny", "1.0"))
    await agent.settled()
    assert await agent.stop() == 0
    path = agent.root / "var/lib/zlh/spec.json"
    await asyncio.to_thread(path.write_bytes, kept)
    await agent.start()
    assert (await agent.status()).spec_generation == 0
    assert await asyncio.to_thread(path.with_suffix(".broken").read_bytes) == kept
    assert step(await agent.want(("tiny", "1.0"), generation=1)).state is StepState.DONE


async def test_the_kept_spec_is_private(agent: AgentProcess) -> None:
    """What a container should have is nobody's business in it."""
    await agent.want()
    mode = (await asyncio.to_thread((agent.root / "var/lib/zlh/spec.json").stat)).st_mode
    assert stat.S_IMODE(mode) == 0o600


async def test_a_taken_port_ends_the_command_with_its_code(agent: AgentProcess) -> None:
    """A second agent in the same place says so in one line."""
    argv = [*(await asyncio.to_thread(Path(f"/proc/{agent.process.pid}/cmdline").read_bytes)).split(b"\0")[:-1]]  # type: ignore[union-attr]
    second = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.PIPE)
    _, said = await asyncio.wait_for(second.communicate(), 30)
    assert (second.returncode, b"[agent_port_in_use]" in said.splitlines()[-1]) == (1, True)


async def test_a_disk_that_does_not_keep_the_spec_refuses_it(agent: AgentProcess) -> None:
    """507 and its code; what was held holds, and the same spec is taken once the disk does its work again."""
    await agent.want(("tiny", "1.0"))
    await agent.settled()
    state = agent.root / "var/lib/zlh"
    # In the place of the temporary file that every write begins with; no right is in the way of root.
    await asyncio.to_thread((state / ".spec.json.new").mkdir)
    code, body = await agent.put_spec(2)
    assert (code, code_of(body)) == (507, "spec_not_kept")
    status = await agent.status()
    assert (status.spec_generation, [runtime.version for runtime in status.runtimes]) == (1, ["1.0"])
    await asyncio.to_thread((state / ".spec.json.new").rmdir)
    await agent.want(generation=2)
    assert (await agent.settled()).runtimes == ()
