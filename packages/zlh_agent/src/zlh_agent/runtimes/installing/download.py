"""Fetches one archive into a partial file that is named by its hash, and goes on where an earlier try has stopped.

Runs in the install child. Several servers may have the archive (mirrors): one that gives nothing, too little or
something else is left for the next, and what it gave is kept only where it can still be right. No redirect is followed,
and no more bytes are taken than the signed catalog announces. The hash is made while the bytes arrive.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO, Self

from zlh_agent.runtimes.errors import ArtifactHashMismatch, ArtifactSizeMismatch, ArtifactUnavailable
from zlh_common.errors import ZlhError
from zlh_common.schema.catalog import Artifact
from zlh_common.timed_http import TimedClient
from zlh_common.trees import delete_tree

BLOCK_BYTES = 1024 * 1024
# How often all servers are asked.
ROUNDS = 4
# A body that brings nothing for this long is given up, and resumed by the next try.
STALL_TIMEOUT_S = 20
# A body must bring this much on average once it has had the grace time, or it would hold the install for days.
MIN_BYTES_PER_S, RATE_GRACE_S = 16 * 1024, 30
MAX_RETRY_AFTER_S = 20
# A part that nobody has added to for this long belongs to an install that nobody wants any more.
KEEP_PART_S, MARKED_S = 24 * 3600, 3600

# Told the stage, bytes done and bytes in all.
Show = Callable[[str, int, int], None]


def partial_path(folder: Path, sha256: str) -> Path:
    """Return where the bytes of the archive with this hash are collected."""
    return folder / f"{sha256}.partial"


def sweep_partials(folder: Path, *, now: float) -> None:
    """Delete the parts that nobody goes on with; `now` is the time of day in seconds."""
    for part in folder.glob("*.partial"):
        with suppress(FileNotFoundError):
            found = part.stat()
            match decide_part(written_at=found.st_mtime, marked_at=found.st_atime, now=now):
                case PartAge.OUTLIVED:
                    part.unlink()
                case PartAge.OLD:
                    os.utime(part, (now, found.st_mtime))
                case PartAge.OF_THE_FUTURE:
                    os.utime(part, (now, now))
                case PartAge.FRESH | PartAge.MARKED:
                    pass


class PartAge(Enum):
    """What the times of a part say."""

    FRESH = auto()
    # Found to be old for the first time.
    OLD = auto()
    MARKED = auto()
    # Nobody has gone on with it since it was marked.
    OUTLIVED = auto()
    OF_THE_FUTURE = auto()


def decide_part(*, written_at: float, marked_at: float, now: float) -> PartAge:
    """Return how old a part is, by a clock that may have jumped since it was written.

    One that looks old is marked first, by its time of access, and counts as outlived an hour later: after a jump of the
    clock everything looks old, and whoever goes on with a part makes it fresh.
    """
    if written_at > now:
        return PartAge.OF_THE_FUTURE
    if now - written_at <= KEEP_PART_S:
        return PartAge.FRESH
    if not written_at + KEEP_PART_S < marked_at <= now:
        return PartAge.OLD
    return PartAge.OUTLIVED if now - marked_at > MARKED_S else PartAge.MARKED


def download(artifact: Artifact, *, artifacts_urls: Sequence[str], folder: Path, show: Show) -> BinaryIO:
    """Return the verified archive, open for reading; raise ArtifactUnavailable, …SizeMismatch or …HashMismatch.

    The caller closes it, and deletes `partial_path` once the archive is needed no more. A partial file survives
    servers that are unavailable, and is deleted when it is proved wrong.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    mirrors = [_Mirror(url.rstrip("/")) for url in artifacts_urls]
    with _Part(artifact, partial_path(folder, artifact.sha256), show) as part:
        _collect(artifact, mirrors, part)
        return part.hand_over()


@dataclass(slots=True)
class _Mirror:
    """One server, and what it did."""

    url: str
    # The last thing that went wrong; `is_refused` when it need not be asked again.
    error: ZlhError | None = None
    is_refused: bool = False
    delay_s: float | None = None
    # Whether bytes came from it.
    has_given: bool = False


class _Again(Exception):
    """This try failed in a way that the next may not."""

    def __init__(self, reason: str, delay_s: float | None = None) -> None:
        super().__init__(reason)
        self.delay_s = delay_s


