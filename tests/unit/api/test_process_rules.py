"""What becomes of the definitions of processes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from zlh_agent.web.server import MAX_BODY_BYTES
from zlh_api.processes.rules import (
    ProcessesTooLarge,
    ProcessLimit,
    ProcessUnusable,
    find_switched_on,
    put_process,
    remove_process,
    render_process,
    switch_process,
)
from zlh_common.errors import NotFound
from zlh_common.schema.process import (
    MAX_PROCESSES,
    LogProbe,
    ProcessPolicy,
    ProcessSwitchedOff,
    PutProcess,
    ReadyPolicy,
    StopPolicy,
    WantedProcess,
)
from zlh_common.schema.spec import AgentSpec
from zlh_common.schema.status import ProcessStatus
from zlh_common.schema.structs import decode, encode, find_ignored, parse_document

WEB = WantedProcess(name="web", argv=("serve",), attempt=3)
OFF = WantedProcess(name="off", argv=("sleep", "1"), power="off", attempt=1)


def test_a_new_one_is_on_and_the_last() -> None:
    """The others stay as they are."""
    processes, is_new = put_process((WEB,), "api", PutProcess(argv=("go",)))
    assert is_new
    assert processes == (WEB, WantedProcess(name="api", argv=("go",)))


def test_a_put_declares_the_whole_definition_in_its_place() -> None:
    """What is not named has its default again; the power stays, and it is no new start."""
    processes, is_new = put_process((WEB, OFF), "web", PutProcess(argv=("other",)))
    assert not is_new
    assert processes == (WantedProcess(name="web", argv=("other",), attempt=3), OFF)
    assert put_process((OFF,), "off", PutProcess(argv=("a",)))[0][0].power == "off"


def test_switching_on_is_a_new_attempt_and_switching_off_is_none() -> None:
    """So that one in `error` is started by it, and one that runs is left alone by a stop that was asked twice."""
    assert switch_process((WEB,), "web", "on")[0].attempt == 4
    assert switch_process((WEB,), "web", "off")[0].attempt == 3
    assert put_process((OFF,), "off", PutProcess(argv=("a",), power="on"))[0][0].attempt == 2


def test_there_is_a_limit_for_new_ones_alone() -> None:
    """Those that are there can be changed."""
    many = tuple(WantedProcess(name=f"p{number}", argv=("true",)) for number in range(MAX_PROCESSES))
    with pytest.raises(ProcessLimit):
        put_process(many, "one-more", PutProcess(argv=("true",)))
    put_process(many, "p1", PutProcess(argv=("true",)))


def test_all_definitions_together_are_no_longer_than_an_agent_takes() -> None:
    """Each may be a long one, and the last that fits into no spec any more is refused with what to do."""
    wish = PutProcess(argv=("\N{GRINNING FACE}" * 8000,))
    processes: tuple[WantedProcess, ...] = ()
    for number in range(16):
        processes, _ = put_process(processes, f"p{number}", wish)
    with pytest.raises(ProcessesTooLarge):
        put_process(processes, "one-more", wish)
    assert len(encode(AgentSpec(generation=2**63 - 1, processes=processes))) < MAX_BODY_BYTES
    put_process(processes, "p1", PutProcess(argv=("true",)))


def test_what_is_not_there_is_not_found() -> None:
    """For whoever wants to change or remove it."""
    with pytest.raises(NotFound):
        switch_process((WEB,), "api", "on")
    with pytest.raises(NotFound):
        remove_process((WEB,), "api")
    assert remove_process((WEB, OFF), "web") == (OFF,)


def test_what_is_switched_off_is_found_for_no_command() -> None:
    """Its agent may not have heard of it yet, and would start it once more."""
    assert find_switched_on((WEB, OFF), "web") == WEB
    with pytest.raises(ProcessSwitchedOff):
        find_switched_on((WEB, OFF), "off")
    with pytest.raises(NotFound):
        find_switched_on((WEB, OFF), "api")


def test_a_wish_is_shown_beside_what_is_seen() -> None:
    """Null where nothing was heard."""
    seen = ProcessStatus(name="web", state="running", pid=7)
    assert render_process(WEB, [seen], with_values=True).status == seen
    assert render_process(WEB, [], with_values=True).status is None


def test_values_of_the_environment_are_shown_to_who_may_change_them() -> None:
    """People put passwords there; that there is a variable is told to whoever looks."""
    wanted = replace(WEB, environment={"PASSWORD": "s3cret", "EMPTY": ""})
    assert render_process(wanted, [], with_values=True).environment == {"PASSWORD": "s3cret", "EMPTY": ""}
    assert render_process(wanted, [], with_values=False).environment == {"PASSWORD": None, "EMPTY": None}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"argv": [""]}, "empty"),
        ({"argv": ["x" * 9000]}, "characters"),
        ({"argv": ["a\0b"]}, "NUL"),
        ({"folder": "/etc"}, "workspace"),
        ({"folder": "a/../.."}, "workspace"),
        ({"environment": {"1A": "x"}}, "variable"),
        ({"environment": {"A=B": "x"}}, "variable"),
        ({"environment": {"A": "x\0"}}, "NUL"),
        ({"environment": {f"A{number}": "" for number in range(300)}}, "256"),
        ({"policy": ProcessPolicy(stop=StopPolicy(command="a\0b"))}, "NUL"),
        ({"policy": ProcessPolicy(ready=ReadyPolicy(probe=LogProbe(pattern="a\0b")))}, "NUL"),
    ],
)
def test_what_no_program_can_be_started_with_is_refused(changes: dict[str, object], word: str) -> None:
    """Before anything is stored."""
    values: dict[str, object] = {"argv": ("run",), **changes}
    with pytest.raises(ProcessUnusable, match=word):
        put_process((), "web", PutProcess(**values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"argv":["a"],"policy":{"restart":{"wehn":"always"}}}', "policy.restart.wehn"),
        (b'{"argv":["a"],"policy":{"ready":{"probe":{"kind":"tcp","port":1,"path":"/"}}}}', "policy.ready.probe.path"),
        (b'{"argv":["a"],"environment":{"ANY":"x"},"policy":{"stop":{"graceS":5}}}', None),
    ],
)
def test_an_unknown_key_is_found_at_any_depth(body: bytes, path: str | None) -> None:
    """A typing mistake in a policy must not be a policy that nobody asked for."""
    assert find_ignored(parse_document(body), decode(body, PutProcess)) == path
