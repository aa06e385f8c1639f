"""How `zlh-api audit-log` is asked. It loads nothing: each command of `zlh-api` knows the words of all others."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add `audit-log` with its sub-commands."""
    about = "look whether the audit log is as it was written"
    parser: argparse.ArgumentParser = subparsers.add_parser("audit-log", help=about, description=about)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="audit_log_command")
    verify = commands.add_parser(
        "verify", help="compute every hash anew; exits with 1 where a chain is not whole, 2 where it could not look"
    )
    verify.add_argument("--anchor", type=Path, default=None, metavar="FILE", help="what `audit-log head` once printed")
    head = commands.add_parser("head", help="print where each chain ends, to be kept elsewhere")
    for command in (verify, head):
        command.add_argument(
            "--customer", default=None, metavar="ID", help="only this customer's chain; `platform` for the platform's"
        )
        command.add_argument("--config", type=Path, default=None, help="default: $ZLH_HOME/api.toml")
    return parser
