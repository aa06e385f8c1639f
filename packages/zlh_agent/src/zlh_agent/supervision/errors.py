"""What can be asked of a process that cannot be done."""

from __future__ import annotations

from zlh_common.errors import ZlhError


class ProcessNotFound(ZlhError):
    """There is no process of this name."""

    code, status = "process_not_found", 404

    def __init__(self, name: str) -> None:
        super().__init__("There is no process of this name.", name=name[:64])
