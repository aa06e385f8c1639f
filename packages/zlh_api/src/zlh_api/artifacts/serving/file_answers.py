"""Pure decisions of the file server: which paths are served, and what is particular to the answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from zlh_common import file_answers
from zlh_common.file_answers import FileAnswer, Validators

# What is named here is served and nothing else: no dot files, no work folder, no keys that somebody put beside it.
_SERVED = re.compile(
    r"archives/[a-z][a-z0-9-]{0,31}/[A-Za-z0-9][A-Za-z0-9.+_-]{0,199}"
    r"|metadata/(?:timestamp|[1-9][0-9]{0,9}\.(?:root|targets|snapshot))\.json"
    r"|targets/[0-9a-f]{64}\.catalog\.json"
)
# These names never come to mean other bytes.
_IMMUTABLE = re.compile(r"archives/.*\.tar\.zst|metadata/[0-9].*|targets/.*")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of a file before any of it is read."""

    path: str
    size: int
    modified_ns: int

    @property
    def etag(self) -> str:
        """A strong validator: archives never change, and metadata is replaced as a whole."""
        return f'"{self.modified_ns:x}-{self.size:x}"'

    @property
    def modified(self) -> datetime:
        """The time of the last change, in the whole seconds that HTTP knows."""
        return datetime.fromtimestamp(self.modified_ns // 1_000_000_000, UTC)


def parse_served_path(path: str) -> tuple[str, ...] | None:
    """Return the parts of a URL path that is served, decoded and without its first slash, or None."""
    name = path.removeprefix("/")
    return tuple(name.split("/")) if _SERVED.fullmatch(name) else None


def decide_answer(method: str, headers: Mapping[str, str], facts: FileFacts) -> FileAnswer:
    """Return what a GET or HEAD of an existing file is answered; status 416 has no body of the file."""
    held = Validators(facts.etag, facts.size, facts.modified)
    return file_answers.decide_answer(method, headers, held, _common_headers(facts))


def _common_headers(facts: FileFacts) -> dict[str, str]:
    immutable = _IMMUTABLE.fullmatch(facts.path)
    return {
        "Content-Type": _content_type(facts.path),
        "Cache-Control": "public, max-age=31536000, immutable" if immutable else "no-cache",
        "X-Content-Type-Options": "nosniff",
    }


def _content_type(path: str) -> str:
    if path.endswith(".json"):
        return "application/json"
    return "application/zstd" if path.endswith(".zst") else "text/plain; charset=utf-8"
