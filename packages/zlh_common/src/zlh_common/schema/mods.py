"""Mods of a game server: what is there, from where, by whom and why, and changes of it. From protocol 9 on.

The ledger `.zlh_metadata.json` lies beside the mods, in the customer's hands: whoever reads it takes it as a
stranger's word, and what counts is the hash of the file itself.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from zlh_common.schema.structs import Report, Request

LEDGER_NAME = ".zlh_metadata.json"
LEDGER_FORMAT = 1
MAX_MODS, MAX_EDGES, MAX_CHANGES = 1000, 256, 50
# What is longer is no mod.
MAX_MOD_BYTES = 2**30
# What a disabled mod is called: its file's name with this behind it.
DISABLED_SUFFIX = ".disabled"

# As Modrinth makes them; stable where slugs change.
ProjectId = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$(?!\n)")]
Sha512 = Annotated[str, Meta(pattern=r"^[0-9a-f]{128}$(?!\n)", max_length=128)]
# A name in the mods' folder itself: no way leads out of it, and none of ours.
ModFileName = Annotated[
    str, Meta(min_length=5, max_length=200, pattern=r"^(?!\.)(?!.*\.zlh-)[^/\\\x00-\x1f]+\.jar$(?!\n)")
]
Short = Annotated[str, Meta(max_length=256)]
ChangeId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$(?!\n)", max_length=32)]
Size = Annotated[int, Meta(ge=0, le=2**40)]
ReleaseChannel = Literal["release", "beta", "alpha"]
Environment = Literal["client", "server", "both", "unknown"]


class Need(Report):
    """An edge of the graph: what one version needs of another project, or does not bear."""

    project_id: ProjectId
    kind: Literal["required", "optional", "incompatible", "embedded"]
    # One version alone where its author says so.
    version_id: ProjectId | None = None


class ModFile(Report):
    """One version of a project, as a file: where it comes from and what holds it to its bytes."""

    project_id: ProjectId
    slug: Short
    title: Short
    version_id: ProjectId
    version_number: Short
    channel: ReleaseChannel
    file_name: ModFileName
    url: Annotated[str, Meta(pattern=r"^https?://[^\s]+$(?!\n)", max_length=2048)]
    size: Size
    sha512: Sha512
    loaders: Annotated[tuple[Short, ...], Meta(max_length=32)] = ()
    game_versions: Annotated[tuple[Short, ...], Meta(max_length=512)] = ()
    environment: Environment = "unknown"
    needs: Annotated[tuple[Need, ...], Meta(max_length=MAX_EDGES)] = ()
    published_at: datetime | None = None


class FormerFile(Report):
    """The version that an update has replaced."""

    version_id: ProjectId
    version_number: Short
    file_name: ModFileName
    sha512: Sha512


class LedgerEntry(Report):
    """One mod that is there, and how it came to be."""

    file: ModFile
    installed_at: datetime
    # The id of the user, and what they said.
    actor: Short
    is_enabled: bool = True
    # Stays at its version in an update of all.
    is_pinned: bool = False
    # Somebody asked for it; else it is there since others need it.
    is_asked_for: bool = True
    source: Literal["modrinth", "identified"] = "modrinth"
    reason: Short = ""
    previous: FormerFile | None = None


class PutMod(Report, tag_field="kind", tag="put"):
    """Have this file in place of whatever the project had before."""

    entry: LedgerEntry


class RemoveMod(Report, tag_field="kind", tag="remove"):
    """Have no file of the project."""

    project_id: ProjectId


class SwitchMod(Report, tag_field="kind", tag="switch"):
    """Have a mod taken or left by the server, or pinned; null leaves it as it is."""

    project_id: ProjectId
    is_enabled: bool | None = None
    is_pinned: bool | None = None


ModAct = PutMod | RemoveMod | SwitchMod


class ModChange(Report):
    """Several acts that are done together or not at all."""

    id: ChangeId
    actor: Short
    # The ledger that the acts were planned on; another one by now refuses them.
    revision: Annotated[int, Meta(ge=0, le=2**53)]
    acts: Annotated[tuple[ModAct, ...], Meta(min_length=1, max_length=MAX_MODS)]
    reason: Short = ""
    # From where files may be fetched, as `scheme://host[:port]`; a file elsewhere is refused.
    origins: Annotated[tuple[Short, ...], Meta(max_length=8)] = ()


class ModRollback(Report):
    """`POST /mods/rollback` of an agent: a change, of this id, that undoes the last one."""

    id: ChangeId
    change_id: ChangeId
    actor: Short
    reason: Short = ""
    origins: Annotated[tuple[Short, ...], Meta(max_length=8)] = ()


class LedgerChange(Report):
    """A change that was made: enough to say who and why, and to go back."""

    id: ChangeId
    at: datetime
    actor: Short
    reason: Short
    acts: Annotated[tuple[ModAct, ...], Meta(max_length=MAX_MODS)]
    # What the projects of the acts were before; one that is missing here was not there.
    before: Annotated[tuple[LedgerEntry, ...], Meta(max_length=MAX_MODS)] = ()
    is_rollback: bool = False


class ModLedger(Report):
    """The document `.zlh_metadata.json`."""

    format: int = LEDGER_FORMAT
    # One more with each change.
    revision: Annotated[int, Meta(ge=0, le=2**53)] = 0
    entries: Annotated[tuple[LedgerEntry, ...], Meta(max_length=MAX_MODS)] = ()
    changes: Annotated[tuple[LedgerChange, ...], Meta(max_length=MAX_CHANGES)] = ()


class ModCondition(StrEnum):
    """How the file of a mod is, against what the ledger says."""

    INTACT = "intact"
    CHANGED = "changed"
    MISSING = "missing"


class ModSeen(Report):
    """One mod of the ledger, and how its file is; null where nobody has looked."""

    entry: LedgerEntry
    condition: ModCondition | None = None


class UnknownFile(Report):
    """A file beside the mods that the ledger does not know."""

    file_name: Short
    is_enabled: bool
    size: Size
    sha512: Sha512 | None = None


class ModsReport(Report):
    """`GET /mods` of an agent: the ledger, the folder, and where they differ."""

    folder: str
    revision: int
    mods: tuple[ModSeen, ...] = ()
    unknown: Annotated[tuple[UnknownFile, ...], Meta(max_length=MAX_MODS)] = ()
    changes: tuple[LedgerChange, ...] = ()
    # Why the ledger could not be read, where it could not: it is kept aside, and begun anew with the next change.
    trouble: str | None = None
    # The server runs with other mods than there are now; a restart brings them.
    is_restart_due: bool = False


class ChangeState(StrEnum):
    """How far a change is."""

    RUNNING = "running"
    DONE = "done"
    # Nothing of it is there.
    FAILED = "failed"


class ChangeProgress(Report):
    """`GET /mods/changes/{id}` of an agent."""

    id: ChangeId
    state: ChangeState
    done_bytes: Size = 0
    total_bytes: Size = 0
    code: str | None = None
    message: str | None = None


# What people ask of the API


class ModWish(Request):
    """One project that somebody wants: a version, or the newest that fits within the channel."""

    # An id or a slug.
    project: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9!@$()`.+,\"_-]+$(?!\n)")]
    version: ProjectId | None = None
    channel: ReleaseChannel = "release"


class PlanMods(Request):
    """`POST …/mods/plan` and `POST …/mods`: what is to be installed, updated and removed in one change."""

    install: Annotated[tuple[ModWish, ...], Meta(max_length=100)] = ()
    # Projects that go to the newest version; `updateAll` means every one that is not pinned.
    update: Annotated[tuple[ProjectId, ...], Meta(max_length=MAX_MODS)] = ()
    update_all: bool = False
    remove: Annotated[tuple[ProjectId, ...], Meta(max_length=MAX_MODS)] = ()
    # Whether what only the removed needed goes too.
    remove_orphans: bool = True
    channel: ReleaseChannel = "release"
    reason: Annotated[str, Meta(max_length=256)] = ""
    # Of a plan that was shown: another ledger by now refuses it.
    revision: Annotated[int, Meta(ge=0, le=2**53)] | None = None


class PlannedMod(Report):
    """One line of a plan."""

    project_id: str
    title: str
    act: Literal["install", "update", "remove", "keep"]
    # Versions as their authors name them.
    before: str | None = None
    after: str | None = None
    channel: ReleaseChannel | None = None
    size: int = 0
    # Titles of those that need it; empty for what somebody asked for.
    needed_by: tuple[str, ...] = ()


class PlanProblem(Report):
    """Why a plan cannot be carried out as it was asked, or what one should know before."""

    code: str
    message: str
    project_id: str | None = None
    is_fatal: bool = True


class ModPlan(Report):
    """What would be done."""

    revision: int
    mods: tuple[PlannedMod, ...]
    problems: tuple[PlanProblem, ...] = ()
    download_bytes: int = 0
    is_possible: bool = True


class FoundMod(Report):
    """One result of a search."""

    project_id: str
    slug: str
    title: str
    description: str
    author: str
    downloads: int
    icon_url: str | None
    is_installed: bool
    environment: Environment


class FoundMods(Report):
    """`GET …/mods/search`."""

    items: tuple[FoundMod, ...]
    total: int
    next: str | UnsetType = UNSET


class OfferedVersion(Report):
    """A version of a project that is made for the server; `trouble` says why it cannot be had all the same."""

    version_id: str
    version_number: str
    channel: ReleaseChannel
    published_at: datetime
    loaders: tuple[str, ...]
    size: int = 0
    trouble: str | None = None


class OfferedVersions(Report):
    """`GET …/mods/{project}/versions`: newest first."""

    project_id: str
    title: str
    items: tuple[OfferedVersion, ...]


class UpdateMod(Request):
    """`POST …/mods/{projectId}/update`: the newest that fits, or one version."""

    version: ProjectId | None = None
    channel: ReleaseChannel = "release"
    reason: Annotated[str, Meta(max_length=256)] = ""


class RollBackMods(Request):
    """`POST …/mods/rollback`: undo the last change; naming it keeps a newer one from being undone instead."""

    change_id: ChangeId | None = None
    reason: Annotated[str, Meta(max_length=256)] = ""


class IdentifyMods(Request):
    """`POST …/mods/identify`: look up files that nobody knows by their hashes; `adopt` takes them into the ledger."""

    adopt: bool = False


class IdentifiedFile(Report):
    """A file beside the mods, and what it is; nulls where Modrinth does not know it either."""

    file_name: str
    project_id: str | None = None
    title: str | None = None
    version_number: str | None = None


class IdentifiedFiles(Report):
    """What was found, and the change that takes it into the ledger, where that was asked for."""

    items: tuple[IdentifiedFile, ...]
    change: ChangeProgress | None = None
