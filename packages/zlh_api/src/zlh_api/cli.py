"""The commands of `zlh-api`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import structlog

from zlh_api import __version__
from zlh_common.errors import ZlhError
from zlh_common.logs import configure_logs

log = structlog.get_logger()


def home() -> Path:
    """Return the folder of this installation's state: `$ZLH_HOME`, else `.zlh` here."""
    return Path(os.environ.get("ZLH_HOME") or ".zlh").absolute()


def main(argv: list[str] | None = None) -> None:
    """Run one command; what goes wrong is one line on standard error, and an exit code other than 0."""
    arguments = _parser().parse_args(argv)
    try:
        code = arguments.run(arguments)
    except ZlhError as error:
        _complain(error)
        code = 1
    except BaseExceptionGroup as group:
        # Of parts that are made beside each other, each that was refused has its own reason.
        refusals, others = group.split(ZlhError)
        if refusals is None or others is not None:
            raise
        for refusal in _leaves(refusals):
            _complain(refusal)
        code = 1
    except KeyboardInterrupt:
        code = 130
    raise SystemExit(code)


def _complain(error: ZlhError) -> None:
    # Whoever runs a command may read why: of a wrong `dsn` the driver alone knows.
    cause = " ".join(str(error.__cause__ or "").split())
    reason = f" ({cause})" if error.code == "database_unavailable" and cause else ""
    print(f"zlh-api: {error.detail}{reason} [{error.code}]", file=sys.stderr)


def _leaves(group: BaseExceptionGroup[ZlhError]) -> Iterator[ZlhError]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(each)
        else:
            yield each


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zlh-api", description="The ZLH control API and its tools.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, about in (
        ("serve", _serve, "run one API process"),
        ("migrate", _migrate, "bring the database to this version's schema"),
        ("check-config", _check_config, "say whether the configuration can be used"),
    ):
        command = commands.add_parser(name, help=about)
        command.add_argument("--config", type=Path, default=None, help="default: $ZLH_HOME/api.toml")
        command.set_defaults(run=run)
    commands.add_parser("openapi", help="print the OpenAPI document").set_defaults(run=_openapi)
    dev = commands.add_parser("dev", help="run the whole platform on this machine (make dev)")
    dev.set_defaults(run=_dev)
    commands.add_parser("portal", help="build the portal out of this checkout").set_defaults(run=_portal)
    _add_operator(commands)
    _add_artifacts(commands)
    _add_audit(commands)
    _add_authority(commands)
    _add_agents(commands)
    _add_audit_log(commands)
    _add_traefik_static(commands)
    _add_proxmox(commands)
    return parser


