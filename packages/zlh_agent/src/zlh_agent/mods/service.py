"""Mods: told of, compared with their hashes, and changed all or nothing.

    staging ──── new files are fetched into a hidden folder, each held to its hash
       │
    committing ─ renames: away, to other names, in; the ledger last     ← from here on a crash is rolled forward
       │
    undoing ──── a rename could not be made: those before it are taken back

The journal on the agent's own disk says which of these it is before it begins. What a change has moved away stays in
the hidden folder until the next one, so that it can be undone with nothing fetched.

A server never loads a mixture: while a change is unfinished no start of it begins (`find_hold`), and nothing is renamed
while one is under way. Who changes the whole folder has it to themselves (`standstill`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog
from msgspec.structs import replace

from zlh_agent.files.disk_threads import HeldFile
from zlh_agent.files.model import Entry
from zlh_agent.journal.model import Occurrence
from zlh_agent.mods import ledger_rules
from zlh_agent.mods.change_rules import HIDDEN, Fetched, Plan, find_in_the_way, find_present, plan_change
from zlh_agent.mods.fetching import Fetcher, require_origin
from zlh_agent.mods.folder import ModFolder
from zlh_agent.mods.journal_store import ChangeJournal, ChangeRecord
from zlh_agent.mods.place import ModPlace
from zlh_agent.mods.report_rules import Known, render_report
from zlh_agent.mods.telling_rules import tell_change, tell_failure, tell_hold
from zlh_agent.shared_work import SharedWork
from zlh_common.clock import Clock
from zlh_common.errors import ZlhError
from zlh_common.schema.file_refusals import FileRefused, FilesBusy, FilesUnavailable, NoRoomOnDisk
from zlh_common.schema.mod_refusals import (
    GameFilesChanging,
    ModChangeInterrupted,
    ModChangeUnknown,
    ModFileInTheWay,
    ModsBusy,
    ModsChanged,
    ModsDamaged,
    ModsNotOffered,
)
from zlh_common.schema.mods import ChangeProgress, ChangeState, ModChange, ModLedger, ModRollback, ModsReport, PutMod
from zlh_common.schema.process import ProcessReason

log = structlog.get_logger()
MAX_KEPT = 50
# How often what was left is tried again; and how soon the first time, which others wait for.
RETRY_S, SOON_S = 60.0, 0.5


async def _to_nobody(*_occurrences: Occurrence) -> None:
    pass


@dataclass(frozen=True, slots=True)
class _Work:
    """A change that is carried out, and from where files may come."""

    change: ModChange
    before: ModLedger
    after: ModLedger


class ModService:
    """The mods of one container."""

    def __init__(
        self,
        journal: ChangeJournal,
        fetcher: Fetcher,
        threads: ThreadPoolExecutor,
        clock: Clock,
        *,
        find_place: Callable[[], ModPlace | None],
    ) -> None:
        self._journal = journal
        self._fetcher = fetcher
        self._threads = threads
        self._clock = clock
        self._find_place = find_place
        self._known = Known()
        self._verifying = SharedWork(self._verify)
        self._progress: OrderedDict[str, ChangeProgress] = OrderedDict()
        self._task: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._left: ChangeRecord | None = None
        # Why what was left cannot be ended.
        self._trouble: str | None = None
        # How many want the folder to themselves.
        self._standing = 0
        # Set from outside. Told when a change begins or is through; what has happened; whether other files of the
        # server are being changed.
        self.on_change: Callable[[], None] = lambda: None
        self.note: Callable[..., Awaitable[None]] = _to_nobody
        self.is_game_changing: Callable[[], bool] = lambda: False

    async def load(self) -> None:
        """Take up what an agent before us was at: it is ended by `run`, or by whoever asks first."""
        self._left = await asyncio.to_thread(self._journal.load)

    async def run(self) -> None:
        """End what was left, for ever: soon, since a start may wait for it, and then again and again."""
        has_tried = False
        while True:
            if self._left is not None and self._find_place() is not None:
                await self._try_left()
                has_tried = True
            await self._clock.sleep(SOON_S if self._left is not None and not has_tried else RETRY_S)

    async def _try_left(self) -> None:
        try:
            async with self._lock:
                await self._end_left()
        except (ZlhError, OSError) as error:
            log.warning("mods.change_stays", reason=str(error))

    # What else is done with the server

    def find_hold(self) -> ProcessReason | None:
        """Return why the server must not be started now; None where no change is unfinished."""
        if self._find_place() is None or not self.is_unfinished():
            return None
        return tell_hold(self._trouble)

    @contextlib.asynccontextmanager
    async def standstill(self, *, needs_whole: bool) -> AsyncIterator[None]:
        """Lend the folder while no change is under way, and let none begin meanwhile.

        What was left of one is ended first; raises what is in the way of that, where it `needs_whole` mods.
        """
        self._standing += 1
        try:
            async with self._lock:
                if self._task is not None and self._is_at_work:
                    await asyncio.wait([self._task])
                try:
                    if self._find_place() is not None:
                        await self._end_left()
                except (ZlhError, OSError):
                    if needs_whole:
                        raise
                yield
        finally:
            self._standing -= 1

    async def forget_left(self) -> None:
        """Give up what was left of a change, within a standstill: another folder takes the place of its own."""
        left, self._left = self._left, None
        if left is not None:
            await asyncio.to_thread(self._journal.forget)
            await self._fail(left.id, ModChangeInterrupted(), actor=left.actor)
            self.on_change()

    async def find_leftovers(self) -> tuple[str, ...]:
        """Return what a copy of the server's folder can do without: all that no rollback needs, in our hidden folder.

        Within a standstill.
        """
        if (place := self._find_place()) is None:
            return ()
        async with place.files.borrow() as files:
            folder = ModFolder(files, place.folder, self._threads)
            changes = (await folder.read_ledger()).ledger.changes
            return await folder.find_leftovers(changes[-1].id if changes else None)

    def is_unfinished(self) -> bool:
        """Tell whether a change is under way, or left to be ended."""
        return self._left is not None or self._is_at_work

    @property
    def _is_at_work(self) -> bool:
        return self._task is not None and not self._task.done()

    async def close(self) -> None:
        """Stop; what is under way is ended at the next start."""
        if self._task is not None and self._is_at_work:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._verifying.close()
        await self._fetcher.close()

    async def report(self) -> ModsReport:
        """Return the ledger, the folder, and where they differ as far as that was looked at."""
        place = self._require_place()
        async with place.files.borrow() as files:
            folder = ModFolder(files, place.folder, self._threads)
            read, names = await folder.read_ledger(), await folder.names()
        return render_report(
            place.folder, read.ledger, names, self._known, trouble=read.trouble, started_at=place.started_at()
        )

    async def verify(self) -> ModsReport:
        """Compare every file with its hash, and learn those of files that nobody knows; once for all who ask."""
        return await self._verifying.join()

    async def _verify(self) -> ModsReport:
        place = self._require_place()
        async with place.files.borrow(is_long=True) as files:
            folder = ModFolder(files, place.folder, self._threads)
            read, names = await folder.read_ledger(), await folder.names()
            known = Known()
            for name in names:
                if (told := await folder.digest(f"{place.folder}/{name}")) is not None:
                    known.learn(name, told[1], told[0])
            self._known = known
            names = await folder.names()
        return render_report(
            place.folder, read.ledger, names, known, trouble=read.trouble, started_at=place.started_at()
        )

    async def begin(self, change: ModChange) -> ChangeProgress:
        """Begin a change; the same one again tells how far it is. Raises ModsBusy, ModsChanged, ModUnknown."""
        return await self._begin(change.id, lambda ledger: (change, self._require_planned_on(change, ledger)))

    async def roll_back(self, asked: ModRollback) -> ChangeProgress:
        """Begin the change that undoes the last one; raise ModRollbackImpossible for another."""

        def undo(ledger: ModLedger) -> tuple[ModChange, bool]:
            acts = ledger_rules.find_undoing(ledger, asked.change_id)
            change = ModChange(
                id=asked.id,
                actor=asked.actor,
                revision=ledger.revision,
                acts=acts,
                reason=asked.reason,
                origins=asked.origins,
            )
            return change, True

        return await self._begin(asked.id, undo)

    async def find(self, change_id: str) -> ChangeProgress:
        """Return how far a change is; raise ModChangeUnknown."""
        if (told := self._progress.get(change_id)) is not None:
            return told
        if self._left is not None and self._left.id == change_id:
            return ChangeProgress(id=change_id, state=ChangeState.RUNNING)
        place = self._require_place()
        async with place.files.borrow() as files:
            ledger = (await ModFolder(files, place.folder, self._threads).read_ledger()).ledger
        if any(change.id == change_id for change in ledger.changes):
            return ChangeProgress(id=change_id, state=ChangeState.DONE)
        raise ModChangeUnknown

    # Beginning

    def _require_place(self) -> ModPlace:
        if (place := self._find_place()) is None:
            raise ModsNotOffered
        return place

    def _require_planned_on(self, change: ModChange, ledger: ModLedger) -> bool:
        if change.revision != ledger.revision:
            raise ModsChanged
        return False

    async def _begin(self, change_id: str, make: Callable[[ModLedger], tuple[ModChange, bool]]) -> ChangeProgress:
        if change_id in self._progress:
            return self._progress[change_id]
        place = self._require_place()
        if self._standing or self.is_game_changing():
            raise GameFilesChanging
        is_left = self._left is not None and place.is_coming_up()
        if is_left or self._lock.locked() or self._is_at_work:
            raise ModsBusy
        async with self._lock:
            return await self._begin_alone(place, change_id, make)

    async def _begin_alone(
        self, place: ModPlace, change_id: str, make: Callable[[ModLedger], tuple[ModChange, bool]]
    ) -> ChangeProgress:
        try:
            await self._end_left()
        except OSError as error:
            raise _of_disk(error) from error
        async with place.files.borrow() as files:
            ledger = (await ModFolder(files, place.folder, self._threads).read_ledger()).ledger
        if any(made.id == change_id for made in ledger.changes):
            return ChangeProgress(id=change_id, state=ChangeState.DONE)
        change, is_rollback = make(ledger)
        after = ledger_rules.apply_change(ledger, change, now=self._clock.now(), is_rollback=is_rollback)
        self._note(ChangeProgress(id=change.id, state=ChangeState.RUNNING))
        self._task = asyncio.create_task(self._run(place, _Work(change, ledger, after)))
        self._task.add_done_callback(lambda task: self._note_end(change.id, task))
        return self._progress[change_id]

    async def _run(self, place: ModPlace, work: _Work) -> None:
        change_id = work.change.id
        try:
            async with place.files.borrow(is_long=True) as files:
                record = await self._stage(ModFolder(files, place.folder, self._threads), work)
            await self._wait_settled(place, record)
            async with place.files.borrow(is_long=True) as files:
                await asyncio.to_thread(self._journal.save, record)
                await self._commit(ModFolder(files, place.folder, self._threads), record)
        except (FilesUnavailable, FilesBusy) as error:
            await self._leave(work.change, error)
        except ZlhError as error:
            await self._fail(change_id, error, actor=work.change.actor)
        except OSError as error:
            await self._leave(work.change, _of_disk(error))
        else:
            self._note(replace(self._progress[change_id], state=ChangeState.DONE))

    def _note_end(self, change_id: str, task: asyncio.Task[None]) -> None:
        """Tell of an end that nobody has thought of: whoever waits for the change would wait for ever."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("mods.change_broke", change=change_id, exc_info=error)
            self._note_failed(change_id, FilesUnavailable(reason=f"the agent failed ({type(error).__name__})"))
        self.on_change()

    async def _leave(self, change: ModChange, error: ZlhError) -> None:
        """Have what stands still be ended later; what was not begun to be put in place has failed."""
        self._left = await asyncio.to_thread(self._journal.load)
        if self._left is None or self._left.phase == "staging":
            await self._fail(change.id, error, actor=change.actor)

    async def _wait_settled(self, place: ModPlace, record: ChangeRecord) -> None:
        """Wait while the server is being started: it reads the folder, and must not find half of each."""
        if record.steps and place.is_coming_up():
            waits = "The server is being started; its mods are changed once that is over."
            before = self._progress.get(record.id)
            if before is not None:
                self._note(replace(before, message=waits))
            await place.wait_settled()
            if before is not None:
                self._note(replace(self._progress[record.id], message=None))

    # Staging

    async def _stage(self, folder: ModFolder, work: _Work) -> ChangeRecord:
        """Lay everything ready; return the record that says so. A failure leaves nothing."""
        record = ChangeRecord(
            id=work.change.id, phase="staging", folder=folder.folder, before=work.before, actor=work.change.actor
        )
        await asyncio.to_thread(self._journal.save, record)
        try:
            plan = await self._plan(folder, work)
            await self._fetch_all(folder, work, plan)
        except ZlhError:
            await self._clear(folder, work.change.id)
            await asyncio.to_thread(self._journal.forget)
            raise
        return replace(record, phase="committing", steps=plan.steps, after=work.after)

    async def _plan(self, folder: ModFolder, work: _Work) -> Plan:
        await folder.files.make_folder(folder.folder, parents=True)
        await folder.files.make_folder(f"{HIDDEN}/{work.change.id}", parents=True)
        names = await folder.names()
        digests: dict[str, str | None] = dict.fromkeys(names)
        for name in self._names_that_matter(work, names):
            told = await folder.digest(f"{folder.folder}/{name}")
            digests[name] = told[0] if told else None
        plan = plan_change(work.before, work.after, folder=folder.folder, change_id=work.change.id, digests=digests)
        if (taken := find_in_the_way(plan, folder.folder, set(names))) is not None:
            raise ModFileInTheWay(file_name=taken)
        return plan

    def _names_that_matter(self, work: _Work, names: dict[str, Entry]) -> set[str]:
        """Return which files may be what is wanted already."""
        before = {entry.file.project_id: entry for entry in work.before.entries}
        put = [act.entry for act in work.change.acts if isinstance(act, PutMod)]
        found = (find_present(before.get(entry.file.project_id, entry), set(names)) for entry in put)
        return {name for name in found if name is not None}

    async def _fetch_all(self, folder: ModFolder, work: _Work, plan: Plan) -> None:
        kept = await self._find_kept(folder, work, plan)
        fetched = [each for each in plan.fetched if each.file.sha512 not in kept]
        for each in fetched:
            require_origin(each.file, work.change.origins)
        total = sum(each.file.size for each in plan.fetched)
        room = await folder.files.room()
        if total > room.free_bytes:
            raise NoRoomOnDisk(path=folder.folder, wanted_bytes=total, free_bytes=room.free_bytes)
        done = 0
        for each in plan.fetched:
            if (path := kept.get(each.file.sha512)) is not None:
                await folder.files.copy(path, each.staged)
            else:
                await self._fetch(folder, work.change.id, each, done=done, total=total)
            done += each.file.size
            self._tell(work.change.id, done, total)

    async def _find_kept(self, folder: ModFolder, work: _Work, plan: Plan) -> dict[str, str]:
        """Return which wanted files the change before has moved away."""
        wanted = {each.file.sha512: each.file.size for each in plan.fetched}
        if not wanted or not work.before.changes:
            return {}
        return await folder.find_by_digest(f"{HIDDEN}/{work.before.changes[-1].id}", wanted)

    async def _fetch(self, folder: ModFolder, change_id: str, fetched: Fetched, *, done: int, total: int) -> None:
        held = HeldFile(self._threads, await folder.files.open_to_append(fetched.staged, offset=0))
        loop = asyncio.get_running_loop()

        def tell(count: int) -> None:
            # From a thread that writes.
            loop.call_soon_threadsafe(self._tell, change_id, done + count, total)

        try:
            await self._fetcher.fetch(fetched.file, held, on_bytes=tell)
        finally:
            await held.settled()
            held.close()

    # Committing

    async def _commit(self, folder: ModFolder, record: ChangeRecord) -> None:
        """Take every step and write the ledger, however much of that is done already."""
        try:
            for step in record.steps:
                await folder.take(step)
            if (await folder.read_ledger()).trouble is not None:
                await folder.set_ledger_aside(now=self._clock.now())
            await folder.write_ledger(record.after)
        except FileRefused as refused:
            await self._undo(folder, record, refused)
            raise
        await self._clear_others(folder, record.id)
        log.info("mods.changed", change=record.id, revision=record.after.revision)
        # Before the journal forgets it: whoever comes after a crash tells of it once more, which counts once.
        await self.note(tell_change(record.before, record.after))
        await asyncio.to_thread(self._journal.forget)
        self._end()

    async def _undo(self, folder: ModFolder, record: ChangeRecord, why: ZlhError) -> None:
        undoing = replace(record, phase="undoing")
        await asyncio.to_thread(self._journal.save, undoing)
        self._left = undoing
        try:
            for step in reversed(record.steps):
                await folder.take_back(step)
            read = await folder.read_ledger()
            if read.ledger.changes and read.ledger.changes[-1].id == record.id:
                await folder.write_ledger(record.before)
        except FileRefused as refused:
            raise ModsDamaged(reason=f"{why.detail} {refused.detail}") from refused
        await self._clear(folder, record.id)
        await asyncio.to_thread(self._journal.forget)
        self._end()

    def _end(self) -> None:
        """Nothing is left of any change."""
        self._left = self._trouble = None
        self.on_change()

    async def _end_left(self) -> None:
        """End what a crash or a lost child has left: forward where all was ready, back where it was not."""
        record = self._left
        if record is None:
            return
        place = self._require_place()
        await self._wait_settled(place, record)
        try:
            async with place.files.borrow(is_long=True) as files:
                await self._end_record(ModFolder(files, record.folder, self._threads), record)
        except (ZlhError, OSError) as error:
            self._trouble = (_of_disk(error) if isinstance(error, OSError) else error).detail
            self.on_change()
            raise

    async def _end_record(self, folder: ModFolder, record: ChangeRecord) -> None:
        match record.phase:
            case "staging":
                await self._clear(folder, record.id)
                await asyncio.to_thread(self._journal.forget)
                self._end()
                await self._fail(record.id, ModChangeInterrupted(), actor=record.actor)
            case "committing":
                await self._finish_left(folder, record)
            case "undoing":
                await self._undo(folder, record, ModChangeInterrupted())
                await self._fail(record.id, ModChangeInterrupted(), actor=record.actor)

    async def _finish_left(self, folder: ModFolder, record: ChangeRecord) -> None:
        try:
            await self._commit(folder, record)
        except FileRefused as refused:
            await self._fail(record.id, refused, actor=record.actor)
        else:
            self._note(ChangeProgress(id=record.id, state=ChangeState.DONE))

    async def _clear(self, folder: ModFolder, change_id: str) -> None:
        with contextlib.suppress(FileRefused):
            await folder.files.remove_tree(f"{HIDDEN}/{change_id}")

    async def _clear_others(self, folder: ModFolder, kept: str) -> None:
        """Remove what changes before have moved away."""
        with contextlib.suppress(FileRefused):
            for entry in (await folder.files.list_folder(HIDDEN)).entries:
                if entry.name != kept:
                    await folder.files.remove_tree(f"{HIDDEN}/{entry.name}")

    # Telling

    def _tell(self, change_id: str, done: int, total: int) -> None:
        if change_id not in self._progress:
            return
        self._note(replace(self._progress[change_id], done_bytes=done, total_bytes=total))

    async def _fail(self, change_id: str, error: ZlhError, *, actor: str) -> None:
        if self._note_failed(change_id, error):
            await self.note(tell_failure(change_id, actor, error.code, error.detail))

    def _note_failed(self, change_id: str, error: ZlhError) -> bool:
        """Have a change be one that has failed; tell whether that is new."""
        log.warning("mods.change_failed", change=change_id, code=error.code, reason=error.detail)
        before = self._progress.get(change_id) or ChangeProgress(id=change_id, state=ChangeState.RUNNING)
        if before.state is ChangeState.FAILED:
            return False
        self._note(replace(before, state=ChangeState.FAILED, code=error.code, message=error.detail[:1000]))
        return True

    def _note(self, progress: ChangeProgress) -> None:
        self._progress[progress.id] = progress
        while len(self._progress) > MAX_KEPT:
            self._progress.popitem(last=False)


def _of_disk(error: OSError) -> FilesUnavailable:
    return FilesUnavailable(reason=f"the agent's own disk fails ({error.strerror})")
