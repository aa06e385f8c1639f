"""One entry of an archive, whatever its format. The child imports this, so there are only slots."""

from __future__ import annotations

from zlh_agent.files.model import FILE


class Item:
    """An entry; `size` bytes of content belong to a file, `target` to a link of either kind."""

    __slots__ = ("is_hard", "kind", "mode", "modified_s", "name", "size", "target")

    def __init__(
        self,
        name: bytes,
        *,
        kind: str = FILE,
        mode: int = 0o644,
        size: int = 0,
        modified_s: int = 0,
        target: bytes = b"",
        is_hard: bool = False,
    ) -> None:
        self.name = name
        self.kind = kind
        self.mode = mode
        self.size = size
        self.modified_s = modified_s
        self.target = target
        # A second name of a file that came before.
        self.is_hard = is_hard
