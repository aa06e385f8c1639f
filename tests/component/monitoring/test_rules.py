"""The alerts and the dashboard, judged by Prometheus' own tool."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.real("prometheus")
FOLDER = Path(__file__).parents[3] / "deploy/monitoring"
RULES, TESTS = "zlh-rules.yml", "zlh-rules.test.yml"


async def promtool(*arguments: str | Path) -> tuple[int, str]:
    """Run it; return its exit code and what it said."""
    done = await asyncio.to_thread(
        subprocess.run, ["promtool", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


def load(name: str) -> Any:
    """Return a file of the deployment."""
    return yaml.safe_load((FOLDER / name).read_text())


def alerts() -> list[dict[str, Any]]:
    """Return every alert."""
    return [rule for group in load(RULES)["groups"] for rule in group["rules"]]


async def test_rules_and_configuration_can_be_read() -> None:
    """The files to which they lead are the deployment's."""
    assert (await promtool("check", "rules", FOLDER / RULES))[0] == 0
    code, said = await promtool("check", "config", "--syntax-only", FOLDER / "prometheus.yml")
    assert code == 0, said
    assert load("prometheus.yml")["rule_files"] == [RULES]


async def test_every_alert_comes_in_time_and_goes() -> None:
    """Not at once, then with its words, then no more."""
    code, said = await promtool("test", "rules", FOLDER / TESTS)
    assert code == 0, said


def test_every_alert_is_tried_in_three_moments() -> None:
    """Before, while and after; in one case at least it is told."""
    tried = {
        case["name"]: [(each["alertname"], bool(each["exp_alerts"])) for each in case["alert_rule_test"]]
        for case in load(TESTS)["tests"]
    }
    assert tried == {
        rule["alert"]: [(rule["alert"], False), (rule["alert"], True), (rule["alert"], False)] for rule in alerts()
    }


@pytest.mark.parametrize("expression", ["vector(0) > 1", "vector(1)"], ids=["never", "always"])
async def test_an_alert_that_means_something_else_is_found_out(tmp_path: Path, expression: str) -> None:
    """Each of them: one that never comes, and one that is always there."""
    rules = load(RULES)
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["expr"] = expression
    (tmp_path / RULES).write_text(yaml.safe_dump(rules))
    (tmp_path / TESTS).write_text((FOLDER / TESTS).read_text())
    code, said = await promtool("test", "rules", tmp_path / TESTS)
    assert code != 0
    assert [rule["alert"] for rule in alerts() if f"alertname: {rule['alert']}," not in said] == []


async def test_the_dashboard_asks_what_can_be_asked(tmp_path: Path) -> None:
    """Each expression is one that Prometheus understands, and each panel has a number and a place of its own."""
    board = json.loads((FOLDER / "zlh-dashboard.json").read_text())
    expressions = list(expressions_of(board["panels"]))
    rules = [
        {"record": f"asked:{number}", "expr": text.replace("$instance", ".*")}
        for number, text in enumerate(expressions)
    ]
    path = tmp_path / "asked.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
    code, said = await promtool("check", "rules", path)
    assert code == 0, said
    assert len(expressions) > 20
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    cells = [cell for panel in board["panels"] for cell in cells_of(panel["gridPos"])]
    assert len(cells) == len(set(cells))
    assert all(x < 24 for x, _y in cells)


def expressions_of(panels: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what each panel asks."""
    for panel in panels:
        yield from (target["expr"] for target in panel.get("targets", ()))


def cells_of(place: dict[str, int]) -> list[tuple[int, int]]:
    """Return the cells of the grid that a panel covers."""
    xs = range(place["x"], place["x"] + place["w"])
    return [(x, y) for x in xs for y in range(place["y"], place["y"] + place["h"])]
