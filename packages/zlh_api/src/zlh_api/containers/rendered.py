"""Reports of containers as JSON, kept as long as nothing of them has changed.

A page of a hundred containers is asked for far more often than most of them change. The row tells its version, which
the database itself raises with every change that a person could see, so what is kept can be old and never wrong.
"""

from __future__ import annotations

from collections import OrderedDict

from zlh_common.names import OwnerMark

# Some 4 KB each, twice as much for a busy one.
MAX_KEPT = 4096
# One that an agent has blown up is made anew each time.
MAX_KEPT_BYTES = 16 * 1024


class RenderedReports:
    """What was rendered last for each of the containers that were asked for last."""

    def __init__(self, max_kept: int = MAX_KEPT) -> None:
        self._max = max_kept
        self._kept: OrderedDict[OwnerMark, tuple[int, bytes]] = OrderedDict()

    def find(self, owner: OwnerMark, version: int) -> bytes | None:
        """Return what was rendered for this version, or None."""
        kept = self._kept.get(owner)
        if kept is None or kept[0] != version:
            return None
        self._kept.move_to_end(owner)
        return kept[1]

    def keep(self, owner: OwnerMark, version: int, report: bytes) -> None:
        """Keep one in place of any other version of it; what was not asked for longest goes."""
        self._kept.pop(owner, None)
        if len(report) <= MAX_KEPT_BYTES:
            self._kept[owner] = (version, report)
        while len(self._kept) > self._max:
            self._kept.popitem(last=False)
