"""Game servers that a running platform offers: flying-squid from its real sources, in two versions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from e2e.stack import Stack
from real_parts.built_archives import build_archive, offer_archive_as
from real_parts.minecraft import install
from zlh_api.artifacts.building.template_book import SHIPPED

NAME, VERSION = "flying-squid", "1.12.0"
# The same archive under the number of a release that there is not, to go up to.
NEXT_VERSION = "1.12.99"
# On a machine that does nothing else it takes about a minute.
BUILD_LIMIT_S = 840
PUBLISH_LIMIT_S = 300
# The same server with an agreement, and with a variable that is a word of its command.
STRICT, STRICT_TITLE = "flying-squid-strict", "flying-squid with terms"
TERMS = "https://example.org/terms"
_STRICT = f"""
[eula]
title = "Terms of the server"
url = "{TERMS}"

[[variables]]
kind = "text"
name = "mode"
title = "Mode"
default = "plain"
"""


@pytest.fixture(scope="session")
def squid_archive() -> Path:
    """Return the archive of the server; its record lies beside it."""
    return build_archive(NAME, VERSION, limit_s=BUILD_LIMIT_S)


@pytest.fixture(scope="session")
def games_on_offer(running_stack: Stack, squid_archive: Path) -> None:
    """Have the running platform sign both versions, and both templates, into its catalog."""
    tree, keys = running_stack.home / "artifacts", running_stack.home / "keys/artifacts"
    for version in (VERSION, NEXT_VERSION):
        offer_archive_as(squid_archive, version, tree)
    templates = _write_templates(running_stack.home.parent / "templates")
    _run("build", "--dir", str(tree), "--templates", str(templates), NAME, STRICT)
    _run("publish", "--dir", str(tree), "--keys", str(keys))


@pytest.fixture(scope="session")
def players_installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the players' program."""
    return install(tmp_path_factory.mktemp("minecraft"))


def _write_templates(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    text = (SHIPPED / f"{NAME}.toml").read_text()
    strict = text.replace(f'name = "{NAME}"', f'name = "{STRICT}"', 1)
    strict = strict.replace(f'title = "{NAME}"', f'title = "{STRICT_TITLE}"', 1)
    strict = strict.replace('argv = ["flying-squid"]', 'argv = ["flying-squid", "{var.mode}"]', 1)
    assert strict.count(STRICT) == 1
    assert "{var.mode}" in strict
    (folder / f"{NAME}.toml").write_text(text)
    (folder / f"{STRICT}.toml").write_text(strict + _STRICT)
    return folder


def _run(*words: str) -> None:
    command = [sys.executable, "-m", "zlh_api", "artifacts", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PUBLISH_LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
