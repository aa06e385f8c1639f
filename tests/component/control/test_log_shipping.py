"""The configurations for shipping logs: their stages over real lines, run by a reader of ours (log_pipelines.py)."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from component.control.log_pipelines import Shipped, alloy_pipeline, parse_alloy, promtail_pipeline, ship
from zlh_common.logs import configure_logs
from zlh_common.request_ids import following

LOGS = Path(__file__).parents[3] / "deploy/logs"
PIPELINES = {"alloy": alloy_pipeline(LOGS / "config.alloy"), "promtail": promtail_pipeline(LOGS / "promtail.yml")}
# As Traefik 3.7 has written it.
OF_TRAEFIK = (
    '{"level":"error","providerName":"file","error":"collecting file configs: /srv/bad.yml: yaml: line 1: did not find '
    'expected node content","time":"2026-11-27T15:48:59Z","message":"Error while building configuration"}'
)


@pytest.fixture(params=PIPELINES)
def pipeline(request: pytest.FixtureRequest) -> Any:
    """Lend the rules and stages of each."""
    return PIPELINES[request.param]


def shipped(pipeline: Any, unit: str, message: str) -> Shipped | None:
    """Return what becomes of a line of a unit."""
    rules, stages = pipeline
    return ship(rules, stages, {"_SYSTEMD_UNIT": unit, "_HOSTNAME": "control", "MESSAGE": message})


def line_of_ours(**fields: object) -> str:
    """Return what a program of ours writes."""
    was = structlog.get_config()
    text = io.StringIO()
    try:
        configure_logs(stream=text)
        with following("req-1"):
            structlog.get_logger().warning("step.failed", **fields)
    finally:
        structlog.configure(**was)
    return text.getvalue().strip()


def test_a_line_of_the_api_has_three_labels_and_is_found_by_the_rest(pipeline: Any) -> None:
    """Its own time, and what somebody looks for without a stream for each container."""
    line = line_of_ours(vmid=101, step="start-guest", code="guest_failed", seconds=1.5)
    seen = shipped(pipeline, "zlh-api.service", line)
    assert seen is not None
    assert seen.labels == {"app": "zlh-api", "level": "warn", "host": "control"}
    assert seen.metadata == {
        "event": "step.failed", "vmid": "101", "step": "start-guest", "code": "guest_failed", "request_id": "req-1"
    }  # fmt: skip
    assert seen.at == datetime.fromisoformat(json.loads(line)["time"])
    assert seen.line == line


def test_a_line_of_traefik_has_the_same_labels(pipeline: Any) -> None:
    """Its levels are written in small letters."""
    seen = shipped(pipeline, "traefik.service", OF_TRAEFIK)
    assert seen is not None
    assert seen.labels == {"app": "traefik", "level": "error", "host": "control"}
    assert "line 1" in seen.metadata["error"]
    assert seen.at == datetime(2026, 11, 27, 15, 48, 59, tzinfo=UTC)


def test_a_line_that_is_no_document_goes_as_it_is(pipeline: Any) -> None:
    """What systemd says of a unit, and a backup that fails."""
    seen = shipped(pipeline, "zlh-backup.service", "backup: pg_dump ended with 1")
    assert seen == Shipped({"app": "zlh-backup", "host": "control"}, {}, None, "backup: pg_dump ended with 1")


@pytest.mark.parametrize("unit", ["ssh.service", "zlh-apiary.service", "zlh-api.socket", ""])
def test_what_is_not_ours_is_left_out(pipeline: Any, unit: str) -> None:
    """By the whole name of its unit."""
    assert shipped(pipeline, unit, OF_TRAEFIK) is None


def test_both_do_the_same() -> None:
    """Whoever goes over from one to the other finds the same streams."""
    assert PIPELINES["alloy"] == PIPELINES["promtail"]


def test_labels_are_few() -> None:
    """Each further one multiplies the streams; what has many values is none."""
    rules, stages = PIPELINES["alloy"]
    targets = {rule["target_label"] for rule in rules if "target_label" in rule}
    assert targets | {name for kind, values in stages if kind == "labels" for name in values} == {
        "app",
        "level",
        "host",
    }


def test_every_part_of_alloys_file_leads_to_the_next() -> None:
    """What is forwarded to is there, and what is received somewhere."""
    top = parse_alloy((LOGS / "config.alloy").read_text())
    made = {f"{block.name}.{block.label}" for block in top.blocks}
    led = [to for block in top.blocks for to in block.settings.get("forward_to", [])]
    led += [block.settings["relabel_rules"] for block in top.blocks if "relabel_rules" in block.settings]
    assert {reference.rpartition(".")[0] for reference in led} == made - {"loki.source.journal.zlh"}


@pytest.mark.parametrize("text", ["a {", 'a "b" c {}', "a { b = }", "a { } }", "a { b = 'c' }"])
def test_a_broken_file_is_none(text: str) -> None:
    """The reader would tell a brace that is missing."""
    with pytest.raises((ValueError, IndexError)):
        parse_alloy(text)
