"""A program that talks as a Minecraft server does, kept and followed by one agent after another."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

import fakes.minecraft_server
from component.supervision.harness import Keeper
from guards.ports import free_port
from zlh_agent.gameplay.presence_store import PresenceStore
from zlh_agent.gameplay.service import GameplayPlace, GameplayService
from zlh_agent.supervision.service import ProcessService
from zlh_common.schema.game import SERVER, WantedGame
from zlh_common.schema.process import (
    HangPolicy,
    LineProbe,
    ProcessPolicy,
    ReadyPolicy,
    RestartPolicy,
    StopPolicy,
    WantedProcess,
)
from zlh_common.schema.template import Hint, Presence, Rcon, TemplatePort, Ticks

PATIENCE_S = 60.0
SECRET = "of-this-server"
PREFIX = "[{time}] [Server thread/INFO]: "
DONE = PREFIX + 'Done ({number}s)! For help, type "help"'
UUID = "069a79f4-44e9-4726-a5be-fca90e38aaf5"


@dataclass
class Followed:
    """One server, and what an agent's life has of it."""

    folder: Path
    keeper: Keeper
    words: tuple[str, ...] = ()
    has_rcon: bool = False
    hang: HangPolicy | None = None
    port: int = field(default_factory=free_port)
    rcon_port: int = field(default_factory=free_port)
    processes: ProcessService | None = None
    service: GameplayService | None = None
    loop: asyncio.Task[None] | None = None
    # What the agent has said of why the server ended; another start takes it back.
    hints: list[str] = field(default_factory=list)
    # In place of `game`, where another program is followed.
    told: WantedGame | None = None

    def __post_init__(self) -> None:
        world = self.folder / "server"
        world.mkdir()
        (world / "eula.txt").write_text("eula=true\n")
        rcon = f"enable-rcon=true\nrcon.port={self.rcon_port}\nrcon.password={SECRET}\n" if self.has_rcon else ""
        (world / "server.properties").write_text(f"server-port={self.port}\n{rcon}")

    @property
    def game(self) -> WantedGame:
        """The game, as an agent is told of it."""
        program = str(fakes.minecraft_server.__file__)
        policy = ProcessPolicy(
            ready=ReadyPolicy(probe=LineProbe(pattern=DONE, ping=self.port)),
            restart=RestartPolicy(when="always", delays_s=(0.1, 0.1)),
            stop=StopPolicy(command="stop", command_grace_s=30, grace_s=5),
            hang=self.hang,
            ports=(self.port,),
        )
        return WantedGame(
            template="minecraft",
            title="Minecraft",
            version="1.21.4",
            process=WantedProcess(
                name=SERVER,
                argv=(sys.executable, program, *self.words, "nogui"),
                folder=str(self.folder / "server").lstrip("/"),
                policy=policy,
            ),
            ports=(
                TemplatePort(name="game", protocol="tcp", port=self.port),
                TemplatePort(name="rcon", protocol="tcp", port=self.rcon_port, is_public=False),
            ),
            presence=Presence(
                joined=(PREFIX + "{name} joined the game",),
                left=(PREFIX + "{name} left the game",),
                identified=("[{time}] [User Authenticator #{number}/INFO]: UUID of player {name} is {uuid}",),
                ping="game",
            ),
            rcon=Rcon(port="rcon", secret="rcon") if self.has_rcon else None,
            ticks=Ticks(command="tps", answer="TPS from last 1m, 5m, 15m: {number}, {rest}") if self.has_rcon else None,
            hints=(
                Hint(
                    line="[{time}] [Server thread/ERROR]: This crash report has been saved to: {rest}",
                    code="server_crashed",
                    message="The server has crashed; its report is in crash-reports.",
                ),
            ),
        )

    async def begin(self) -> None:
        """Begin the life of an agent that keeps and follows it."""
        game = self.told or self.game
        self.processes = await self.keeper.start(game.process)
        place = GameplayPlace(
            processes=self.processes,
            store=PresenceStore(self.folder / "state"),
            clock=self.keeper.clock,
            address="127.0.0.1",
            secret=_tell_secret,
            on_change=self._note_hint,
            ask_s=0.2,
        )
        self.service = GameplayService(place)
        self.keeper.on_output = lambda _name: self.service.note() if self.service else None
        self.service.want(game)
        self.loop = asyncio.create_task(self.service.run())

    def _note_hint(self) -> None:
        hint = self.service.hint if self.service is not None else None
        if hint is not None:
            self.hints.append(hint.code)

    async def end(self) -> None:
        """End the life of the agent; the server goes on."""
        if self.loop is not None:
            self.loop.cancel()
            await asyncio.gather(self.loop, return_exceptions=True)
        if self.processes is not None:
            await self.processes.detach()

    async def switch(self, power: str) -> None:
        """Have it run, or not."""
        assert self.processes is not None
        await self.processes.apply([msgspec.structs.replace(self.game.process, power=power)])

    async def say(self, text: str) -> None:
        """Type into its console."""
        assert self.processes is not None
        assert await self.processes.type_into(SERVER, text.encode() + b"\n")

    async def wait(self, is_so: Callable[[], bool]) -> None:
        """Return once it is so."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not is_so():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"still {self.processes and self.processes.statuses()}") from None

    async def wait_ready(self) -> None:
        """Return once it counts as ready."""
        processes = self.processes
        assert processes is not None
        await self.wait(lambda: processes.is_ready(SERVER))

    def names(self) -> list[str]:
        """Return who plays, as the agent says."""
        assert self.service is not None
        return [player.name for player in self.service.players().online]


async def _tell_secret(_name: str) -> str:
    return SECRET
