"""What is known of an upload, on disk and in the agent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

import msgspec

RECORD_FORMAT = 1
# One without a zone cannot be compared with another.
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class UploadRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """On disk before the first byte is, so that whatever is left of an upload is known by somebody."""

    format: int = RECORD_FORMAT
    id: str
    # A `put` cannot be gone on with: what is left of it after the agent's death is removed.
    kind: Literal["tus", "put"]
    root: str
    # Texts as `zlh_common.file_names` writes them: JSON holds no other bytes.
    path: str
    partial: str
    # None: whoever sends has not said.
    size: int | None
    replace: bool
    # The version that may be replaced.
    expected: str | None = None
    sha256: str | None = None
    mode: int | None = None
    modified_ns: int | None = None
    created_at: Moment
    expires_at: Moment
    # Where a piece began whose checksum is still to be compared: what came after that does not count.
    unchecked_from: int | None = None
    # Of the partial file, since a piece came: a file at the target that has it is this one, put in place.
    inode: int | None = None
    # It is in place; the record is kept a while for whoever has not heard so.
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants to send; `path` is a name as Python holds it."""

    root: str | None
    path: str
    size: int | None
    replace: bool = True
    expected: str | None = None
    sha256: str | None = None
    mode: int | None = None
    modified_ns: int | None = None
    parents: bool = False


@dataclass(frozen=True, slots=True)
class PieceChecksum:
    """What a piece is to have: the name of a hash as `hashlib` knows it, and its digest."""

    algorithm: Literal["sha1", "sha256"]
    digest: bytes
