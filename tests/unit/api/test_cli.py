"""What goes wrong in a command is said in lines, whether one part of it was refused or several beside each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from zlh_api.cli import main
from zlh_api.dev import stack
from zlh_common.errors import NotFound


def refuse(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the platform not start."""

    async def run_stack(_home: Path) -> int:
        raise error

    monkeypatch.setattr(stack, "run_stack", run_stack)


def test_each_part_that_was_refused_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """However deep it stands, and without the way there."""
    inner = ExceptionGroup("inner", [NotFound("archive")])
    refuse(monkeypatch, ExceptionGroup("outer", [NotFound("portal"), inner]))
    with pytest.raises(SystemExit) as ended:
        main(["dev"])
    assert ended.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition("[")[2] for line in lines] == ["not_found]", "not_found]"]
    assert ["portal" in lines[0], "archive" in lines[1]] == [True, True]


def test_a_fault_of_our_own_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a refusal it is still what is looked for."""
    refuse(monkeypatch, ExceptionGroup("outer", [NotFound("portal"), KeyError("a")]))
    with pytest.raises(ExceptionGroup):
        main(["dev"])
