"""What a viewer of a console can ask wrongly."""

from __future__ import annotations

from zlh_common.errors import ZlhError


class OffsetInvalid(ZlhError):
    """An offset or a limit is no number that can be one."""

    code, status = "offset_invalid", 400

    def __init__(self, *, field: str, value: str) -> None:
        super().__init__(f"{field} must be a whole number in its range, and is {value[:40]!r}.", field=field)
