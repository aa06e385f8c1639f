"""HTTP of game servers. Every answer of an agent is parsed and bounded before it is handed on."""

from __future__ import annotations

from zlh_api.agents.routes import REFUSED_BY_AGENT
from zlh_api.catalog.service import CatalogNotLoaded
from zlh_api.containers.refusals import AgentTooOld, BeingDeleted, CannotInstall, TemplateNotOffered
from zlh_api.games.answer_rules import MAX_CURSOR
from zlh_api.games.refusals import (
    BackupNotFound,
    EulaNotAccepted,
    GameUnusable,
    MemoryTooSmall,
    NotAGame,
    VariableInvalid,
    VariableUnknown,
)
from zlh_api.games.service import GameService
from zlh_api.quotas.rules import QuotaExceeded
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_api.web.query import page_limit, whole_number
from zlh_common.schema.game import (
    ChangeVersion,
    CommandAnswer,
    GameDetail,
    GameReport,
    PatchGame,
    Players,
    PlayerSessions,
    RestoreBackup,
    SendCommand,
    Telemetry,
)
from zlh_common.schema.game_refusals import CommandNotTaken, GameNotRunning
from zlh_common.schema.mod_refusals import GameFilesChanging

ONE = "/api/game/{vmid}"
LIMIT = page_limit(default=50, high=200)
BEFORE = whole_number(
    "before", "What `next` of the page before has said; left out, the newest.", low=1, high=MAX_CURSOR
)
_REFUSE_ASKED = (*REFUSED_BY_AGENT, AgentTooOld, NotAGame)


def endpoints(service: GameService) -> list[Endpoint]:
    """Return the endpoints of this slice."""
    return [*_wish_endpoints(service), *_version_endpoints(service), *_agent_endpoints(service)]


def _wish_endpoints(service: GameService) -> list[Endpoint]:
    async def show(call: Call) -> GameDetail:
        return service.detail(call.container)

    async def patch(call: Call) -> GameDetail:
        # Names alone: a value may be a password.
        call.note("variables", ", ".join(sorted(call.body.variables)))
        return await service.patch(call.container, call.body)

    return [
        Endpoint(
            "GET", ONE, Policy.VIEW_CONTAINER, show, "One game server", response=GameDetail, refusals=(NotAGame,),
            name="getGame",
        ),
        Endpoint(
            "PATCH",
            ONE,
            Policy.CHANGE_CONTAINER,
            patch,
            "Change variables of a game server",
            PatchGame,
            GameDetail,
            refusals=(NotAGame, BeingDeleted, VariableUnknown, VariableInvalid, GameUnusable, MemoryTooSmall),
            example={"variables": {"motd": "Come in"}},
            about="They hold from the next start of the server on; what is not named stays.",
            name="changeGame",
            act="game.change",
        ),
    ]  # fmt: skip


def _version_endpoints(service: GameService) -> list[Endpoint]:
    async def change_version(call: Call) -> GameDetail:
        call.note("version", call.body.version)
        call.note("backup", call.body.backup)
        call.note("acceptEula", call.body.accept_eula or None)
        return await service.change_version(call.container, call.body, asked_by=call.caller.user_id)

    async def back_up(call: Call) -> GameDetail:
        return await service.back_up(call.container)

    async def restore(call: Call) -> GameDetail:
        call.note("backup", call.body.backup_id)
        return await service.restore(call.container, call.body)

    change = Policy.CHANGE_CONTAINER
    refused = (
        NotAGame, BeingDeleted, TemplateNotOffered, CannotInstall, CatalogNotLoaded, MemoryTooSmall, GameUnusable,
        QuotaExceeded,
    )  # fmt: skip
    return [
        Endpoint(
            "POST",
            f"{ONE}/version",
            change,
            change_version,
            "Have another version of a game server",
            ChangeVersion,
            GameDetail,
            202,
            refusals=(*refused, EulaNotAccepted),
            about="The server is stopped for it, its folder backed up unless `backup` is false, and started again. "
            "Values of variables that the version does not have are dropped. The version that it has already is tried "
            "once more.",
            name="changeGameVersion",
            act="game.version",
            creates=True,
            example={"version": "1.21"},
        ),
        Endpoint(
            "POST",
            f"{ONE}/backups",
            change,
            back_up,
            "Make a backup of a game server",
            response=GameDetail,
            status=202,
            refusals=(NotAGame, BeingDeleted, AgentTooOld, GameFilesChanging),
            about="The server is stopped for it and started again; the newest backups are kept.",
            name="backUpGame",
            act="game.backup",
            creates=True,
        ),
        Endpoint(
            "POST",
            f"{ONE}/restore",
            change,
            restore,
            "Go back to a backup of a game server",
            RestoreBackup,
            GameDetail,
            202,
            refusals=(*refused, BackupNotFound),
            about="With the version that the backup is of; what lies there now is replaced.",
            name="restoreGame",
            act="game.restore",
            creates=True,
            example={"backupId": "0" * 32},
        ),
    ]


def _agent_endpoints(service: GameService) -> list[Endpoint]:
    async def verify(call: Call) -> GameReport:
        return await service.verify(call.container)

    async def players(call: Call) -> Players:
        return await service.fetch_players(call.container)

    async def history(call: Call) -> PlayerSessions:
        return await service.fetch_sessions(call.container, before=call.asked(BEFORE), limit=call.asked(LIMIT))

    async def telemetry(call: Call) -> Telemetry:
        return await service.fetch_telemetry(call.container)

    async def command(call: Call) -> CommandAnswer:
        # What follows the first word may be a password.
        call.note("command", call.body.command.split(maxsplit=1)[:1] or None)
        return await service.send_command(call.container, call.body)

    view, refused = Policy.VIEW_CONTAINER, _REFUSE_ASKED
    return [
        Endpoint(
            "POST", f"{ONE}/verify", Policy.CHANGE_CONTAINER, verify, "Compare a game server's files with their hashes",
            response=GameReport, refusals=refused, name="verifyGame", act="game.verify",
        ),
        Endpoint("GET", f"{ONE}/players", view, players, "Who plays now", response=Players, refusals=refused),
        Endpoint(
            "GET", f"{ONE}/players/history", view, history, "Who has played, the newest stay first",
            response=PlayerSessions, query=(BEFORE, LIMIT), refusals=refused, name="listPlayerSessions",
        ),
        Endpoint(
            "GET", f"{ONE}/telemetry", view, telemetry, "How a game server is and was", response=Telemetry,
            refusals=refused, name="getGameTelemetry",
        ),
        Endpoint(
            "POST", f"{ONE}/commands", Policy.USE_CONSOLE, command, "Type a line into a game server's console",
            SendCommand, CommandAnswer, refusals=(*refused, GameNotRunning, CommandNotTaken), name="sendGameCommand",
            example={"command": "list"},
            about="`output` is what its remote console has answered, and null where the answer stands in its console.",
            act="game.command",
        ),
    ]  # fmt: skip
