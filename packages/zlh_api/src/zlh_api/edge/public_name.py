"""The request through a public name, as a browser would make it: by TLS where there is TLS, certificate and all.

It goes to the proxy's public side, whatever DNS says of the name, with the name in the handshake and in the request.
What is asked for is `/.zlh/ready`; a game server's own protocol would be asked beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from datetime import UTC
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp

from zlh_api.edge.certificate_trouble import ShownCertificate, describe_trouble, parse_certificate
from zlh_api.edge.port import NameNotAnswering
from zlh_common.errors import ConfigInvalid
from zlh_common.names import PLATFORM_PATH
from zlh_common.schema.edge import Certificate

TIMEOUT_S = 5.0
# The answer has some twenty.
MAX_ANSWER_BYTES = 4096
_SOMETHING_ELSE = "something else answers there"


class PublicName:
    """Asks each time over a connection of its own, so that every answer says what a new visitor would meet."""

    def __init__(self, *, web_url: str, ca: Path | None = None) -> None:
        """Trust the certificates of this system, or those below `ca`; raise ConfigInvalid where that is none."""
        self._web_url = web_url.rstrip("/")
        self._has_tls = urlsplit(web_url).scheme == "https"
        self._context = _trusting(ca) if self._has_tls else None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def check_ready(self, host: str, vmid: int) -> None:
        """Ask for `/.zlh/ready`; the answer must come from us and speak of this container."""
        url = f"{'https' if self._has_tls else 'http'}://{host}{PLATFORM_PATH}ready"
        try:
            answer = json.loads(await self._fetch(url, host))
        except aiohttp.ClientConnectorCertificateError as exc:
            raise NameNotAnswering(url=url, reason=await self._find_trouble(exc, host)) from exc
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, RecursionError) as exc:
            raise NameNotAnswering(url=url, reason=_describe(exc)) from exc
        if not isinstance(answer, dict) or answer.get("vmid") != vmid:
            raise NameNotAnswering(url=url, reason=_SOMETHING_ELSE)

    async def fetch_certificate(self, host: str) -> Certificate | None:
        """Return what is shown for a name, however wrong or old it is; None where nothing is."""
        shown = await self._look(host) if self._has_tls else None
        if shown is None:
            return None
        return Certificate(
            names=shown.names or (shown.subject,), issuer=shown.issuer, not_after=shown.not_after.astimezone(UTC)
        )

    async def _fetch(self, url: str, host: str) -> bytes:
        assert self._session is not None
        async with self._session.get(
            f"{self._web_url}{PLATFORM_PATH}ready",
            headers={"Host": host},
            allow_redirects=False,
            ssl=self._context if self._context is not None else True,
            server_hostname=host if self._has_tls else None,
        ) as response:
            if response.status != 200:
                raise NameNotAnswering(url=url, reason=f"status {response.status}")
            body = bytearray()
            while len(body) <= MAX_ANSWER_BYTES and not response.content.at_eof():
                body += await response.content.read(MAX_ANSWER_BYTES + 1 - len(body))
            if len(body) > MAX_ANSWER_BYTES:
                raise NameNotAnswering(url=url, reason=_SOMETHING_ELSE)
            return bytes(body)

    async def _find_trouble(self, refused: aiohttp.ClientConnectorCertificateError, host: str) -> str:
        error = refused.certificate_error
        if not isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is refused: {error}"
        return describe_trouble(error.verify_code, error.verify_message, await self._look(host))

    async def _look(self, host: str) -> ShownCertificate | None:
        """Return what is shown for the name, without believing it."""
        address = urlsplit(self._web_url)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            async with asyncio.timeout(TIMEOUT_S):
                _, writer = await asyncio.open_connection(
                    address.hostname, address.port or 443, ssl=context, server_hostname=host
                )
        except (OSError, TimeoutError):
            return None
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return parse_certificate(shown) if shown else None


def _trusting(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ValueError) as exc:
        raise ConfigInvalid(source=str(ca), problems=[f"traefik.tls.ca holds no certificates: {exc}"]) from exc


def _describe(error: Exception) -> str:
    """Return what happened; nothing of what a stranger sends is repeated."""
    match error:
        case aiohttp.ClientConnectorError():
            return _describe_connection(error)
        case TimeoutError():
            return f"no answer within {TIMEOUT_S:g} s"
        case aiohttp.ServerDisconnectedError():
            return "the connection is closed without an answer"
        case aiohttp.ClientPayloadError():
            return "the answer ends too early"
        case aiohttp.ClientResponseError() | ValueError() | RecursionError():
            return _SOMETHING_ELSE
        case _:
            return str(error) or type(error).__name__


def _describe_connection(error: aiohttp.ClientConnectorError) -> str:
    where = f"{error.host}:{error.port}"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"{where} does not speak TLS as it should: {error.os_error.strerror or error.os_error}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the name of the proxy in traefik.web_url is not found: {error.host}"
    if isinstance(error.os_error, ConnectionRefusedError):
        return f"nobody listens at {where}"
    return f"{where} is not reached: {error.os_error.strerror or error.os_error}"
