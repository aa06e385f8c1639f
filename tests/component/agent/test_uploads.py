"""Files sent to a real agent over mutual TLS: whole in one request, and in pieces that go on after a cut."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import random
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec
import pytest

from component.agent.harness import OWNER, AgentProcess, code_of, eventually
from zlh_agent.files.blocks import MAX_BLOCKS
from zlh_common.names import agent_name

TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Content-Type": "application/offset+octet-stream"}
MIB = 1024 * 1024


@dataclass
class Answer:
    """What the agent said."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def code(self) -> str:
        """The code of a refusal."""
        return code_of(self.body)


class Sender:
    """Speaks to an agent, and can break off in the middle."""

    def __init__(self, agent: AgentProcess) -> None:
        self.agent = agent
        self.workspace = agent.root / "home/dev/workspace"

    async def call(self, method: str, path: str, **options: object) -> Answer:
        """Make one call on a connection of its own."""
        if isinstance(options.get("data"), bytes):
            options["data"] = io.BytesIO(options["data"])  # type: ignore[arg-type]
        connector = aiohttp.TCPConnector(ssl=self.agent.context)
        url = f"https://{self.agent.address}:{self.agent.port}{path}"
        async with (
            aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(120)) as session,
            session.request(method, url, server_hostname=agent_name(OWNER), **options) as response,  # type: ignore[arg-type]
        ):
            return Answer(response.status, response.headers, await response.read())

    async def put(self, path: str, content: object, *, query: str = "", **headers: str) -> Answer:
        """Put a whole file."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.call("PUT", f"/files/content?path={path}{query}", data=content, headers=named)

    async def begin(self, size: int, **said: str) -> str:
        """Begin an upload; return where it goes on."""
        answer = await self.create(size, **said)
        assert answer.status == 201, answer
        return answer.headers["Location"]

    async def create(self, size: int, **said: str) -> Answer:
        """Ask for an upload."""
        pairs = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in said.items())
        headers = {**TUS, "Upload-Length": str(size), "Upload-Metadata": pairs}
        return await self.call("POST", "/files/uploads", headers=headers)

    async def offset(self, upload: str) -> int:
        """Ask how far an upload is."""
        answer = await self.call("HEAD", upload, headers=TUS)
        assert answer.status == 200
        return int(answer.headers["Upload-Offset"])

    async def append(self, upload: str, offset: int, piece: bytes, **headers: str) -> Answer:
        """Send a piece."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.call("PATCH", upload, data=piece, headers={**PIECE, "Upload-Offset": str(offset), **named})

    async def open_cut(self, head: str, body: bytes) -> asyncio.StreamWriter:
        """Send a head and a part of what it announces; whoever gets the writer breaks off."""
        _, writer = await asyncio.open_connection(
            self.agent.address, self.agent.port, ssl=self.agent.context, server_hostname=agent_name(OWNER)
        )
        writer.write(head.encode() + body)
        await writer.drain()
        return writer

    def names(self) -> set[str]:
        """Return what stands in the workspace, hidden things too."""
        return {path.name for path in self.workspace.iterdir()}

    def records(self) -> list[Path]:
        """Return what is written down of uploads that are not whole."""
        return [path for path in (self.agent.root / "var/lib/zlh/uploads").glob("*.json") if not is_whole(path)]

    async def nothing_left(self, *expected: str) -> None:
        """Wait until the workspace holds exactly this, and no record is kept."""
        await eventually(lambda: self.names() == set(expected) and not self.records(), lambda: str(self.names()))


@pytest.fixture
async def sender(agent: AgentProcess) -> Sender:
    """Return who speaks to an agent whose workspace is there."""
    found = Sender(agent)
    await eventually(found.workspace.is_dir)
    return found


def is_whole(record: Path) -> bool:
    """Tell whether a record is of an upload that is in place, or has gone meanwhile."""
    try:
        return bool(msgspec.json.decode(record.read_bytes()).get("isWhole"))
    except FileNotFoundError:
        return True