def _collect(artifact: Artifact, mirrors: Sequence[_Mirror], part: _Part) -> None:
    """Ask one server after the other until the part is whole and right."""
    if part.is_whole():
        if part.is_right():
            return
        # What a broken disk made of an earlier run accuses nobody.
        part.discard()
    if _is_given_by_any(artifact, mirrors, part):
        return
    givers = [mirror for mirror in mirrors if mirror.has_given and not mirror.is_refused]
    if len(givers) > 1:
        # One that adds a wrong byte and stops, or begins anew and stops, spoils what an honest one gives in pieces.
        for mirror in givers:
            part.discard()
            if _is_given_by_any(artifact, [mirror], part):
                return
    raise _failure(artifact, mirrors)


def _is_given_by_any(artifact: Artifact, mirrors: Sequence[_Mirror], part: _Part) -> bool:
    """Ask these servers in turn, a few times; tell whether the archive is whole and right now."""
    for number in range(ROUNDS):
        for mirror in [mirror for mirror in mirrors if not mirror.is_refused]:
            if _is_given(artifact, mirror, part):
                return True
        asked = [mirror for mirror in mirrors if not mirror.is_refused]
        if not asked:
            break
        if number < ROUNDS - 1:
            time.sleep(max(_wait_s(mirror, number) for mirror in asked))
    return False


def _wait_s(mirror: _Mirror, number: int) -> float:
    return mirror.delay_s if mirror.delay_s is not None else 0.5 * 2.0**number


def _is_given(artifact: Artifact, mirror: _Mirror, part: _Part) -> bool:
    """Take what a server gives; tell whether the archive is whole and right now."""
    mirror.delay_s, before = None, part.received
    try:
        was_begun = part.size > 0
        _fetch_rest(mirror.url, artifact, part)
        if part.is_right():
            return True
        part.discard()
        if was_begun:
            # Only bytes of this server alone accuse it: what was there before may be anybody's.
            _fetch_rest(mirror.url, artifact, part)
            if part.is_right():
                return True
            part.discard()
        mirror.error = ArtifactHashMismatch(path=artifact.path, expected=artifact.sha256, found=part.last_digest)
        mirror.is_refused = True
    except _Again as again:
        mirror.error = ArtifactUnavailable(path=artifact.path, reason=str(again))
        mirror.delay_s = again.delay_s
    except (ArtifactSizeMismatch, ArtifactUnavailable) as error:
        mirror.error = error
        mirror.is_refused = True
    finally:
        mirror.has_given |= part.received > before
    return False


def _failure(artifact: Artifact, mirrors: Sequence[_Mirror]) -> ZlhError:
    """Return what to say in the end: one that may still give it counts more than those that lie."""
    errors = [mirror.error for mirror in mirrors if mirror.error is not None]
    if not errors:
        return ArtifactUnavailable(path=artifact.path, reason="no server is known")
    worst = next((error for error in errors if error.retryable), errors[-1])
    if len(errors) > 1:
        told = " ".join(f"{mirror.url}: {mirror.error.detail}" for mirror in mirrors if mirror.error)
        worst.detail = f"No server gives {artifact.path}. {told}"
    return worst


class _Part:
    """The partial file, the hash of what is in it, and how both grow. Locked by the install's own lock."""

    def __init__(self, artifact: Artifact, path: Path, show: Show) -> None:
        self._artifact = artifact
        self._path = path
        self._show = show
        self._digest = hashlib.sha256()
        self._file: BinaryIO | None = None
        self.size = 0
        # All that came, also what was found to be wrong.
        self.received = 0
        self.last_digest = ""

    def __enter__(self) -> Self:
        _make_way(self._path)
        # No link is followed, should somebody have put one there.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        self._file = os.fdopen(os.open(self._path, flags, 0o600), "r+b", buffering=0)
        found = os.fstat(self._file.fileno()).st_size
        if found > self._artifact.size:
            self._file.truncate(0)
            found = 0
        self._read_again(found)
        return self

    def _read_again(self, found: int) -> None:
        """Hash what an earlier run has left."""
        assert self._file is not None
        while block := self._file.read(BLOCK_BYTES):
            self._digest.update(block)
            self.size += len(block)
            self._show("hash", self.size, found)

    def __exit__(self, *_exc: object) -> None:
        if self._file is not None:
            self._file.close()
            if self.size == 0:
                self._path.unlink(missing_ok=True)

    def hand_over(self) -> BinaryIO:
        """Return the open file, which is the caller's from now on."""
        assert self._file is not None
        file, self._file = self._file, None
        file.seek(0)
        return file

    def append(self, block: bytes) -> None:
        """Write at once, so that a connection that breaks costs nothing that has arrived."""
        assert self._file is not None
        view = memoryview(block)
        while view:
            written = self._file.write(view) or 0
            self._digest.update(view[:written])
            self.size += written
            self.received += written
            view = view[written:]
        self._show("download", self.size, self._artifact.size)

    def discard(self) -> None:
        """Begin anew: what was there is wrong."""
        assert self._file is not None
        self._file.seek(0)
        self._file.truncate(0)
        self._digest = hashlib.sha256()
        self.size = 0

    def is_whole(self) -> bool:
        """Tell whether as many bytes are there as the archive has."""
        return self.size == self._artifact.size

    def is_right(self) -> bool:
        """Tell whether the bytes are those of the archive."""
        self.last_digest = self._digest.hexdigest()
        return self.is_whole() and self.last_digest == self._artifact.sha256


