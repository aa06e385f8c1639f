"""How `zlh-api proxmox` is asked. It loads nothing, since every command of `zlh-api` knows the words of all others."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add `proxmox` with its sub-commands."""
    parser: argparse.ArgumentParser = subparsers.add_parser("proxmox", help="look at the cluster of the proxmox driver")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    about = (
        "say what the cluster of the configuration lacks for containers, and what to type about it; reads alone. "
        "Exits with 1 where something is missing, 2 where something could not be looked at"
    )
    check = commands.add_parser("check", help=about, description=about)
    check.add_argument("--config", type=Path, default=None, help="default: $ZLH_HOME/api.toml")
    check.add_argument("--json", action="store_true", help="for programs")
    return parser