def cut(writer: asyncio.StreamWriter) -> None:
    """Break a connection off without a goodbye."""
    assert isinstance(writer.get_extra_info("ssl_object"), ssl.SSLObject)
    writer.transport.abort()


def noise(size: int, seed: int = 1) -> bytes:
    """Return bytes that are nowhere the same."""
    return random.Random(seed).randbytes(size)


# ── whole files ──


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, 5 * MIB + 17])
async def test_a_file_is_put_and_read_back(size: int, sender: Sender) -> None:
    """Whatever its size, byte for byte, with a version that a condition can name."""
    content = noise(size)
    answer = await sender.put("a.bin", content)
    assert answer.status == 201
    entry = msgspec.json.decode(answer.body)
    assert (entry["name"], entry["size"], answer.headers["ETag"]) == ("a.bin", size, f'"{entry["version"]}"')
    read = await sender.call("GET", "/files/content?path=a.bin")
    assert (read.body, read.headers["ETag"]) == (content, answer.headers["ETag"])
    await sender.nothing_left("a.bin")


async def test_a_file_of_no_announced_length_is_put(sender: Sender) -> None:
    """Chunked, as by a program that does not know how much it will send."""

    async def parts() -> AsyncIterator[bytes]:
        for number in range(50):
            yield bytes([number]) * 1000

    assert (await sender.put("a.bin", parts())).status == 201
    assert (sender.workspace / "a.bin").read_bytes() == b"".join(bytes([number]) * 1000 for number in range(50))


async def test_a_file_is_replaced_only_in_the_version_that_was_named(sender: Sender) -> None:
    """Two people who edit one file do not overwrite each other, and the rights of the file stay."""
    first = await sender.put("a", b"one", query="&mode=0750")
    assert (await sender.put("a", b"two", If_Match=first.headers["ETag"])).status == 200
    late = await sender.put("a", b"three", If_Match=first.headers["ETag"])
    assert (late.status, late.code) == (412, "file_changed")
    assert (sender.workspace / "a").read_bytes() == b"two"
    assert (sender.workspace / "a").stat().st_mode & 0o777 == 0o750


async def test_a_file_that_is_there_is_not_replaced_where_it_must_be_new(sender: Sender) -> None:
    """`If-None-Match: *`, told before a byte of the body is taken; another condition is not passed over."""
    first = await sender.put("a", b"one", If_None_Match="*")
    assert first.status == 201
    answer = await sender.put("a", b"two", If_None_Match="*")
    assert (answer.status, answer.code) == (412, "file_already_there")
    unknown = await sender.put("a", b"two", If_None_Match=first.headers["ETag"])
    assert (unknown.status, unknown.code) == (400, "upload_invalid")
    assert (sender.workspace / "a").read_bytes() == b"one"
    await sender.nothing_left("a")


async def test_a_file_that_must_be_new_is_not_put_over_what_has_come_meanwhile(sender: Sender) -> None:
    """Of two who write at once the later one is told so at the end of its body, and what the first wrote stays."""
    head = "PUT /files/content?path=a HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nIf-None-Match: *\r\n\r\n"
    reader, writer = await asyncio.open_connection(
        sender.agent.address, sender.agent.port, ssl=sender.agent.context, server_hostname=agent_name(OWNER)
    )
    writer.write(f"{head}two".encode())
    await eventually(lambda: len(sender.names()) == 1)
    assert (await sender.put("a", b"one", If_None_Match="*")).status == 201
    writer.write(b"two")
    assert (await asyncio.wait_for(reader.readline(), 60)).startswith(b"HTTP/1.1 412")
    cut(writer)
    assert (sender.workspace / "a").read_bytes() == b"one"
    await sender.nothing_left("a")


