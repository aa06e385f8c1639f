"""What the documents tell an operator to type: every setting is one that is read, every command one that there is."""

from __future__ import annotations

import argparse
import re
import shlex
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from zlh_api.cli import _parser
from zlh_api.config.model import ApiConfig
from zlh_api.proof.exposition import render_edge_metrics
from zlh_common.schema.edge import (
    Certificate,
    EdgeFiles,
    EdgeOutage,
    EdgeProvider,
    EdgeProxy,
    EdgeStatus,
    ShownCertificate,
)
from zlh_common.toml_config import convert_document

ROOT = Path(__file__).parents[3]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
# Settings of the agent, which are no part of this program's configuration.
OF_THE_AGENT = "agent-protocol.md"
EXAMPLE = ROOT / "deploy/traefik/api.example.toml"


def blocks(page: Path, language: str) -> Iterator[str]:
    """Yield the blocks of a page in one language."""
    yield from re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def settings() -> list[Any]:
    """Return every block of settings, named by its page."""
    return [
        pytest.param(text, id=f"{page.stem}-{number}")
        for page in PAGES
        if page.name != OF_THE_AGENT
        for number, text in enumerate(blocks(page, "toml"))
    ]


def typed() -> list[Any]:
    """Return every command of ours that a page has on a line of its own, or within a sentence."""
    found = []
    for page in PAGES:
        text = re.sub(r"\\\n\s*", "", page.read_text())
        lines = [line for block in blocks_of(text) for line in block.splitlines()]
        lines += re.findall(r"`(zlh-api [^`]+)`", text)
        found += [(page.stem, line.split("#")[0].strip()) for line in lines if line.startswith("zlh-api ")]
    return [pytest.param(line, id=f"{page}: {line}") for page, line in dict.fromkeys(found)]


def blocks_of(text: str) -> list[str]:
    """Return what is typed into a shell."""
    return re.findall(r"^```(?:sh)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return settings with others in their place, table by table."""
    both = {name: merged(base[name], more[name]) for name in base.keys() & more.keys() if isinstance(more[name], dict)}
    return {**base, **more, **both}


@pytest.mark.parametrize("text", settings())
def test_every_setting_that_a_page_shows_is_read(text: str) -> None:
    """Put into the example of a whole configuration, it is taken as it stands: an unknown key would be refused."""
    document = merged(tomllib.loads(EXAMPLE.read_text()), tomllib.loads(text))
    assert isinstance(convert_document(document, ApiConfig, source=EXAMPLE), ApiConfig)


def places(document: dict[str, Any], table: str = "") -> Iterator[tuple[str, str]]:
    """Yield the settings that name a file or a folder of the installation, and the addresses of Traefik's own API."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from places(value, f"{table}{name}.")
        elif name == "api_url":
            yield f"{table}{name}", f"port {value.rpartition(':')[2]}"
        elif isinstance(value, str) and value.startswith(("/etc/zlh/", "/var/lib/zlh/")):
            yield f"{table}{name}", value


INSTALLED = {
    setting: place
    for shipped in sorted((ROOT / "deploy/control").glob("api.*.toml"))
    for setting, place in places(tomllib.loads(shipped.read_text()))
}


@pytest.mark.parametrize("text", [*settings(), pytest.param(EXAMPLE.read_text(), id="example")])
def test_what_a_page_shows_stands_where_the_installer_puts_it(text: str) -> None:
    """Whoever copies a block finds the files of the installation, and Traefik's API at its port."""
    shown = dict(places(tomllib.loads(text)))
    assert shown == {**shown, **{setting: INSTALLED[setting] for setting in shown.keys() & INSTALLED.keys()}}


def test_the_installer_says_where_things_are() -> None:
    """The test above compares with something."""
    assert {"keys_dir", "artifacts.trusted_root", "traefik.api_url", "traefik.sftp.key"} <= INSTALLED.keys()


def test_an_unknown_setting_is_none_that_is_read() -> None:
    """The test above would find one."""
    document = merged(tomllib.loads(EXAMPLE.read_text()), {"traefik": {"entrypoint": "web"}})
    with pytest.raises(Exception, match="entrypoint"):
        convert_document(document, ApiConfig, source=EXAMPLE)


@pytest.mark.parametrize("line", typed())
def test_every_command_that_a_page_names_is_there(line: str) -> None:
    """Its subcommand and each option that is written out are known."""
    parser: argparse.ArgumentParser = _parser()
    for word in shlex.split(re.split(r"[<>|…\[]", line)[0])[1:]:
        below = next((each for each in parser._actions if isinstance(each, argparse._SubParsersAction)), None)
        if word.startswith("--"):
            assert word.split("=")[0] in parser._option_string_actions, f"{line}: {word}"
        elif below is not None and not word.isupper():
            assert word in below.choices, f"{line}: {word}"
            parser = below.choices[word]


def test_every_figure_that_a_page_names_is_rendered_and_no_other() -> None:
    """An alarm is written by the page, so its series are those of the text for Prometheus."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    shown = Certificate(names=("dev-101.example.org",), issuer="CA", not_after=now + timedelta(days=9))
    edge = EdgeStatus(
        is_alive=True,
        every_s=15,
        looked_at=now,
        took_s=0.1,
        containers=1,
        asked=1,
        proxy=EdgeProxy(is_reachable=True, version="3", routers=3, refused=0),
        outages=(EdgeOutage(code="proxy_away", message="It is away.", since=now),),
        faults=(),
        faults_left_out=0,
        fault_counts={},
        certificates=(ShownCertificate(shown, hosts=1, example="dev-101.example.org", seen_at=now, is_due=True),),
        files=EdgeFiles(count=1, quarantined=()),
        providers=(EdgeProvider(name="public", kind="cloudflare", zone="example.org", is_reachable=True),),
    )
    rendered = set(re.findall(r"^(zlh_edge_[a-z_]+)[{ ]", render_edge_metrics(edge, now), re.MULTILINE))
    assert rendered == set(re.findall(r"zlh_edge_[a-z_]+", (ROOT / "docs/operations.md").read_text()))
