"""File work in a real container: unprivileged, and under the very restrictions of the agent's unit."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import tarfile
from typing import Any

import pytest

from lxc.guest import PATIENCE_S, Guest
from lxc.own_host import ROOT
from zlh_agent.sandbox.landlock import find_abi
from zlh_common.names import agent_name

pytestmark = [pytest.mark.real("lxc"), pytest.mark.timeout(240)]
PYTHON = "/opt/zlh/agent/current/bin/python3"
UNIT = ROOT / "deploy/agent/zlh-agent.service"
# What the agent does with a customer's files, while a program of the customer lets a link lead in and out in turn.
PROGRAM = """
import asyncio, json, os, pwd, subprocess, time
from zlh_agent.files.link import FilePlace
from zlh_agent.files.service import FileService
from zlh_common.schema.file_refusals import FileRefused

WORKSPACE = "/home/dev/workspace"
SWAP = '''
import os
while True:
    for target in ("../out", "real"):
        os.symlink(target, "next")
        os.rename("next", "folder")
'''
told = {}

def as_dev(*argv, **named):
    return subprocess.Popen(argv, user="dev", group="dev", extra_groups=[], cwd=WORKSPACE, **named)

async def code_of(work):
    try:
        return repr(await work)
    except FileRefused as refused:
        return refused.code

async def read(files):
    fd, _ = await files.open_to_read("folder/file")
    with os.fdopen(fd) as file:
        return file.read()

async def race(files):
    seen = {}
    until = time.monotonic() + 3
    while time.monotonic() < until:
        what = await code_of(read(files))
        seen[what] = seen.get(what, 0) + 1
    return seen