async def test_a_file_with_another_hash_is_not_put(sender: Sender) -> None:
    """What was there stays."""
    await sender.put("a", b"one")
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    answer = await sender.put("a", b"two", Repr_Digest=f"sha-256=:{wrong}:")
    assert (answer.status, answer.code) == (422, "file_hash_wrong")
    assert (sender.workspace / "a").read_bytes() == b"one"
    right = base64.b64encode(hashlib.sha256(b"two").digest()).decode()
    assert (await sender.put("a", b"two", Repr_Digest=f"sha-256=:{right}:")).status == 200
    await sender.nothing_left("a")


async def test_a_large_body_ends_with_its_connection(sender: Sender) -> None:
    """What is sent behind it is no request: it was never looked at, and the answer says so."""
    content, name = noise(3 * MIB + 5), agent_name(OWNER)
    reader, writer = await asyncio.open_connection(
        sender.agent.address, sender.agent.port, ssl=sender.agent.context, server_hostname=name
    )
    writer.write(f"PUT /files/content?path=a HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n".encode())
    writer.write(content + b"DELETE /files?path=a HTTP/1.1\r\nHost: x\r\n\r\n" * 5)
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert (sender.workspace / "a").read_bytes() == content
    await sender.nothing_left("a")


async def test_bodies_that_pause_hold_nobody_up(sender: Sender) -> None:
    """Many more than there are blocks for send a little and wait; what others send comes through, and theirs later."""
    count, content, head = 3 * MAX_BLOCKS, noise(2 * MIB), "PUT /files/content?path={} HTTP/1.1\r\nHost: x\r\n"
    sockets = []
    for number in range(count):
        reader, writer = await asyncio.open_connection(
            sender.agent.address, sender.agent.port, ssl=sender.agent.context, server_hostname=agent_name(OWNER)
        )
        writer.write(f"{head.format(number)}Content-Length: {len(content)}\r\n\r\n".encode() + content[:70_000])
        await writer.drain()
        sockets.append((reader, writer))
    await eventually(lambda: len(sender.names()) == count)
    assert (await sender.put("other", content)).status == 201
    for _, writer in sockets:
        writer.write(content[70_000:])
    for reader, writer in sockets:
        assert (await reader.read()).startswith(b"HTTP/1.1 201 ")
        writer.close()
    assert all((sender.workspace / str(number)).read_bytes() == content for number in range(count))
    await sender.nothing_left("other", *map(str, range(count)))


@pytest.mark.parametrize("come", [0, 1, 70_000, 3 * MIB])
async def test_a_body_that_is_cut_leaves_nothing(come: int, sender: Sender) -> None:
    """The old file is as it was, and nothing stands beside it."""
    await sender.put("a", b"old")
    head = f"PUT /files/content?path=a HTTP/1.1\r\nHost: x\r\nContent-Length: {4 * MIB}\r\n\r\n"
    writer = await sender.open_cut(head, noise(come))
    await eventually(lambda: len(sender.names()) == 2)
    cut(writer)
    await sender.nothing_left("a")
    assert (sender.workspace / "a").read_bytes() == b"old"


async def test_a_body_that_is_encoded_is_refused(sender: Sender) -> None:
    """A few bytes must not become many in the agent."""
    answer = await sender.put("a", b"x", Content_Encoding="gzip")
    assert (answer.status, answer.code) == (400, "upload_invalid")


async def test_whoever_asks_first_is_told_before_the_body_comes(sender: Sender) -> None:
    """`Expect: 100-continue` is answered by the refusal where there is one, and else by the go-ahead."""
    await sender.put("a", b"one")
    head = "PUT /files/content?path=a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n"
    for more, first in [("If-None-Match: *\r\n", b"HTTP/1.1 412"), ("", b"HTTP/1.1 100")]:
        reader, writer = await asyncio.open_connection(
            sender.agent.address, sender.agent.port, ssl=sender.agent.context, server_hostname=agent_name(OWNER)
        )
        writer.write(f"{head}{more}\r\n".encode())
        assert (await asyncio.wait_for(reader.readline(), 60)).startswith(first)
        cut(writer)
    await sender.nothing_left("a")


