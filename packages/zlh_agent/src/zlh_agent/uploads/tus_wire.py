"""The headers of tus 1.0.0 (https://tus.io/protocols/resumable-upload), read and written without any I/O."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from zlh_agent.files.presenting_rules import nanoseconds_of, parse_path
from zlh_agent.uploads.model import Asked, PieceChecksum
from zlh_common.schema.file_refusals import TusVersionWrong, UploadInvalid
from zlh_common.schema.files import MAX_FILE_BYTES

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,expiration,checksum,termination"
PIECE_TYPE = "application/offset+octet-stream"
ABOUT = {
    "Tus-Resumable": VERSION,
    "Tus-Version": VERSION,
    "Tus-Extension": EXTENSIONS,
    "Tus-Max-Size": str(MAX_FILE_BYTES),
    "Tus-Checksum-Algorithm": "sha1,sha256",
}
# What every answer says beside itself, a refusal too.
SPOKEN = {"Tus-Resumable": VERSION, "Tus-Version": VERSION}
_KEYS = {"path", "filename", "folder", "root", "overwrite", "sha256", "mode", "modifiedAt", "parents"}
_HASHES: dict[str, tuple[Literal["sha1", "sha256"], int]] = {"sha1": ("sha1", 20), "sha256": ("sha256", 32)}
_REPR_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")


def require_version(headers: Mapping[str, str]) -> None:
    """Raise TusVersionWrong unless the client speaks this version."""
    if headers.get("Tus-Resumable") != VERSION:
        raise TusVersionWrong(version=VERSION)


def parse_offset(text: str | None, name: str) -> int:
    """Return a number of bytes from a header."""
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise UploadInvalid(reason=f"{name} is missing or no number of bytes")
    if int(text) > MAX_FILE_BYTES:
        raise UploadInvalid(reason=f"{name} is more than {MAX_FILE_BYTES} bytes")
    return int(text)


def parse_metadata(header: str) -> dict[str, str]:
    """Return the pairs of `Upload-Metadata`: keys, each with a text in base64. Keys that are not ours are left out."""
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in header.split(","))):
        key, _, value = pair.partition(" ")
        if key in found:
            raise UploadInvalid(reason=f"Upload-Metadata has {key[:40]} twice")
        if key in _KEYS:
            found[key] = _decode_text(key, value.strip())
    return found


def parse_creation(headers: Mapping[str, str]) -> Asked:
    """Return what a POST wants to send; raise UploadInvalid, or FileRefused for its path."""
    if "Upload-Defer-Length" in headers:
        raise UploadInvalid(reason="its length must be known when it begins")
    size = parse_offset(headers.get("Upload-Length"), "Upload-Length")
    said = parse_metadata(headers.get("Upload-Metadata", ""))
    return Asked(
        root=said.get("root") or None,
        path=parse_path(_path_of(said)),
        size=size,
        replace=_flag(said, "overwrite"),
        sha256=_sha256(said),
        mode=_mode(said),
        modified_ns=_modified(said),
        parents=_flag(said, "parents"),
    )


def parse_checksum(header: str | None) -> PieceChecksum | None:
    """Return what `Upload-Checksum` says of a piece."""
    if header is None:
        return None
    name, _, text = header.strip().partition(" ")
    known = _HASHES.get(name)
    if known is None:
        raise UploadInvalid(reason="Upload-Checksum is sha1 or sha256")
    try:
        digest = base64.b64decode(text.strip(), validate=True)
    except ValueError as exc:
        raise UploadInvalid(reason="Upload-Checksum is no base64") from exc
    if len(digest) != known[1]:
        raise UploadInvalid(reason=f"Upload-Checksum has no {known[1]} bytes")
    return PieceChecksum(known[0], digest)


def parse_repr_digest(header: str | None) -> str | None:
    """Return the SHA-256, in hex, of `Repr-Digest` (RFC 9530); other hashes in it are passed over, as they may be."""
    if header is None:
        return None
    for part in header.split(","):
        name = part.strip().partition("=")[0]
        if name == "sha-256":
            found = _REPR_DIGEST.fullmatch(part.strip())
            if found is None:
                raise UploadInvalid(reason="Repr-Digest has no sha-256 of 32 bytes between colons")
            return base64.b64decode(found[1]).hex()
    return None


def refuse_special(mode: int) -> int:
    """Return rights of a file, or raise before a byte of it has come what would be raised when it is whole."""
    if mode & ~0o777:
        raise UploadInvalid(reason="mode has set-uid, set-gid or the sticky bit, which no file is given here")
    return mode


def _path_of(said: Mapping[str, str]) -> str:
    if "path" in said:
        path = said["path"]
    else:
        path = "/".join(filter(None, [said.get("folder", "").rstrip("/"), said.get("filename", "")]))
    if not path.strip("/") or path.endswith("/"):
        raise UploadInvalid(reason="Upload-Metadata names no file: it has a path, or a filename and a folder")
    return path


def _decode_text(key: str, value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except ValueError as exc:
        raise UploadInvalid(reason=f"{key} of Upload-Metadata is no text in base64") from exc


def _flag(said: Mapping[str, str], key: str) -> bool:
    if said.get(key, "false") not in {"true", "false"}:
        raise UploadInvalid(reason=f"{key} of Upload-Metadata is true or false")
    return said.get(key) == "true"


def _sha256(said: Mapping[str, str]) -> str | None:
    text = said.get("sha256", "").lower()
    if text and not re.fullmatch(r"[0-9a-f]{64}", text):
        raise UploadInvalid(reason="sha256 of Upload-Metadata has no 64 hexadecimal digits")
    return text or None


def _mode(said: Mapping[str, str]) -> int | None:
    text = said.get("mode", "")
    if text and not re.fullmatch(r"[0-7]{3,4}", text):
        raise UploadInvalid(reason="mode of Upload-Metadata has no three or four octal digits")
    return refuse_special(int(text, 8)) if text else None


def _modified(said: Mapping[str, str]) -> int | None:
    text = said.get("modifiedAt", "")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise UploadInvalid(reason="modifiedAt of Upload-Metadata is no time of ISO 8601") from exc
    if moment.tzinfo is None:
        raise UploadInvalid(reason="modifiedAt of Upload-Metadata has no time zone")
    nanoseconds = nanoseconds_of(moment)
    if abs(nanoseconds) >= 2**63:
        raise UploadInvalid(reason="modifiedAt of Upload-Metadata is a time that no disk can hold")
    return nanoseconds
