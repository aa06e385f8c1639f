"""How `zlh-api authority` is asked. It loads nothing: every command of `zlh-api` knows the words of all others."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add `authority` with its sub-commands."""
    about = "show the CAs by which agents and the API are known, and who depends on the old ones; change them"
    parser: argparse.ArgumentParser = subparsers.add_parser("authority", help=about, description=about)
    parser.add_argument("--config", type=Path, default=None, help="default: $ZLH_HOME/api.toml")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(authority_command="show")
    commands = parser.add_subparsers(metavar="COMMAND")
    _add(commands, "rotate", "begin with new CAs; the API processes carry it to its end by themselves")
    retire = _add(commands, "retire", "take the old CAs away now; refuses while somebody depends on them")
    retire.add_argument("--force", action="store_true", help="cut off whoever depends on them, and name them")
    renew = _add(commands, "renew", "give one agent another key at once, as after a theft")
    renew.add_argument("vmid", metavar="VMID", type=int)
    unpin = _add(
        commands, "unpin", "accept any key of an agent's name until it has another, as after a restored database"
    )
    which = unpin.add_mutually_exclusive_group(required=True)
    which.add_argument("vmids", metavar="VMID", type=int, nargs="*", default=[])
    which.add_argument("--all", action="store_true", help="of all agents")
    _add(commands, "adopt", "go by the keys in keys_dir, whatever the database says: where other keys are lost")
    return parser


def _add(commands: Any, name: str, about: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=about, description=about)
    parser.add_argument("--config", type=Path, default=argparse.SUPPRESS, help="default: $ZLH_HOME/api.toml")
    parser.set_defaults(authority_command=name)
    return parser
