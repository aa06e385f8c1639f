"""What an install leaves behind, and what the agent and its install child say to each other."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

# An addon runs by itself and is never on PATH, the agent is brought to another version of itself; in all else they are
# the same.
Kind = Literal["runtime", "addon", "agent"]
# One without a zone cannot be compared with another.
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
RECORD_FORMAT = 1
RECORD_NAME = ".zlh-record.json"
FILES_NAME = ".zlh-files.json"
# In the folder of a runtime: what has no name yet or none any more, and is swept.
STAGING = ".staging-"


class InstallRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Stands in the installed tree itself, so that a tree without one is no install."""

    format: int
    name: str
    version: str
    # Of the archive: lower-case hex; bytes of the unpacked files.
    sha256: str
    size: int
    source: str
    catalog_published_at: Moment
    installed_at: Moment
    bin: tuple[str, ...]
    # `{root}` stands for the tree's folder.
    environment: dict[str, str]
    # Of the file list beside it.
    files_sha256: str
    # For which request to unpack it anew it was unpacked; see WantedRuntime.
    attempt: int = 0


class InstallOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is told on its standard input."""

    # Servers of the same signed tree, asked in this order.
    artifacts_urls: tuple[str, ...]
    trusted_root: str
    metadata_dir: str
    channels: tuple[str, ...]
    # Which list of the catalog names it.
    kind: Kind = "runtime"
    name: str
    version: str
    platform: str
    # What the catalog calls it, where its folder has another name.
    offer: str | None = None
    # Of the trees of that kind.
    trees_dir: str
    downloads_dir: str
    locks_dir: str
    # Who the child becomes: uid and gid. None: it stays who it is.
    user: tuple[int, int] | None = None
    # Whether PATH should lead to it once it is there.
    make_current: bool = True
    # Unpack it anew although it is there: its files are not what was installed.
    replace: bool = False
    # Kept in the record, so that the same order again does nothing.
    attempt: int = 0


class RemoveOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What the child that removes a version is told on its standard input."""

    trees_dir: str
    locks_dir: str
    name: str
    version: str
    # Whether the last version may go, and `current` with it.
    may_be_current: bool
    # Who the child becomes; see InstallOrder.
    user: tuple[int, int] | None = None


class VerifyOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What the child that compares a version with its list is told on its standard input."""

    tree: str
    # Whether it should get out of the way of everything else.
    is_idle: bool = False
    # Who the child becomes; see InstallOrder.
    user: tuple[int, int] | None = None


class ProgressLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="progress"):
    """How far one stage is; 0 bytes in all where there is nothing to count. Rate and time left once they are known."""

    stage: str
    done: int
    total: int
    bytes_per_s: float | None = None
    left_s: float | None = None


class InstalledLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="installed"):
    """The child's last word when all is well."""

    version: str


class FailedLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="failed"):
    """The child's last word when not."""

    code: str
    detail: str
    retryable: bool
    exit_code: int | None = None
    output: str | None = None


class VerifiedLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="verified"):
    """What a comparison has found; the names are cut, the number of faults is not."""

    faults: int
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]


class RemovedLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="removed"):
    """The tree is gone."""


ShortChildLine = VerifiedLine | RemovedLine | FailedLine
ChildLine = ProgressLine | InstalledLine | FailedLine
