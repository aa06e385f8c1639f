"""Links and files of a system: what is ours follows the runtimes, what is not is left alone."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
from pathlib import Path

import pytest

from component.shells.conftest import BASHRC
from zlh_agent.shells.links import ensure_links
from zlh_agent.shells.model import SystemPlaces
from zlh_agent.shells.system_file_rules import BEGIN, END
from zlh_agent.shells.system_files import ensure_manager_files, ensure_shell_files
from zlh_agent.shells.systemd import Manager

VARIABLES = {"JAVA_HOME": "/opt/zlh/runtimes/java/current"}


def target(places: SystemPlaces, runtime: str, command: str) -> str:
    return f"{places.root}/opt/zlh/runtimes/{runtime}/current/bin/{command}"


def link(places: SystemPlaces, wanted: dict[str, str]) -> tuple[str, ...]:
    """Make the links; return the commands that stand in the way."""
    return ensure_links(places.links, wanted, runtimes=f"{places.root}/opt/zlh/runtimes").foreign


def snapshot(folder: Path) -> dict[str, tuple[bytes | str, int, int]]:
    """Return content, inode and time of everything below."""
    return {
        str(path.relative_to(folder)): (
            str(path.readlink()) if path.is_symlink() else path.read_bytes(),
            path.lstat().st_ino,
            path.lstat().st_mtime_ns,
        )
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }  # fmt: skip


def fill(path: Path) -> None:
    """Write until the disk takes no more."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


# Links


def test_links_follow_what_is_installed(places: SystemPlaces) -> None:
    """Made, led elsewhere and removed; a second time nothing is touched."""
    node = {"node": target(places, "node", "node"), "npm": target(places, "node", "npm")}
    assert link(places, node) == ()
    before = snapshot(places.links)
    assert {name: content for name, (content, *_) in before.items()} == node
    assert link(places, node) == ()
    assert snapshot(places.links) == before
    other = {"node": node["node"], "npm": target(places, "pnpm", "npm")}
    link(places, other)
    assert {name: content for name, (content, *_) in snapshot(places.links).items()} == other
    link(places, {})
    assert snapshot(places.links) == {}


@pytest.mark.parametrize("kind", ["file", "folder", "link", "dangling"])
def test_what_is_not_ours_is_left_alone_and_told(places: SystemPlaces, kind: str) -> None:
    """Whatever it is; the commands beside it are linked."""
    theirs = places.links / "node"
    match kind:
        case "file":
            theirs.write_text("mine")
        case "folder":
            theirs.mkdir()
        case "link":
            theirs.symlink_to("/bin/true")
        case _:
            theirs.symlink_to("nowhere")
    before = theirs.lstat()
    assert link(places, {"node": target(places, "node", "node"), "npm": target(places, "node", "npm")}) == ("node",)
    assert (theirs.lstat().st_ino, theirs.lstat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert (places.links / "npm").is_symlink()
    link(places, {})
    assert [path.name for path in places.links.iterdir()] == ["node"]


def test_a_folder_that_is_a_link_is_refused(places: SystemPlaces, tmp_path: Path) -> None:
    places.links.rmdir()
    (tmp_path / "elsewhere").mkdir()
    places.links.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"Not a directory|Too many"):
        link(places, {"node": target(places, "node", "node")})
    assert list((tmp_path / "elsewhere").iterdir()) == []


# Files


def test_files_are_written_once_and_variables_go_again(places: SystemPlaces) -> None:
    """Nothing is rewritten where nothing has changed, and a variable that is gone leaves no trace."""
    assert ensure_shell_files(places, VARIABLES) == []
    before = snapshot(places.etc)
    assert ensure_shell_files(places, VARIABLES) == []
    assert snapshot(places.etc) == before
    assert ensure_shell_files(places, {}) == []
    assert not [name for name, (content, *_) in snapshot(places.etc).items() if b"JAVA_HOME" in bytes(content)]  # type: ignore[arg-type]
    assert {stat.S_IMODE(path.stat().st_mode) for path in places.etc.rglob("*") if path.is_file()} == {0o644}


def test_the_block_of_bash_stands_before_its_return(places: SystemPlaces) -> None:
    """Debian's file returns at once where nobody is at the keyboard; what is in it stays, byte for byte."""
    ensure_shell_files(places, VARIABLES)
    text = (places.etc / "bash.bashrc").read_text()
    assert text.startswith(f"{BEGIN}\n")
    assert text.endswith(f"{END}\n{BASHRC}")


