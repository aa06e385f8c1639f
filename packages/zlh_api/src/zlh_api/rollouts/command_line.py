"""How `zlh-api agents` is asked. It loads nothing: every command of `zlh-api` knows the words of all others."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add `agents` with its sub-commands."""
    about = "show which versions of the agent there are and how the roll-outs go; bring all containers to a version"
    parser: argparse.ArgumentParser = subparsers.add_parser("agents", help=about, description=about)
    parser.add_argument("--config", type=Path, default=None, help="default: $ZLH_HOME/api.toml")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(agents_command="show")
    commands = parser.add_subparsers(metavar="COMMAND")
    begin = _add(commands, "roll-out", "bring all containers to VERSION; the API processes carry it out")
    begin.add_argument("version", metavar="VERSION")
    begin.add_argument(
        "--canary", metavar="VMID", type=int, nargs="+", default=[], help="the containers that come first"
    )
    begin.add_argument("--soak", metavar="MINUTES", type=int, default=30, help="how long each wave is watched")
    for name, about_it in (
        ("pause", "tell no further container"),
        ("resume", "go on; who has failed so far counts no more"),
        ("cancel", "end it; who has been updated stays so"),
        ("retry", "have those that failed told once more, and go on"),
    ):
        _add(commands, name, f"{about_it} (of the newest roll-out)")
    return parser


def _add(commands: Any, name: str, about: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=about, description=about)
    parser.add_argument("--config", type=Path, default=argparse.SUPPRESS, help="default: $ZLH_HOME/api.toml")
    parser.set_defaults(agents_command=name)
    return parser
