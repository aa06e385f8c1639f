"""Does an addon open? A question over HTTP to the address of its container, whose answer is a stranger's.

Nothing of the answer is believed but that it is there: it is bounded, followed nowhere, and repeated to nobody.
"""

from __future__ import annotations

from typing import Protocol

import aiohttp

from zlh_api.agents.client import OnlyAnswer
from zlh_api.containers.addon_rules import AddonNotOpen
from zlh_common.addons import HEALTH_PATH

# It says "ok" in some forty bytes.
MAX_ANSWER_BYTES = 4096
TIMEOUT_S = 5.0


class AddonDoor(Protocol):
    """Who asks addons."""

    async def check_open(self, addon: str, address: str, port: int) -> None:
        """Return where it answers as it should; raise AddonNotOpen."""
        ...


class HttpAddonDoor:
    """Asks each time over a connection of its own."""

    async def check_open(self, addon: str, address: str, port: int) -> None:
        """Return where it answers its question for health with 200; raise AddonNotOpen."""
        try:
            async with (
                _open_session() as session,
                session.get(f"http://{address}:{port}{HEALTH_PATH}", allow_redirects=False) as response,
            ):
                status, size = response.status, 0
                while size <= MAX_ANSWER_BYTES and not response.content.at_eof():
                    size += len(await response.content.read(MAX_ANSWER_BYTES + 1 - size))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as exc:
            raise AddonNotOpen(addon, _describe(exc, port)) from exc
        if size > MAX_ANSWER_BYTES:
            raise AddonNotOpen(addon, f"something else answers at port {port}")
        if status != 200:
            raise AddonNotOpen(addon, f"port {port} answers {HEALTH_PATH} with status {status}")


def _open_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        response_class=OnlyAnswer,
        # Some bytes can stand for gigabytes.
        auto_decompress=False,
        trust_env=False,
    )


def _describe(error: Exception, port: int) -> str:
    """Return what happened; nothing of what a stranger sends is repeated."""
    match error:
        case TimeoutError():
            return f"no answer at port {port} within {TIMEOUT_S:g} s"
        case aiohttp.ClientConnectorError():
            return f"nobody listens at port {port}"
        case _:
            return f"what answers at port {port} breaks off, or speaks no HTTP"