def test_what_the_customer_writes_in_etc_environment_stays(places: SystemPlaces) -> None:
    """Around our block, in whatever bytes and with whatever mode; theirs comes after ours and so has the last word."""
    file = places.etc / "environment"
    ensure_shell_files(places, VARIABLES)
    file.write_bytes(b"FIRST=1\n" + file.read_bytes().replace(b"JAVA_HOME", b"EDITED") + b"LAST=\xff\nPATH=/own\n")
    file.chmod(0o640)
    ensure_shell_files(places, VARIABLES)
    content = file.read_bytes()
    assert content.endswith(b"FIRST=1\nTHEIRS=1\nLAST=\xff\nPATH=/own\n")
    assert content.count(b"JAVA_HOME=") == 2
    assert b"EDITED" not in content
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "huge"])
def test_what_is_no_file_of_the_system_is_left_alone(places: SystemPlaces, tmp_path: Path, kind: str) -> None:
    """It is told which, and the others are written."""
    file = places.etc / "environment"
    file.unlink()
    match kind:
        case "link":
            (tmp_path / "theirs").write_text("A=1\n")
            file.symlink_to(tmp_path / "theirs")
        case "folder":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
        case _:
            with file.open("wb") as grown:
                grown.truncate(2 * 1024 * 1024)
    before = file.lstat()
    [trouble] = ensure_shell_files(places, VARIABLES)
    assert (trouble.kind, trouble.subject) == ("shells.not_written", str(file))
    assert file.lstat() == before
    assert (places.etc / "zlh-environment").is_file()


@pytest.mark.real("mounts")
@pytest.mark.parametrize("how", ["read-only", "full"])
def test_an_etc_that_takes_nothing_keeps_what_it_has(places: SystemPlaces, how: str) -> None:
    """Each file that could not be written is told, is whole, and is written once there is room."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(places.etc)], check=True)
    try:
        (places.etc / "environment").write_text("THEIRS=1\n")
        if how == "read-only":
            subprocess.run(["mount", "-o", "remount,ro", str(places.etc)], check=True)
        else:
            fill(places.etc / "filler")
        troubles = ensure_shell_files(places, VARIABLES)
        assert str(places.etc / "environment") in {trouble.subject for trouble in troubles}
        assert (places.etc / "environment").read_text() == "THEIRS=1\n"
        subprocess.run(["mount", "-o", "remount,rw,size=256k", str(places.etc)], check=True)
        (places.etc / "filler").unlink(missing_ok=True)
        assert ensure_shell_files(places, VARIABLES) == []
        assert not [path for path in places.etc.rglob("*") if path.name.endswith(".new")]
    finally:
        subprocess.run(["umount", str(places.etc)], check=True)


# The manager


def test_the_manager_reads_what_has_changed_once(places: SystemPlaces, tmp_path: Path) -> None:
    told: list[int] = []
    manager = Manager(tmp_path / "state", reload=lambda: told.append(1))
    assert manager.ensure(places, VARIABLES) == []
    assert manager.ensure(places, VARIABLES) == []
    assert len(told) == 1
    manager.ensure(places, {})
    assert len(told) == 2
    assert b"JAVA_HOME" not in (places.etc / "systemd/system.conf.d/50-zlh.conf").read_bytes()


def test_nothing_is_read_anew_that_could_not_be_written(places: SystemPlaces, tmp_path: Path) -> None:
    """Not at each start; once it can be written, it is."""
    told: list[int] = []
    manager = Manager(tmp_path / "state", reload=lambda: told.append(1))
    (places.etc / "systemd").write_text("no folder")
    for _ in range(2):
        assert {trouble.kind for trouble in manager.ensure(places, VARIABLES)} == {"shells.not_written"}
    assert told == []
    (places.etc / "systemd").unlink()
    assert manager.ensure(places, VARIABLES) == []
    assert told == [1]


def test_a_reload_is_owed_until_it_was_done(places: SystemPlaces, tmp_path: Path) -> None:
    """Whether systemd did not answer, or the agent was killed between the files and the word."""

    def fail() -> None:
        raise TimeoutError("systemd does not answer")

    [trouble] = Manager(tmp_path / "state", reload=fail).ensure(places, VARIABLES)
    assert trouble.kind == "shells.not_reloaded"
    assert ensure_manager_files(places, VARIABLES) == []
    told: list[int] = []
    assert Manager(tmp_path / "state", reload=lambda: told.append(1)).ensure(places, VARIABLES) == []
    assert len(told) == 1
