"""The acts of a plan, carried out: each leaves a record that says so, and may be begun again after any crash."""

from __future__ import annotations

import asyncio
import errno
import os
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from zlh_agent.archives.service import Archives
from zlh_agent.files.link import FilePlace
from zlh_agent.files.refusals import FILE_CHANGED, NOT_A_REGULAR_FILE, PATH_NOT_FOUND
from zlh_agent.files.roots import OfferedRoot, Roots
from zlh_agent.files.told import Skipped
from zlh_agent.games.children import OnProgress, run_child
from zlh_agent.games.errors import GameBackupIncomplete, GameBackupTooLarge, GameBackupUnknown, GameStepFailed
from zlh_agent.games.folder import (
    FolderPlace,
    ensure_folder,
    finish_exchange,
    identify,
    make_beside,
    remove_beside,
)
from zlh_agent.games.history_rules import (
    find_replaced,
    tell_backup,
    tell_check,
    tell_outlived,
    tell_release,
    tell_restore,
)
from zlh_agent.games.model import (
    OWN_FOLDER,
    Clear,
    Commit,
    Committing,
    Edit,
    GameRecord,
    Ids,
    Installed,
    KeptBackup,
    ProgressLine,
    Restored,
    Restoring,
    Run,
    Stage,
    Unpack,
    Verify,
)
from zlh_agent.games.rules import choose_outlived, fill_secrets, find_content, find_secrets, is_same_version, placed_of
from zlh_agent.games.store import GameStore
from zlh_agent.journal.model import Occurrence
from zlh_agent.runtimes.errors import DiskFailed
from zlh_common.clock import Clock
from zlh_common.errors import ZlhError
from zlh_common.schema.files import ArchiveFormat
from zlh_common.schema.game import GameBackup, WantedGame
from zlh_common.schema.template import FileEdit, InstallScript

log = structlog.get_logger()
STAGE_LIMIT_S = COMMIT_LIMIT_S = UNPACK_LIMIT_S = 4 * 3600.0
VERIFY_LIMIT_S, EDIT_LIMIT_S, CLEAR_LIMIT_S = 1800.0, 60.0, 1800.0
# How long a script may take to be ended, beyond its own time.
SCRIPT_MARGIN_S = 60.0
RESERVE_BYTES = 64 * 1024 * 1024
# Why something is not in a backup as it was, and nobody misses it: a pipe or a socket, or it changes or goes meanwhile.
NOTHING_LOST = frozenset({NOT_A_REGULAR_FILE, FILE_CHANGED, PATH_NOT_FOUND})
BLOCK_BYTES, TELL_PAUSE_S = 1024 * 1024, 0.5
ROOT_NAME, ROOT_TITLE = "server", "/srv/game"


@dataclass(frozen=True, slots=True)
class GamePlace:
    """Where a game server lives, and what its files come from."""

    folder: Path
    # Below which runtimes are, whose programs scripts may run.
    runtimes: Path
    artifacts_urls: tuple[str, ...]
    private_origins: tuple[str, ...]
    # Asked anew each time; None is the agent's own user. Raises TerminalUserUnknown.
    user: Callable[[], Ids | None]

    def folder_place(self) -> FolderPlace:
        """The folder and whose it is; raises TerminalUserUnknown."""
        return FolderPlace(self.folder, self.user())


