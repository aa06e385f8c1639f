"""docs/open-threads.md: every row that the product must have, and the test that shows it."""

from __future__ import annotations

import ast
import re

import pytest

from architecture.code import ROOT

ROWS = [
    *(f"A{number}" for number in range(1, 22)),
    *(f"P{number}" for number in range(1, 11)),
    *(f"W{number}" for number in range(1, 7)),
    *(f"R{number}" for number in (1, 2)),
    *(f"F{number}" for number in range(1, 6)),
]
STATES = {"done", "partly", "open"}


def table() -> dict[str, list[str]]:
    """Return {row id: cells}."""
    lines = (ROOT / "docs/open-threads.md").read_text().splitlines()
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| [APWRF]\d+ \|", line)
    ]
    return {row[0]: row for row in cells}


def test_every_row_has_its_line() -> None:
    """No part that is required is forgotten."""
    assert list(table()) == ROWS


@pytest.mark.parametrize("row", ROWS)
def test_row_is_shown_by_a_test_that_exists(row: str) -> None:
    """What is called done or partly done names a test, and the test is there."""
    _id, _what, state, shown_by, _rest = table()[row]
    assert state in STATES
    named = re.findall(r"`(tests/[^`]+?)::(\w+)`", shown_by)
    assert bool(named) == (state != "open"), f"{row} is {state}, and names {named}"
    for path, function in named:
        tree = ast.parse((ROOT / path).read_text())
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert function in names, f"{path} has no {function}"
