"""What is handed on of requests and answers about files: only what has the form that it must have."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from zlh_common.schema.files import MAX_FILE_BYTES, FileEntry, FileRoot

MAX_TAGS_CHARS, MAX_METADATA_CHARS = 2000, 8000
_TAG = r'(?:W/)?"[\x21\x23-\x7e]{0,100}"'
_TAGS = re.compile(rf"\*|{_TAG}(?:[ \t]*,[ \t]*{_TAG})*")
_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e]{1,100}"')
_DATE = re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT", re.ASCII)
_RANGE = re.compile(r"bytes=(?:(\d{1,19})-(\d{0,19})|-(\d{1,19}))", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})", re.ASCII)
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,19})", re.ASCII)
_NUMBER = re.compile(r"0|[1-9]\d{0,18}", re.ASCII)
_DIGEST = re.compile(r"sha-256=:[A-Za-z0-9+/]{43}=:")
_CHECKSUM = re.compile(r"(?:sha1 [A-Za-z0-9+/]{27}=|sha256 [A-Za-z0-9+/]{43}=)")
_UPLOAD = re.compile(r"(?:.*/)?([0-9a-f]{32})")
# What an upload may say of its file.
METADATA = frozenset(
    {"path", "filename", "folder", "root", "overwrite", "sha256", "mode", "modifiedAt", "parents", "filetype", "type"}
)
# Forms of the headers of a request that are handed on.
_FORMS = {
    "If-Match": _TAGS,
    "If-None-Match": _TAGS,
    "If-Range": re.compile(f"{_STRONG_TAG.pattern}|{_DATE.pattern}", re.ASCII),
    "Repr-Digest": _DIGEST,
    "Upload-Offset": _NUMBER,
    "Upload-Length": _NUMBER,
    "Upload-Checksum": _CHECKSUM,
}


class Malformed(ValueError):
    """A header is not of its form; the text says which, to follow "its header"."""


class Nonsense(ValueError):
    """An agent's answer is none; the text says why, to follow "makes no sense:"."""


@dataclass(frozen=True, slots=True)
class FileHead:
    """What is told of a file before its bytes."""

    status: int
    headers: Mapping[str, str]


def pick_headers(given: Mapping[str, Sequence[str]], names: Sequence[str]) -> dict[str, str]:
    """Return the headers of a request that are handed on, each checked; raise Malformed.

    A Range that is none, or of several stretches, is left out, as who does not understand one may (RFC 9110, 14.2).
    """
    picked = {}
    for name in names:
        values = given.get(name, ())
        if not values:
            continue
        text = ", ".join(values).strip()
        if name == "Range":
            if _RANGE.fullmatch(text):
                picked[name] = text
        elif len(text) > MAX_TAGS_CHARS or not _FORMS[name].fullmatch(text):
            raise Malformed(f"{name} is not of the form that it must have")
        else:
            picked[name] = text
    return picked


def read_file_head(status: int, told: Mapping[str, str], *, asked: Mapping[str, str], name: str) -> FileHead:
    """Return how the bytes of a file are announced to who asks for them; raise Nonsense."""
    headers = {**_describe(name), "Accept-Ranges": "bytes"}
    if (tag := told.get("ETag")) is not None:
        headers["ETag"] = _expect(_STRONG_TAG, tag, "ETag")
    if (date := told.get("Last-Modified")) is not None:
        headers["Last-Modified"] = _expect(_DATE, date, "Last-Modified")
    if status == 304:
        if "If-None-Match" not in asked:
            raise Nonsense("it says 304 where nobody has named a version")
        return FileHead(304, headers)
    _check_encoding(told)
    size = read_number(told, "Content-Length", most=MAX_FILE_BYTES)
    headers["Content-Length"] = str(size)
    if status == 206:
        headers["Content-Range"] = _check_range(told.get("Content-Range", ""), asked.get("Range", ""), size)
    elif status != 200:
        raise Nonsense(f"it answers with status {status} where a file was asked for")
    return FileHead(status, headers)


def read_archive_head(told: Mapping[str, str], *, name: str) -> FileHead:
    """Return how an archive is announced that is made while it is sent; raise Nonsense."""
    _check_encoding(told)
    return FileHead(200, _describe(name))


def write_tag(version: str) -> dict[str, str]:
    """Return the ETag of a version; none where it is nothing that could be asked for again."""
    tag = f'"{version}"'
    return {"ETag": tag} if _STRONG_TAG.fullmatch(tag) else {}


def read_unsatisfied(told: Mapping[str, str]) -> int:
    """Return the size of a file of which a stretch was asked for that lies outside it; raise Nonsense."""
    match = _UNSATISFIED.fullmatch(told.get("Content-Range", ""))
    if match is None:
        raise Nonsense("it says 416 and not how large the file is")
    return int(match[1])


