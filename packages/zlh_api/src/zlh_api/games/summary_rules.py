"""What the report of a container says of its game server: pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from zlh_api.containers.model import Container
from zlh_api.games.model import GameWish
from zlh_api.games.port_rules import render_ports
from zlh_common.names import render_host
from zlh_common.schema.game import GameReport, GameState, GameSummary
from zlh_common.schema.status import Step, StepState
from zlh_common.shown_text import clean_line

# Of an agent's report.
TEXT_CHARS, HINT_CHARS, MAX_BACKUPS = 128, 512, 64


def summarize_game(
    container: Container, steps: Sequence[Step], *, domain: str, has_services: bool = False
) -> GameSummary | None:
    """Return what is told of a game server beside its container; None where it has none.

    `steps` are the agent's; with `has_services` DNS tells the ports of games whose players' programs ask for them.
    """
    game = container.game
    if game is None:
        return None
    told = find_report(container)
    host = render_host(container.host, domain)
    ports = render_ports(game.definition, container.game_ports, host, has_services=has_services)
    return GameSummary(
        template=game.template,
        title=game.title,
        game=game.definition.game,
        state=decide_state(game, told, steps),
        version=game.version.version,
        installed_version=told.version if told else None,
        address=next((port.address for port in ports if port.address), None),
        ports=ports,
        players=told.players if told else None,
        hint_code=told.hint_code if told else None,
        hint=told.hint if told else None,
    )


def find_report(container: Container) -> GameReport | None:
    """Return what the agent tells of its game, with texts that can be shown."""
    told = container.agent.game if container.agent else None
    return None if told is None else bound_report(told)


def bound_report(told: GameReport) -> GameReport:
    """Return a stranger's report with texts that can be shown."""
    return msgspec.structs.replace(
        told,
        template=told.template[:TEXT_CHARS],
        version=told.version[:TEXT_CHARS] if told.version else None,
        backups=told.backups[:MAX_BACKUPS],
        hint_code=clean_line(told.hint_code, TEXT_CHARS) if told.hint_code else None,
        hint=clean_line(told.hint, HINT_CHARS) if told.hint else None,
    )


def decide_state(game: GameWish, told: GameReport | None, steps: Sequence[Step]) -> GameState:
    """Return how far the files of a game server are."""
    mine = [step for step in steps if step.name.startswith(f"install {game.template} ")]
    if any(step.state is StepState.FAILED for step in mine):
        return GameState.FAILED
    is_under_way = any(step.state in {StepState.PENDING, StepState.RUNNING} for step in mine)
    if told is None or told.version is None:
        return GameState.INSTALLING
    is_there = told.version == game.version.version and told.template == game.template
    is_backup_due = told.backups_answered is not None and game.backups_asked > told.backups_answered
    return GameState.INSTALLED if is_there and not is_under_way and not is_backup_due else GameState.CHANGING