async def test_what_the_agents_death_has_left_of_a_put_is_removed(sender: Sender) -> None:
    """The next agent knows of the partial file by its record."""
    head = f"PUT /files/content?path=a HTTP/1.1\r\nHost: x\r\nContent-Length: {4 * MIB}\r\n\r\n"
    writer = await sender.open_cut(head, noise(2 * MIB))
    await eventually(lambda: len(sender.names()) == 1)
    await sender.agent.kill()
    cut(writer)
    assert len(sender.names()) == 1
    await sender.agent.start()
    await sender.nothing_left()


# ── in pieces ──


async def test_an_upload_goes_on_where_it_was_cut(sender: Sender) -> None:
    """What had come is counted, also after the death of the agent, and the whole has the hash that was announced."""
    content = noise(3 * MIB)
    upload = await sender.begin(
        len(content), path="sub/a.bin", parents="true", sha256=hashlib.sha256(content).hexdigest()
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in PIECE.items())
    head = f"PATCH {upload} HTTP/1.1\r\nHost: x\r\n{head}Upload-Offset: 0\r\nContent-Length: {len(content)}\r\n\r\n"
    writer = await sender.open_cut(head, content[:700_000])
    (partial,) = (sender.workspace / "sub").iterdir()
    await eventually(lambda: partial.stat().st_size == 700_000)
    await sender.agent.kill()
    cut(writer)
    await sender.agent.start()
    assert await sender.offset(upload) == 700_000
    answer = await sender.append(upload, 700_000, content[700_000:])
    assert answer.status == 204, answer.body
    assert (sender.workspace / "sub/a.bin").read_bytes() == content
    await sender.nothing_left("sub")
    assert await sender.offset(upload) == len(content)


async def test_a_piece_that_begins_elsewhere_is_refused(sender: Sender) -> None:
    """With the place where it goes on."""
    upload = await sender.begin(10, path="a")
    assert (await sender.append(upload, 0, b"01234")).headers["Upload-Offset"] == "5"
    answer = await sender.append(upload, 3, b"34567")
    assert (answer.status, answer.code) == (409, "upload_offset_wrong")
    assert (await sender.append(upload, 5, b"56789")).status == 204
    assert (sender.workspace / "a").read_bytes() == b"0123456789"


async def test_a_piece_with_another_checksum_does_not_count(sender: Sender) -> None:
    """It is sent again from the same place."""
    upload = await sender.begin(6, path="a")
    wrong = base64.b64encode(hashlib.sha1(b"other", usedforsecurity=False).digest()).decode()
    answer = await sender.append(upload, 0, b"abc", Upload_Checksum=f"sha1 {wrong}")
    assert (answer.status, answer.code) == (460, "upload_piece_wrong")
    assert await sender.offset(upload) == 0
    right = base64.b64encode(hashlib.sha256(b"abc").digest()).decode()
    assert (await sender.append(upload, 0, b"abc", Upload_Checksum=f"sha256 {right}")).status == 204
    assert (await sender.append(upload, 3, b"def")).status == 204
    assert (sender.workspace / "a").read_bytes() == b"abcdef"


async def test_an_upload_with_another_hash_is_gone(sender: Sender) -> None:
    """Nothing was changed, and it cannot be gone on with."""
    upload = await sender.begin(3, path="a", sha256="0" * 64)
    answer = await sender.append(upload, 0, b"abc")
    assert (answer.status, answer.code) == (422, "file_hash_wrong")
    assert (await sender.append(upload, 3, b"")).code == "upload_not_found"
    await sender.nothing_left()


