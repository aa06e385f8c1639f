"""What becomes of the runtimes of a container when somebody wants them to be different.

Whatever is asked, in whatever order: each runtime that is named has exactly one default and at most one version that is
kept to go back to, and a container that has runtimes keeps one. A version that was asked for beside the default stays
until it is asked away; every other goes when neither the default nor the way back leads to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import msgspec

from zlh_api.containers.model import Container, RuntimeWish
from zlh_api.containers.status import agents_addon_versions, agents_runtimes, agents_steps
from zlh_common.errors import ZlhError
from zlh_common.schema.catalog import CatalogVersion
from zlh_common.schema.runtime import PendingRuntime, RuntimeRef, Runtimes
from zlh_common.schema.spec import MAX_RUNTIMES
from zlh_common.schema.status import InstalledRuntime, Step, StepState
from zlh_common.step_names import name_install, name_removal
from zlh_common.version_order import version_order

Wishes = tuple[RuntimeWish, ...]
# Name and version.
Key = tuple[str, str]


class RuntimeNotFound(ZlhError):
    """The container does not have this runtime, or not this version of it."""

    code, status = "runtime_not_found", 404

    def __init__(self, wishes: Sequence[RuntimeWish], name: str, version: str | None) -> None:
        versions = [wish.version for wish in wishes if wish.name == name]
        there = versions or sorted({wish.name for wish in wishes})
        close = get_close_matches((version or "") if versions else name, there, n=1, cutoff=0.3)
        said = f"{name} {version or ''}".strip()
        has = ", ".join(f"{name} {each}" for each in versions) or ", ".join(there) or "none"
        super().__init__(
            f"This container has no {said}; it has {has}.",
            name=name,
            version=version,
            suggestion=close[0] if close else None,
        )


class RuntimeLimit(ZlhError):
    """The container has as many versions of runtimes as one may have."""

    code, status = "runtime_limit", 409

    def __init__(self) -> None:
        super().__init__(
            f"A container has at most {MAX_RUNTIMES} versions of runtimes; remove one first.", limit=MAX_RUNTIMES
        )


class RuntimeIsNewest(ZlhError):
    """Nothing that is offered is newer than the default."""

    code, status = "runtime_is_newest", 409

    def __init__(self, name: str, version: str) -> None:
        super().__init__(
            f"{name} {version} is the newest that is offered here; there is nothing to upgrade to.",
            name=name,
            version=version,
        )


class RuntimeIsOlder(ZlhError):
    """An upgrade leads to a newer version, and this one is older than the default."""

    code, status = "runtime_is_older", 409

    def __init__(self, name: str, version: str, *, default: str, previous: str | None) -> None:
        way = "roll back" if version == previous else "install it as the default"
        super().__init__(
            f"{name} {version} is older than the default {default}, so it is no upgrade; {way} instead.",
            name=name,
            version=version,
            defaultVersion=default,
            previousVersion=previous,
        )


class NothingToRollBack(ZlhError):
    """No version was kept to go back to."""

    code, status = "nothing_to_roll_back", 409

    def __init__(self, name: str, version: str) -> None:
        super().__init__(
            f"There is nothing to go back to from {name} {version}; an upgrade keeps the version before it.",
            name=name,
            version=version,
        )


class NothingToRepair(ZlhError):
    """The version is there, and nothing is known to be wrong with it."""

    code, status = "nothing_to_repair", 409

    def __init__(self, name: str, version: str) -> None:
        super().__init__(
            f"Nothing is known to be wrong with {name} {version}; verify it to have all of its files compared.",
            name=name,
            version=version,
        )


class RuntimeIsDefault(ZlhError):
    """The default of a runtime stays while there are other versions of it."""

    code, status = "runtime_is_default", 409

    def __init__(self, name: str, version: str, *, others: Sequence[str]) -> None:
        super().__init__(
            f"{name} {version} is the default; make another version the default first ({', '.join(others)}).",
            name=name,
            version=version,
            others=list(others),
        )


class LastRuntime(ZlhError):
    """A container keeps one runtime."""

    code, status = "last_runtime", 409

    def __init__(self, name: str, version: str) -> None:
        super().__init__(
            f"{name} {version} is the only runtime that this container has; install another one first.",
            name=name,
            version=version,
        )


class RuntimePending(ZlhError):
    """The version is wanted, and its agent does not have it yet."""

    code, status, retryable = "runtime_pending", 503, True

    def __init__(self, name: str, version: str) -> None:
        super().__init__(
            f"{name} {version} is not installed yet; its step in the status tells how far it is.",
            name=name,
            version=version,
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What an agent has last told: what is installed, the spec that it took last, and its steps where that is ours."""

    installed: Mapping[Key, InstalledRuntime]
    steps: tuple[Step, ...]
    accepted_generation: int


