"""The one SSH connection of this process to the proxy's machine: opened when needed, and again after it was lost.

The machine is known by its key and we by ours; no password, no agent, no shell, no port is asked for or given. Who
shows another key than the one that is pinned gets nothing of us: that is no trouble of the line, so it is not tried
again and again, and nothing makes it pass but another known_hosts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from zlh_api.circuit import Circuit
from zlh_api.edge.sftp_session import STALL_S, ServerUnfit, SessionLost, SftpSession
from zlh_api.ssh_trust import read_trust
from zlh_common.errors import ZlhError

CONNECT_TIMEOUT_S = 10.0
# An idle connection that is dead is noticed after three of these.
KEEPALIVE_S = 10.0
# So long may one operation take that is being answered all the time.
OPERATION_S = 30.0
# All of them authenticate; the first ones cost least here.
CIPHERS = ("aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com")
# Which kinds of host keys are asked for, behind those that are pinned: a machine that has only others is told by the
# key that it shows, and not by a line that breaks off.
KEY_ALGORITHMS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "rsa-sha2-512", "rsa-sha2-256")
# Operations at a time; more only lengthen the queue at the other side.
MOST_AT_ONCE = 128
# Sessions of the connection: the server has a process for each, and while one waits for its disk the others go on.
MOST_SESSIONS = 4
# As many operations of one session as make another worth its opening.
BUSY = 4
# A refusal that only people can change is believed so long before it is looked at again.
REFUSED_FOR_S = 10.0


class ProxyHostKeyWrong(ZlhError):
    """The proxy's machine does not show the key that it is known by."""

    code, status = "proxy_host_key_wrong", 502

    def __init__(self, *, host: str, known_hosts: Path) -> None:
        super().__init__(
            f"The SSH server at {host} shows a key that {known_hosts} does not have, so nothing is sent to it. If the "
            "machine was set up anew, compare its key by another way (on it: `ssh-keygen -lf "
            "/etc/ssh/ssh_host_ed25519_key.pub`) and put that into the file; otherwise somebody stands in between."
        )


class ProxyLoginRefused(ZlhError):
    """The proxy's machine does not let our user in."""

    code, status, retryable = "proxy_login_refused", 502, True

    def __init__(self, *, host: str, user: str, key: Path) -> None:
        super().__init__(
            f"The SSH server at {host} refuses the user {user} with the key {key}. Put its public half into the "
            "authorized keys of that user (deploy/traefik/setup.sh does it)."
        )


class ProxyServerUnfit(ZlhError):
    """The SFTP server of the proxy's machine cannot do what a safe publication needs."""

    code, status, retryable = "proxy_server_unfit", 502, True

    def __init__(self, *, host: str, reason: str) -> None:
        super().__init__(
            f"The SFTP server at {host} cannot be used: {reason}. OpenSSH's own can (`ForceCommand internal-sftp`)."
        )


@dataclass(frozen=True, slots=True)
class SftpAccess:
    """How the proxy's machine is reached, and what it is known by."""

    host: str
    port: int
    user: str
    key: Path
    known_hosts: Path
    stall_s: float = STALL_S


