"""The root of every error that a person or a program may see, and the few that belong to no slice.

Each slice declares its own errors as subclasses; a test walks them all: codes are unique and stand in docs/errors.md.

    ZlhError
    ├── InvalidBody        invalid_body      400
    ├── NotFound           not_found         404
    └── … one class per failure, in the slice where it happens
"""

from __future__ import annotations

from typing import Any, ClassVar


class ZlhError(Exception):
    """Something failed in a way that has a name; `data` is shown beside the sentence, so it holds no secrets."""

    code: ClassVar[str]
    status: ClassVar[int] = 500
    # Whether the same call may succeed later without anybody changing it.
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, **data: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.data = data


class InvalidBody(ZlhError):
    """A document is not of the shape that was asked for."""

    code, status = "invalid_body", 400

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"The body is not what this call takes: {reason}.")


class NotFound(ZlhError):
    """There is no such thing, or the caller may not know that there is."""

    code, status = "not_found", 404

    def __init__(self, what: str = "page") -> None:
        super().__init__(f"There is no such {what}.")


class RangeUnsatisfiable(ZlhError):
    """The range that was asked for lies outside the file."""

    code, status = "range_unsatisfiable", 416

    def __init__(self, *, size: int) -> None:
        super().__init__(f"The file has {size} bytes, and the range that was asked for lies outside it.", size=size)


class ConfigInvalid(ZlhError):
    """A configuration cannot be used; every problem is named at once."""

    code, status = "config_invalid", 500

    def __init__(self, *, source: str, problems: list[str]) -> None:
        super().__init__(f"{source} cannot be used: " + "; ".join(problems) + ".", problems=problems)
        self.problems = problems