def render_seen(container: Container) -> Seen:
    """Return what is known of the runtimes of a container; nothing where its agent was never heard."""
    return _seen(container, agents_runtimes(container))


def render_addons_seen(container: Container) -> Seen:
    """Return what is known of the versions of its addons; nothing where its agent was never heard."""
    return _seen(container, agents_addon_versions(container))


def _seen(container: Container, told: Sequence[InstalledRuntime]) -> Seen:
    agent = container.agent
    if agent is None:
        return Seen({}, (), 0)
    installed = {(each.name, each.version): each for each in told}
    # The step of a default has the name of its runtime alone, so those of another spec would be told of other versions.
    is_ours = agent.spec_generation >= container.spec_generation
    return Seen(installed, agents_steps(container) if is_ours else (), agent.spec_generation)


def find_wish(wishes: Sequence[RuntimeWish], name: str, version: str) -> RuntimeWish:
    """Return the wish for this very version; raise RuntimeNotFound."""
    found = next((wish for wish in wishes if (wish.name, wish.version) == (name, version)), None)
    if found is None:
        raise RuntimeNotFound(wishes, name, version)
    return found


def is_wanted(wishes: Sequence[RuntimeWish], name: str, version: str) -> bool:
    """Tell whether exactly this version is wanted already."""
    return any((wish.name, wish.version) == (name, version) for wish in wishes)


def find_default(wishes: Sequence[RuntimeWish], name: str) -> RuntimeWish:
    """Return the default of a runtime; raise RuntimeNotFound."""
    found = next((wish for wish in wishes if wish.name == name and wish.default), None)
    if found is None:
        raise RuntimeNotFound(wishes, name, None)
    return found


def find_previous(wishes: Sequence[RuntimeWish], name: str) -> RuntimeWish | None:
    """Return the version that a rollback leads to, or None."""
    return next((wish for wish in wishes if wish.name == name and wish.previous), None)


def install_runtime(
    wishes: Wishes, name: str, version: str, *, default: bool | None, installed: Collection[Key]
) -> Wishes:
    """Return the wishes with this version among them; the same again changes nothing. Raise RuntimeLimit.

    The first version of a runtime is its default whatever is asked, and the default stays one until another is.
    """
    is_new_here = all(wish.name != name for wish in wishes)
    is_default = default is True or is_new_here
    known = next((wish for wish in wishes if (wish.name, wish.version) == (name, version)), None)
    if known is None:
        added = RuntimeWish(name=name, version=version, default=is_new_here, beside=not is_default)
        wishes = (*wishes, added)
    elif known.previous and not is_default:
        wishes = _replace(wishes, msgspec.structs.replace(known, beside=True))
    return _within_limit(_make_default(wishes, name, version, installed) if is_default else wishes)


def choose_upgrade(wishes: Sequence[RuntimeWish], name: str, offered: Sequence[CatalogVersion]) -> str:
    """Return the newest offered version that is newer than the default; raise RuntimeNotFound or RuntimeIsNewest.

    Where the edition of the default is known, it stays: a JDK is not followed by a JRE.
    """
    default = find_default(wishes, name)
    same = next((entry for entry in offered if entry.version == default.version), None)
    newer = [
        entry.version
        for entry in offered
        if version_order(entry.version) > version_order(default.version)
        and (same is None or entry.edition == same.edition)
    ]
    if not newer:
        raise RuntimeIsNewest(name, default.version)
    return max(newer, key=version_order)


