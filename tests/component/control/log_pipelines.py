"""A small reader of what the two shippers of logs are configured with, and of what their stages make of a line.

It knows the stages that our files use, as the makers' pages describe them, and nothing more: neither program can be
had for the tests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

Stages = list[tuple[str, dict[str, Any]]]
_TOKEN = re.compile(r'\s*(?://[^\n]*|("(?:[^"\\]|\\.)*")|([A-Za-z_][\w.]*)|([{}\[\],=]))')


@dataclass
class Block:
    """One block of Alloy's syntax: `name "label" { … }`."""

    name: str
    label: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)

    def find(self, name: str) -> list[Block]:
        """Return the blocks of a name that are directly in it."""
        return [block for block in self.blocks if block.name == name]


@dataclass
class Shipped:
    """What of one line arrives at Loki."""

    labels: dict[str, str]
    metadata: dict[str, str]
    at: datetime | None
    line: str


def parse_alloy(text: str) -> Block:
    """Return a file of Alloy's; raise ValueError where it is none."""
    words = list(_words(text))
    top = Block("")
    at = _read_body(words, 0, top)
    if at != len(words):
        raise ValueError(f"after the end: {words[at : at + 3]}")
    return top


def _words(text: str) -> Iterator[str]:
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(f"no word: {text[at : at + 40]!r}")
        at = found.end()
        if word := "".join(filter(None, found.groups())):
            yield word


def _read_body(words: list[str], at: int, into: Block) -> int:
    while at < len(words) and words[at] != "}":
        name = words[at]
        if words[at + 1] == "=":
            into.settings[name], at = _read_value(words, at + 2)
            continue
        label = json.loads(words[at + 1]) if words[at + 1].startswith('"') else ""
        at += 2 if label else 1
        if words[at] != "{":
            raise ValueError(f"{name} is followed by {words[at]}")
        inner = Block(name, label)
        at = _read_body(words, at + 1, inner) + 1
        into.blocks.append(inner)
    return at


def _read_value(words: list[str], at: int) -> tuple[Any, int]:
    if words[at] == "[":
        items = []
        at += 1
        while words[at] != "]":
            item, at = _read_value(words, at)
            items.append(item)
            at += words[at] == ","
        return items, at + 1
    if words[at] == "{":
        pairs = {}
        at += 1
        while words[at] != "}":
            pairs[words[at]], at = _read_value(words, at + 2)
            at += words[at] == ","
        return pairs, at + 1
    return (json.loads(words[at]) if words[at].startswith('"') else words[at]), at + 1


def alloy_pipeline(path: Path) -> tuple[list[dict[str, Any]], Stages]:
    """Return the rules and the stages of Alloy's file."""
    top = parse_alloy(path.read_text())
    (relabel,), (process,) = top.find("loki.relabel"), top.find("loki.process")
    stages = [
        (block.name.removeprefix("stage."), block.settings.get("values", block.settings)) for block in process.blocks
    ]
    return [rule.settings for rule in relabel.find("rule")], stages


def promtail_pipeline(path: Path) -> tuple[list[dict[str, Any]], Stages]:
    """Return the same of Promtail's."""
    (job,) = yaml.safe_load(path.read_text())["scrape_configs"]
    return job["relabel_configs"], [next(iter(stage.items())) for stage in job["pipeline_stages"]]


def ship(rules: list[dict[str, Any]], stages: Stages, fields: dict[str, str]) -> Shipped | None:
    """Return what becomes of an entry of the journal, by the names that it has there; None where it is left out."""
    known = {f"__journal_{name.lower()}": value for name, value in fields.items()}
    labels: dict[str, str] = {}
    for rule in rules:
        value = ";".join(known.get(name, "") for name in rule["source_labels"])
        found = re.fullmatch(rule.get("regex", "(.*)"), value)
        if rule.get("action") == "keep":
            if found is None:
                return None
        elif found is not None:
            labels[rule["target_label"]] = found[1]
    shipped = Shipped(labels, {}, None, fields["MESSAGE"])
    extracted: dict[str, Any] = {}
    for kind, settings in stages:
        _run_stage(kind, settings, shipped, extracted)
    return shipped


def _run_stage(kind: str, settings: dict[str, Any], shipped: Shipped, extracted: dict[str, Any]) -> None:
    match kind:
        case "json":
            try:
                document = json.loads(shipped.line)
            except ValueError:
                return
            extracted.update({name: document.get(key) for name, key in settings["expressions"].items()})
        case "timestamp":
            assert settings["format"] == "RFC3339Nano"
            if text := extracted.get(settings["source"]):
                shipped.at = datetime.fromisoformat(text)
        case "template":
            assert settings["template"] == "{{ ToLower .Value }}"
            if (value := extracted.get(settings["source"])) is not None:
                extracted[settings["source"]] = str(value).lower()
        case "labels" | "structured_metadata":
            place = shipped.labels if kind == "labels" else shipped.metadata
            found = {name: extracted.get(key) for name, key in settings.items()}
            place.update({name: str(value) for name, value in found.items() if value is not None})
        case _:
            raise ValueError(f"the stage {kind} is not known")
