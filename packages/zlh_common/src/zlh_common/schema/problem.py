"""The one shape of every error answer: `application/problem+json` (RFC 9457) with a stable code."""

from __future__ import annotations

from typing import Any

from zlh_common.errors import ZlhError
from zlh_common.schema.structs import Report

PROBLEM_CONTENT_TYPE = "application/problem+json"


class Problem(Report):
    """What one side needs of the other's problem document."""

    code: str
    detail: str


def render_problem(error: ZlhError, *, request_id: str) -> dict[str, Any]:
    """Return the problem document of `error`; its data stand beside the fixed members, never over them."""
    title = (type(error).__doc__ or error.code).strip().splitlines()[0].rstrip(".")
    fixed = {
        "type": f"urn:zlh:error:{error.code}",
        "title": title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "requestId": request_id,
    }
    return {**error.data, **fixed}
