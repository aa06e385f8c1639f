"""Files of a container: what is asked and told of them, from protocol 8 on.

A path is relative to a root, one of the folders that work on files is offered in; a leading `/` is allowed. Names are
texts as `zlh_common.file_names` writes them.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from zlh_common.schema.structs import Report, Request

MAX_PATH_CHARS = 16 * 1024
MAX_PATHS = 1000
MAX_LISTED, DEFAULT_LISTED = 1000, 200
MAX_FOUND, DEFAULT_FOUND = 1000, 100
MAX_NEEDLE_CHARS = 256
# A piece of an upload as clients are told to send it: front ends such as Cloudflare take no more than 100 MB.
UPLOAD_CHUNK_BYTES = 90_000_000
MAX_FILE_BYTES = 2**53
# How long an operation is waited for before the answer is that it goes on.
OPERATION_WAIT_S = 2.0

RootName = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9-]{0,31}\Z", max_length=32)]
FilePath = Annotated[str, Meta(max_length=MAX_PATH_CHARS)]
# The twelve bits of rights in octal, `0644`.
FileMode = Annotated[str, Meta(pattern=r"\A[0-7]{3,4}\Z", max_length=4)]
OperationId = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z", max_length=32)]
UploadId = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z", max_length=32)]
Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z", max_length=64)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class FileKind(StrEnum):
    """What a name in a folder is."""

    FILE = "file"
    FOLDER = "dir"
    LINK = "link"
    # A pipe, a socket or a device.
    OTHER = "other"


class FileSort(StrEnum):
    """By what a folder is listed; names in the order of their code points break a tie."""

    NAME = "name"
    SIZE = "size"
    MODIFIED = "modified"


class ArchiveFormat(StrEnum):
    """What an archive is made as."""

    ZIP = "zip"
    TAR_GZ = "tar.gz"
    TAR_ZST = "tar.zst"


class OperationKind(StrEnum):
    """Work on files that may take long."""

    COPY = "copy"
    DELETE = "delete"
    ARCHIVE = "archive"
    EXTRACT = "extract"
    CHECKSUM = "checksum"
    MEASURE = "measure"


class OperationState(StrEnum):
    """How far such work is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    # The agent went while it ran; what it had written beside its target is gone again.
    INTERRUPTED = "interrupted"


class Overwrite(StrEnum):
    """What becomes of files that are already where others shall be put; folders are merged."""

    # Nothing is done at all.
    REFUSE = "refuse"
    # What is there stays.
    SKIP = "skip"
    REPLACE = "replace"


class FileEntry(Report):
    """One name in a folder, as it was at one moment. Of a link: the link, and where it leads as is written."""

    name: str
    kind: FileKind
    size: Count
    modified_at: datetime
    mode: FileMode
    # Another one as soon as the content may be another; in quotes it is the ETag.
    version: Annotated[str, Meta(max_length=100)]
    target: str | UnsetType = UNSET


class Folder(Report):
    """`GET …/files`: a page of a folder; `next`, where there is more, is the `after` of the following page."""

    root: RootName
    path: str
    entries: tuple[FileEntry, ...]
    next: str | UnsetType = UNSET


class DiskRoom(Report):
    """What the disk of a root holds and what is left, by the disk's own counters (statvfs), for its customer."""

    total_bytes: Count
    free_bytes: Count
    # Files and folders; null where the disk makes room for them as it goes.
    total_files: Count | None
    free_files: Count | None


class FileRoot(Report):
    """A folder that work on files is offered in."""

    name: RootName
    # For people: `/workspace`.
    title: Annotated[str, Meta(max_length=200)]
    # Where it is in the container.
    folder: Annotated[str, Meta(max_length=4096)]
    is_default: bool
    # Null where it cannot be told at this moment, with the reason.
    room: DiskRoom | None
    code: str | None = None


class FileRoots(Report):
    """`GET …/files/roots`."""

    roots: tuple[FileRoot, ...]
    upload_chunk_bytes: int = UPLOAD_CHUNK_BYTES


class MakeFolder(Request):
    """`POST …/files/mkdir`; with `parents` those above it too, and one that is there is as good."""

    path: FilePath
    root: RootName | None = None
    parents: bool = False