async def test_a_target_that_has_come_meanwhile_is_not_overwritten(sender: Sender) -> None:
    """The upload stays, and ends once its place is free."""
    upload = await sender.begin(3, path="a")
    (sender.workspace / "a").write_bytes(b"the customer's own")
    answer = await sender.append(upload, 0, b"abc")
    assert (answer.status, answer.code) == (409, "file_exists")
    (sender.workspace / "a").unlink()
    assert (await sender.append(upload, 3, b"")).status == 204
    assert (sender.workspace / "a").read_bytes() == b"abc"
    await sender.nothing_left("a")


async def test_a_file_of_no_bytes_is_whole_when_it_begins(sender: Sender) -> None:
    """Clients send no piece of nothing."""
    await sender.begin(0, filename="empty", folder="")
    assert (sender.workspace / "empty").read_bytes() == b""
    await sender.nothing_left("empty")


async def test_the_first_bytes_may_come_with_the_beginning(sender: Sender) -> None:
    """The extension creation-with-upload."""
    pairs = "path " + base64.b64encode(b"a").decode()
    headers = {**PIECE, "Upload-Length": "6", "Upload-Metadata": pairs}
    answer = await sender.call("POST", "/files/uploads", headers=headers, data=b"abc")
    assert (answer.status, answer.headers["Upload-Offset"]) == (201, "3")
    assert (await sender.append(answer.headers["Location"], 3, b"def")).status == 204
    assert (sender.workspace / "a").read_bytes() == b"abcdef"


async def test_a_connection_that_hangs_gives_way_to_the_next(sender: Sender) -> None:
    """Whoever asks anew, as after a loss of the network, goes on at once."""
    content = noise(400_000)
    upload = await sender.begin(len(content), path="a")
    head = "".join(f"{name}: {value}\r\n" for name, value in PIECE.items())
    head = f"PATCH {upload} HTTP/1.1\r\nHost: x\r\n{head}Upload-Offset: 0\r\nContent-Length: {len(content)}\r\n\r\n"
    hanging = await sender.open_cut(head, content[:100_000])
    (partial,) = sender.workspace.iterdir()
    await eventually(lambda: partial.stat().st_size == 100_000)
    assert await sender.offset(upload) == 100_000
    assert (await sender.append(upload, 100_000, content[100_000:])).status == 204
    cut(hanging)
    assert (sender.workspace / "a").read_bytes() == content
    await sender.nothing_left("a")


async def test_an_upload_that_is_given_up_leaves_nothing(sender: Sender) -> None:
    """Neither the partial file nor its record."""
    upload = await sender.begin(6, path="a")
    await sender.append(upload, 0, b"abc")
    listed = msgspec.json.decode((await sender.call("GET", "/files/uploads")).body)["items"]
    assert [(item["path"], item["offset"], item["size"]) for item in listed] == [("a", 3, 6)]
    assert (await sender.call("DELETE", upload, headers=TUS)).status == 204
    await sender.nothing_left()
    assert (await sender.append(upload, 3, b"def")).code == "upload_not_found"


