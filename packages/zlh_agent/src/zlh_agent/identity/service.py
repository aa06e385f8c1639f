"""What the agent shows and whom it believes: the driver's files at first, then what the API puts in their place.

The driver's files are never touched. A renewed identity is one file of its own, certificate, key and CAs together, so
no crash parts them; it is used while it is good and lasts longer than the driver's, and is written once it was
proved. One that lasts no longer than what is shown is refused: it comes late, from somebody who was overtaken.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from weakref import WeakSet

import structlog

from zlh_agent.config import AgentConfig
from zlh_agent.identity.model import Held, find_certificates, parse_held
from zlh_agent.identity.proof import prove
from zlh_agent.web.tls import bare_context, server_context
from zlh_common.durable_files import write_durably
from zlh_common.errors import ZlhError
from zlh_common.schema.identity import MAX_CLIENT_CAS, IdentityTaken, RenewIdentity

log = structlog.get_logger()
# How long what was opened before stays open where a CA is believed no more: whoever is honest has come anew by then.
LINGER_S = 20.0


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
    """Knows which identity is shown and who is believed, and changes both without closing the door."""

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._held = Held(b"", b"")
        # What new connections meet. The listener's own context believes nobody, and gives way to this one.
        self._current: ssl.SSLContext | None = None
        self._changing = asyncio.Lock()
        self._ending: set[asyncio.TimerHandle] = set()
        self._contexts: WeakSet[ssl.SSLContext] = WeakSet()
        # Ends what was opened while others were believed: all that has met one of these contexts.
        self.on_believing_less: Callable[[Collection[ssl.SSLContext]], None] = lambda _old: None

    async def open_context(self) -> ssl.SSLContext:
        """Return the listener's context; raise OSError or ValueError where the driver's files cannot be used."""
        self._held = await asyncio.to_thread(self._choose)
        self._show(await asyncio.to_thread(server_context, self._held.identity, self._held.client_ca))
        door = bare_context()
        door.sni_callback = self._enter
        return door

    @property
    def shown(self) -> bytes:
        """What new connections are shown: certificate and key, PEM."""
        return self._held.identity

    def close(self) -> None:
        """Wait for nothing any more."""
        for timer in self._ending:
            timer.cancel()

    async def renew(self, wish: RenewIdentity) -> IdentityTaken:
        """Show another identity from now on, once it is proved and kept; raise IdentityRefused, IdentityNotKept."""
        identity = f"{wish.certificate.rstrip()}\n{wish.private_key.rstrip()}\n".encode()
        async with self._changing:
            before = self._held
            new = Held(identity, before.client_ca if wish.client_ca is None else wish.client_ca.encode())
            expires_at, context = await asyncio.to_thread(self._take, new)
            if set(find_certificates(before.client_ca)) - set(find_certificates(new.client_ca)):
                self._end_later(list(self._contexts))
            self._held = new
            self._show(context)
        log.info("identity.renewed", expires_at=expires_at.isoformat(), client_cas=new.client_cas)
        return IdentityTaken(expires_at=expires_at, client_cas=new.client_cas)

    def _enter(self, connection: ssl.SSLObject, _name: str | None, _door: ssl.SSLContext) -> None:
        """Let a connection that begins now meet what is current; what is open stays as it is."""
        assert self._current is not None
        connection.context = self._current

    def _show(self, context: ssl.SSLContext) -> None:
        self._contexts.add(context)
        self._current = context

    def _end_later(self, old: Collection[ssl.SSLContext]) -> None:
        self._ending.add(asyncio.get_running_loop().call_later(LINGER_S, lambda: self.on_believing_less(old)))

    def _take(self, new: Held) -> tuple[datetime, ssl.SSLContext]:
        """Prove and keep it; nothing is shown or believed yet."""
        try:
            expires_at = prove(new.identity, self._config.owner)
            context = server_context(new.identity, new.client_ca)
        except (OSError, ValueError) as exc:
            raise IdentityRefused(_reason(exc)) from exc
        if not 1 <= new.client_cas <= MAX_CLIENT_CAS:
            raise IdentityRefused(f"it comes with {new.client_cas} CAs")
        shown_until = self._find_end(self._held.identity)
        if shown_until is not None and expires_at <= shown_until:
            raise IdentityRefused("it lasts no longer than what is shown")
        try:
            write_durably(self._file, new.render())
        except OSError as exc:
            raise IdentityNotKept(exc.strerror or str(exc)) from exc
        return expires_at, context

    def _choose(self) -> Held:
        """Return what the driver has put in, or what came later."""
        tls = self._config.tls
        first = Held(tls.certificate.read_bytes() + tls.private_key.read_bytes(), tls.client_ca.read_bytes())
        renewed = self._read_renewed(first)
        if renewed and _lasts_longer(self._find_end(renewed.identity), self._find_end(first.identity)):
            return renewed
        return first

    def _read_renewed(self, first: Held) -> Held | None:
        try:
            held = parse_held(self._file.read_bytes(), otherwise=first.client_ca)
            server_context(held.identity, held.client_ca)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            log.warning("identity.unreadable", reason=_reason(exc))
            return None
        return held

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
