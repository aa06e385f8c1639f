"""What is said of a container's addons: when one opens, why one does not, and what is the platform's."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from unit.api.test_status import FAILED, NOW, RUNNING, agent
from zlh_api.access.rules import Asked, Cookies, Front, is_foreign
from zlh_api.containers.addon_rules import (
    AddonNameTaken,
    AddonNeedsDev,
    check_addons,
    disable_addon,
    enable_addon,
    find_run,
)
from zlh_api.containers.model import Container, Guest, Power, RuntimeWish
from zlh_api.containers.service import Hosting
from zlh_api.containers.status import find_degradations, find_error, listening_ports, render_status
from zlh_api.processes.rules import ProcessNameReserved, put_process
from zlh_api.reconcile.plan import Addons
from zlh_api.reconcile.spec import accepted_generation, known_protocol, render_spec
from zlh_api.reconcile.worker import _observe_addons
from zlh_common.names import HostName
from zlh_common.schema.ports import ListeningPort, PortKind, PortReach
from zlh_common.schema.process import PutProcess, WantedProcess
from zlh_common.schema.status import AddonState, AddonStatus, AgentStatus, Connection

CODE_SERVER = "code-server"
URL = "http://6000-dev-101.localhost/"
UP = AddonStatus(name=CODE_SERVER, state=AddonState.RUNNING, version="4.1.0", started_at=NOW)
ENABLED = enable_addon((), CODE_SERVER, "4.1.0")
RUN = f"4.1.0 {NOW.isoformat()}"


def reporting(addon: AddonStatus | None = UP, **fields: Any) -> AgentStatus:
    """Return what an agent says that knows addons."""
    return agent(**{"protocol_version": 7, "addons": () if addon is None else (addon,), **fields})


WITH = replace(RUNNING, addons=ENABLED, agent=reporting(), addons_opened={CODE_SERVER: RUN})


def shown(container: Container) -> AddonStatus:
    """Return what people are told of the editor."""
    (found,) = render_status(container, domain="localhost", url="http://x/", addon_urls={CODE_SERVER: URL}).addons
    return found


def test_an_address_stands_while_the_run_that_opened_goes_on() -> None:
    """Whatever ends that run, or what leads to it, takes the address with it at once."""
    assert shown(WITH).url == URL
    later = AddonStatus(
        name=CODE_SERVER, state=AddonState.RUNNING, version="4.1.0", started_at=NOW + timedelta(seconds=1)
    )
    for gone in (
        replace(WITH, addons_opened={}),
        replace(WITH, agent=reporting(later)),
        replace(WITH, agent=reporting(AddonStatus(name=CODE_SERVER, state=AddonState.BACKOFF, version="4.1.0"))),
        replace(WITH, agent=reporting(AddonStatus(name=CODE_SERVER, state=AddonState.RUNNING, version="4.1.0"))),
        replace(WITH, agent=None),
        replace(WITH, route_confirmed=None),
        replace(WITH, connection=Connection.OFFLINE),
        replace(WITH, guest=Guest.STOPPED),
        replace(WITH, power=Power.OFF),
        replace(WITH, is_suspended=True),
        replace(WITH, deleting_at=NOW),
    ):
        assert shown(gone).url is None
    assert find_run(replace(WITH, agent=reporting(later)), CODE_SERVER) != RUN


def test_an_agent_says_nowhere_where_an_addon_opens() -> None:
    """A wish that was taken back, and an address that a stranger gives, lead nowhere."""
    told = AddonStatus(name=CODE_SERVER, state=AddonState.RUNNING, version="4.1.0", started_at=NOW, url="https://evil")
    assert shown(replace(WITH, agent=reporting(told), addons_opened={})).url is None
    assert shown(replace(WITH, addons=())).url is None


def test_what_is_wanted_is_there_before_anybody_has_told_of_it() -> None:
    """People see that it is on its way, and why it may not come."""
    assert shown(replace(WITH, agent=None)).state is AddonState.INSTALLING
    old = replace(WITH, agent=agent(protocol_version=6), addons_opened={})
    assert "earlier version" in (shown(old).message or "")
    assert find_degradations(old) == ("addon_agent_old",)
    assert _observe_addons(old) is Addons.ABSENT
    assert shown(replace(WITH, guest=Guest.STOPPED)).state is AddonState.STOPPED
    assert "not heard" in (shown(replace(WITH, connection=Connection.OFFLINE)).message or "")


@pytest.mark.parametrize(
    ("told", "opened", "is_one_of"),
    [
        (None, {}, Addons.WAITING),
        (AddonState.INSTALLING, {}, Addons.WAITING),
        (AddonState.STARTING, {}, Addons.WAITING),
        (AddonState.STOPPED, {}, Addons.WAITING),
        (AddonState.BACKOFF, {}, Addons.ABSENT),
        (AddonState.ERROR, {}, Addons.ABSENT),
        (AddonState.RUNNING, {}, Addons.UNSEEN),
        (AddonState.RUNNING, {CODE_SERVER: "4.0.0 earlier"}, Addons.UNSEEN),
        (AddonState.RUNNING, {CODE_SERVER: RUN}, Addons.SETTLED),
    ],
)
def test_each_run_is_asked_once(told: AddonState | None, opened: dict[str, str], is_one_of: Addons) -> None:
    """By what its agent says, and what was seen of it."""
    addon = None if told is None else AddonStatus(name=CODE_SERVER, state=told, version="4.1.0", started_at=NOW)
    assert _observe_addons(replace(WITH, agent=reporting(addon), addons_opened=opened)) is is_one_of
    assert _observe_addons(replace(WITH, addons=(), agent=reporting(addon), addons_opened=opened)) is Addons.SETTLED


def test_an_established_container_goes_on_without_its_editor() -> None:
    """It is told among what is degraded; of a new one it is what provisioning fails of."""
    step = type(FAILED)(name="open-code-server", state=FAILED.state, code="addon_not_open", message="No.")
    broken = replace(WITH, addons_opened={}, steps=(step,))
    assert find_error(broken) is None
    assert find_degradations(broken) == ("addon_not_open",)
    found = find_error(replace(broken, provisioned_at=None))
    assert found is not None
    assert (found.code, found.step) == ("addon_not_open", "open-code-server")
    down = AddonStatus(name=CODE_SERVER, state=AddonState.ERROR, version="4.1.0", message="It ended.")
    assert find_degradations(replace(WITH, agent=reporting(down))) == ("addon_not_open",)


def test_a_container_that_cannot_have_one_says_why() -> None:
    """A game server, and one whose customer has a process of that name."""
    names = frozenset({CODE_SERVER})
    check_addons(RUNNING, names)
    with pytest.raises(AddonNeedsDev):
        check_addons(replace(RUNNING, kind="game"), names)
    process = WantedProcess(name=CODE_SERVER, argv=("serve",))
    with pytest.raises(AddonNameTaken):
        check_addons(replace(RUNNING, processes=(process,)), names)
    with pytest.raises(ProcessNameReserved):
        put_process((), CODE_SERVER, PutProcess(argv=("serve",)))
    # One from before the name was kept can still be changed.
    assert put_process((process,), CODE_SERVER, PutProcess(argv=("other",)))[1] is False


def test_enabling_twice_and_disabling_twice_change_nothing() -> None:
    """What is there stays in its version, with what it can go back to."""
    assert enable_addon(ENABLED, CODE_SERVER, "5.0.0") == ENABLED
    two = (*ENABLED, RuntimeWish(name=CODE_SERVER, version="4.0.0", default=False, previous=True))
    assert disable_addon(two, CODE_SERVER) == ()
    assert disable_addon((), CODE_SERVER) == ()


def test_the_port_of_an_addon_is_not_among_what_programs_listen_on() -> None:
    """It is the platform's own; without the addon, whatever listens there is the customer's."""
    port = ListeningPort(
        port=6000, addresses=("0.0.0.0",), reach=PortReach.NETWORK, kind=PortKind.HTTP, pid=1, process="node",
        command="node", directory=None, since=NOW,
    )  # fmt: skip
    heard = replace(WITH, agent=reporting(ports=(port,)))
    assert listening_ports(heard) == ()
    assert len(listening_ports(replace(heard, addons=()))) == 1


def test_an_agent_is_told_of_hosts_by_their_present_names() -> None:
    """They have no generation: told with others, it is told again. One that knows no addons is told of none."""
    own = ("dev-101.localhost:8080", "6000-dev-101.localhost:8080")
    hosting = Hosting("localhost", "http", 8080)
    assert (
        tuple(hosting.browser_host(host) for host in (HostName("dev", WITH.vmid), HostName("dev", WITH.vmid, 6000)))
        == own
    )
    assert Hosting("a.example", "https", 443).browser_host(HostName("dev", WITH.vmid)) == "dev-101.a.example"
    held = replace(WITH, spec_protocol=7, spec_origins=own)
    spec = render_spec(held, known_protocol(held), own)
    assert (spec.origins, [addon.name for addon in spec.addons]) == (own, [CODE_SERVER])
    assert accepted_generation(held, own) == 1
    assert accepted_generation(held, ("dev-101.other.example",)) == 0
    old = replace(held, agent=agent(protocol_version=6), spec_protocol=2)
    assert accepted_generation(old, own) == 1
    assert (render_spec(old, 2, own).origins, render_spec(old, 2, own).addons) == ((), ())


@pytest.mark.parametrize(
    ("origin", "is_own"),
    [
        ("http://6000-dev-101.localhost", True),
        ("http://dev-101.localhost", False),
        ("http://3000-dev-101.localhost", False),
        ("http://6000-dev-102.localhost", False),
    ],
)
def test_pages_of_other_ports_use_no_editor(origin: str, is_own: bool) -> None:
    """They are the customer's programs, whose pages anybody may have written into; a browser names them."""
    host = HostName("dev", WITH.vmid, 6000)
    asked = Asked(
        host=host, port=6000, method="GET", path="/", cookies=Cookies((), None, ""), is_websocket=True,
        origins=(origin,), site="same-site",
    )  # fmt: skip
    assert is_foreign(asked, Front("localhost", "http", 80), is_alone=True) is not is_own
    if "101" in origin:
        assert not is_foreign(asked, Front("localhost", "http", 80))
