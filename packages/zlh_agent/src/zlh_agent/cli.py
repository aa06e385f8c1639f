"""The command `zlh-agent`."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

import structlog

from zlh_agent import __version__
from zlh_agent.app.serve import serve
from zlh_agent.config import DEFAULT_CONFIG, find_unknown_keys, load_config, render_config
from zlh_common.errors import ZlhError
from zlh_common.logs import configure_logs

log = structlog.get_logger()


def main(argv: list[str] | None = None) -> None:
    """Run the agent; what goes wrong is one line on standard error, and an exit code other than 0."""
    parser = argparse.ArgumentParser(prog="zlh-agent", description="The daemon inside a ZLH container.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG)
    parser.add_argument("--check-config", action="store_true", help="print what holds, and do not start")
    arguments = parser.parse_args(argv)
    try:
        config = load_config(arguments.config)
        if arguments.check_config:
            print(json.dumps(render_config(config), indent=2))
            return
        configure_logs(level=config.log_level)
        if unknown := find_unknown_keys(arguments.config):
            log.warning("agent.config_keys_unknown", keys=unknown)

        async def run() -> None:
            stop = asyncio.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
            await serve(config, stop=stop)

        asyncio.run(run())
    except ZlhError as error:
        print(f"zlh-agent: {error.detail} [{error.code}]", file=sys.stderr)
        raise SystemExit(1) from None
