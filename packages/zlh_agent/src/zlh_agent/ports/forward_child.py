"""The child that passes on what comes to published ports: confined as the customer's user before it takes any order.

It opens no file and no port of its own: sockets that listen are handed to it, each with the address that it leads to.
"""

from __future__ import annotations

import _socket
import resource
import struct

from zlh_agent.ports import forward_wire as wire
from zlh_agent.ports.forwarding import MOST_CONNECTIONS, Forwarding
from zlh_agent.sandbox.confine import NotConfined, enter
from zlh_agent.sandbox.confinement import parse_confinement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_NUMBER = struct.Struct("i")
# What is open besides connections: sockets that listen, the control socket, the poll, what is taken only to be closed.
_OTHER_FILES = 128


def main(_arguments: Sequence[str] = ()) -> None:
    """Confine this process as its first message says, tell whether that worked, and pass on."""
    control = _socket.socket(fileno=0)
    parent, line = wire.parse_order(control.recv(wire.MAX_MESSAGE_BYTES))
    try:
        enter(parse_confinement(line), parent=parent)
    except NotConfined as exc:
        control.send(wire.render_failed(str(exc)))
        return
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    forwarding = Forwarding(control, most=max(1, min(MOST_CONNECTIONS, (files - _OTHER_FILES) // 2)))
    control.send(wire.READY)
    forwarding.serve(lambda: _obey(control, forwarding))


def _obey(control: _socket.socket, forwarding: Forwarding) -> bool:
    """Do what one message says; tell whether there will be more."""
    message, handed = _receive(control)
    if not message:
        return False
    verb, port, target = wire.parse_call(message)
    done = 0
    if verb == wire.LEAD:
        forwarding.lead(port, target, handed)
    elif verb == wire.CLOSE:
        forwarding.close(port)
    elif verb == wire.CUT:
        done = forwarding.cut(port)
    control.send(wire.render_done(done))
    return True


def _receive(control: _socket.socket) -> tuple[bytes, _socket.socket | None]:
    message, rights, _, _ = control.recvmsg(wire.MAX_MESSAGE_BYTES, _socket.CMSG_SPACE(_NUMBER.size))
    for level, kind, data in rights:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            return message, _socket.socket(fileno=_NUMBER.unpack_from(data)[0])
    return message, None
