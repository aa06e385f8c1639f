"""What a process counts of its own work: how often, how long, and never with a word of somebody else's."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from zlh_api.circuit import Circuits
from zlh_api.distribution import Distribution
from zlh_api.drivers.port import SystemAway
from zlh_api.monitoring.model import BackupRecord
from zlh_api.monitoring.process_use import read_backup, read_disks, read_use
from zlh_api.reconcile.step_figures import MOST_CODES, OTHER, StepFigures
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_api.web.request_figures import GONE, OF_AGENT, RequestFigures
from zlh_common.clock import SystemClock


async def _nothing(_call: Call) -> None:
    return None


LIST = Endpoint("GET", "/api/containers", Policy.LIST_CONTAINERS, _nothing, "x")
CONSOLE = Endpoint("GET", "/api/containers/{vmid}/console", Policy.USE_CONSOLE, _nothing, "x", is_websocket=True)


def test_a_duration_is_counted_below_the_first_bound_that_holds_it() -> None:
    """One that is exactly as long belongs below it; what is longer than all comes last."""
    spread = Distribution((0.1, 1.0))
    for seconds in (0.0, 0.1, 0.2, 1.0, 1.1):
        spread.note(seconds)
    assert (spread.counts, math.isclose(spread.total_s, 2.4)) == ([2, 2, 1], True)


def test_requests_are_counted_by_endpoint_and_class() -> None:
    """With their time; one that met no endpoint has no name, and one that nobody waited for is told apart."""
    figures = RequestFigures()
    for status in (200, 204, 404, 503):
        figures.note(LIST, status, 0.02)
    for code in ("agent_unreachable", "container_not_up", "database_unavailable"):
        figures.note(LIST, 502, 0.02, code=code)
    figures.note(LIST, 404, 0.02, code="agent_version_unknown")
    figures.note(LIST, None, 3.0)
    figures.note(None, 404, 0.01)
    route = ("GET", "/api/containers")
    assert figures.answers == {
        (*route, "2xx"): 2, (*route, "4xx"): 2, (*route, "5xx"): 2, (*route, OF_AGENT): 2, (*route, GONE): 1,
        ("", "", "4xx"): 1,
    }  # fmt: skip
    assert list(figures.durations) == [route]
    assert sum(figures.durations[route].counts) == 8


def test_what_stays_open_has_no_duration() -> None:
    """An hour before a console would be a slow answer in every average."""
    figures = RequestFigures()
    figures.note(CONSOLE, 101, 3600.0)
    assert figures.answers == {("GET", CONSOLE.path, "1xx"): 1}
    assert figures.durations == {}


def test_steps_are_counted_by_outcome_and_timed_whatever_comes_of_them() -> None:
    """A step that fails takes time as well."""
    figures = StepFigures()
    with figures.timing("start-guest"):
        figures.note_done("start-guest")
    with pytest.raises(OSError, match="no"), figures.timing("start-guest"):
        raise OSError("no")
    figures.note_failed("start-guest", "guest_failed")
    figures.note_waiting("start-guest")
    assert figures.outcomes == {("start-guest", word): 1 for word in ("done", "failed", "waiting")}
    assert figures.failures == {"guest_failed": 1}
    assert sum(figures.durations["start-guest"].counts) == 2


def test_codes_without_end_are_one_from_some_point_on() -> None:
    """So a fault of ours cannot fill whoever keeps the figures."""
    figures = StepFigures()
    for number in range(MOST_CODES + 50):
        figures.note_failed("observe", f"code_{number}")
    figures.note_failed("observe", "code_0")
    assert (len(figures.failures), figures.failures[OTHER], figures.failures["code_0"]) == (MOST_CODES + 1, 50, 2)


async def test_circuits_tell_which_system_is_held_to_be_away() -> None:
    """Of two to the same system, one that is open counts."""
    circuits = Circuits(SystemClock())
    proxmox, again = circuits.make("Proxmox"), circuits.make("Proxmox")
    circuits.make("modrinth")
    assert circuits.are_closed() == {"Proxmox": True, "modrinth": True}
    with pytest.raises(SystemAway):
        async with proxmox.call():
            raise ConnectionRefusedError("nobody")
    assert again.is_closed
    assert circuits.are_closed() == {"Proxmox": False, "modrinth": True}


def test_the_record_of_a_backup_is_read(tmp_path: Path) -> None:
    """With what else a later version may write into it."""
    path = tmp_path / "last.json"
    path.write_text(json.dumps({"finished_at": "2026-11-27T03:10:00Z", "bytes": 7, "host": "db1"}))
    assert read_backup(path) == BackupRecord(datetime(2026, 11, 27, 3, 10, tzinfo=UTC), 7)


def test_no_record_means_that_nothing_is_known(tmp_path: Path) -> None:
    """There may be no backup yet, and that is not worth a line."""
    with capture_logs() as lines:
        assert read_backup(tmp_path / "last.json") is None
    assert lines == []


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{", '{"finished_at": "yesterday", "bytes": 1}', '{"finished_at": "2026-11-27T03:10:00Z"}',
        '{"finished_at": "2026-11-27T03:10:00Z", "bytes": "many"}', "\xff", "[" * 100_000,
    ],
)  # fmt: skip
def test_a_record_that_is_none_is_told_and_no_backup(tmp_path: Path, text: str) -> None:
    """Whatever stands in the file, the other figures are told."""
    path = tmp_path / "last.json"
    path.write_bytes(text.encode("latin-1"))
    with capture_logs() as lines:
        assert read_backup(path) is None
    assert [line["event"] for line in lines] == ["monitoring.backup_record_unreadable"]


def test_a_time_without_a_zone_is_no_time(tmp_path: Path) -> None:
    """It may be hours off."""
    path = tmp_path / "last.json"
    path.write_text('{"finished_at": "2026-11-27T03:10:00", "bytes": 1}')
    with capture_logs() as lines:
        assert read_backup(path) is None
    assert [line["event"] for line in lines] == ["monitoring.backup_record_unreadable"]


def test_a_folder_that_is_not_there_has_no_disk(tmp_path: Path) -> None:
    """The others have."""
    with capture_logs():
        found = read_disks({"state": tmp_path, "artifacts": tmp_path / "none"})
    assert list(found) == ["state"]
    assert 0 <= found["state"].free_bytes <= found["state"].size_bytes


def test_what_the_process_uses_is_read_from_the_kernel() -> None:
    """Opening a file is seen at once."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    before = read_use(now)
    with Path("/dev/null").open("rb"):
        after = read_use(now)
    assert after.open_files == before.open_files + 1
    assert after.cpu_s >= before.cpu_s > 0
    assert after.memory_bytes > 2**20
    assert after.most_files >= after.open_files
