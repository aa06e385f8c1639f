"""`zlh-api operator`: the first operator, and the way back in, as the command is really run."""

from __future__ import annotations

import asyncio
import getpass
import os
import pty
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from component.api.people_world import add_user, customer_of
from fakes.api_world import PASSWORD, World
from zlh_api.customers.refusals import LoginRefused
from zlh_common.schema.permissions import Role

EMAIL = "first@example.org"
NEW = "an entirely new password"


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def config(world: World, tmp_path: Path) -> Path:
    """A configuration that names the database of the test."""
    path = tmp_path / "api.toml"
    path.write_text(
        'portal_url = "http://portal.localhost:1"\ncontainer_domain = "localhost"\ncontainer_scheme = "http"\n'
        f'keys_dir = "{tmp_path}/keys"\nstate_dir = "{tmp_path}/state"\n[database]\ndsn = "{world.dsn}"\n'
        f'[artifacts]\nurl = "http://127.0.0.1:1"\ntrusted_root = "{tmp_path}/root.json"\n'
        f'[process]\nroot = "{tmp_path}/containers"\n[traefik]\ndirectory = "{tmp_path}/routes"\n'
        'api_url = "http://127.0.0.1:1"\nweb_url = "http://127.0.0.1:1"\n'
    )
    return path


async def run(config: Path, email: str, said: bytes, *more: str) -> Done:
    """Run the command with something on its standard input."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "zlh_api", "operator", email, "--config", str(config), *more),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await child.communicate(said)
    assert child.returncode is not None
    return Done(child.returncode, out.decode(), err.decode())


async def test_the_first_operator_is_made_and_signs_in(world: World, config: Path) -> None:
    """By one line of standard input; the second time it is another password, and whoever was signed in is not."""
    done = await run(config, EMAIL, f"{PASSWORD}\nmore\n".encode())
    assert (done.code, done.err) == (0, "")
    assert PASSWORD not in done.out
    caller, _ = await world.sign_in(EMAIL)
    assert (caller.is_operator, caller.memberships) == (True, ())
    assert (await run(config, EMAIL.upper(), f"{NEW}\r\n".encode())).code == 0
    assert await world.fetch("select 1 from sessions") == []
    with pytest.raises(LoginRefused):
        await world.sign_in(EMAIL)
    assert (await world.sign_in(EMAIL, NEW))[0].user_id == caller.user_id
    entries = await world.fetch(
        "select details, outcome from audit_entries where act = 'operator.make' order by number"
    )
    told = {"account": getpass.getuser()}
    assert [dict(row) for row in entries] == [
        {"details": {**told, "email": email}, "outcome": "done"} for email in (EMAIL, EMAIL.upper())
    ]


async def test_somebody_who_is_there_becomes_one_and_comes_in_again(world: World, config: Path) -> None:
    """Their memberships stay; who is suspended is so no more."""
    await add_user(world, EMAIL, customers=[(await customer_of(world), Role.VIEWER)])
    await world.fetch(
        "update users set suspended_at = now(), suspended_reason = 'x' where email = $1 returning 1", EMAIL
    )
    assert (await run(config, EMAIL, NEW.encode())).code == 0
    caller, _ = await world.sign_in(EMAIL, NEW)
    assert (caller.is_operator, [entry.role for entry in caller.memberships]) == (True, [Role.VIEWER])


async def test_what_cannot_be_used_changes_nothing(world: World, config: Path) -> None:
    """Each with one line that says what is wrong; a password among the arguments is none."""
    good = f"{NEW}\n".encode()
    before = await world.fetch("select users::text as line from users order by id")
    for email, said, code in (
        (EMAIL, b"", "password_unreadable"),
        (EMAIL, b"\n", "password_unreadable"),
        (EMAIL, b"\xff\xfe" * 20 + b"\n", "password_unreadable"),
        (EMAIL, b"x" * 5000, "password_unreadable"),
        (EMAIL, b"twelve\0characters\n", "password_unreadable"),
        (EMAIL, b"too short\n", "password_too_short"),
        ("nobody", good, "email_invalid"),
        ("a b@example.org", good, "email_invalid"),
        ("a@b@c", good, "email_invalid"),
    ):
        done = await run(config, email, said)
        assert (done.code, done.out) == (1, ""), (email, said)
        assert done.err.endswith(f"[{code}]\n"), done.err
        assert done.err.count("\n") == 1
    for more in ((NEW,), ("--password", NEW)):
        done = await run(config, EMAIL, good, *more)
        assert done.code == 2
    assert await world.fetch("select users::text as line from users order by id") == before


async def test_an_older_database_is_told(world: World, config: Path) -> None:
    """The command changes no schema."""
    await world.fetch("delete from schema_versions where number > 5 returning 1")
    done = await run(config, EMAIL, f"{NEW}\n".encode())
    assert "[schema_too_old]" in done.err


def type_at_terminal(config: Path, typed: list[str]) -> tuple[int, str]:
    """Run the command at a terminal of its own; return its code and all that was shown."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-m", "zlh_api", "operator", EMAIL, "--config", str(config)])
    shown = b""
    try:
        for line in typed:
            shown = _read_until(terminal, shown, b": ")
            # Echo is switched off before the prompt is shown and what was typed is thrown away.
            time.sleep(0.1)
            os.write(terminal, line.encode() + b"\n")
        shown = _read_until(terminal, shown, None)
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown.decode()


def _read_until(terminal: int, shown: bytes, end: bytes | None) -> bytes:
    asked = shown.count(b": ")
    while end is None or shown.count(end) == asked:
        try:
            chunk = os.read(terminal, 4096)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    return shown


async def test_at_a_terminal_it_is_asked_for_twice_and_never_shown(world: World, config: Path) -> None:
    """What differs changes nothing."""
    code, shown = await asyncio.to_thread(type_at_terminal, config, [PASSWORD, NEW])
    assert (code, "[passwords_differ]" in shown) == (1, True)
    code, shown = await asyncio.to_thread(type_at_terminal, config, [PASSWORD, PASSWORD])
    assert (code, PASSWORD in shown) == (0, False)
    assert (await world.sign_in(EMAIL))[0].is_operator


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("postgresql://nobody-here@/{rest}", 'role "nobody-here" does not exist'),
        ("postgresql://{user}@/nowhere?{query}", 'database "nowhere" does not exist'),
        ("postgresql://zlh@127.0.0.1:1/zlh", "Connect call failed"),
        ("mysql://zlh@127.0.0.1/zlh", "scheme is expected to be"),
    ],
)
async def test_a_database_that_cannot_be_had_is_told_with_its_reason(
    world: World, config: Path, wrong: str, told: str
) -> None:
    """In one line: a setting that is wrong looks like a server that is away, but for the reason."""
    address = urlsplit(world.dsn)
    dsn = wrong.format(rest=world.dsn.partition("@/")[2], user=address.username, query=address.query)
    _rewrite(config, world.dsn, dsn)
    done = await run(config, EMAIL, NEW.encode())
    assert done.code == 1
    assert (done.err.count("\n"), done.err.endswith(" [database_unavailable]\n")) == (1, True), done.err
    assert told in done.err


def _rewrite(config: Path, before: str, after: str) -> None:
    config.write_text(config.read_text().replace(before, after))
