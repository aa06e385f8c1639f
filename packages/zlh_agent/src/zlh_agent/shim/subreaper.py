"""Makes this process the parent of every descendant that loses its own, so that none can slip away from it.

A program that forks twice and begins a session of its own leaves every process group and session behind, but it stays
a descendant. `_ctypes` is the C module behind `ctypes`, which costs ten times as much.
"""

from __future__ import annotations

import _ctypes

_PR_SET_CHILD_SUBREAPER = 36


class _Long(_ctypes._SimpleCData):  # type: ignore[type-arg]  # noqa: SLF001 - what ctypes.c_long is
    _type_ = "l"


class _Function(_ctypes.CFuncPtr):
    _flags_ = 1  # FUNCFLAG_CDECL
    _restype_ = _Long


def become_subreaper() -> None:
    """Adopt every orphan among our descendants from now on; raise OSError where the kernel refuses."""
    prctl = _Function(_ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl"))  # type: ignore[arg-type]
    if prctl(_Long(_PR_SET_CHILD_SUBREAPER), _Long(1), _Long(0), _Long(0), _Long(0)) != 0:
        raise OSError("the kernel knows no subreapers")
