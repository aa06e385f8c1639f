"""How a body of raw bytes begins, whatever it is for: nothing is let come before everything was checked."""

from __future__ import annotations

from aiohttp import hdrs, web

from zlh_common.schema.file_refusals import UploadInvalid


def refuse_encoded(request: web.Request) -> None:
    """Raise UploadInvalid: a file comes as it is, and a few bytes must not become many here."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UploadInvalid(reason="a body is sent as it is, without Content-Encoding")


async def wait_for_checks(_request: web.Request) -> None:
    """Say nothing yet to who asks whether a body may come: `let_come` does, after the checks."""


async def let_come(request: web.Request) -> None:
    """Tell a client that has asked that its body may come."""
    if request.version >= (1, 1) and request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # It is no part of the answer that follows.
        request.writer.output_size = 0
