"""What agents say of players, of how a server is and of commands, as it is handed on."""

from __future__ import annotations

from datetime import UTC, datetime

from zlh_api.games.answer_rules import bound_answer, bound_players, bound_sessions, bound_telemetry
from zlh_api.games.summary_rules import bound_report
from zlh_common.schema.game import (
    CommandAnswer,
    GameReport,
    Player,
    Players,
    PlayerSession,
    PlayerSessions,
    Telemetry,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVIL = "a\x1b[2J\u202eb"
SHOWN = "a [2J b"


def test_no_text_of_an_agent_moves_a_cursor() -> None:
    """Nor turns the direction of what follows; an honest one has taken both out already."""
    players = bound_players(Players(online=(Player(name=EVIL, uuid=EVIL, since=NOW),), count=1, max=None))
    assert (players.online[0].name, players.online[0].uuid) == (SHOWN, SHOWN)
    stay = PlayerSession(name=EVIL, uuid=None, joined_at=NOW, left_at=None)
    assert bound_sessions(PlayerSessions(items=(stay,)), limit=5).items[0].name == SHOWN
    telemetry = bound_telemetry(Telemetry(now=None, server_version=EVIL, motd=EVIL))
    assert (telemetry.server_version, telemetry.motd) == (SHOWN, SHOWN)
    report = bound_report(GameReport(template="blocks", hint_code=EVIL, hint=EVIL))
    assert (report.hint_code, report.hint) == (SHOWN, SHOWN)


def test_lines_of_an_answer_stay_lines() -> None:
    """Its end is shown where it is long."""
    assert bound_answer(CommandAnswer(output=f"one\r\n{EVIL}\n")).output == f"one\n{SHOWN}\n"
    assert bound_answer(CommandAnswer(output="x" * 100_000 + "end")).output == ("x" * 100_000 + "end")[-65_536:]
    assert bound_answer(CommandAnswer(output=None)).output is None
