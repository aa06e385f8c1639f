"""A runtime is on PATH in every kind of shell, and the customer's files stay his."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from zlh_agent.workspace.login_environment import Account, derive_environment
from zlh_agent.workspace.profile import SOURCE_LINE, ensure_profile, remove_profile


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("opt one", "opt two"):
        folder = tmp_path / name
        folder.mkdir()
        tool = folder / "zlh-tool"
        tool.write_text(f"#!/bin/sh\necho from {name} $ROOT_OF_TOOL\n")
        tool.chmod(0o755)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def run(home: Path, *argv: str, with_path: bool = True, text: str | None = None) -> str:
    """Run a shell the way a terminal (or, without PATH, a program that has lost it) would."""
    entries = [home.parent / "opt one"] if with_path else []
    bash_env = home / ".zlh/environment"
    account = Account(name="dev", uid=1, gid=1, home=str(home))
    environment = derive_environment(account, shell="/bin/bash", path_entries=entries, bash_env=bash_env)
    done = subprocess.run(argv, env=environment, input=text, capture_output=True, text=True, check=False, timeout=10)
    return done.stdout.strip()


@pytest.mark.parametrize(
    "argv",
    [
        ("bash", "-l", "-c", "zlh-tool"),
        ("bash", "-c", "zlh-tool"),
        ("bash", "-i", "-c", "zlh-tool"),
        ("bash", "-l", "-i", "-c", "zlh-tool"),
        ("sh", "-l", "-c", "zlh-tool"),
    ],
)
def test_runtime_is_found_in_every_kind_of_shell(home: Path, argv: tuple[str, ...]) -> None:
    """Login or not, interactive or not, even where PATH was lost on the way; spaces in paths do no harm."""
    ensure_profile(home, [home.parent / "opt one", home.parent / "opt two"], {"ROOT_OF_TOOL": 'it\'s "here" $x'})
    assert run(home, *argv, with_path=False) == 'from opt one it\'s "here" $x'


def test_plain_sh_finds_the_runtime_by_the_environment_of_the_terminal(home: Path) -> None:
    """`sh -c` reads no file at all: PATH itself has to be right."""
    ensure_profile(home, [home.parent / "opt one"], {})
    assert run(home, "sh", "-c", "zlh-tool") == "from opt one"


def test_path_does_not_grow_when_shells_are_nested(home: Path) -> None:
    """Each entry stands once, in front, in the order that was asked for."""
    ensure_profile(home, [home.parent / "opt one", home.parent / "opt two"], {})
    nested = run(home, "bash", "-lc", "bash -lc 'PATH=/bin:$PATH bash -c \"echo \\$PATH\"'")
    entries = nested.split(":")
    assert entries[:2] == [str(home.parent / "opt one"), str(home.parent / "opt two")]
    assert len(entries) == len([entry for entry in entries if "opt" not in entry]) + 2
    assert "" not in entries


def test_files_of_the_customer_keep_what_he_wrote(home: Path) -> None:
    """Ours is one marked line in front; bytes, links and modes stay; a second run changes nothing."""
    real = home / "dotfiles"
    real.write_bytes(b"# mine \xff\nreturn\n")
    real.chmod(0o600)
    (home / ".bashrc").symlink_to(real)
    (home / ".bash_profile").write_text("export MINE=1\n")
    ensure_profile(home, [home.parent / "opt two"], {})
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in home.iterdir() if path.is_file()}
    assert (home / ".bashrc").is_symlink()
    assert real.read_bytes().endswith(b"# mine \xff\nreturn\n")
    assert real.stat().st_mode & 0o777 == 0o600
    assert run(home, "bash", "-lc", "zlh-tool; echo $MINE", with_path=False) == "from opt two \n1".replace(" \n", "\n")
    ensure_profile(home, [home.parent / "opt two"], {})
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in home.iterdir() if path.is_file()}


def test_runtime_that_is_gone_leaves_path(home: Path) -> None:
    """The next shell no longer has it."""
    ensure_profile(home, [home.parent / "opt one"], {})
    ensure_profile(home, [], {})
    assert run(home, "bash", "-lc", "zlh-tool", with_path=False) == ""


def test_what_was_put_into_a_home_is_taken_out_again(home: Path) -> None:
    """Exactly that: what he has written, links and modes stay, and so does a line that he has made his own."""
    real = home / "dotfiles"
    real.write_bytes(b"# mine \xff\nreturn")
    real.chmod(0o600)
    (home / ".bashrc").symlink_to(real)
    ensure_profile(home, [home.parent / "opt one"], {})
    (home / ".bash_login").write_text(f"{SOURCE_LINE} && mine\n")
    remove_profile(home)
    assert (home / ".bashrc").is_symlink()
    assert (real.read_bytes(), real.stat().st_mode & 0o777) == (b"# mine \xff\nreturn", 0o600)
    assert SOURCE_LINE not in (home / ".profile").read_text()
    assert (home / ".bash_login").read_text() == f"{SOURCE_LINE} && mine\n"
    assert not (home / ".zlh").exists()
    before = {path: path.lstat().st_mtime_ns for path in home.iterdir()}
    remove_profile(home)
    assert before == {path: path.lstat().st_mtime_ns for path in home.iterdir()}