class GameWorks:
    """Does one act at a time. `record` is what is on the disk."""

    def __init__(self, place: GamePlace, store: GameStore, clock: Clock) -> None:
        # Writes down what has happened, before the record that it follows from.
        self.note: Callable[[Occurrence], Awaitable[None]] = _note_nothing
        self.record = GameRecord()
        self.backups: tuple[GameBackup, ...] = ()
        # Set from outside: what a backup can do without, beside what the template says; and what is to be given up
        # before another folder takes the place of the server's. Both while nobody else changes anything there.
        self.find_leftovers: Callable[[], Awaitable[Sequence[str]]] = _find_none
        self.before_exchange: Callable[[], Awaitable[None]] = _do_nothing
        self._place = place
        self._store = store
        self._clock = clock
        self._writing = asyncio.Lock()

    async def load(self) -> None:
        """Take up what a former agent has left; raise OSError."""
        await asyncio.to_thread(self._store.prepare)
        self.record = await asyncio.to_thread(self._store.load)
        await self._read_backups()

    async def keep(self, **changes: object) -> None:
        """Write a changed record down; raise OSError."""
        await self.change(lambda record: msgspec.structs.replace(record, **changes))

    async def keep_installed(self, **changes: object) -> None:
        """Write down what has changed about the version that lies there."""
        await self.change(lambda record: _change_installed(record, changes))

    async def change(self, change: Callable[[GameRecord], GameRecord]) -> None:
        """Write down what `change` makes of the record; raise OSError.

        One at a time, each to its end though nobody waits for it any more: of two that were begun together the later
        would take back what the earlier has said, such as that names are being given.
        """
        await asyncio.shield(asyncio.create_task(self._write(change)))

    async def _write(self, change: Callable[[GameRecord], GameRecord]) -> None:
        async with self._writing:
            record = change(self.record)
            await asyncio.to_thread(self._store.save, record)
            self.record = record

    def offered_root(self) -> OfferedRoot:
        """Return the folder as work on files knows it; raise TerminalUserUnknown."""
        return OfferedRoot(ROOT_NAME, ROOT_TITLE, FilePlace(str(self._place.folder), self._place.user()))

    # Files

    async def stage(self, wanted: WantedGame, on_progress: OnProgress) -> None:
        """Have all files of a version lie beside, or at their places already."""
        place = await self._ensure_folder()
        order = Stage(
            folder=str(place.path),
            user=place.user,
            content=find_content(wanted),
            files=wanted.files,
            artifacts_urls=self._place.artifacts_urls,
            private_origins=self._place.private_origins,
        )
        await run_child(order, limit_s=STAGE_LIMIT_S, on_progress=on_progress)
        await self.keep(staged=order.content)

    async def commit(self, wanted: WantedGame, on_progress: OnProgress) -> None:
        """Give the files their names, or go on with that; a version whose files got lost meanwhile is staged anew."""
        place = await self._ensure_folder()
        begun = self.record.committing or self._begin(wanted)
        order = Commit(
            folder=str(place.path),
            user=place.user,
            content=begun.target.content,
            files=begun.files,
            former=begun.former,
        )

        async def write_down() -> None:
            # What lies there is no version any more until this is through.
            await self.keep(committing=begun, faults=None)

        try:
            await run_child(order, limit_s=COMMIT_LIMIT_S, on_progress=on_progress, on_ready=write_down)
        except GameStepFailed as error:
            if error.reason_code == "game_files_missing":
                await self._give_up_commit()
            raise
        backup_made = self.record.backup if self.record.backed_up_for == begun.target.content else None
        target = msgspec.structs.replace(
            begun.target, installed_at=self._clock.now(), former_backup=backup_made or begun.target.former_backup
        )
        await self.keep(installed=target, committing=None, staged=None, backed_up_for=None, backup=None, faults=0)

    def _begin(self, wanted: WantedGame) -> Committing:
        before = self.record.installed
        target = Installed(
            template=wanted.template,
            version=wanted.version,
            content=find_content(wanted),
            files=placed_of(wanted),
            scripts=tuple(script.name for script in wanted.scripts),
            attempt=wanted.attempt,
            process=wanted.process,
            edits=wanted.edits,
            installed_at=self._clock.now(),
            replaces=find_replaced(before),
            former_version=_former_version(wanted, before),
            former_backup=before.former_backup if before is not None and is_same_version(wanted, before) else None,
        )
        return Committing(target=target, files=wanted.files, former=before.files if before is not None else ())

    async def _give_up_commit(self) -> None:
        """Stage once more; where names were given already, nothing that lies there is a version that may start."""
        begun = self.record.committing
        if begun is None:
            await self.keep(staged=None)
            return
        mixed = {file.path: file for file in (*begun.former, *begun.target.files)}
        broken = msgspec.structs.replace(
            begun.target, content="", files=tuple(mixed.values()), scripts=("placed anew",), is_released=False
        )
        await self.keep(installed=broken, committing=None, staged=None)

    async def run_script(
        self, script: InstallScript, environment: Mapping[str, str], on_progress: OnProgress
    ) -> str | None:
        """Run a script of the version that lies there; return the end of what it has printed."""
        place = await self._ensure_folder()
        order = Run(
            folder=str(place.path),
            user=place.user,
            name=script.name,
            argv=script.argv,
            environment=dict(environment),
            executable=(str(self._place.runtimes),),
            timeout_s=float(script.timeout_s),
            may_use_network=script.may_use_network,
            makes=script.makes,
        )
        done = await run_child(order, limit_s=script.timeout_s + SCRIPT_MARGIN_S, on_progress=on_progress)
        await self.change(lambda record: _note_script(record, script.name))
        return done.output

    async def release(self, wanted: WantedGame) -> None:
        """Let the version that lies there start."""
        if (told := tell_release(wanted, self.record)) is not None:
            await self.note(told)
        if self.record.installed is not None and self.record.installed.replaces is None:
            # What was asked for concerned a container that is no more: nothing of it lies here.
            await self.keep(backups_answered=wanted.backups_asked)
        await self.keep_installed(is_released=True)

    async def verify(self) -> int:
        """Compare what was placed with its hashes; return how many files differ."""
        if self.record.installed is None:
            return 0
        place, installed = await self._ensure_folder(), self.record.installed
        order = Verify(folder=str(place.path), user=place.user, files=installed.files)
        done = await run_child(order, limit_s=VERIFY_LIMIT_S)
        if self.record.installed is not None and self.record.installed.content == installed.content:
            await self.note(tell_check(installed, done.faults))
        await self.change(lambda record: _note_faults(record, installed.content, done.faults))
        return done.faults

    async def edit(self, edits: Sequence[FileEdit]) -> None:
        """Set keys of configuration files, secrets filled in."""
        if not edits:
            return
        place = await self._ensure_folder()
        names = find_secrets(edits)
        secrets = await asyncio.to_thread(self._store.ensure_secrets, names) if names else {}
        order = Edit(folder=str(place.path), user=place.user, edits=fill_secrets(edits, secrets))
        await run_child(order, limit_s=EDIT_LIMIT_S)

    async def secret(self, name: str) -> str:
        """Return a secret by its name, made where there is none yet."""
        return (await asyncio.to_thread(self._store.ensure_secrets, [name]))[name]

    async def _ensure_folder(self) -> FolderPlace:
        try:
            place = self._place.folder_place()
            await asyncio.to_thread(ensure_folder, place)
        except ZlhError as error:
            raise _failed(error) from error
        return place

    # Backups

    async def back_up(self, wanted: WantedGame, on_progress: OnProgress) -> None:
        """Make an archive of the folder where only the agent reaches it; remove those that are too many."""
        installed = self.record.installed
        assert installed is not None
        await self._ensure_folder()
        root = self.offered_root()
        roots = Roots([root])
        try:
            await self._require_room(roots, root)
            backup_id = uuid.uuid4().hex
            without = (OWN_FOLDER, *await self.find_leftovers(), *wanted.backup_without)
            size = await self._write_archive(roots, root, backup_id, without, on_progress)
        except ZlhError as error:
            raise _failed(error) from error
        except OSError as error:
            raise _unwritten(error) from error
        finally:
            await roots.close()
        about = GameBackup(id=backup_id, version=installed.version, made_at=self._clock.now(), size=size)
        await asyncio.to_thread(self._store.keep_backup, KeptBackup(about=about, installed=installed))
        await self.note(tell_backup(installed, about))
        await self.keep(backed_up_for=find_content(wanted), backup=backup_id, backups_answered=wanted.backups_asked)
        await self._read_backups()
        await self._remove_outlived(installed, needed=[wanted.restore, backup_id])

    async def _remove_outlived(self, installed: Installed, *, needed: Sequence[str | None]) -> None:
        outlived = choose_outlived(self.backups, needed=needed)
        for backup in self.backups:
            if backup.id in outlived:
                await asyncio.to_thread(self._store.forget_backup, backup.id)
                await self.note(tell_outlived(installed, backup))
        await self._read_backups()

    async def forget_backup_made(self) -> None:
        """Know of no backup for another version any more: the server changes what was packed; raise OSError."""
        if self.record.backed_up_for is not None:
            await self.keep(backed_up_for=None, backup=None)

    async def _require_room(self, roots: Roots, root: OfferedRoot) -> None:
        async with roots.service(root).borrow(is_long=True) as files:
            found = (await files.measure("")).amount
        # What cannot be packed any smaller takes as much again, and its headers.
        needed = found.byte_count + 1024 * (found.files + found.folders) + RESERVE_BYTES
        free = await asyncio.to_thread(self._store.free_bytes)
        if free < needed:
            raise GameBackupTooLarge(needed_bytes=needed, free_bytes=free)

    async def _write_archive(
        self, roots: Roots, root: OfferedRoot, backup_id: str, without: Sequence[str], on_progress: OnProgress
    ) -> int:
        path, loop = self._store.part(backup_id), asyncio.get_running_loop()

        def tell(line: ProgressLine) -> None:
            loop.call_soon_threadsafe(on_progress, line)

        lost: list[Skipped] = []

        def note(skipped: Sequence[Skipped], _count: int) -> None:
            lost.extend(each for each in skipped if each.code not in NOTHING_LOST)

        streaming = Archives(roots).streaming(root, [""], ArchiveFormat.TAR_ZST, without=without, on_skipped=note)
        try:
            async with streaming as pipe:
                # One of its own, which nobody closes under the thread: it ends when the writer is ended.
                size = await asyncio.to_thread(_copy, os.dup(pipe), path, tell)
            _require_whole(lost)
        except BaseException:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            raise
        return size

    async def _read_backups(self) -> None:
        kept = await asyncio.to_thread(self._store.read_backups)
        self.backups = tuple(one.about for one in kept)

    async def restore(self, backup_id: str, restored: Restored, on_progress: OnProgress) -> None:
        """Have the contents of a backup in place of the folder, and its version for the one that lies there."""
        place = await self._ensure_folder() if self.record.restoring is None else self._place.folder_place()
        kept = next(
            (one for one in await asyncio.to_thread(self._store.read_backups) if one.about.id == backup_id), None
        )
        try:
            if kept is None:
                raise GameBackupUnknown(backup_id)
            if self.record.restoring is None:
                await self._unpack(place, kept, restored, on_progress)
            assert self.record.restoring is not None
            # From here on it goes forward, whoever comes after a crash.
            await self.before_exchange()
            is_there = await asyncio.to_thread(finish_exchange, place, self.record.restoring)
        except ZlhError as error:
            raise error if isinstance(error, GameStepFailed) else _failed(error) from error
        if not is_there:
            # What was unpacked has gone before it was exchanged: it is unpacked once more.
            await self.keep(restoring=None)
            return
        restored = self.record.restoring.restored
        installed = msgspec.structs.replace(
            kept.installed, attempt=restored.attempt, is_released=False, replaces=kept.installed.version,
            former_version=None, former_backup=None,
        )  # fmt: skip
        await self.note(tell_restore(installed, kept.about, self.record.restoring.at))
        await self.keep(
            installed=installed, restoring=None, restored=restored, committing=None, staged=None, backed_up_for=None,
            backup=None, faults=None,
        )  # fmt: skip
        await self._clear_beside(place)

    async def _unpack(self, place: FolderPlace, kept: KeptBackup, restored: Restored, on_progress: OnProgress) -> None:
        await self._clear_beside(place)
        await asyncio.to_thread(make_beside, place)
        descriptor = await asyncio.to_thread(os.open, self._store.archive(kept.about.id), os.O_RDONLY | os.O_CLOEXEC)
        try:
            order = Unpack(folder=str(place.beside), user=place.user, descriptor=descriptor)
            await run_child(order, limit_s=UNPACK_LIMIT_S, on_progress=on_progress, descriptors=[descriptor])
        finally:
            os.close(descriptor)
        found = await asyncio.to_thread(identify, place.beside)
        if found is not None:
            now = self._clock.now()
            await self.keep(restoring=Restoring(restored=restored, device=found[0], inode=found[1], at=now))

    async def sweep(self) -> None:
        """Remove what a restore has left beside that an agent did not see to its end."""
        if self.record.restoring is None:
            try:
                await self._clear_beside(self._place.folder_place())
            except ZlhError as error:
                log.warning("game.not_swept", error=error.detail)

    async def _clear_beside(self, place: FolderPlace) -> None:
        """Remove what stands beside, which is nobody's any more; what stays is tried again by the next one."""
        if await asyncio.to_thread(identify, place.beside) is None:
            return
        try:
            order = Clear(folder=str(place.beside), user=place.user)
            await run_child(order, limit_s=CLEAR_LIMIT_S)
            await asyncio.to_thread(remove_beside, place)
        except (GameStepFailed, OSError) as error:
            log.warning("game.folder_stays", path=str(place.beside), error=str(error))


