"""What one agent is told, and when it is told again."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from unit.api.test_status import RUNNING, agent
from zlh_api.containers.model import Published, RuntimeWish
from zlh_api.reconcile.spec import accepted_generation, known_protocol, render_spec
from zlh_common.schema.spec import AgentSpec, WantedRuntime
from zlh_common.schema.structs import decode, encode, unknown_fields

WISHES = (
    RuntimeWish(name="node", version="24.0.0", attempt=3, attempt_generation=7),
    RuntimeWish(name="node", version="22.0.0", default=False, previous=True),
    RuntimeWish(name="node", version="20.0.0", default=False, beside=True),
    RuntimeWish(name="go", version="1.27.3"),
    RuntimeWish(name="go", version="1.26.0", default=False, previous=True, beside=True),
)
CONTAINER = replace(RUNNING, runtimes=WISHES, spec_generation=5)


def test_an_agent_of_one_version_is_told_of_the_defaults() -> None:
    """It would take the last one it reads for the default."""
    told = render_spec(CONTAINER, 1).runtimes
    assert [(each.name, each.version) for each in told] == [("node", "24.0.0"), ("go", "1.27.3")]


def test_a_later_agent_is_told_everything_and_nothing_of_our_own() -> None:
    """One that is kept for a rollback alone is told so; one that is also wanted for itself is wanted."""
    spec = render_spec(CONTAINER, 2)
    assert [each.previous for each in spec.runtimes] == [False, True, False, False, False]
    assert all(type(each) is WantedRuntime for each in spec.runtimes)
    raw = encode(spec)
    assert decode(raw, AgentSpec) == spec
    assert unknown_fields(encode(spec.runtimes[0]), WantedRuntime) == ()
    assert msgspec.json.decode(raw)["runtimes"][0]["attempt"] == 3


@given(st.integers())
def test_whatever_an_agent_announces_is_a_version_that_we_speak(announced: int) -> None:
    """It is a stranger."""
    assert known_protocol(replace(CONTAINER, agent=agent(protocol_version=announced))) in {1, 2, 7, 9}
    assert known_protocol(replace(CONTAINER, agent=None)) == 1


def test_however_much_is_published_its_agent_takes_the_spec() -> None:
    """A customer without a quota is kept from nothing else by it."""
    ports = [Published(id=uuid4(), port=port, visibility="private") for port in range(65535, 0, -1)]
    raw = encode(render_spec(replace(CONTAINER, exposures=tuple(ports)), 7))
    assert decode(raw, AgentSpec).published == tuple(range(1, 4097))


def test_an_agent_that_has_learned_more_is_told_again() -> None:
    """It holds the generation, and of that only what the one before it understood."""
    held = replace(CONTAINER, agent=agent(spec_generation=5, protocol_version=2))
    assert accepted_generation(replace(held, spec_protocol=1)) == 0
    assert accepted_generation(replace(held, spec_protocol=2)) == 5
    assert accepted_generation(replace(held, agent=None)) == 0