def read_number(told: Mapping[str, str], name: str, *, most: int) -> int:
    """Return a header that is a whole number; raise Nonsense."""
    text = told.get(name, "")
    if not _NUMBER.fullmatch(text) or int(text) > most:
        raise Nonsense(f"its header {name} is no number that it could be")
    return int(text)


def read_date(told: Mapping[str, str], name: str) -> str | None:
    """Return a header that is a moment, where there is one; raise Nonsense."""
    text = told.get(name)
    return None if text is None else _expect(_DATE, text, name)


def read_upload_id(told: Mapping[str, str]) -> str:
    """Return the id of the upload that an agent has begun, with which its address ends; raise Nonsense."""
    match = _UPLOAD.fullmatch(told.get("Location", "")[:2000])
    if match is None:
        raise Nonsense("it does not say which upload it has begun")
    return match[1]


def read_metadata(text: str) -> dict[str, str]:
    """Return what an upload says of its file (`key base64,…`); raise Malformed."""
    found: dict[str, str] = {}
    if len(text) > MAX_METADATA_CHARS:
        raise Malformed(f"Upload-Metadata has more than {MAX_METADATA_CHARS} characters")
    for part in filter(None, (each.strip() for each in text.split(","))):
        key, _, value = part.partition(" ")
        if key not in METADATA or key in found:
            raise Malformed(f"Upload-Metadata has the key {key[:40]!r}, which is none or stands twice")
        try:
            found[key] = base64.b64decode(value.strip(), validate=True).decode()
        except ValueError:
            raise Malformed(f"Upload-Metadata has no text in base64 for {key}") from None
        if "\0" in found[key]:
            raise Malformed(f"Upload-Metadata has a NUL character in {key}")
    return found


def write_metadata(values: Mapping[str, str]) -> str:
    """Return the same as a header."""
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())


def target_of(metadata: Mapping[str, str]) -> str:
    """Return where an upload says that it belongs."""
    if "path" in metadata:
        return metadata["path"]
    folder, name = metadata.get("folder", ""), metadata.get("filename", "")
    return f"{folder.rstrip('/')}/{name}" if folder else name


def render_query(asked: Mapping[str, object]) -> str:
    """Return the query of an address: what is None is left out, a tuple is given again and again.

    It is no longer than the one that was asked with, which an agent reads as far as we do.
    """
    pairs = [
        (name, each) for name, value in asked.items() for each in (value if isinstance(value, tuple) else (value,))
    ]
    told = [
        (name, str(value).lower() if isinstance(value, bool) else value) for name, value in pairs if value is not None
    ]
    return f"?{urlencode(told, safe='/')}" if told else ""


def check_names(entries: Sequence[FileEntry], *, most: int) -> None:
    """Raise Nonsense where a page of a folder has more than was asked for, or a name that no file can have."""
    if len(entries) > most:
        raise Nonsense(f"it lists {len(entries)} files where {most} were asked for")
    if any(entry.name in {"", ".", ".."} or "/" in entry.name or "\0" in entry.name for entry in entries):
        raise Nonsense("it lists a name that no file can have")


def check_roots(roots: Sequence[FileRoot]) -> None:
    """Raise Nonsense where two roots have one name, so that nobody could say which is meant."""
    if len({root.name for root in roots}) < len(roots):
        raise Nonsense("it has two roots of one name")


def _describe(name: str) -> dict[str, str]:
    """Return what keeps a browser from showing bytes of a customer as a page of ours."""
    last = name.rstrip("/").rpartition("/")[2] or "files"
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._- ") else "_" for letter in last)
    return {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(last, safe='')}",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",
    }


def _check_range(told: str, asked: str, size: int) -> str:
    """Return Content-Range where it is what was asked for, as far as that can be told."""
    match, wanted = _CONTENT_RANGE.fullmatch(told), _RANGE.fullmatch(asked)
    if match is None or wanted is None:
        raise Nonsense("it sends a stretch that nobody has asked for")
    first, last, whole = (int(part) for part in match.groups())
    if wanted[3] is not None:
        low, high = max(0, whole - int(wanted[3])), whole - 1
    else:
        low, high = int(wanted[1]), min(whole - 1, int(wanted[2]) if wanted[2] else whole - 1)
    if (first, last) != (low, high) or last - first + 1 != size:
        raise Nonsense("it sends another stretch than was asked for")
    return told


def _check_encoding(told: Mapping[str, str]) -> None:
    if told.get("Content-Encoding", "identity").lower() != "identity":
        raise Nonsense("it compresses what was to come as it is")


def _expect(form: re.Pattern[str], text: str, name: str) -> str:
    if form.fullmatch(text) is None:
        raise Nonsense(f"its header {name} is none")
    return text