class MoveFile(Request):
    """`POST …/files/move`: another name, in another folder or the same. Both are in one root."""

    path: FilePath
    to: FilePath
    root: RootName | None = None
    # A file, a link or an empty folder that stands there is replaced in one step.
    replace: bool = False


class CopyFile(Request):
    """`POST …/files/copy`: a file, or a folder with all that is in it, links as links."""

    path: FilePath
    to: FilePath
    root: RootName | None = None
    overwrite: Overwrite = Overwrite.REFUSE


class ChangeMode(Request):
    """`POST …/files/chmod`."""

    path: FilePath
    mode: FileMode
    root: RootName | None = None


class ArchiveFiles(Request):
    """`POST …/files/archive`: put files and folders, each by its path below the root, into a new archive at `to`."""

    paths: Annotated[tuple[FilePath, ...], Meta(min_length=1, max_length=MAX_PATHS)]
    to: FilePath
    root: RootName | None = None
    # None: as the name of `to` ends.
    format: ArchiveFormat | None = None
    replace: bool = False


class ExtractArchive(Request):
    """`POST …/files/extract`: unpack an archive into a folder, which is made where it is not there."""

    path: FilePath
    to: FilePath
    root: RootName | None = None
    overwrite: Overwrite = Overwrite.REFUSE


class ChecksumFile(Request):
    """`POST …/files/checksum`: the SHA-256 of a file's content."""

    path: FilePath
    root: RootName | None = None


class MeasureFolder(Request):
    """`POST …/files/measure`: count all that is in a folder. The room of a disk is told by `roots` without a walk."""

    path: FilePath
    root: RootName | None = None


class SkippedFile(Report):
    """What an operation has left out, and why, by the code of a refusal."""

    path: str
    code: Annotated[str, Meta(max_length=64)]


class OperationResult(Report):
    """What an operation has come to, as far as its kind tells it."""

    files: Count | None = None
    folders: Count | None = None
    bytes: Count | None = None
    # What the disk gives for it, by whole blocks.
    disk_bytes: Count | None = None
    sha256: Sha256 | None = None
    # The first of what was left out, and how many there are in all.
    skipped: tuple[SkippedFile, ...] = ()
    skipped_count: Count = 0


class FileOperation(Report):
    """Work that may take long: answered when it is done within OPERATION_WAIT_S, else asked for by its id."""

    id: OperationId
    kind: OperationKind
    state: OperationState
    root: RootName
    path: str
    to: str | None
    started_at: datetime
    finished_at: datetime | None
    # How much is done; the total where it is known beforehand.
    done_bytes: Count
    done_files: Count
    total_bytes: Count | None
    code: str | None = None
    message: str | None = None
    result: OperationResult | None = None


class FileOperations(Report):
    """`GET …/files/operations`: those under way and the last that have ended, newest first."""

    items: tuple[FileOperation, ...]


class FoundLine(Report):
    """A line in which a text was found; cut where it is long, with what is no text in it replaced."""

    number: Annotated[int, Meta(ge=1)]
    text: Annotated[str, Meta(max_length=1000)]


class FoundFile(Report):
    """A file or folder that a search has found."""

    path: str
    kind: FileKind
    size: Count
    modified_at: datetime
    lines: tuple[FoundLine, ...] = ()


class FileSearch(Report):
    """`GET …/files/search`: what was found, in the order of paths, and why there may be more."""

    root: RootName
    path: str
    items: tuple[FoundFile, ...]
    # Files and folders that were looked at.
    looked_at: Count
    # What ended the search before its end.
    stopped_by: Literal["limit", "time"] | None
    # What could not be looked into, such as a folder without the rights.
    skipped_count: Count = 0


class FileUpload(Report):
    """An upload that has begun; the rest goes on at `offset`."""

    id: UploadId
    root: RootName
    path: str
    size: Count
    offset: Count
    created_at: datetime
    # Then it is given up, and what has come of it is removed. Each piece that comes puts it off.
    expires_at: datetime


class FileUploads(Report):
    """`GET …/files/uploads`."""

    items: tuple[FileUpload, ...]
