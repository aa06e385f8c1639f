"""A check of our own: whoever is refused is told a code that the document has for this call and this status.

Pieces of an upload are sent as they are, like any other bytes.
"""

from __future__ import annotations

import json
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, Response, SerializationContext
from schemathesis.transport.serialization import serialize_binary

# Refused before it is known which call is meant.
ANYWHERE = {"method_not_allowed", "not_found"}


@schemathesis.serializer("application/offset+octet-stream")
def piece(_context: SerializationContext, value: Any) -> bytes:
    """Return the bytes of a piece."""
    return serialize_binary(value)


@schemathesis.check
def documented_code(_context: CheckContext, response: Response, case: Case[Any]) -> None:
    """Fail where the code of a problem is not among those of the operation."""
    if response.status_code < 400 or not response.content or case.method.lower() != case.operation.method.lower():
        return
    if "application/problem+json" not in "".join(response.headers.get("content-type", [])):
        return
    problem = json.loads(response.content)
    answers = case.operation.definition.raw["responses"]
    told = answers.get(str(response.status_code), {}).get("x-codes", [])
    if problem["code"] not in told and problem["code"] not in ANYWHERE:
        raise AssertionError(f"{problem['code']} is not among {told} of {response.status_code}: {problem['detail']}")
    if problem["status"] != response.status_code:
        raise AssertionError(f"the problem says {problem['status']}")
