"""Game servers that exist: what is wanted of one goes into its spec, what only its agent knows is asked of that."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlencode
from uuid import UUID

import msgspec

from zlh_api.agents.client import AgentAddress, AgentClient, AgentRefused, decode_report
from zlh_api.agents.routes import find_agent
from zlh_api.catalog.service import CatalogNotLoaded, CatalogService
from zlh_api.containers.game_choice import (
    Agreement,
    ChosenGame,
    change_values,
    choose_next_version,
    choose_restored,
    find_versions,
)
from zlh_api.containers.model import Container, Power, RuntimeWish
from zlh_api.containers.refusals import AgentTooOld, BeingDeleted
from zlh_api.containers.service import ContainerService
from zlh_api.containers.status import agents_steps
from zlh_api.games.answer_rules import bound_answer, bound_players, bound_sessions, bound_telemetry
from zlh_api.games.model import GameWish
from zlh_api.games.refusals import BackupNotFound, NotAGame
from zlh_api.games.rendering import effective_values
from zlh_api.games.server_rules import find_server, is_agent_too_old, is_server_off
from zlh_api.games.summary_rules import bound_report, decide_state, find_report
from zlh_api.processes.rules import ProcessPending
from zlh_common.errors import NotFound
from zlh_common.schema.game import (
    SERVER,
    ChangeVersion,
    CommandAnswer,
    GameDetail,
    GameReport,
    GameState,
    PatchGame,
    Players,
    PlayerSessions,
    RestoreBackup,
    SendCommand,
    Telemetry,
)
from zlh_common.schema.game_refusals import CommandNotTaken, GameNotRunning
from zlh_common.schema.mod_refusals import GameFilesChanging
from zlh_common.schema.process import ProcessNotRunning, ProcessSwitchedOff
from zlh_common.schema.status import ContainerStatus
from zlh_common.schema.structs import encode

# Every file of a version is read.
VERIFY_TIMEOUT_S = 180
# Of how many backups an agent is believed to have made some, so that one more is still a number.
MOST_BACKUPS_BELIEVED = 2**53
_DOWN = frozenset({"stopped", "error", "backoff"})
_REFUSALS = {refusal.code: refusal for refusal in (ProcessNotRunning, ProcessSwitchedOff)}
T = TypeVar("T")


class GameService:
    """Everything about game servers but their mods."""

    def __init__(
        self, containers: ContainerService, catalog: CatalogService, agents: AgentClient, *, agent_port: int
    ) -> None:
        self._containers = containers
        self._catalog = catalog
        self._agents = agents
        self._agent_port = agent_port

    def detail(self, container: Container) -> GameDetail:
        """Return one game server; raise NotAGame."""
        game, told = find_game(container), find_report(container)
        summary = self._containers.report(container).game
        return GameDetail(
            vmid=container.vmid,
            template=game.template,
            title=game.title,
            game=game.definition.game,
            state=decide_state(game, told, agents_steps(container)),
            version=game.version.version,
            installed_version=told.version if told else None,
            versions=self._find_versions(game.template),
            variables=game.definition.variables,
            values=effective_values(game.definition, game.values),
            ports=summary.ports if summary else (),
            eula=game.eula,
            commands=game.definition.commands,
            mods=game.definition.mods,
            backups=told.backups if told else (),
            hint_code=told.hint_code if told else None,
            hint=told.hint if told else None,
        )

    async def patch(self, container: Container, wish: PatchGame) -> GameDetail:
        """Want other values, from the next start on; raise VariableUnknown, VariableInvalid, GameUnusable."""

        def change(current: Container, game: GameWish) -> tuple[GameWish, tuple[RuntimeWish, ...]]:
            changed = change_values(game, wish.variables, memory_mib=current.resources.memory_mib)
            return changed, current.runtimes

        return self.detail(await self._containers.change_game(container, change))

    async def change_version(self, container: Container, wish: ChangeVersion, *, asked_by: UUID) -> GameDetail:
        """Want another version, or one that has failed once more; raise as `choose_next_version` does."""
        await self._catalog.catch_up()
        agreement = Agreement(wish.accept_eula, asked_by, datetime.now(UTC))

        def change(current: Container, game: GameWish) -> tuple[GameWish, tuple[RuntimeWish, ...]]:
            memory_mib = current.resources.memory_mib
            chosen = choose_next_version(self._catalog, game, wish, memory_mib=memory_mib, agreement=agreement)
            return _join(current, chosen)

        return self.detail(await self._containers.change_game(container, change))

    async def back_up(self, container: Container) -> GameDetail:
        """Want a backup of what lies there; raise NotAGame, AgentTooOld, GameFilesChanging."""
        find_game(container)

        def change(current: Container, game: GameWish) -> tuple[GameWish, tuple[RuntimeWish, ...]]:
            told = find_report(current)
            if told is not None and told.backups_answered is None:
                raise AgentTooOld("make backups because somebody asks")
            state = decide_state(game, told, agents_steps(current))
            if told is None or told.version is None or state is GameState.CHANGING:
                raise GameFilesChanging
            # Above what it has answered too: a database that came back from a backup knows of less.
            before = max(game.backups_asked, min(told.backups_answered or 0, MOST_BACKUPS_BELIEVED))
            return msgspec.structs.replace(game, backups_asked=before + 1), current.runtimes

        return self.detail(await self._containers.change_game(container, change))

    async def restore(self, container: Container, wish: RestoreBackup) -> GameDetail:
        """Want the contents of a backup, and its version; raise BackupNotFound and as `choose_restored` does."""
        await self._catalog.catch_up()

        def change(current: Container, game: GameWish) -> tuple[GameWish, tuple[RuntimeWish, ...]]:
            told = find_report(current)
            backup = next((each for each in told.backups if each.id == wish.backup_id), None) if told else None
            if backup is None:
                raise BackupNotFound(wish.backup_id)
            memory_mib = current.resources.memory_mib
            chosen = choose_restored(
                self._catalog, game, version=backup.version, backup_id=backup.id, memory_mib=memory_mib
            )
            return _join(current, chosen)

        return self.detail(await self._containers.change_game(container, change))

    async def verify(self, container: Container) -> GameReport:
        """Have the agent compare the files of the version with their hashes."""
        told = await self._ask(container, "POST", "/game/verify", GameReport, timeout_s=VERIFY_TIMEOUT_S)
        return bound_report(told)

    async def fetch_players(self, container: Container) -> Players:
        """Return who plays now."""
        return bound_players(await self._ask(container, "GET", "/game/players", Players))

    async def fetch_sessions(self, container: Container, *, before: int | None, limit: int) -> PlayerSessions:
        """Return who has played, a page of it."""
        query = urlencode({"limit": limit, **({} if before is None else {"before": before})})
        told = await self._ask(container, "GET", f"/game/players/history?{query}", PlayerSessions)
        return bound_sessions(told, limit=limit)

    async def fetch_telemetry(self, container: Container) -> Telemetry:
        """Return how the server is and was."""
        return bound_telemetry(await self._ask(container, "GET", "/game/telemetry", Telemetry))

    async def send_command(self, container: Container, wish: SendCommand) -> CommandAnswer:
        """Type a line into the server's console; raise GameNotRunning, CommandNotTaken."""
        try:
            told = await self._ask(container, "POST", "/game/commands", CommandAnswer, body=encode(wish))
        except AgentRefused as error:
            if error.agent_code == GameNotRunning.code:
                raise GameNotRunning from error
            if error.agent_code == CommandNotTaken.code:
                raise CommandNotTaken(reason=f"its agent says: {error.agent_detail[:300]}".rstrip(".")) from error
            raise
        return bound_answer(told)

    async def restart(self, container: Container) -> ContainerStatus:
        """Stop the server in order and start it again; one that is down is started."""
        _refuse_deleted(container)
        if is_agent_too_old(container):
            # The guest's own restart brings it another agent.
            return await self._containers.restart(container)
        server = find_server(container)
        if is_server_off(container) or (server is not None and server.state in _DOWN):
            return await self._containers.set_power(container, Power.ON)
        await self._order(container, "restart")
        return self._containers.report(container)

    async def kill(self, container: Container) -> ContainerStatus:
        """End the server at once, and leave it off."""
        _refuse_deleted(container)
        server = find_server(container)
        if server is None or server.state not in _DOWN:
            await self._order(container, "kill")
        return await self._containers.set_power(container, Power.OFF)

    async def _order(self, container: Container, verb: str) -> None:
        try:
            await self._agents.call(self._find_agent(container), "POST", f"/processes/{SERVER}/{verb}")
        except AgentRefused as error:
            if error.agent_code in _REFUSALS:
                raise _REFUSALS[error.agent_code](SERVER) from error
            if error.agent_status == NotFound.status:
                raise ProcessPending(SERVER) from error
            raise

    async def _ask(
        self,
        container: Container,
        method: str,
        path: str,
        shape: type[T],
        *,
        body: bytes | None = None,
        timeout_s: float | None = None,
    ) -> T:
        """Return what an agent answers about its game; raise NotAGame, AgentTooOld, and what any call can come to."""
        find_game(container)
        limits = {} if timeout_s is None else {"timeout_s": timeout_s}
        return decode_report(
            await self._agents.call(self._find_agent(container), method, path, body=body, **limits), shape
        )

    def _find_agent(self, container: Container) -> AgentAddress:
        if is_agent_too_old(container):
            raise AgentTooOld("run game servers")
        return find_agent(container, self._agent_port)

    def _find_versions(self, template: str) -> tuple[str, ...]:
        try:
            return find_versions(self._catalog, template)
        except CatalogNotLoaded:
            return ()


def find_game(container: Container) -> GameWish:
    """Return what is wanted of a container's game server; raise NotAGame."""
    if container.game is None:
        raise NotAGame(container.vmid)
    return container.game


def _refuse_deleted(container: Container) -> None:
    if container.is_deleting:
        raise BeingDeleted(container.vmid)


def _join(current: Container, chosen: ChosenGame) -> tuple[GameWish, tuple[RuntimeWish, ...]]:
    """Return what is written of a choice: runtimes that are there already keep what is known of them."""
    if chosen.runtimes is None:
        return chosen.wish, current.runtimes
    had = {(wish.name, wish.version): wish for wish in current.runtimes if wish.default}
    return chosen.wish, tuple(had.get((wish.name, wish.version), wish) for wish in chosen.runtimes)
