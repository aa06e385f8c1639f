"""The child that works on a game server's files: confined to their folder as the customer's user, one order, an end.

The order comes as the first line of standard input; progress and the outcome go out as lines of JSON.
"""

from __future__ import annotations

# What is found by name alone, and out of reach once this process is confined.
import encodings.idna
import encodings.latin_1
import os
import signal
import sys

import msgspec

from zlh_agent.games import editing, placing, scripts, unpacking
from zlh_agent.games.confined import confine
from zlh_agent.games.model import (
    ChildOrder,
    Clear,
    Commit,
    DoneLine,
    Edit,
    FailedLine,
    Run,
    Stage,
    Unpack,
    Verify,
)
from zlh_agent.games.telling import say
from zlh_agent.runtimes.errors import DiskFailed, DiskFull
from zlh_agent.runtimes.installing.disk_room import NO_ROOM
from zlh_agent.sandbox.lifeline import die_with
from zlh_common.errors import ZlhError


def main() -> None:
    """Carry out the order; exit 0 whenever the outcome was said."""
    die_with(os.getppid())
    signal.signal(signal.SIGTERM, _end_in_order)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=ChildOrder)
    try:
        confine(order)
        say(_carry_out(order))
    except ZlhError as error:
        data = error.data
        say(
            FailedLine(
                code=error.code,
                detail=error.detail,
                retryable=error.retryable,
                exit_code=data.get("exitCode"),
                output=data.get("output"),
            )
        )
    except OSError as error:
        broken = DiskFailed(reason=str(error))
        code = DiskFull.code if error.errno in NO_ROOM else broken.code
        say(FailedLine(code=code, detail=broken.detail, retryable=True))


def _end_in_order(_number: int, _frame: object) -> None:
    """Leave by an exception, so that what was started is ended on the way out; by one alone.

    An agent that is killed has several threads, and the kernel tells of the end of each.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def _carry_out(order: ChildOrder) -> DoneLine:  # noqa: PLR0911 - one case for each order
    match order:
        case Stage():
            return placing.stage(order)
        case Commit():
            return placing.commit(order)
        case Verify():
            return placing.verify(order)
        case Edit():
            return editing.edit_files(order)
        case Run():
            return scripts.run_script(order)
        case Unpack():
            return unpacking.unpack_backup(order)
        case Clear():
            return unpacking.clear(order)


# Names of hosts, and old configuration files.
CODECS = (encodings.idna, encodings.latin_1)


if __name__ == "__main__":
    main()
    # All that was said is said, and to take so many modules down in order takes longer than most of the work.
    os._exit(0)