class SftpConnection:
    """Lends its sessions to any number of callers at once."""

    def __init__(self, access: SftpAccess, circuit: Circuit) -> None:
        self._access = access
        self._circuit = circuit
        self._connection: asyncssh.SSHClientConnection | None = None
        # Lost ones, until they are gone.
        self._leaving: list[asyncssh.SSHClientConnection] = []
        # Each with how many operations it serves.
        self._sessions: dict[SftpSession, int] = {}
        self._opening = asyncio.Lock()
        self._seats = asyncio.Semaphore(MOST_AT_ONCE)
        self._refusal: tuple[ZlhError, float] | None = None
        # How often nothing could be opened, and why the last time.
        self._failures, self._failure = 0, ""
        # How often a connection was opened.
        self.opened = 0

    @asynccontextmanager
    async def session(self) -> AsyncIterator[SftpSession]:
        """Lend a session for one operation; raise SystemAway, and what people must put right as its own error."""
        async with self._seats, self._circuit.call(), asyncio.timeout(OPERATION_S):
            session = await self._choose()
            self._sessions[session] += 1
            try:
                yield session
            finally:
                if session in self._sessions:
                    self._sessions[session] -= 1
                    if not session.is_open:
                        # The next operation begins with another connection: whatever took this one may have it all.
                        self._drop()

    async def close(self) -> None:
        """Let go of the connection; the next operation opens another."""
        async with self._opening:
            if self._connection is not None:
                self._connection.close()
                self._leaving.append(self._connection)
            leaving, self._leaving = self._leaving, []
            self._connection, self._sessions = None, {}
            for connection in leaving:
                await connection.wait_closed()

    async def _choose(self) -> SftpSession:
        """Return the session with least to do; another is opened while all have much, as long as there may be more."""
        if (session := self._find_free()) is not None:
            return session
        failures = self._failures
        async with self._opening:
            if (session := self._find_free()) is not None:
                return session
            self._raise_refusal()
            if self._failures != failures:
                # Whoever was before us has just found out; all who wait would wait for the same, one after the other.
                raise SessionLost(self._failure)
            if any(not session.is_open for session in self._sessions):
                self._drop()
            try:
                session = await self._connect()
            except (OSError, TimeoutError) as exc:
                self._failures, self._failure = self._failures + 1, str(exc) or type(exc).__name__
                raise
            self._sessions[session] = 0
            return session

    def _find_free(self) -> SftpSession | None:
        if not self._sessions:
            return None
        session = min(self._sessions, key=self._sessions.__getitem__)
        is_enough = len(self._sessions) == MOST_SESSIONS or self._sessions[session] < BUSY
        return session if session.is_open and is_enough else None

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            self._leaving = [each for each in self._leaving if not each.is_closed()] + [self._connection]
        self._connection, self._sessions = None, {}

    def _raise_refusal(self) -> None:
        if self._refusal is not None:
            error, until = self._refusal
            if time.monotonic() < until:
                raise error.with_traceback(None)
            self._refusal = None

    async def _connect(self) -> SftpSession:
        access, connection = self._access, self._connection
        try:
            if connection is None:
                connection = self._connection = await self._dial()
                self.opened += 1
            return await self._open_session(connection)
        except asyncssh.HostKeyNotVerifiable as exc:
            raise self._refuse(ProxyHostKeyWrong(host=access.host, known_hosts=access.known_hosts)) from exc
        except asyncssh.PermissionDenied as exc:
            raise self._refuse(ProxyLoginRefused(host=access.host, user=access.user, key=access.key)) from exc
        except (asyncssh.ChannelOpenError, ServerUnfit) as exc:
            # Another operation may have found that out meanwhile.
            is_lost = connection is None or connection is not self._connection or connection.is_closed()
            self._drop()
            if is_lost:
                raise SessionLost(str(exc)) from exc
            raise self._refuse(ProxyServerUnfit(host=access.host, reason=str(exc))) from exc
        except asyncssh.Error as exc:
            self._drop()
            raise SessionLost(str(exc) or type(exc).__name__) from exc
        except BaseException:
            self._drop()
            raise

    async def _dial(self) -> asyncssh.SSHClientConnection:
        access = self._access
        key, known = await asyncio.to_thread(read_trust, access.key, access.known_hosts)
        # It tells of every channel.
        asyncssh.set_log_level(logging.WARNING)
        return await asyncssh.connect(
            access.host,
            port=access.port,
            username=access.user,
            client_keys=[key],
            known_hosts=known,
            config=None,
            agent_path=None,
            preferred_auth="publickey",
            compression_algs=None,
            encryption_algs=CIPHERS,
            server_host_key_algs=_host_key_algorithms(known, access),
            connect_timeout=CONNECT_TIMEOUT_S,
            login_timeout=CONNECT_TIMEOUT_S,
            keepalive_interval=KEEPALIVE_S,
        )

    async def _open_session(self, connection: asyncssh.SSHClientConnection) -> SftpSession:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            session = SftpSession(stall_s=self._access.stall_s)
            await connection.create_session(lambda: session, subsystem="sftp", encoding=None)
            await session.wait_ready()
        return session

    def _refuse(self, error: ZlhError) -> ZlhError:
        self._refusal = (error, time.monotonic() + REFUSED_FOR_S)
        return error


def _host_key_algorithms(known: asyncssh.SSHKnownHosts, access: SftpAccess) -> list[str]:
    pinned = known.match(access.host, "", access.port)[0]
    names = [name.decode() for key in pinned for name in key.sig_algorithms]
    return list(dict.fromkeys((*names, *KEY_ALGORITHMS)))