def _add_authority(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from zlh_api.authority.command_line import add_parser

    add_parser(commands).set_defaults(run=_authority)


def _authority(arguments: argparse.Namespace) -> int:
    from zlh_api.app.authority import open_authority
    from zlh_api.authority import commands
    from zlh_api.config.load import load_config

    configure_logs(stream=sys.stderr)
    config = load_config(arguments.config or home() / "api.toml")
    return asyncio.run(commands.run(arguments, lambda: open_authority(config)))


def _add_agents(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from zlh_api.rollouts.command_line import add_parser

    add_parser(commands).set_defaults(run=_agents)


def _agents(arguments: argparse.Namespace) -> int:
    from zlh_api.app.rollouts import open_rollouts
    from zlh_api.config.load import load_config
    from zlh_api.rollouts import commands

    configure_logs(stream=sys.stderr)
    config = load_config(arguments.config or home() / "api.toml")
    return asyncio.run(commands.run(arguments, lambda: open_rollouts(config)))


def _add_operator(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    operator = commands.add_parser(
        "operator",
        help="make an operator, or let one in again",
        description="Makes EMAIL an operator, new or not, with the password that is typed or stands in standard input.",
    )
    operator.add_argument("email", metavar="EMAIL")
    operator.add_argument("--config", type=Path, default=None, help="default: $ZLH_HOME/api.toml")
    operator.set_defaults(run=_operator)


def _operator(arguments: argparse.Namespace) -> int:
    from zlh_api.app.accounts import open_accounts
    from zlh_api.config.load import load_config
    from zlh_api.customers.operator_command import read_password

    config = load_config(arguments.config or home() / "api.toml")
    password = read_password(sys.stdin)

    async def run() -> None:
        async with (
            open_accounts(config.database.dsn) as (accounts, audit_log),
            audit_log.command("operator.make", {"email": arguments.email}),
        ):
            await accounts.users.put_operator(arguments.email, password)

    asyncio.run(run())
    print(f"{arguments.email} is an operator with this password, and is signed in nowhere.")
    return 0


def _add_audit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from zlh_api.audit.command_line import add_parser

    add_parser(commands).set_defaults(run=_audit)


def _audit(arguments: argparse.Namespace) -> int:
    from zlh_api.app.audit import open_audit
    from zlh_api.audit import commands as audit
    from zlh_api.config.load import load_config

    # What is printed is the answer; what is removed is told on standard error.
    configure_logs(stream=sys.stderr)
    return asyncio.run(audit.run(arguments, lambda: open_audit(load_config(arguments.config or home() / "api.toml"))))


def _add_audit_log(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from zlh_api.audit_log.command_line import add_parser

    add_parser(commands).set_defaults(run=_audit_log)


def _audit_log(arguments: argparse.Namespace) -> int:
    from zlh_api.app.audit_log import open_audit_log
    from zlh_api.audit_log import commands as audit_log
    from zlh_api.config.load import load_config

    configure_logs(stream=sys.stderr)
    return asyncio.run(
        audit_log.run(arguments, lambda: open_audit_log(load_config(arguments.config or home() / "api.toml")))
    )


def _add_artifacts(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    # The publisher needs tuf and zstandard, which the serving process must never load.
    from zlh_api.artifacts import commands as artifacts

    parser = artifacts.add_parser(commands, folder=home() / "artifacts", keys=home() / "keys" / "artifacts")
    parser.set_defaults(run=_artifacts)


def _artifacts(arguments: argparse.Namespace) -> int:
    from zlh_api.artifacts import commands as artifacts

    configure_logs()
    return artifacts.run(arguments)


def _add_traefik_static(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from zlh_api.app.proxy_static import add_parser

    add_parser(commands).set_defaults(run=_traefik_static)


def _traefik_static(arguments: argparse.Namespace) -> int:
    from zlh_api.app.proxy_static import read_acme, static_setting
    from zlh_api.config.load import load_config
    from zlh_api.edge.traefik_static import render_static_file

    config = load_config(arguments.config or home() / "api.toml", is_used_here=False)
    setting = static_setting(config, read_acme(arguments, config), arguments.directory)
    print(render_static_file(setting), end="")
    return 0


def _add_proxmox(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from zlh_api.drivers.proxmox.command_line import add_parser

    add_parser(commands).set_defaults(run=_proxmox_check)


def _proxmox_check(arguments: argparse.Namespace) -> int:
    from zlh_api.app.preflight import open_preflight
    from zlh_api.config.load import load_config
    from zlh_api.drivers.proxmox import commands

    configure_logs(stream=sys.stderr)
    config = load_config(arguments.config or home() / "api.toml", is_used_here=False)

    async def run() -> int:
        async with open_preflight(config) as preflight:
            return await commands.run(arguments, preflight)

    return asyncio.run(run())


def _serve(arguments: argparse.Namespace) -> int:
    from zlh_api.app.serve import serve
    from zlh_api.config.load import load_config
    from zlh_common.notify import feed_watchdog, notify

    config = load_config(arguments.config or home() / "api.toml")
    configure_logs(level=config.log_level)

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def end() -> None:
            notify("STOPPING=1")
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        feeder = asyncio.create_task(feed_watchdog())
        try:
            await serve(config, stop=stop, ready=lambda: notify("READY=1"))
        finally:
            feeder.cancel()

    asyncio.run(run())
    return 0


def _migrate(arguments: argparse.Namespace) -> int:
    from zlh_api.config.load import load_config
    from zlh_api.database.migrate import migrate
    from zlh_api.database.pool import Database

    config = load_config(arguments.config or home() / "api.toml")

    async def run() -> list[int]:
        database = Database(config.database.dsn)
        try:
            async with database.connection() as connection:
                return await migrate(connection)
        finally:
            await database.close()

    applied = asyncio.run(run())
    print("Applied: " + ", ".join(map(str, applied)) if applied else "The schema is up to date.")
    return 0


def _check_config(arguments: argparse.Namespace) -> int:
    from zlh_api.config.load import load_config

    path = arguments.config or home() / "api.toml"
    load_config(path)
    print(f"{path} can be used.")
    return 0


def _openapi(_arguments: argparse.Namespace) -> int:
    from zlh_api.describe import describe_api

    print(json.dumps(asyncio.run(describe_api()), indent=1, sort_keys=True))
    return 0


def _dev(_arguments: argparse.Namespace) -> int:
    from zlh_api.dev.stack import run_stack

    return asyncio.run(run_stack(home()))


def _portal(_arguments: argparse.Namespace) -> int:
    from zlh_api.dev.portal_build import PortalBuildFailed, build_portal, find_sources, is_built

    sources = find_sources()
    if sources is None:
        raise PortalBuildFailed(output="this is no checkout; a release carries its portal already")
    if not is_built(sources):
        asyncio.run(build_portal(sources, tools=home() / "tools"))
    print("The portal is built.")
    return 0
