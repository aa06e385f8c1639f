"""Proxmox's HTTP API with a token: one call at a time is asked, and answered by a value or by an error of ours.

Nothing is retried here. A request that was to change something and whose answer was lost raises ProxmoxUnsure; whoever
asked looks what has become of it.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import stat
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
from yarl import URL

from zlh_api.drivers.port import SystemAway
from zlh_api.drivers.proxmox.refusals import ProxmoxRefused, ProxmoxUnsure, classify_refusal
from zlh_common.errors import ConfigInvalid, ZlhError

SYSTEM = "Proxmox"
# Within the cluster Proxmox itself waits for 30 s, and for a bad token it takes 3 s to say so. A look takes less than
# a look of the reconciler may.
CHANGE_TIMEOUT_S = 40.0
LOOK_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 16 * 2**20
MAX_CONNECTIONS = 16
# Codes by which one node says that it cannot reach another.
NODE_AWAY = range(595, 600)
NODE_RETRY_S = 5.0

Value = str | int | float | bool


class CallGuard(Protocol):
    """What keeps calls from a system that is away: its circuit."""

    def call(self) -> AbstractAsyncContextManager[None]:
        """Surround one call; raise SystemAway at once while the system is away."""
        ...


@dataclass(frozen=True, slots=True)
class Access:
    """Where Proxmox is, by what its certificate is known, and as whom we come."""

    url: str
    token_id: str
    # Holds the token's secret and nothing else; for its owner alone.
    token_file: Path
    ca: Path | None = None
    # SHA-256 of the certificate, as Proxmox shows it.
    fingerprint: str | None = None
    change_timeout_s: float = CHANGE_TIMEOUT_S
    look_timeout_s: float = LOOK_TIMEOUT_S


class _Lost(Exception):
    """A request may have been carried out, and its answer did not come."""


class ProxmoxClient:
    """Asks one cluster through one of its nodes."""

    def __init__(self, access: Access, circuit: CallGuard) -> None:
        self._access = access
        self._circuit = circuit
        self._opening = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._authorization: str | None = None

    async def open(self) -> None:
        """Read token and certificate; raise ConfigInvalid where they cannot be used."""
        async with self._opening:
            if self._authorization is None:
                secret = await asyncio.to_thread(read_secret, self._access.token_file)
                self._authorization = f"PVEAPIToken={self._access.token_id}={secret}"
            if self._session is None:
                trust = await asyncio.to_thread(_make_trust, self._access)
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(ssl=trust, limit=MAX_CONNECTIONS),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    trust_env=False,
                )

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, path: str, /, **parameters: Value) -> Any:
        """Return what is at a path."""
        return await self._call("GET", path, parameters)

    async def post(self, path: str, parameters: Mapping[str, Value] | None = None) -> Any:
        """Have something made or done."""
        return await self._call("POST", path, parameters or {})

    async def put(self, path: str, parameters: Mapping[str, Value]) -> Any:
        """Have something changed."""
        return await self._call("PUT", path, parameters)

    async def delete(self, path: str, /, **parameters: Value) -> Any:
        """Have something taken away."""
        return await self._call("DELETE", path, parameters)

    async def _call(self, method: str, path: str, parameters: Mapping[str, Value]) -> Any:
        await self.open()
        what, changes = f"{method} {path}", method != "GET"
        try:
            async with self._circuit.call():
                status, reason, body = await self._ask(method, path, parameters)
        except SystemAway as away:
            if changes and _was_lost(away):
                raise ProxmoxUnsure(what=what, reason=away.reason) from away
            raise
        if status == HTTPStatus.OK:
            return _read_data(what, body)
        if status in NODE_AWAY:
            raise _node_away(what, path, status, reason, changes=changes)
        if status == HTTPStatus.UNAUTHORIZED:
            # The token may have been renewed in its file.
            self._authorization = None
        raise classify_refusal(what, status, reason, _read_fields(body), changes=changes)

    async def _ask(self, method: str, path: str, parameters: Mapping[str, Value]) -> tuple[int, str, bytes]:
        assert self._session is not None
        assert self._authorization is not None
        encoded = {name: _render(value) for name, value in parameters.items()}
        in_query = method in {"GET", "DELETE"}
        limit_s = self._access.look_timeout_s if method == "GET" else self._access.change_timeout_s
        url = URL(f"{self._access.url.rstrip('/')}/api2/json{quote(path, safe='/:@!%')}", encoded=True)
        try:
            async with self._session.request(
                method,
                url.with_query(encoded) if in_query and encoded else url,
                data=None if in_query else encoded,
                headers={"Authorization": self._authorization},
                timeout=aiohttp.ClientTimeout(total=limit_s, sock_connect=CONNECT_TIMEOUT_S),
                allow_redirects=False,
            ) as response:
                return response.status, response.reason or "", await _read_bounded(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ServerFingerprintMismatch) as exc:
            # It was never sent.
            raise SystemAway(system=SYSTEM, reason=_say(exc), retry_in_s=0) from exc
        except TimeoutError as exc:
            if path.startswith("/nodes/"):
                # Who answers for a node is that node: the others may be well.
                return NODE_AWAY[-1], f"no answer within {limit_s:g} s", b""
            raise SystemAway(system=SYSTEM, reason=_say(exc), retry_in_s=0) from _Lost()
        except (aiohttp.ClientError, OSError) as exc:
            raise SystemAway(system=SYSTEM, reason=_say(exc), retry_in_s=0) from _Lost()


def read_secret(path: Path) -> str:
    """Return what stands in a file that is for its owner alone; raise ConfigInvalid where it is not."""
    try:
        mode = path.stat().st_mode
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigInvalid(source=str(path), problems=[f"the token's secret cannot be read: {exc}"]) from exc
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigInvalid(source=str(path), problems=["others may read the token's secret; set its mode to 0600"])
    if not re.fullmatch(r"[\x21-\x7e]{1,200}", text):
        raise ConfigInvalid(source=str(path), problems=["it holds no secret of a token, which is one word"])
    return text


def parse_fingerprint(text: str) -> bytes | None:
    """Return the bytes of a SHA-256 fingerprint as Proxmox shows it, or None where it is none."""
    digits = text.replace(":", "")
    return bytes.fromhex(digits) if re.fullmatch(r"[0-9a-fA-F]{64}", digits) else None


def _make_trust(access: Access) -> ssl.SSLContext | aiohttp.Fingerprint:
    if access.fingerprint is not None:
        digest = parse_fingerprint(access.fingerprint)
        assert digest is not None
        return aiohttp.Fingerprint(digest)
    try:
        return ssl.create_default_context(cafile=str(access.ca) if access.ca else None)
    except OSError as exc:
        raise ConfigInvalid(source=str(access.ca), problems=[f"it cannot be used as a CA: {exc}"]) from exc


def _render(value: Value) -> str:
    # Proxmox knows 0 and 1 for a boolean, and refuses the words.
    return str(int(value)) if isinstance(value, bool) else str(value)


def _was_lost(error: BaseException | None) -> bool:
    """Tell whether the request had gone out: the circuit hands on what it was told, as the cause of its own error."""
    while error is not None:
        if isinstance(error, _Lost):
            return True
        error = error.__cause__
    return False


def _say(error: Exception) -> str:
    return str(error) or type(error).__name__


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in response.content.iter_chunked(65536):
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise aiohttp.ClientPayloadError(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def _read_data(what: str, body: bytes) -> Any:
    try:
        return json.loads(body)["data"]
    except (ValueError, KeyError, TypeError) as exc:
        raise ProxmoxRefused(what=what, reason="its answer is not what Proxmox answers") from exc


def _read_fields(body: bytes) -> dict[str, str]:
    """Return what was wrong with which parameter; many answers have no body that could be read."""
    try:
        errors = json.loads(body)["errors"]
        return {str(name): str(text).strip() for name, text in errors.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _node_away(what: str, path: str, status: int, reason: str, *, changes: bool) -> ZlhError:
    said = f"{status} {reason}".strip()
    if changes:
        return ProxmoxUnsure(what=what, reason=said)
    node = path.split("/")[2] if path.startswith("/nodes/") else "of the cluster"
    return SystemAway(system=f"Proxmox node {node}", reason=said, retry_in_s=NODE_RETRY_S)