def find_upgrades(
    wishes: Sequence[RuntimeWish], offered: Callable[[str], Sequence[CatalogVersion]]
) -> list[RuntimeRef]:
    """Return where upgrades would lead that name no version; `offered` says what can be installed of a name."""
    found = []
    for wish in wishes:
        if not wish.default:
            continue
        try:
            found.append(RuntimeRef(name=wish.name, version=choose_upgrade(wishes, wish.name, offered(wish.name))))
        except RuntimeIsNewest:
            continue
    return found


def upgrade_runtime(wishes: Wishes, name: str, version: str, *, installed: Collection[Key]) -> Wishes:
    """Return the wishes with `version` as the default, and the former default kept to go back to.

    Raise RuntimeNotFound, RuntimeIsOlder or RuntimeLimit. The default itself is reached already.
    """
    default = find_default(wishes, name)
    if version == default.version:
        return wishes
    if version_order(version) < version_order(default.version):
        previous = find_previous(wishes, name)
        raise RuntimeIsOlder(name, version, default=default.version, previous=previous.version if previous else None)
    if all((wish.name, wish.version) != (name, version) for wish in wishes):
        wishes = (*wishes, RuntimeWish(name=name, version=version, default=False))
    return _within_limit(_make_default(wishes, name, version, installed))


def roll_back(wishes: Wishes, name: str, *, installed: Collection[Key]) -> Wishes:
    """Return the wishes with default and previous swapped; a default that never got installed goes.

    Raise RuntimeNotFound or NothingToRollBack.
    """
    default, previous = find_default(wishes, name), find_previous(wishes, name)
    if previous is None:
        raise NothingToRollBack(name, default.version)
    swapped = _replace(wishes, msgspec.structs.replace(previous, default=True, previous=False))
    if (name, default.version) not in installed:
        return tuple(wish for wish in swapped if wish != default)
    return _replace(swapped, msgspec.structs.replace(default, default=False, previous=True))


def repair_runtime(wishes: Wishes, name: str, version: str, seen: Seen, *, generation: int) -> Wishes:
    """Return the wishes with this version wanted anew from its archive; unchanged while that is under way.

    `generation` is the one that the changed spec gets. Raise RuntimeNotFound or NothingToRepair.
    """
    wish = find_wish(wishes, name, version)
    record = seen.installed.get((name, version))
    step = find_step(seen.steps, wish)
    is_waiting = seen.accepted_generation < wish.attempt_generation or (
        record is None and seen.accepted_generation < generation - 1
    )
    if is_waiting or (step is not None and step.state in {StepState.PENDING, StepState.RUNNING}):
        return wishes
    has_failed = step is not None and step.state is StepState.FAILED
    if record is not None and record.verified and record.faults == 0 and not has_failed:
        raise NothingToRepair(name, version)
    return _replace(wishes, msgspec.structs.replace(wish, attempt=wish.attempt + 1, attempt_generation=generation))


def remove_runtime(wishes: Wishes, name: str, version: str, *, installed: Collection[Key]) -> Wishes:
    """Return the wishes without this version; raise RuntimeNotFound, LastRuntime or RuntimeIsDefault.

    The last one is the only one that is wanted, and the only one that is there while others are still to come.
    """
    gone = find_wish(wishes, name, version)
    there = [wish for wish in wishes if (wish.name, wish.version) in installed]
    if len(wishes) == 1 or there == [gone]:
        raise LastRuntime(name, version)
    others = [wish.version for wish in wishes if wish.name == name and wish is not gone]
    if gone.default and others:
        raise RuntimeIsDefault(name, version, others=others)
    return tuple(wish for wish in wishes if wish is not gone)