async def main():
    dev = pwd.getpwnam("dev")
    as_dev("sh", "-c", "mkdir real ../out; echo inside > real/file; ln -s real folder; echo outside > ../out/file;"
           "ln -s /etc/shadow shadow; ln -s /proc/self/root magic").wait()
    open(f"{WORKSPACE}/of-root", "w").close()
    os.chmod(f"{WORKSPACE}/of-root", 0o600)
    service = FileService(FilePlace(WORKSPACE, (dev.pw_uid, dev.pw_gid, ())))
    async with service.borrow() as files:
        told["abi"] = files.landlock_abi
        rows = open(f"/proc/{files._link.pid}/status").read().splitlines()
        status = dict(row.split(":", 1) for row in rows)
        told["user"] = status["Uid"].split()[0] == str(dev.pw_uid)
        told["rights"] = [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")]
        async with files.writing("new", replace=False) as fd:
            os.write(fd, b"content")
        told["owner"] = os.stat(f"{WORKSPACE}/new").st_uid == dev.pw_uid
        for path in ("shadow", "magic/etc/passwd", "../out/file", "of-root"):
            told[path] = await code_of(files.open_to_read(path))
        await files.change_mode("new", 0o600)
        told["mode"] = os.stat(f"{WORKSPACE}/new").st_mode & 0o777
        # A program of the customer, of the same user.
        look = f"cat /proc/{files._link.pid}/environ /proc/{files._link.pid}/maps; ls -l /proc/{files._link.pid}/fd"
        looking = as_dev("sh", "-c", look, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        told["looked"] = looking.communicate()[0].decode()
        racer = as_dev("/usr/bin/python3", "-I", "-c", SWAP)
        told["race"] = await race(files)
        racer.kill()
        racer.wait()
    await service.close()
    print(json.dumps(told))

asyncio.run(main())
"""


def restrictions() -> list[str]:
    """Return what the agent's unit forbids it, as options of systemd-run."""
    rows = UNIT.read_text().splitlines()
    words = ("Protect", "Private", "Lock", "Restrict", "SystemCall")
    return [f"--property={row}" for row in rows if row.startswith(words) and not row.startswith("RestartSec")]


async def test_files_are_worked_on_as_the_customer(guest: Guest) -> None:
    """The kernel's means work here, nothing leads out, and a race is lost by whoever swaps names."""
    run = ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", *restrictions()]
    said = await guest.inside(*run, PYTHON, "-I", "-c", PROGRAM)
    told: dict[str, Any] = json.loads(said.splitlines()[-1])
    race = told.pop("race")
    assert told == {
        "abi": find_abi(),
        "user": True,
        "rights": [0, 0, 0, 0, 0],
        "owner": True,
        "shadow": "path_outside",
        "magic/etc/passwd": "path_outside",
        "../out/file": "path_outside",
        "of-root": "permission_denied",
        "mode": 0o600,
        "looked": "",
    }
    assert set(race) == {repr("inside\n"), "path_outside"}


# ── as the API asks, of what the customer has laid out for it ──

TRAPS = """
cd ~/workspace
ln -s /etc/zlh/agent.toml config
ln -s /var/lib/zlh state
ln -s /etc/shadow shadow
ln -s /home/other other
ln -s /proc/1/environ environ
ln -s /proc/self/root slash
ln -s /dev/zero zero
mkdir bag
cp -P config shadow other environ slash bag
mkfifo bag/pipe
echo mine > bag/mine
"""


async def ask(guest: Guest, method: str, path: str, body: object = None) -> tuple[int, bytes]:
    """Ask the agent as the API does; return status and body."""
    raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    data = None if raw is None else io.BytesIO(raw)
    async with (
        guest.client() as session,
        session.request(
            method, f"/files{path}", data=data, ssl=guest.tls, server_hostname=agent_name(guest.owner)
        ) as answer,
    ):
        return answer.status, await answer.read()


async def done(guest: Guest, method: str, path: str, body: object) -> dict[str, Any]:
    """Have an operation done, and return what came of it."""
    status, raw = await ask(guest, method, path, body)
    operation: dict[str, Any] = json.loads(raw)
    async with asyncio.timeout(PATIENCE_S):
        while operation.get("state") == "running":
            await asyncio.sleep(0.1)
            status, raw = await ask(guest, "GET", f"/operations/{operation['id']}")
            operation = json.loads(raw)
    assert (status, operation.get("state")) == (200, "done"), operation
    return operation


async def test_nothing_but_the_customers_own_is_ever_read(guest: Guest) -> None:
    """Not the agent's configuration, key and state, nor /proc, nor another user's home: by no link, in no archive."""
    await guest.inside("useradd", "-m", "other")
    await guest.inside("sh", "-c", "echo foreign-secret > /home/other/secret; chmod 700 /home/other")
    await guest.inside("su", "-", "dev", "-c", TRAPS)
    for path in ("config", "shadow", "environ", "slash/etc/passwd", "other/secret", "zero", "../../other/secret"):
        for call in (f"/content?path={path}", f"/stat?follow=true&path={path}"):
            status, body = await ask(guest, "GET", call)
            assert (status, json.loads(body)["code"]) == (403, "path_outside"), (call, body)
        status, body = await ask(guest, "POST", "/checksum", {"path": path})
        assert (status, json.loads(body)["code"]) == (403, "path_outside")
    # The larger root makes no more of it; a folder of root's in it is shut, by its rights.
    await guest.inside("sh", "-c", "mkdir -m 700 /home/dev/shut; echo root-secret > /home/dev/shut/secret")
    status, body = await ask(guest, "GET", "/content?root=home&path=shut/secret")
    assert (status, json.loads(body)["code"]) == (403, "permission_denied")
    status, body = await ask(guest, "GET", "/search?root=home&text=secret")
    assert (status, json.loads(body)["items"]) == (200, [])
    status, body = await ask(guest, "GET", "/archive?root=home&path=workspace&path=shut&format=tar.gz")
    assert (status, json.loads(body)["code"]) == (403, "permission_denied")
    status, body = await ask(guest, "GET", "/archive?root=home&path=workspace&format=tar.gz")
    assert status == 200
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        assert {member.name for member in archive if member.isfile()} == {"workspace/bag/mine"}
        assert all(member.isfile() or member.isdir() or member.issym() for member in archive)
    await done(guest, "POST", "/copy", {"path": "bag", "to": "copied"})
    found = await guest.inside("sh", "-c", "cat /home/dev/workspace/copied/mine; ls -l /home/dev/workspace/copied")
    assert found.startswith("mine")
    assert "shadow -> /etc/shadow" in found


async def test_what_is_written_is_the_customers_and_gives_nobody_more(guest: Guest) -> None:
    """Owned by them, without set-uid, capabilities or attributes, whatever is written, unpacked or copied over."""
    uid = int(await guest.inside("id", "-u", "dev"))
    assert (await ask(guest, "PUT", "/content?path=put", b"content"))[0] == 201
    await guest.inside(
        "su", "-", "dev", "-c",
        "cd workspace; mkdir src; cp /bin/true src/tool; chmod 6755 src/tool",
    )  # fmt: skip
    # Root of the container has given a file of the customer rights that writing to it must take away.
    await guest.inside("setcap", "cap_net_raw+ep", "/home/dev/workspace/src/tool", check=False)
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, kind in (("tool", tarfile.REGTYPE), ("pipe", tarfile.FIFOTYPE), ("null", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.uid, info.gid, info.uname = kind, 0o6755, 0, 0, "root"
            info.pax_headers = {"SCHILY.xattr.security.capability": "x", "SCHILY.xattr.user.mark": "x"}
            archive.addfile(info)
    assert (await ask(guest, "PUT", "/content?path=a.tar.gz", raw.getvalue()))[0] == 201
    extracted = await done(guest, "POST", "/extract", {"path": "a.tar.gz", "to": "out"})
    assert extracted["result"]["skippedCount"] == 2
    await done(guest, "POST", "/copy", {"path": "src", "to": "copied"})
    await done(guest, "POST", "/archive", {"paths": ["src"], "to": "made.zip"})
    # What replaces a file with set-uid has not.
    assert (await ask(guest, "PUT", "/content?path=src/tool", b"other"))[0] == 200
    for name in ("put", "a.tar.gz", "out/tool", "copied/tool", "made.zip", "src/tool"):
        where = f"/home/dev/workspace/{name}"
        owner, mode = (await guest.inside("stat", "-c", "%u %a", where)).split()
        assert (int(owner), int(mode, 8) & 0o7000) == (uid, 0), name
        assert await guest.inside("getcap", where, check=False) == "", name
    assert sorted((await guest.inside("ls", "-A", "/home/dev/workspace/out")).split()) == ["tool"]


async def test_a_partial_file_that_becomes_a_strangers_is_not_written_to(guest: Guest) -> None:
    """A hard link, a link or a pipe in its place: root's file stays as it is, and nothing is put in place."""
    victim = "/home/dev/workspace/victim"
    await guest.inside("sh", "-c", f"echo precious > {victim}; chmod 644 {victim}")
    for number, swap in enumerate(("ln -f victim", "ln -sf victim", "ln -sf /etc/passwd", "mkfifo")):
        path = f"x{number}"
        metadata = f"path {base64.b64encode(path.encode()).decode()}"
        tus = {"Tus-Resumable": "1.0.0"}
        name = agent_name(guest.owner)
        async with guest.client() as session:
            begin = {**tus, "Upload-Length": "10", "Upload-Metadata": metadata}
            async with session.post("/files/uploads", headers=begin, ssl=guest.tls, server_hostname=name) as made:
                assert made.status == 201
                place = made.headers["Location"]
            # By root, since the kernel lets the customer make no hard link to a file that they may not write.
            await guest.inside(
                "sh", "-c", f"cd /home/dev/workspace; part=$(ls -A | grep zlh-part); rm $part; {swap} $part"
            )
            piece = {**tus, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
            async with session.patch(
                place, data=b"overwrites", headers=piece, ssl=guest.tls, server_hostname=name
            ) as sent:
                assert sent.status in {403, 409}, await sent.read()
            async with session.delete(place, headers=tus, ssl=guest.tls, server_hostname=name) as gone:
                assert gone.status == 204
        assert await guest.inside("cat", victim) == "precious"
        assert await guest.inside("sh", "-c", "ls -A /home/dev/workspace") == "victim"
    assert "root:x:0:0" in await guest.inside("cat", "/etc/passwd")


async def test_the_disk_is_told_as_it_is_and_filled_no_further(guest: Guest) -> None:
    """On a small disk in the workspace: what does not fit is refused before it comes, or leaves nothing behind."""
    disk = "/home/dev/workspace/disk"
    await guest.inside("install", "-d", "-o", "dev", "-g", "dev", disk)
    await guest.inside("mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=200,mode=777", "none", disk)
    try:
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w:gz") as archive:
            info = tarfile.TarInfo("zeros")
            info.size = 64 * 1024 * 1024
            archive.addfile(info, io.BytesIO(bytes(info.size)))
        assert (await ask(guest, "PUT", "/content?path=disk/bomb.tar.gz", raw.getvalue()))[0] == 201
        before = await guest.inside("df", "--output=used,iused", disk)
        status, body = await ask(guest, "PUT", "/content?path=disk/large", bytes(9 * 1024 * 1024))
        assert (status, json.loads(body)["code"]) == (507, "no_room_on_disk")
        status, body = await ask(guest, "POST", "/extract", {"path": "disk/bomb.tar.gz", "to": "disk/out"})
        assert (status, json.loads(body)["code"]) == (507, "disk_full")
        async with asyncio.timeout(PATIENCE_S):
            while await guest.inside("df", "--output=used,iused", disk) != before:
                await asyncio.sleep(0.1)
        assert await guest.inside("ls", "-A", disk) == "bomb.tar.gz"
    finally:
        await guest.inside("umount", "-l", disk)
    told = json.loads((await ask(guest, "GET", "/roots"))[1])["roots"][0]["room"]
    total, free = (await guest.inside("su", "dev", "-c", "stat -f -c '%b %a %S' /home/dev/workspace")).split()[:2]
    unit = int((await guest.inside("stat", "-f", "-c", "%S", "/home/dev/workspace")).split()[0])
    assert told["totalBytes"] == int(total) * unit
    assert abs(told["freeBytes"] - int(free) * unit) < 1024**3