@pytest.mark.parametrize("trick", ["removed", "link", "folder", "short", "long"])
async def test_a_partial_file_that_the_customer_has_touched_is_refused(
    trick: str, sender: Sender, tmp_path: Path
) -> None:
    """Clearly, and nothing outside of the root is touched."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"secret")
    upload = await sender.begin(6, path="a")
    await sender.append(upload, 0, b"abc")
    (partial,) = sender.workspace.iterdir()
    if trick in {"removed", "link", "folder"}:
        partial.unlink()
    if trick == "link":
        partial.symlink_to(outside)
    if trick == "folder":
        partial.mkdir()
    if trick == "short":
        partial.write_bytes(b"a")
    if trick == "long":
        partial.write_bytes(b"a" * 100)
    answer = await sender.append(upload, 3, b"def")
    wanted = {
        "removed": "upload_not_found", "link": "is_a_link", "folder": "not_a_regular_file",
        "short": "upload_offset_wrong", "long": "file_changed",
    }  # fmt: skip
    assert answer.code == wanted[trick]
    assert outside.read_bytes() == b"secret"
    assert not (sender.workspace / "a").exists()


async def test_another_version_of_the_protocol_is_refused(sender: Sender) -> None:
    """As the protocol wants it, and `OPTIONS` tells which one is spoken."""
    answer = await sender.call("POST", "/files/uploads", headers={"Upload-Length": "1"})
    assert (answer.status, answer.code) == (412, "tus_version_wrong")
    assert (answer.headers["Tus-Resumable"], answer.headers["Tus-Version"]) == ("1.0.0", "1.0.0")
    about = await sender.call("OPTIONS", "/files/uploads")
    assert (about.status, about.headers["Tus-Version"]) == (204, "1.0.0")


async def test_every_refusal_says_which_protocol_is_spoken(sender: Sender) -> None:
    """A client that does not find `Tus-Resumable` takes the answer for that of some other server."""
    upload = await sender.begin(6, path="a")
    unknown = f"/files/uploads/{'0' * 32}"
    headers = {**PIECE, "Upload-Offset": "3"}
    answers = [
        (409, await sender.call("PATCH", upload, headers=headers, data=b"abc")),
        (404, await sender.call("PATCH", unknown, headers=headers, data=b"abc")),
        (404, await sender.call("HEAD", unknown, headers=TUS)),
        (404, await sender.call("DELETE", unknown, headers=TUS)),
        (412, await sender.call("DELETE", upload)),
        (400, await sender.call("POST", "/files/uploads", headers=TUS)),
    ]
    assert [(answer.status, answer.headers.get("Tus-Resumable")) for _, answer in answers] == [
        (status, "1.0.0") for status, _ in answers
    ]


async def test_a_piece_of_another_type_is_refused(sender: Sender) -> None:
    """415, as the protocol wants it, and nothing of it counts."""
    upload = await sender.begin(3, path="a")
    headers = {**TUS, "Content-Type": "application/octet-stream", "Upload-Offset": "0"}
    answer = await sender.call("PATCH", upload, headers=headers, data=b"abc")
    assert (answer.status, answer.code) == (415, "upload_type_wrong")
    assert await sender.offset(upload) == 0


async def test_an_upload_whose_last_answer_was_lost_is_told_as_whole_after_a_kill(sender: Sender) -> None:
    """And it is not sent anew: what is at its end by then is what was sent."""
    upload = await sender.begin(6, path="a")
    assert (await sender.append(upload, 0, b"abcdef")).status == 204
    await sender.agent.kill()
    await sender.agent.start()
    assert await sender.offset(upload) == 6
    assert (await sender.append(upload, 6, b"")).status == 204
    assert (await sender.append(upload, 0, b"abcdef")).code == "upload_offset_wrong"
    await sender.nothing_left("a")


async def test_who_goes_away_in_the_middle_is_no_error_of_the_agent(sender: Sender) -> None:
    """Downloads that are cancelled and bodies that are cut are told in a line each, without a trace."""
    await sender.put("a", noise(4 * MIB))
    get = "GET /files/content?path=a HTTP/1.1\r\nHost: x\r\n\r\n"
    put = f"PUT /files/content?path=b HTTP/1.1\r\nHost: x\r\nContent-Length: {4 * MIB}\r\n\r\n"
    for head in [get, put] * 10:
        writer = await sender.open_cut(head, noise(10_000) if head is put else b"")
        cut(writer)

    def ends() -> int:
        text = sender.agent.log.read_text()
        return text.count("request.cut") + text.count("request.cancelled")

    # One that is cut before its head has come is none at all, and is not told; a last one that is heard ends the wait.
    await sender.nothing_left("a")
    await eventually(lambda: ends() > 0)
    log = await asyncio.to_thread(sender.agent.log.read_text)
    assert "Traceback" not in log
    assert '"ERROR"' not in log
