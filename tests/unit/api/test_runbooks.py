"""Whoever is woken by an alert finds what to do: each names a heading that is there, and no heading is left over."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/operations.md"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "deploy/monitoring/zlh-rules.yml").read_text())["groups"]
    for rule in group["rules"]
]


def chapters() -> dict[str, str]:
    """Return what stands below each heading of the page, by the anchor that the heading has."""
    parts = re.split(r"^#+ (.+)\n", PAGE.read_text(), flags=re.MULTILINE)
    return {anchor_of(title): text for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def anchor_of(title: str) -> str:
    """Return the anchor of a heading, as it is derived where Markdown is shown."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_leads_to_a_chapter_that_says_what_to_do(rule: dict[str, Any]) -> None:
    """What it means, and then what is done."""
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert (ROOT / page, anchor) == (PAGE, rule["alert"].lower())
    chapter = chapters()[anchor]
    assert "**do**" in chapter.lower()
    assert rule["annotations"]["summary"]
    assert rule["labels"]["severity"] in {"critical", "warning"}


def test_no_chapter_is_of_an_alert_that_is_gone() -> None:
    """And none of two alerts has the same name."""
    names = [rule["alert"] for rule in RULES]
    assert sorted(re.findall(r"^### (Zlh\w+)", PAGE.read_text(), re.MULTILINE)) == sorted(set(names)) == sorted(names)


def test_every_link_within_the_page_leads_somewhere() -> None:
    """A runbook sends people on to other chapters."""
    wanted = set(re.findall(r"\]\(#([^)]+)\)", PAGE.read_text()))
    assert wanted - set(chapters()) == set()


def test_every_link_to_another_page_leads_somewhere() -> None:
    """With its heading, where it names one."""
    for page, _, anchor in re.findall(r"\]\(([a-z][a-z-]*\.md)(#([^)]+))?\)", PAGE.read_text()):
        assert (PAGE.parent / page).is_file(), page
        titles = re.findall(r"^#+ (.+)$", (PAGE.parent / page).read_text(), re.MULTILINE)
        assert not anchor or anchor in map(anchor_of, titles), f"{page}#{anchor}"
