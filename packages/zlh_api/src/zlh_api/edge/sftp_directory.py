"""Route files on another machine, over SFTP: temporary name, fsync, POSIX rename; nothing is run there."""

from __future__ import annotations

import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

from zlh_api.edge import sftp_wire as wire
from zlh_api.edge.directory_rules import Entry, Kind, Unread, temporary_name
from zlh_api.edge.foreign_files import MOST_BYTES
from zlh_api.edge.kept_directory import KeptDirectory
from zlh_api.edge.place import MOST_DEPTH, PlaceRefused
from zlh_api.edge.port import Check
from zlh_api.edge.sftp_connection import SftpConnection
from zlh_api.edge.sftp_session import SftpSession
from zlh_api.edge.sftp_wire import Attributes, Data, Handle, Names, Reply, Request, Status

# Parts of a listing that are asked for at once; OpenSSH puts a hundred names into each.
LISTING_AHEAD = 8
# A directory with more names is no directory of ours.
MOST_NAMES = 200_000
# Under this name nothing is kept.
_NUDGE = "zlh-nudge.yml"


class SftpRouteDirectory(KeptDirectory):
    """A directory of the proxy's machine."""

    def __init__(self, connection: SftpConnection, folder: Path, quarantine: Path) -> None:
        super().__init__(SftpPlace(connection, folder, quarantine))


