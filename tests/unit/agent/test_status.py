"""The report is asked for at the moment it is made, and everyone who watches hears of every change."""

from __future__ import annotations

import json

from fakes.clock import BEGINNING, FakeClock
from zlh_agent.spec.service import SpecView
from zlh_agent.status.service import StatusService
from zlh_common.names import OwnerMark
from zlh_common.schema.agent_events import StatusEvent
from zlh_common.schema.status import ProcessStatus, Step, StepState
from zlh_common.schema.structs import encode

OWNER = OwnerMark("6f6b3c1e-0d2f-4c51-9d3c-0b6f4f7f2a11")


def make(clock: FakeClock) -> StatusService:
    """Return a service that knows nothing yet."""
    return StatusService(clock, owner=OWNER, boot_id="boot")


def test_a_fresh_report_is_empty_and_whole(clock: FakeClock) -> None:
    """Every field of the protocol is there, with the names that the API reads."""
    report = json.loads(encode(make(clock).report()))
    assert report == {
        "protocolVersion": 10, "agentVersion": report["agentVersion"], "owner": OWNER, "bootId": "boot",
        "startedAt": "2026-01-01T00:00:00Z", "observedAt": "2026-01-01T00:00:00Z", "specGeneration": 0,
        "observedGeneration": 0, "steps": [], "processes": [], "terminals": [], "ports": [], "addons": [],
        "runtimes": [], "shells": None,
        "game": None, "agent": None, "unknownFields": [],
    }  # fmt: skip


def test_nothing_in_a_report_is_stale(clock: FakeClock) -> None:
    """What the parts say now is what the report says, and only the start keeps its time."""
    service = make(clock)
    step = Step(name="install-tiny", state=StepState.RUNNING, progress=0.5)
    service.spec = lambda: SpecView(3, 2, (step,), ("zebra",))
    service.processes = lambda: (ProcessStatus(name="main", state="running", pid=7),)
    clock.advance(5)
    report = service.report()
    assert (report.started_at, (report.observed_at - BEGINNING).seconds) == (BEGINNING, 5)
    assert (report.spec_generation, report.observed_generation, report.unknown_fields) == (3, 2, ("zebra",))
    assert (report.steps, report.processes[0].pid) == ((step,), 7)


def test_an_event_is_a_report_with_a_type(clock: FakeClock) -> None:
    """The stream can carry other messages one day."""
    event = json.loads(encode(StatusEvent(status=make(clock).report())))
    assert (set(event), event["type"]) == ({"type", "status"}, "status")


def test_every_watcher_hears_of_every_change_until_it_goes(clock: FakeClock) -> None:
    """Two watch, each clears for itself; who has gone is forgotten."""
    service = make(clock)
    with service.watch() as one:
        with service.watch() as other:
            service.note_change()
            one.clear()
            assert (one.is_set(), other.is_set()) == (False, True)
            other.clear()
        service.note_change()
        assert (one.is_set(), other.is_set()) == (True, False)
    service.note_change()


def test_closing_is_a_change(clock: FakeClock) -> None:
    """Streams wake, and see that the agent goes."""
    service = make(clock)
    with service.watch() as watcher:
        service.close()
        assert (watcher.is_set(), service.is_closing) == (True, True)