def _make_way(path: Path) -> None:
    """Delete what is no file where one is to be written."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            delete_tree(path)


class _PacedClient(TimedClient):
    """Gives up a server that is slow, in the head of its answer, in the body and between its pieces."""

    def __init__(self) -> None:
        super().__init__(math.inf)
        self._began = time.monotonic()
        self.received = 0

    def remaining_s(self) -> float:
        """Return how long the next read may take; raise TimeoutError where too little has come so far."""
        seconds = time.monotonic() - self._began
        if seconds > RATE_GRACE_S and self.received < seconds * MIN_BYTES_PER_S:
            raise TimeoutError(f"it brings only {self.received / seconds:.0f} bytes a second")
        return STALL_TIMEOUT_S


def _fetch_rest(base_url: str, artifact: Artifact, part: _Part) -> None:
    """Append what the server has beyond the part; raise _Again, ArtifactUnavailable or ArtifactSizeMismatch."""
    with _PacedClient() as client:
        headers = {"Range": f"bytes={part.size}-"} if part.size else {}
        with _trying_again():
            response = client.ask(f"{base_url}/{artifact.path}", headers)
        # Closed and not drained: what is left of an answer that is refused may be endless.
        with response:
            _check_answer(response, artifact, part)
            while block := _read(response, artifact.size - part.size + 1):
                client.received += len(block)
                if part.size + len(block) > artifact.size:
                    part.discard()
                    raise ArtifactSizeMismatch(path=artifact.path, expected=artifact.size, found="more")
                part.append(block)
    if not part.is_whole():
        raise _Again(f"the body ended after {part.size} of {artifact.size} bytes")


def _read(response: HTTPResponse, most: int) -> bytes:
    """Return what one read of the body brings."""
    with _trying_again():
        return response.read1(min(BLOCK_BYTES, most))


@contextmanager
def _trying_again() -> Iterator[None]:
    """Raise _Again for all that a connection and a server can do wrong; what the disk does is not in here."""
    try:
        yield
    except TimeoutError as exc:
        raise _Again(str(exc) if str(exc).startswith("it ") else f"nothing came for {STALL_TIMEOUT_S} s") from exc
    except (HTTPException, OSError, ValueError) as exc:
        raise _Again(str(exc) or type(exc).__name__) from exc


def _check_answer(response: HTTPResponse, artifact: Artifact, part: _Part) -> None:
    """Raise unless the body goes on where the part ends; one that begins anew makes the part begin anew."""
    status = response.status
    if status in {429, 500, 502, 503, 504}:
        raise _Again(f"status {status}", _retry_after_s(response))
    if status not in {200, 206}:
        raise ArtifactUnavailable(path=artifact.path, reason=f"status {status}")
    if response.getheader("Content-Encoding", "identity") != "identity":
        raise ArtifactUnavailable(path=artifact.path, reason="its body is encoded, which was not asked for")
    if status == 206:
        _check_range(response, artifact, part)
    expected = artifact.size - (part.size if status == 206 else 0)
    announced = response.getheader("Content-Length")
    if announced is not None and announced != str(expected):
        raise ArtifactSizeMismatch(
            path=artifact.path, expected=artifact.size, found=f"{announced} where {expected} are left"
        )
    if status == 200 and part.size:
        part.discard()


def _check_range(response: HTTPResponse, artifact: Artifact, part: _Part) -> None:
    told = re.fullmatch(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15}|\*)", response.getheader("Content-Range", ""))
    if not part.size or told is None or int(told[1]) != part.size:
        raise ArtifactUnavailable(path=artifact.path, reason="it sends another part than was asked for")
    if told[3] not in {"*", str(artifact.size)} or int(told[2]) != artifact.size - 1:
        raise ArtifactSizeMismatch(path=artifact.path, expected=artifact.size, found=f"the range {told[0]!r}")


def _retry_after_s(response: HTTPResponse) -> float | None:
    asked = response.getheader("Retry-After", "")
    return float(min(int(asked), MAX_RETRY_AFTER_S)) if re.fullmatch(r"[0-9]{1,9}", asked) else None