def find_prunable(wishes: Sequence[RuntimeWish], installed: Collection[Key]) -> tuple[RuntimeWish, ...]:
    """Return the versions that are there for a rollback alone; while its default is not there, a runtime needs it."""
    return tuple(
        wish
        for wish in wishes
        if wish.previous and not wish.beside and (wish.name, find_default(wishes, wish.name).version) in installed
    )


def prune_runtimes(
    wishes: Wishes, in_use: Collection[Key], *, installed: Collection[Key]
) -> tuple[Wishes, tuple[RuntimeRef, ...]]:
    """Return the wishes without what is there for a rollback alone and not in use, and what goes."""
    gone = [wish for wish in find_prunable(wishes, installed) if (wish.name, wish.version) not in in_use]
    kept = tuple(wish for wish in wishes if wish not in gone)
    return kept, tuple(RuntimeRef(name=wish.name, version=wish.version) for wish in gone)


def render_runtimes(wishes: Sequence[RuntimeWish], seen: Seen, upgrades: Sequence[RuntimeRef] = ()) -> Runtimes:
    """Return what is installed, as the agent told, what is still to happen, and what could."""
    wanted = {(wish.name, wish.version): wish for wish in wishes}
    installed = [
        msgspec.structs.replace(record, previous=wanted[key].previous) if key in wanted else record
        for key, record in seen.installed.items()
    ]
    pending = [
        PendingRuntime(
            name=wish.name, version=wish.version, default=wish.default, wanted=True, step=find_step(seen.steps, wish)
        )
        for wish in wishes
        if _is_pending(wish, seen)
    ]
    leaving = [
        PendingRuntime(
            name=record.name,
            version=record.version,
            default=False,
            wanted=False,
            step=find_removal(seen.steps, record.name, record.version),
        )
        for key, record in seen.installed.items()
        if key not in wanted
    ]
    return Runtimes(runtimes=tuple(installed), pending=(*pending, *leaving), upgrades=tuple(upgrades))


def find_step(steps: Sequence[Step], wish: RuntimeWish) -> Step | None:
    """Return the agent's step that installs a version, or None; that of a default has the name of its runtime alone."""
    names = [name_install(wish), name_install(msgspec.structs.replace(wish, default=False))]
    return next((step for name in names for step in steps if step.name == name), None)


def find_removal(steps: Sequence[Step], name: str, version: str) -> Step | None:
    """Return the agent's step that removes a version, or None."""
    return next((step for step in steps if step.name == name_removal(name, version)), None)


def _is_pending(wish: RuntimeWish, seen: Seen) -> bool:
    record, step = seen.installed.get((wish.name, wish.version)), find_step(seen.steps, wish)
    if step is not None and step.state in {StepState.PENDING, StepState.RUNNING, StepState.FAILED}:
        return True
    if record is None:
        # One that is there to go back to alone is never installed anew for that.
        return not wish.previous or wish.beside
    return wish.default and not record.default


def _make_default(wishes: Wishes, name: str, version: str, installed: Collection[Key]) -> Wishes:
    """Return the wishes with `version`, which is among them, as the default.

    The former default is kept to go back to in place of what was; one that never got installed leads nowhere.
    """
    former = find_default(wishes, name)
    if former.version == version:
        return wishes
    is_way_back = (name, former.version) in installed
    changed = []
    for wish in wishes:
        if wish.name != name:
            changed.append(wish)
        elif wish.version == version:
            changed.append(msgspec.structs.replace(wish, default=True, previous=False))
        elif wish is former and is_way_back:
            changed.append(msgspec.structs.replace(wish, default=False, previous=True))
        elif wish is former or (wish.previous and is_way_back):
            if wish.beside:
                changed.append(msgspec.structs.replace(wish, default=False, previous=False))
        else:
            changed.append(wish)
    return tuple(changed)


def _replace(wishes: Wishes, changed: RuntimeWish) -> Wishes:
    key = (changed.name, changed.version)
    return tuple(changed if (wish.name, wish.version) == key else wish for wish in wishes)


def _within_limit(wishes: Wishes) -> Wishes:
    if len(wishes) > MAX_RUNTIMES:
        raise RuntimeLimit
    return wishes
