"""What is installed, who uses it, and the ways of changing it, in children that can be killed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from zlh_agent.journal.model import Occurrence
from zlh_agent.metrics.model import Target
from zlh_agent.paths import ContainerPaths
from zlh_agent.runtimes.checking.verifier import Verifier
from zlh_agent.runtimes.current import CURRENT
from zlh_agent.runtimes.errors import InstallInterrupted, RuntimeChanged, RuntimeChildFailed, RuntimeUseUnknown
from zlh_agent.runtimes.installing.installer import InstallFailed, Progress, run_install
from zlh_agent.runtimes.model import FailedLine, InstallOrder, InstallRecord, Kind, RemoveOrder
from zlh_agent.runtimes.ownership import InstallUserUnknown, ensure_folders, find_user
from zlh_agent.runtimes.plan import Held, Version, is_brought
from zlh_agent.runtimes.rules import name_switch
from zlh_agent.runtimes.short_child import run_short_child
from zlh_agent.runtimes.store import Broken, Installed, Inventory, RuntimeStore
from zlh_agent.runtimes.users import find_users
from zlh_common.clock import Clock
from zlh_common.errors import ZlhError
from zlh_common.runtime_choice import this_platform
from zlh_common.schema.runtime import RuntimeUser, RuntimeVerification
from zlh_common.schema.spec import WantedRuntime
from zlh_common.schema.status import InstalledRuntime

log = structlog.get_logger()
REMOVE_LIMIT_S = 600.0
SCAN_LIMIT_S = 15.0
MAX_USERS = 100


@dataclass(frozen=True, slots=True)
class InstallSource:
    """Where runtimes come from, and what their catalog is believed by."""

    # Servers of the same signed tree, asked in this order.
    artifacts_urls: tuple[str, ...]
    trusted_root: Path
    channels: tuple[str, ...]
    # Whom the child becomes that installs; None: it stays who the agent is.
    user: str | None = None


class RuntimeService:
    """Knows what is installed; one change of a version at a time, across restarts too. Call `close` at last."""

    def __init__(self, paths: ContainerPaths, source: InstallSource, clock: Clock) -> None:
        # Called when what PATH leads to may have changed, before the change counts as done.
        self.on_changed: Callable[[], Awaitable[None]] = _nothing
        # Told what has happened to which runtime.
        self.note: Callable[[Occurrence], Awaitable[None]] = _note_nothing
        # What runs, so that a user of a version is known by the name of its process or terminal.
        self.targets: Callable[[], Sequence[Target]] = tuple
        # What the spec names, so that a report tells which version is kept to go back to.
        self.wanted: tuple[WantedRuntime, ...] = ()
        self._wanted_addons: frozenset[str] = frozenset()
        self._told_failures: dict[Version, str] = {}
        self._paths = paths
        self._source = source
        self._stores: dict[Kind, RuntimeStore] = {
            "runtime": RuntimeStore(paths.runtimes),
            "addon": RuntimeStore(paths.services, "addon"),
        }
        self._inventory = Inventory()
        self._told_odd: frozenset[str] = frozenset()
        self._thread = ThreadPoolExecutor(1, "runtime-users")
        self._verifier = Verifier(paths.state, clock, note=self._tell, find_user=self._find_user)

    async def load(self) -> None:
        """Sweep what killed children have left, and read what is installed; it belongs to whom it should then."""
        await asyncio.to_thread(self._ensure_folders)
        await asyncio.to_thread(self._sweep)
        await self._reload()
        await self._verifier.load()

    def _ensure_folders(self) -> None:
        if self._source.user is None:
            return
        private = [self._downloads, *(self._paths.state / name for name in ("catalog", "locks"))]
        try:
            for store in self._stores.values():
                ensure_folders(store.folder, private, find_user(self._source.user))
        except (InstallUserUnknown, OSError) as error:
            # What runs goes on; installs say why they do not.
            log.warning("runtime.folders_not_settled", error=str(error))

    def _sweep(self) -> None:
        for store in self._stores.values():
            store.sweep()

    async def close(self) -> None:
        """End what runs; may be called twice."""
        await self._verifier.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def want(self, runtimes: Sequence[WantedRuntime], addons: Sequence[WantedRuntime]) -> None:
        """Take note of what the spec names from now on."""
        self.wanted = (*runtimes, *addons)
        self._wanted_addons = frozenset(addon.name for addon in addons)

    # What there is

    def report(self, kind: Kind = "runtime") -> tuple[InstalledRuntime, ...]:
        """Return what the status says of all versions of a kind."""
        kept = {(runtime.name, runtime.version) for runtime in self.wanted if runtime.previous}
        return tuple(
            self._verifier.report(entry, is_previous=not entry.is_current and entry.key in kept)
            for entry in self._inventory.installed
            if entry.kind == kind
        )

    def addons_in_use(self) -> dict[str, InstallRecord]:
        """Return the records of what the `current` links of addons lead to, by name."""
        return {
            entry.record.name: entry.record
            for entry in self._inventory.installed
            if entry.is_current and entry.kind == "addon"
        }

    def held(self) -> list[Held]:
        """Return every version on the disk, those whose record is broken too."""
        whole = [
            Held(entry.record.name, entry.record.version, entry.is_current, entry.record.attempt)
            for entry in self._inventory.installed
        ]
        return [
            *whole,
            *(Held(one.name, one.version, one.is_current, is_whole=False) for one in self._inventory.broken),
        ]

    def find(self, name: str, version: str) -> InstalledRuntime | None:
        """Return one install, or None."""
        every = (*self.report("runtime"), *self.report("addon"))
        return next((entry for entry in every if (entry.name, entry.version) == (name, version)), None)

    def in_use(self) -> list[Installed]:
        """Return the versions of runtimes that `current` links lead to."""
        return [entry for entry in self._inventory.installed if entry.is_current and entry.kind == "runtime"]

    def path_entries(self) -> list[Path]:
        """Return the folders that belong in front of PATH, through the `current` links."""
        return [
            entry.folder.parent / CURRENT / folder
            for entry in self._inventory.installed
            if entry.is_current and entry.kind == "runtime"
            for folder in entry.record.bin
        ]

    def variables(self) -> dict[str, str]:
        """Return the variables of the runtimes in use (GOROOT, JAVA_HOME …), through the `current` links."""
        return {
            name: value.replace("{root}", str(entry.folder.parent / CURRENT))
            for entry in self._inventory.installed
            if entry.is_current and entry.kind == "runtime"
            for name, value in entry.record.environment.items()
        }

    async def users(self, name: str, version: str) -> tuple[RuntimeUser, ...]:
        """Return who runs from a version, a hundred at most; raise RuntimeNotInstalled, RuntimeUseUnknown."""
        entry = self._verifier.find(self._inventory.installed, (name, version))
        found = (await self.find_users()).get((name, version), ())
        is_outdated = not entry.is_current and self._current_version(name) is not None
        return tuple(msgspec.structs.replace(user, outdated=is_outdated) for user in found[:MAX_USERS])

    async def find_users(self) -> dict[Version, list[RuntimeUser]]:
        """Return who runs from which version; raise RuntimeUseUnknown where that cannot be told, or not in time."""
        owners = {target.shim_pid: f"{target.kind} {target.name}" for target in self.targets()}

        def look() -> dict[Version, list[RuntimeUser]]:
            folders = [store.folder for store in self._stores.values()]
            return find_users(folders, owners, agent=os.getpid())

        looking = asyncio.get_running_loop().run_in_executor(self._thread, look)
        try:
            async with asyncio.timeout(SCAN_LIMIT_S):
                return await looking
        except (TimeoutError, OSError) as exc:
            raise RuntimeUseUnknown from exc

    # Comparing

    async def verify(self, name: str, version: str) -> RuntimeVerification:
        """Compare a version with its list; raise RuntimeNotInstalled, RuntimeBusy, RuntimeChildFailed."""
        return await self._verifier.verify(self._inventory.installed, (name, version))

    async def check_for_ever(self) -> None:
        """Compare each version about once a day; run until cancelled."""
        await self._verifier.check_for_ever(lambda: self._inventory.installed)

    @property
    def on_checked(self) -> Callable[[], None]:
        """Called when the report of a version may have changed by a check."""
        return self._verifier.on_change

    @on_checked.setter
    def on_checked(self, on_change: Callable[[], None]) -> None:
        self._verifier.on_change = on_change

    # Changing

    async def install(self, wanted: WantedRuntime, *, on_progress: Callable[[Progress], None]) -> None:
        """Make sure that a version is there, unpacked for its attempt, and current where it is the default.

        Raises InstallFailed. Cancelling ends the child.
        """
        key = (wanted.name, wanted.version)
        log.info("runtime.install_started", name=wanted.name, version=wanted.version)
        before, current = self._find_record(key), self._current_version(wanted.name)
        is_new = before is None or before < wanted.attempt
        order = self._order(wanted, replace=before is not None and is_new)
        async with self._verifier.changing(key, is_rewritten=is_new):
            failure = await self._run_install(order, on_progress)
            await self._look()
        # A child that was killed after the line that counts has failed to say so, and nothing else.
        if failure is not None and not is_brought(wanted, self.held()):
            log.warning("runtime.install_failed", name=wanted.name, version=wanted.version, code=failure.reason_code)
            await self._note_failure(wanted, failure)
            if failure.reason_code == RuntimeChanged.code:
                await self._find_faults(key)
            raise failure
        self._told_failures.pop(key, None)
        # One that was killed right before its switch has told nobody yet.
        if is_new or current is None:
            await self._tell("installed", key, f"{wanted.name} {wanted.version} was installed.")
        await self._note_switch(wanted, current)

    async def _find_faults(self, key: Version) -> None:
        """Have the report tell that a version is not what was installed, and in how many files."""
        with suppress(ZlhError):
            await self._verifier.verify(self._inventory.installed, key)

    async def _run_install(self, order: InstallOrder, on_progress: Callable[[Progress], None]) -> InstallFailed | None:
        try:
            user = await asyncio.to_thread(find_user, self._source.user)
            await run_install(msgspec.structs.replace(order, user=user), on_progress=on_progress)
        except InstallFailed as error:
            return error
        except InstallUserUnknown as error:
            return InstallFailed(FailedLine(code=error.code, detail=error.detail, retryable=True))
        except OSError as error:
            # The customer has used up what processes there may be; it passes when some of them end.
            detail = f"The install cannot be started: {error}."
            return InstallFailed(FailedLine(code=InstallInterrupted.code, detail=detail, retryable=True))
        return None

    async def _note_switch(self, wanted: WantedRuntime, before: str | None) -> None:
        if not wanted.default or before in {None, wanted.version}:
            return
        assert before is not None
        keeps_former = any(
            (runtime.name, runtime.version, runtime.previous) == (wanted.name, before, True) for runtime in self.wanted
        )
        kind = name_switch(before, wanted.version, keeps_former=keeps_former)
        text = f"The default of {wanted.name} is {wanted.version}, after {before}."
        await self._tell(kind, (wanted.name, wanted.version), text, before=before)

    async def remove(self, name: str, version: str) -> None:
        """Take a version away; raise RuntimeChildFailed. `current` goes with the last one that the spec names."""
        kind = self._kind_of((name, version))
        order = RemoveOrder(
            user=await self._find_user(),
            trees_dir=str(self._stores[kind].folder),
            locks_dir=str(self._paths.state / "locks"),
            name=name,
            version=version,
            may_be_current=all(runtime.name != name for runtime in self.wanted),
        )
        log.info("runtime.removal_started", name=name, version=version)
        failure: RuntimeChildFailed | None = None
        async with self._verifier.changing((name, version), is_rewritten=True):
            try:
                await run_short_child("zlh_agent.runtimes.remove_child", order, limit_s=REMOVE_LIMIT_S)
                await asyncio.to_thread(self._sweep)
            except RuntimeChildFailed as error:
                failure = error
            await self._look()
        if failure is not None and any(held.key == (name, version) for held in self.held()):
            log.warning("runtime.removal_failed", name=name, version=version, code=failure.reason_code)
            raise failure
        await self._write_down(f"{kind}.removed", (name, version), f"{name} {version} was removed.")

    async def tidy(self) -> None:
        """Leave nothing of a change that was called off but its download; its child is gone."""
        log.info("runtime.change_called_off")
        await asyncio.to_thread(self._sweep)
        await self._look()

    async def forget_downloads(self) -> None:
        """Delete what was downloaded for installs that nobody wants any more; call it when none is to be done."""
        await asyncio.to_thread(_empty, self._downloads)

    async def _find_user(self) -> tuple[int, int] | None:
        """Return whom a child becomes; raise RuntimeChildFailed."""
        try:
            return await asyncio.to_thread(find_user, self._source.user)
        except InstallUserUnknown as error:
            raise RuntimeChildFailed(reason_code=error.code, message=error.detail) from error

    @property
    def _downloads(self) -> Path:
        return self._paths.state / "downloads"

    def _find_record(self, key: Version) -> int | None:
        """Return the attempt of an install, or None where there is none."""
        return next((entry.record.attempt for entry in self._inventory.installed if entry.key == key), None)

    def _kind_of(self, key: Version) -> Kind:
        """Return what a version is that is there, or that is wanted: no runtime has the name of an addon."""
        there: list[Installed | Broken] = [*self._inventory.installed, *self._inventory.broken]
        wanted: Kind = "addon" if key[0] in self._wanted_addons else "runtime"
        return next((entry.kind for entry in there if entry.key == key), wanted)

    def _current_version(self, name: str) -> str | None:
        return next((held.version for held in self.held() if held.is_current and held.name == name), None)

    async def _note_failure(self, wanted: WantedRuntime, error: InstallFailed) -> None:
        """Tell of a failure once, and again only when it is another one: it is tried for as long as it is wanted."""
        key = (wanted.name, wanted.version)
        if self._told_failures.get(key) == error.reason_code:
            return
        self._told_failures[key] = error.reason_code
        text = f"{wanted.name} {wanted.version} could not be installed: {error.detail}"
        await self._tell("install_failed", key, text, code=error.reason_code)

    async def _tell(self, event: str, key: Version, text: str, /, **facts: str | int) -> None:
        await self._write_down(f"{self._kind_of(key)}.{event}", key, text, **facts)

    async def _write_down(self, kind: str, key: Version, text: str, /, **facts: str | int) -> None:
        name, version = key
        log.info(kind, name=name, version=version, **facts)
        await self.note(Occurrence(kind, name, text, {"version": version, **facts}))

    async def _look(self) -> None:
        """See what a child has done: one that failed or was killed may have come as far as to change PATH."""
        await self._reload()
        await self.on_changed()

    async def _reload(self) -> None:
        runtimes, addons = self._stores["runtime"], self._stores["addon"]
        self._inventory = await asyncio.to_thread(lambda: runtimes.load() + addons.load())
        odd = dict.fromkeys(self._inventory.unreadable, "runtime.folder_unreadable")
        odd |= dict.fromkeys(self._inventory.foreign, "runtime.foreign")
        odd |= {f"{one.name} {one.version}": "runtime.record_unreadable" for one in self._inventory.broken}
        for path in odd.keys() - self._told_odd:
            log.warning(odd[path], path=path)
        self._told_odd = frozenset(odd)

    def _order(self, wanted: WantedRuntime, *, replace: bool) -> InstallOrder:
        state, kind = self._paths.state, self._kind_of((wanted.name, wanted.version))
        return InstallOrder(
            artifacts_urls=self._source.artifacts_urls,
            trusted_root=str(self._source.trusted_root),
            metadata_dir=str(state / "catalog"),
            channels=self._source.channels,
            kind=kind,
            name=wanted.name,
            version=wanted.version,
            platform=this_platform(),
            trees_dir=str(self._stores[kind].folder),
            downloads_dir=str(self._downloads),
            locks_dir=str(state / "locks"),
            make_current=wanted.default,
            replace=replace,
            attempt=wanted.attempt,
        )


def _empty(folder: Path) -> None:
    for part in folder.glob("*.partial"):
        with suppress(OSError):
            part.unlink()


async def _note_nothing(_occurrence: Occurrence) -> None:
    """Nobody writes down what happens."""


async def _nothing() -> None:
    """Nobody has to hear of changes."""
