"""The own end of a child that checks or removes: it takes its order and answers. The daemon needs none of this."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TypeVar

import msgspec

from zlh_agent.runtimes.errors import DiskFailed
from zlh_agent.runtimes.model import FailedLine, RemovedLine, RemoveOrder, ShortChildLine, VerifiedLine, VerifyOrder
from zlh_agent.sandbox.lifeline import die_with
from zlh_common.errors import ZlhError

Order = TypeVar("Order", VerifyOrder, RemoveOrder)


def serve_order(shape: type[Order], do: Callable[[Order], VerifiedLine | RemovedLine]) -> None:
    """Do what standard input says, and answer; what goes wrong is an answer too."""
    die_with(os.getppid())
    try:
        answer: ShortChildLine = do(msgspec.json.decode(sys.stdin.buffer.read(), type=shape))
    except ZlhError as error:
        answer = FailedLine(code=error.code, detail=error.detail, retryable=error.retryable)
    except OSError as error:
        broken = DiskFailed(reason=str(error))
        answer = FailedLine(code=broken.code, detail=broken.detail, retryable=True)
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    sys.stdout.buffer.flush()
