"""The environment of a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from zlh_agent.workspace.login_environment import Account, choose_shell, derive_environment
from zlh_agent.workspace.profile import MARK, render_environment, with_source_line

DEV = Account(name="dev", uid=1000, gid=1000, home="/home/dev", shell="/bin/bash")


def test_environment_holds_a_login_and_nothing_of_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the agent itself was started with does not get in."""
    monkeypatch.setenv("AGENT_SECRET", "hush")
    environment = derive_environment(DEV, shell="/bin/bash", variables={"HOST": "127.77.3.1"})
    assert environment["HOST"] == "127.77.3.1"
    assert environment.keys() == {"HOME", "USER", "LOGNAME", "SHELL", "TERM", "PATH", "LANG", "HOST"}


def test_variables_cannot_change_what_makes_a_login() -> None:
    """A runtime that sets HOME or PATH does not; LANG is a matter of taste."""
    environment = derive_environment(
        DEV, shell="/bin/sh", variables={"HOME": "/", "PATH": "/evil", "LANG": "de_DE.UTF-8"}
    )
    assert environment["HOME"] == "/home/dev"
    assert environment["LANG"] == "de_DE.UTF-8"
    assert "/evil" not in environment["PATH"]


def test_runtimes_come_first_on_path() -> None:
    """The customer's choice stands before what the system brings."""
    environment = derive_environment(DEV, shell="/bin/bash", path_entries=[Path("/opt/node"), Path("/opt/go")])
    assert environment["PATH"].startswith("/opt/node:/opt/go:/usr/local/bin:")


@pytest.mark.parametrize(
    ("installed", "own", "expected"),
    [
        ({"/bin/bash", "/bin/sh"}, "/bin/sh", "/bin/bash"),
        ({"/bin/sh"}, "/bin/bash", "/bin/sh"),
        ({"/bin/bash", "/usr/bin/fish"}, "/usr/bin/fish", "/usr/bin/fish"),
        ({"/bin/bash"}, "/usr/bin/fish", "/bin/bash"),
        ({"/bin/bash", "/usr/sbin/nologin"}, "/usr/sbin/nologin", "/bin/bash"),
    ],
)
def test_shell_is_bash_else_sh_or_the_users_own_kind(installed: set[str], own: str, expected: str) -> None:
    """A shell that is not installed, and one that refuses to be one, are passed over."""
    account = Account(name="dev", uid=1, gid=1, home="/", shell=own)
    assert choose_shell(account, is_program=installed.__contains__) == (expected, "-l")


def test_source_line_is_put_in_front_once() -> None:
    """Before an early `return`, and never a second time."""
    once = with_source_line("return\n")
    assert once.splitlines()[0].endswith(MARK)
    assert with_source_line(once) == once


@pytest.mark.parametrize("name", ["A B", "1A", "A;rm", "", "A=B"])
def test_name_that_is_no_variable_is_refused(name: str) -> None:
    """A name is the one part that cannot be quoted."""
    with pytest.raises(ValueError, match="no name"):
        render_environment([], {name: "x"})
