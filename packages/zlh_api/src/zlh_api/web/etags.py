"""Conditional reading (RFC 9110, 13.1.2): who has this very answer is not sent it again."""

from __future__ import annotations

import hashlib
import re

from aiohttp import web

# A list of entity tags; a comma may stand inside of one, a quotation mark may not.
_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_LIST = re.compile(rf"[ \t,]*{_TAG.pattern}(?:[ \t]*,[ \t,]*{_TAG.pattern})*[ \t,]*")


def etag_of(body: bytes) -> str:
    """Return the strong entity tag of an answer."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def is_known(etag: str, given: list[str]) -> bool:
    """Tell whether If-None-Match names this answer; what is no list of entity tags names nothing.

    Tags are compared weakly here, as the RFC says: one that has become weak on its way is still the same.
    """
    text = ", ".join(given).strip()
    if text == "*":
        return True
    return _LIST.fullmatch(text) is not None and etag.strip('"') in _TAG.findall(text)


def answer_unless_known(request: web.Request, answer: web.Response) -> web.Response:
    """Give an answer its ETag; 304 in its place where the client has it."""
    assert isinstance(answer.body, bytes)
    headers = {"ETag": etag_of(answer.body), "Cache-Control": answer.headers.get("Cache-Control", "private, no-cache")}
    if is_known(headers["ETag"], request.headers.getall("If-None-Match", [])):
        return web.Response(status=304, headers=headers)
    answer.headers.update(headers)
    return answer