async def _find_none() -> Sequence[str]:
    return ()


async def _do_nothing() -> None:
    pass


def _change_installed(record: GameRecord, changes: Mapping[str, object]) -> GameRecord:
    if record.installed is None:
        return record
    return msgspec.structs.replace(record, installed=msgspec.structs.replace(record.installed, **changes))


def _note_script(record: GameRecord, name: str) -> GameRecord:
    done = record.installed.scripts_done if record.installed is not None else ()
    return _change_installed(record, {"scripts_done": (*done, name)})


def _note_faults(record: GameRecord, content: str, faults: int) -> GameRecord:
    """Return the record with what a comparison has found, unless what was compared is being replaced by now."""
    is_still_there = record.installed is not None and record.installed.content == content
    if not is_still_there or record.committing is not None or record.restoring is not None:
        return record
    return msgspec.structs.replace(record, faults=faults)


def _former_version(wanted: WantedGame, before: Installed | None) -> str | None:
    if before is None:
        return None
    return before.former_version if is_same_version(wanted, before) else before.version


async def _note_nothing(_occurrence: Occurrence) -> None:
    """Nobody writes down what happens."""


def _unwritten(error: OSError) -> GameStepFailed:
    """Return why a backup could not be written; a disk that is full stays so until somebody makes room."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        message = "The disk was full before the backup was whole. Make room, or change the version without a backup."
        return GameStepFailed(reason_code=GameBackupTooLarge.code, message=message, may_pass=False)
    return _failed(DiskFailed(reason=str(error)))


def _require_whole(lost: Sequence[Skipped]) -> None:
    if lost:
        raise GameBackupIncomplete(path=lost[0].path, reason=lost[0].code, count=len(lost))


def _failed(error: ZlhError) -> GameStepFailed:
    return GameStepFailed(reason_code=error.code, message=error.detail, may_pass=error.retryable)


def _copy(pipe: int, path: Path, tell: OnProgress) -> int:
    """Write what comes out of a pipe into a new file, to the disk; return its size. Blocks; closes the pipe."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    size, told_at = 0, time.monotonic()
    with os.fdopen(pipe, "rb", buffering=0) as source, os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        while block := source.read(BLOCK_BYTES):
            file.write(block)
            size += len(block)
            if time.monotonic() - told_at > TELL_PAUSE_S:
                told_at = time.monotonic()
                tell(ProgressLine(stage="backup", done=size))
        file.flush()
        os.fsync(file.fileno())
    return size