class SftpPlace:
    """Every call is one operation of the connection."""

    def __init__(self, connection: SftpConnection, folder: Path, quarantine: Path) -> None:
        self._connection = connection
        self._folder = _bytes(str(folder))
        self._quarantine = _bytes(str(quarantine))

    async def fetch_entries(self) -> list[Entry]:
        """Return every name below the directory."""
        found: list[Entry] = []
        async with self._connection.session() as session:
            waiting = [("", 0)]
            while waiting:
                prefix, depth = waiting.pop()
                entries = [_entry(prefix, *each) for each in await self._list(session, self._path(prefix))]
                found += entries
                if depth < MOST_DEPTH:
                    waiting += [(f"{entry.name}/", depth + 1) for entry in entries if entry.kind == "folder"]
        return found

    async def fetch_contents(self, names: Sequence[str]) -> list[bytes | Unread | None]:
        """Return what each holds."""
        async with self._connection.session() as session:
            return await _read_all(session, [self._path(name) for name in names])

    async def replace(self, name: str, content: bytes, check: Check) -> None:
        """Make it hold `content`."""
        target = self._path(name)
        temporary = self._path(temporary_name(name, secrets.token_hex(8)))
        async with self._connection.session() as session:
            check()
            try:
                await self._write(session, temporary, content)
                check()
                _demand(await session.ask(wire.posix_rename(temporary, target)))
            except _Refused as refused:
                session.forget(wire.remove(temporary))
                raise await self._explain(session, refused) from refused
            except BaseException:
                session.forget(wire.remove(temporary))
                raise

    async def remove(self, name: str, check: Check) -> None:
        """Take it away."""
        async with self._connection.session() as session:
            check()
            [reply] = await session.ask(wire.remove(self._path(name)))
            if _code(reply) not in {wire.OK, wire.NO_SUCH_FILE}:
                raise await self._explain(session, _Refused(reply))

    async def fetch_quarantine(self) -> list[str]:
        """Return the names in the quarantine."""
        async with self._connection.session() as session:
            [reply] = await session.ask(wire.stat(self._quarantine))
            if _code(reply) == wire.NO_SUCH_FILE:
                return []
            return sorted(_text(name) for name, _attributes in await self._list(session, self._quarantine))

    async def move_away(self, name: str, quarantined: str) -> bool:
        """Move it into a folder of its own in the quarantine, which nobody else can have made."""
        source, folder = self._path(name), self._quarantine + b"/" + _bytes(quarantined)
        async with self._connection.session() as session:
            [there] = await session.ask(wire.stat(self._quarantine))
            if _code(there) == wire.NO_SUCH_FILE:
                await session.ask(wire.make_folder(self._quarantine, 0o755))
            [made] = await session.ask(wire.make_folder(folder, 0o755))
            if _code(made) != wire.OK:
                [there] = await session.ask(wire.lstat(folder))
                if isinstance(there, Attributes):
                    return False
                raise await self._explain(session, _Refused(made), self._quarantine)
            [moved] = await session.ask(wire.posix_rename(source, folder + b"/" + source.rpartition(b"/")[2]))
            if _code(moved) == wire.OK:
                return True
            session.forget(wire.remove_folder(folder))
            if _code(moved) == wire.NO_SUCH_FILE:
                return False
            raise await self._explain(session, _Refused(moved), self._quarantine)

    async def nudge(self) -> None:
        """Let Traefik look again."""
        path = self._path(f".{_NUDGE}.{secrets.token_hex(8)}.new")
        async with self._connection.session() as session:
            [opened] = await session.ask(wire.open_file(path, wire.WRITE | wire.CREATE | wire.EXCLUSIVE, 0o644))
            if isinstance(opened, Handle):
                await session.ask(wire.close(opened.handle), wire.remove(path))

    def _path(self, name: str) -> bytes:
        return (self._folder + b"/" + _bytes(name)).removesuffix(b"/")

    async def _list(self, session: SftpSession, folder: bytes) -> list[tuple[bytes, Attributes]]:
        [opened] = await session.ask(wire.open_folder(folder))
        if not isinstance(opened, Handle):
            if _code(opened) == wire.NO_SUCH_FILE and folder == self._folder:
                raise PlaceRefused(f"there is no folder {_text(folder)} on the proxy's machine; make it, for our user")
            if folder not in {self._folder, self._quarantine}:
                # It went away, or it is a stranger's; what the proxy makes of it, it will show.
                return []
            raise await self._explain(session, _Refused(opened), folder)
        found: list[tuple[bytes, Attributes]] = []
        try:
            while True:
                for reply in await session.ask(*[wire.read_folder(opened.handle)] * LISTING_AHEAD):
                    if _code(reply) == wire.EOF:
                        return [each for each in found if each[0] not in {b".", b".."}]
                    if not isinstance(reply, Names):
                        raise await self._explain(session, _Refused(reply), folder)
                    found += reply.entries
                if len(found) > MOST_NAMES:
                    raise PlaceRefused(f"{_text(folder)} has more than {MOST_NAMES} names")
        finally:
            session.forget(wire.close(opened.handle))

    async def _write(self, session: SftpSession, path: bytes, content: bytes) -> None:
        request = wire.open_file(path, wire.WRITE | wire.CREATE | wire.EXCLUSIVE, 0o644)
        [opened] = await session.ask(request)
        if _code(opened) == wire.NO_SUCH_FILE:
            # The first file of all makes the folder; where the directory itself is gone, it stays so.
            [made] = await session.ask(wire.make_folder(path.rpartition(b"/")[0], 0o755))
            [opened] = await session.ask(request)
            if _code(opened) == wire.NO_SUCH_FILE and _code(made) != wire.OK:
                raise _Refused(made)
        if not isinstance(opened, Handle):
            raise _Refused(opened)
        handle, is_closed = opened.handle, False
        try:
            blocks = range(0, len(content), wire.BLOCK_BYTES)
            # Traefik may run as another user, whatever this one's mask is. The server works it off in this order.
            requests: list[Request] = [
                *(wire.write(handle, start, content[start : start + wire.BLOCK_BYTES]) for start in blocks),
                wire.set_mode(handle, 0o644),
                wire.fsync(handle),
                wire.close(handle),
            ]
            is_closed = True
            _demand(await session.ask(*requests))
        finally:
            if not is_closed:
                session.forget(wire.close(handle))

    async def _explain(self, session: SftpSession, refused: _Refused, folder: bytes | None = None) -> PlaceRefused:
        """Return why: the server's own word for most of it is "Failure"."""
        where = folder or self._folder
        code = _code(refused.reply)
        if code == wire.FAILURE:
            [answer] = await session.ask(wire.statvfs(where))
            if isinstance(answer, bytes):
                return PlaceRefused(_reason_of_failure(where, wire.parse_space(answer)))
        return PlaceRefused(_reason(code, where, refused.reply))


