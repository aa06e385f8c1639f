"""How `zlh-api audit` is asked. It loads nothing, since every command of `zlh-api` knows the words of all others."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add `audit` with its sub-commands."""
    about = "compare the database with guests and routes; exits with 1 for findings, 2 where it could not look"
    parser: argparse.ArgumentParser = subparsers.add_parser("audit", help=about, description=about)
    _add_common(parser, default=None)
    parser.set_defaults(audit_command="all", json=False)
    commands = parser.add_subparsers(metavar="COMMAND")
    names = commands.add_parser("names", help="only what is ours and has another name than we would give it")
    _add_common(names, default=argparse.SUPPRESS)
    names.set_defaults(audit_command="names")
    remove = commands.add_parser("remove", help="take away all that carries a mark which no container has")
    remove.add_argument("owner", metavar="OWNER", help="the mark, as `zlh-api audit` names it")
    remove.add_argument("--config", type=Path, default=argparse.SUPPRESS, help="default: $ZLH_HOME/api.toml")
    remove.set_defaults(audit_command="remove")
    forget = commands.add_parser(
        "forget-provider", help="say that nothing of ours is left at a DNS provider that is configured no more"
    )
    forget.add_argument("provider", metavar="NAME", help="as `zlh-api audit` names it")
    forget.add_argument("--config", type=Path, default=argparse.SUPPRESS, help="default: $ZLH_HOME/api.toml")
    forget.set_defaults(audit_command="forget-provider")
    return parser


def _add_common(parser: argparse.ArgumentParser, *, default: Any) -> None:
    parser.add_argument("--config", type=Path, default=default, help="default: $ZLH_HOME/api.toml")
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="for programs")
