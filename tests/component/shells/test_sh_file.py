"""The file that every sh reads, in real shells: PATH, variables, and nothing of anybody else's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from zlh_agent.shells.system_file_rules import ENVIRONMENT_FILE, PATH, render_environment_file, render_sh

FRONT = "/usr/local/bin"
SHELLS = (("/bin/bash",), ("/bin/bash", "-eu"), ("/bin/sh",), ("/bin/sh", "-eu"), ("/bin/bash", "--posix"))


@pytest.fixture
def sh_file(tmp_path: Path) -> Path:
    """Return the file, which reads variables of this test."""
    variables = tmp_path / "zlh-environment"
    variables.write_text(render_environment_file({"JAVA_HOME": "/r/java/current", "QUIET": "1"}))
    file = tmp_path / "zlh.sh"
    file.write_text(render_sh().replace(ENVIRONMENT_FILE, str(variables)))
    return file


def run(shell: tuple[str, ...], file: Path, command: str, environment: Mapping[str, str]) -> str:
    """Have a shell read the file and then do something; return what it prints, with all that it complains of."""
    whole = [*shell, "-c", f". {file}; {command}"]
    done = subprocess.run(whole, env={**environment}, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games", PATH),
        ("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", PATH),
        ("/usr/bin:/bin", PATH),
        (PATH, PATH),
        (f"/usr/bin:{FRONT}:/bin", f"{FRONT}:/usr/bin:/bin"),
        # What somebody has put in front of the system stays there, such as an environment of Python's.
        (f"/home/dev/venv/bin:{PATH}", f"/home/dev/venv/bin:{PATH}"),
        (f"/home/dev/bin:/usr/bin:{FRONT}", f"/home/dev/bin:{FRONT}:/usr/bin"),
        ("/a b:/c*", f"/a b:/c*:{FRONT}"),
        (":/x::/usr/bin:", f":/x::{FRONT}:/usr/bin:"),
    ],
)
def test_the_front_stands_before_the_system(sh_file: Path, shell: tuple[str, ...], before: str, after: str) -> None:
    """Moved, never skipped; whatever options the shell has, and a second time nothing changes."""
    said = run(shell, sh_file, f'. {sh_file}; printf "%s" "$PATH"', {"PATH": before})
    assert said == after


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_variables_are_set_and_what_was_ours_goes(sh_file: Path, shell: tuple[str, ...]) -> None:
    """What a parent has from us and holds no more is gone; what the customer has set himself is his."""
    inherited = {
        "PATH": PATH,
        "ZLH_RUNTIME_VARIABLES": "GOROOT=/r/go/current DOTNET=1 QUIET=0",
        "GOROOT": "/r/go/current",
        "DOTNET": "his own",
        "QUIET": "0",
        "JAVA_HOME": "/home/dev/jdk",
    }
    show = 'printf "%s|" "$JAVA_HOME" "$QUIET" "${GOROOT-none}" "$DOTNET" "$ZLH_RUNTIME_VARIABLES" "$BASH_ENV"'
    said = run(shell, sh_file, show, inherited)
    assert said == "/home/dev/jdk|1|none|his own|JAVA_HOME=/r/java/current QUIET=1|/etc/profile.d/zlh.sh|"


def test_nothing_of_it_is_left_in_the_shell(sh_file: Path) -> None:
    """No variable, no option, no other word list than before; a trace shows none of its lines."""
    compare = f"set -- a b; IFS=,; . {sh_file}; echo $-:$1:$#; compgen -v | grep _zlh"
    for path in (PATH, f"/usr/bin:{FRONT}"):
        said = run(("/bin/bash", "-f"), sh_file, compare, {"PATH": path})
        assert said == "fhBc:a:2\n"
        traced = run(("/bin/bash", "-x"), sh_file, "echo done", {"PATH": path})
        assert [line for line in traced.splitlines() if "zlh" in line and line != f"+ . {sh_file}"] == []


def test_a_path_of_100_kb_costs_no_more_than_reading_it(sh_file: Path) -> None:
    """Cutting patterns off would take a thousand times as long."""
    folders = ":".join(f"/home/dev/folder/number{number:05}" for number in range(3500))
    assert len(folders) > 100_000
    for shell in (("/bin/bash",), ("/bin/sh",)):
        spent = {}
        for name, path in {"short": PATH, "long": f"{folders}:/usr/bin:/bin:{FRONT}"}.items():
            before = os.times()
            said = run(shell, sh_file, 'printf "%s" "$PATH"', {"PATH": path, "LANG": "C.UTF-8"})
            after = os.times()
            spent[name] = after.children_user + after.children_system - before.children_user - before.children_system
            assert said == (PATH if name == "short" else f"{folders}:{FRONT}:/usr/bin:/bin")
        # Seconds of the processor, a clock that others do not move; it is some 0.03.
        assert spent["long"] - spent["short"] < 1
