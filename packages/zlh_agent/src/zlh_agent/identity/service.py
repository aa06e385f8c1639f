"""The identity that the agent shows: the driver's at first, then whatever the API puts in its place.

The driver's files are never touched. A renewed identity is one file of its own, certificate and key together, so no
crash parts them; it is used while it is good and lasts longer than the driver's, and is written once it was proved.
"""

from __future__ import annotations

import asyncio
import ssl
from datetime import datetime
from pathlib import Path

import structlog

from zlh_agent.config import AgentConfig
from zlh_agent.identity.proof import load, prove
from zlh_agent.web.tls import server_context
from zlh_common.durable_files import write_durably
from zlh_common.errors import ZlhError
from zlh_common.schema.identity import IdentityTaken, RenewIdentity

log = structlog.get_logger()


class IdentityRefused(ZlhError):
    """What should become the agent's identity is none for it."""

    code, status = "identity_refused", 422

    def __init__(self, reason: str) -> None:
        super().__init__(f"The agent keeps its identity, since the new one is none: {reason}.")


class IdentityNotKept(ZlhError):
    """The new identity could not be written."""

    code, status, retryable = "identity_not_kept", 507, True

    def __init__(self, reason: str) -> None:
        super().__init__(f"The agent keeps its identity, since the new one could not be written: {reason}.")


class IdentityService:
    """Knows which identity is shown, and changes it without ending a connection."""

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._context: ssl.SSLContext | None = None
        self._changing = asyncio.Lock()

    async def open_context(self) -> ssl.SSLContext:
        """Return the listener's context; raise OSError or ValueError where the driver's files cannot be used."""
        self._context = await asyncio.to_thread(self._open)
        return self._context

    async def renew(self, wish: RenewIdentity) -> IdentityTaken:
        """Show another identity from now on, once it is proved and kept; raise IdentityRefused, IdentityNotKept."""
        pem = f"{wish.certificate.rstrip()}\n{wish.private_key.rstrip()}\n".encode()
        async with self._changing:
            expires_at = await asyncio.to_thread(self._take, pem)
        log.info("identity.renewed", expires_at=expires_at.isoformat())
        return IdentityTaken(expires_at=expires_at)

    def _take(self, pem: bytes) -> datetime:
        assert self._context is not None
        try:
            expires_at = prove(pem, self._config.owner)
        except (OSError, ValueError) as exc:
            raise IdentityRefused(_reason(exc)) from exc
        try:
            write_durably(self._file, pem)
        except OSError as exc:
            raise IdentityNotKept(exc.strerror or str(exc)) from exc
        # What is open stays open: a context is asked when a connection begins.
        load(self._context, pem)
        return expires_at

    def _open(self) -> ssl.SSLContext:
        tls = self._config.tls
        context = server_context(tls)
        first = tls.certificate.read_bytes() + tls.private_key.read_bytes()
        renewed = self._read_renewed()
        if renewed and _lasts_longer(self._find_end(renewed), self._find_end(first)):
            load(context, renewed)
        return context

    def _read_renewed(self) -> bytes | None:
        try:
            return self._file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            log.warning("identity.unreadable", reason=exc.strerror)
            return None

    def _find_end(self, pem: bytes) -> datetime | None:
        """Return until when an identity is good, or None where it is none any more."""
        try:
            return prove(pem, self._config.owner)
        except (OSError, ValueError) as exc:
            log.warning("identity.not_good", reason=_reason(exc))
            return None

    @property
    def _file(self) -> Path:
        return self._config.paths.state / "identity.pem"


def _lasts_longer(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and (other is None or one > other)


def _reason(exc: Exception) -> str:
    """Return why, without what was in it."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return exc.verify_message
    return exc.reason if isinstance(exc, ssl.SSLError) and exc.reason else type(exc).__name__