class _Refused(Exception):
    """The server did not do it."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.reply = reply


def _demand(replies: Sequence[Reply]) -> None:
    for reply in replies:
        if _code(reply) != wire.OK:
            raise _Refused(reply)


def _code(reply: Reply) -> int:
    """Return how it went; what is no status at all was not asked for."""
    return reply.code if isinstance(reply, Status) else -1


async def _read_all(session: SftpSession, paths: Sequence[bytes]) -> list[bytes | Unread | None]:
    """Read all of them in three turns, however many they are."""
    found: list[bytes | Unread | None] = [None] * len(paths)
    sizes = await _find_files(session, paths, found)
    opened = await session.ask(*(wire.open_file(paths[each], wire.READ) for each in sizes))
    handles = {each: reply.handle for each, reply in zip(sizes, opened, strict=True) if isinstance(reply, Handle)}
    for each, reply in zip(sizes, opened, strict=True):
        if each not in handles and _code(reply) != wire.NO_SUCH_FILE:
            found[each] = _unread(_code(reply))
    requests = [request for handle in handles.values() for request in (wire.read(handle, 0), wire.close(handle))]
    # Every handle is closed by what is sent here, whoever waits for it.
    replies = await session.ask(*requests)
    for each, reply in zip(handles, replies[::2], strict=True):
        content = reply.data if isinstance(reply, Data) else b""
        if isinstance(reply, Status) and reply.code != wire.EOF:
            found[each] = _unread(reply.code)
        elif len(content) == sizes[each]:
            found[each] = content
        else:
            found[each] = await _read_long(session, paths[each])
    return found


async def _find_files(
    session: SftpSession, paths: Sequence[bytes], found: list[bytes | Unread | None]
) -> dict[int, int]:
    """Return the sizes of those that can be opened without waiting; the others are told in `found`."""
    sizes: dict[int, int] = {}
    links = []
    for each, reply in enumerate(await session.ask(*map(wire.lstat, paths))):
        if isinstance(reply, Attributes) and stat.S_ISLNK(reply.mode):
            links.append(each)
        elif isinstance(reply, Attributes):
            _take_file(each, reply, sizes, found)
        elif _code(reply) != wire.NO_SUCH_FILE:
            found[each] = _unread(_code(reply))
    targets = await session.ask(*(wire.stat(paths[each]) for each in links))
    for each, reply in zip(links, targets, strict=True):
        if isinstance(reply, Attributes):
            _take_file(each, reply, sizes, found)
        else:
            found[each] = Unread("it is a link that leads nowhere", is_certain=_code(reply) == wire.NO_SUCH_FILE)
    return sizes


def _take_file(each: int, attributes: Attributes, sizes: dict[int, int], found: list[bytes | Unread | None]) -> None:
    if stat.S_ISREG(attributes.mode):
        sizes[each] = attributes.size
    else:
        found[each] = Unread("it is no file that can be read", is_certain=True)


async def _read_long(session: SftpSession, path: bytes) -> bytes | Unread | None:
    """Read a file block by block to its end, or to more than anybody wants to know."""
    [opened] = await session.ask(wire.open_file(path, wire.READ))
    if not isinstance(opened, Handle):
        return None if _code(opened) == wire.NO_SUCH_FILE else _unread(_code(opened))
    content = bytearray()
    try:
        while len(content) <= MOST_BYTES:
            [reply] = await session.ask(wire.read(opened.handle, len(content)))
            if not isinstance(reply, Data):
                return bytes(content) if _code(reply) == wire.EOF else _unread(_code(reply))
            content += reply.data
        return bytes(content)
    finally:
        session.forget(wire.close(opened.handle))


def _unread(code: int) -> Unread:
    if code == wire.PERMISSION_DENIED:
        return Unread("we may not read it", is_certain=False)
    return Unread("it cannot be read", is_certain=False)


def _reason_of_failure(where: bytes, space: wire.Space) -> str:
    place = _text(where)
    if space.flags & wire.IS_READ_ONLY:
        return f"{place} on the proxy's machine is mounted read-only"
    if space.free_blocks == 0 or space.free_files == 0:
        return f"the disk of the proxy's machine is full ({place}); make room there"
    return f"the proxy's machine does not do it in {place} and says no reason; is the quota of our user used up?"


def _reason(code: int, where: bytes, reply: Reply) -> str:
    place = _text(where)
    match code:
        case wire.PERMISSION_DENIED:
            return f"our user may not do that in {place} on the proxy's machine; give it the folder"
        case wire.NO_SUCH_FILE:
            return f"{place} on the proxy's machine is gone; make it, for our user"
        case wire.UNSUPPORTED:
            return "the SFTP server of the proxy's machine cannot do it"
        case _:
            said = reply.message if isinstance(reply, Status) else "an answer that does not fit"
            return f"the proxy's machine says {said!r} in {place}"


def _entry(prefix: str, name: bytes, attributes: Attributes) -> Entry:
    # Time stamps are whole seconds, by another machine's clock.
    version = (attributes.size, attributes.user, attributes.group, attributes.mode, attributes.modified_s)
    return Entry(prefix + _text(name), _kind(attributes.mode), version, attributes.modified_s)


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "link" if stat.S_ISLNK(mode) else "other"


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
