"""Which published ports are led to loopback, where to, and by which rules of the kernel: pure.

A port is led on while what listens there takes nothing of what comes from outside, which is IPv4 to the container's
own address. In a container of its own nothing stands in the way of the program at its port, so a port that was led on
stays so while nobody listens, such as during a restart. On a machine that is shared the address itself is taken, so it
is let go.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from zlh_agent.ports.diag_wire import Address
from zlh_agent.ports.listening import Listener, reach_of
from zlh_common.schema.ports import PortReach

# At once; of more, those of the lowest numbers that are listened on.
MOST_BRIDGES = 64
TABLE = "zlh_published"
# A forwarder that has lived so long was not ended by somebody who ends every one.
STEADY_S = 60.0
_REST_S, _LONGEST_REST_S = 0.5, 60.0
_LOOPBACKS = ("127.0.0.1", "::1")


def decide_bridges(
    published: Collection[int], listeners: Sequence[Listener], led: Mapping[int, str], address: Address | None
) -> dict[int, str]:
    """Return {port: the address that it is led to}; `led` is what was decided before.

    `address` is the container's own on a machine that it shares.
    """
    here = {listener.port: listener for listener in listeners if listener.port in published}
    found = {
        port: find_target(listener)
        for port, listener in sorted(here.items())
        if reach_of(listener, address) is PortReach.LOOPBACK
    }
    if address is None:
        found |= {port: led[port] for port in sorted(led.keys() & set(published)) if port not in here}
    return dict(list(found.items())[:MOST_BRIDGES])


def find_target(listener: Listener) -> str:
    """Return at which address a program takes what is led to it."""
    bound = [*map(str, listener.addresses)]
    for loopback in _LOOPBACKS:
        if loopback in bound:
            return loopback
    return "::1" if "::" in bound else bound[0]


def count_losses(losses: int, lived_s: float) -> int:
    """Return how many forwarders in a row have ended early, with one more that has lived so long."""
    return losses + 1 if lived_s < STEADY_S else 0


def rest_s(failures: int) -> float:
    """Return how long nothing is tried after so many failures in a row, or no forwarder started after early ends.

    Its user may end each of them, and a start takes time of the machine.
    """
    return min(_REST_S * 2 ** min(failures - 1, 10), _LONGEST_REST_S) if failures else 0.0


def find_crossed(entrances: Mapping[int, int], published: Collection[int]) -> set[int]:
    """Return the ports whose entrance is itself a port that is published: who asks for that would come to another."""
    return {port for port, entrance in entrances.items() if entrance in published}


def render_table(entrances: Mapping[int, int] | None) -> str:
    """Return the script for `nft` that makes {port: where the forwarder listens} all that holds, in one transaction.

    What is on its way to somebody else passes by: a customer may have containers of their own. The chain stays while
    there may be connections, whose packets the kernel translates only as long as there is one; None takes it away.
    Nobody comes in by an entrance itself: what it leads to was published at another port, for those who may open that.
    """
    if entrances is None:
        # Named first, so that deleting it fails for nobody.
        return f"add table ip {TABLE}\ndelete table ip {TABLE}\n"
    lines = [
        f"add table ip {TABLE}",
        f"add chain ip {TABLE} outside {{ type nat hook prerouting priority dstnat; policy accept; }}",
        f"add chain ip {TABLE} entrances {{ type filter hook prerouting priority mangle; policy accept; }}",
        f"flush chain ip {TABLE} outside",
        f"flush chain ip {TABLE} entrances",
    ]
    lines += [
        f'add rule ip {TABLE} outside iifname != "lo" fib daddr type local tcp dport {port} redirect to :{entrance}'
        for port, entrance in sorted(entrances.items())
    ]
    # Looked at before the ports are translated.
    lines += [
        f'add rule ip {TABLE} entrances iifname != "lo" fib daddr type local tcp dport {entrance} drop'
        for entrance in sorted(entrances.values())
    ]
    return "\n".join([*lines, ""])
