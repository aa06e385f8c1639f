"""A program of a customer that swaps names under whoever works on them, as fast as it can."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_RENAME_EXCHANGE = 2


@contextmanager
def swapping(*pairs: tuple[Path, Path]) -> Iterator[None]:
    """Exchange the two names of each pair in turn, over and over, until the block ends."""
    names = [str(name) for pair in pairs for name in pair]
    program = [sys.executable, "-I", "-S", __file__, *names]
    with subprocess.Popen(program, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as racer:
        assert racer.stdout is not None
        racer.stdout.read(1)
        try:
            yield
        finally:
            racer.kill()


def _swap_for_ever(names: list[bytes]) -> None:
    rename = ctypes.CDLL(None).renameat2
    pairs = list(zip(names[::2], names[1::2], strict=True))
    os.write(1, b".")
    parent = os.getppid()
    while os.getppid() == parent:
        began = time.monotonic()
        while time.monotonic() - began < 0.5:
            for one, other in pairs:
                rename(-100, one, -100, other, _RENAME_EXCHANGE)


if __name__ == "__main__":
    _swap_for_ever([os.fsencode(name) for name in sys.argv[1:]])
