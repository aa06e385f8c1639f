"""Fetches one archive into a partial file that is named by its hash, and goes on where an earlier try has stopped.

Runs in the install child. No redirect is followed, and no more bytes are taken than the signed catalog announces.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import urllib3

from zlh_agent.runtimes.errors import ArtifactHashMismatch, ArtifactSizeMismatch, ArtifactUnavailable
from zlh_common.schema.catalog import Artifact

BLOCK_BYTES = 1024 * 1024
TRIES = 4
CONNECT_TIMEOUT_S = 10
# A body that brings nothing for this long is given up, and resumed by the next try.
STALL_TIMEOUT_S = 20
# A body must bring this much on average once it has had the grace time, or it would hold the install for days.
MIN_BYTES_PER_S, RATE_GRACE_S = 16 * 1024, 30
MAX_RETRY_AFTER_S = 20
# A part that nobody has added to for this long belongs to an install that nobody wants any more.
KEEP_PART_S = 24 * 3600

Show = Callable[[int, int], None]


def partial_path(folder: Path, sha256: str) -> Path:
    """Return where the bytes of the archive with this hash are collected."""
    return folder / f"{sha256}.partial"


def sweep_partials(folder: Path, *, now: float) -> None:
    """Delete the parts that nobody goes on with; `now` is the time of day in seconds."""
    for part in folder.glob("*.partial"):
        with suppress(FileNotFoundError):
            if now - part.stat().st_mtime > KEEP_PART_S:
                part.unlink()


def download(artifact: Artifact, *, artifacts_url: str, folder: Path, show: Show) -> Path:
    """Return the path of the verified archive; raise ArtifactUnavailable, …SizeMismatch or …HashMismatch.

    A partial file survives an unavailable server, and is deleted when it is proved wrong.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = partial_path(folder, artifact.sha256)
    url = f"{artifacts_url.rstrip('/')}/{artifact.path}"
    pool = urllib3.PoolManager(
        retries=False, timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=STALL_TIMEOUT_S), num_pools=1
    )
    has_part = path.exists()
    try:
        _collect(pool, url, artifact, path, show)
        try:
            _verify(artifact, path)
        except ArtifactHashMismatch:
            if not has_part:
                raise
            # A part of an earlier run may be what a broken disk made of it; only bytes of this run accuse the server.
            _collect(pool, url, artifact, path, show)
            _verify(artifact, path)
    finally:
        pool.clear()
    return path


def _collect(pool: urllib3.PoolManager, url: str, artifact: Artifact, path: Path, show: Show) -> None:
    for attempt in range(1, TRIES + 1):
        try:
            _fetch_rest(pool, url, artifact, path, show)
        except _Again as again:
            if attempt == TRIES:
                raise ArtifactUnavailable(path=artifact.path, reason=str(again)) from again
            time.sleep(again.delay_s if again.delay_s is not None else 0.5 * 2 ** (attempt - 1))
        else:
            return


class _Again(Exception):
    """This try failed in a way that the next may not."""

    def __init__(self, reason: str, delay_s: float | None = None) -> None:
        super().__init__(reason)
        self.delay_s = delay_s


def _fetch_rest(pool: urllib3.PoolManager, url: str, artifact: Artifact, path: Path, show: Show) -> None:
    have = path.stat().st_size if path.exists() else 0
    if have > artifact.size:
        path.unlink()
        have = 0
    if have == artifact.size:
        return
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        response = pool.request("GET", url, headers=headers, preload_content=False, redirect=False)
    except urllib3.exceptions.HTTPError as exc:
        raise _Again(str(exc)) from exc
    try:
        offset = _accepted_offset(response, have, artifact)
        _append(response, artifact, path, offset, show)
    except urllib3.exceptions.HTTPError as exc:
        raise _Again(f"the connection broke ({exc})") from exc
    finally:
        response.release_conn()


def _accepted_offset(response: urllib3.BaseHTTPResponse, have: int, artifact: Artifact) -> int:
    """Return at which byte of the archive the body starts; raise where it is no part of it."""
    status = response.status
    if status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        return have
    if status == 200:
        _check_announced(response, artifact)
        return 0
    if status in {429, 500, 502, 503, 504}:
        raise _Again(f"status {status}", _retry_after_s(response))
    raise ArtifactUnavailable(path=artifact.path, reason=f"status {status}")


def _check_announced(response: urllib3.BaseHTTPResponse, artifact: Artifact) -> None:
    announced = response.headers.get("Content-Length")
    if announced is not None and announced != str(artifact.size):
        raise ArtifactSizeMismatch(path=artifact.path, expected=artifact.size, found=announced)


def _retry_after_s(response: urllib3.BaseHTTPResponse) -> float | None:
    asked = response.headers.get("Retry-After", "")
    return float(min(int(asked), MAX_RETRY_AFTER_S)) if asked.isdigit() else None


def _append(response: urllib3.BaseHTTPResponse, artifact: Artifact, path: Path, offset: int, show: Show) -> None:
    began, received = time.monotonic(), 0
    with path.open("r+b" if offset else "wb") as file:
        file.seek(offset)
        file.truncate()
        # What one read brings is written at once, so that a connection that breaks costs nothing that has arrived.
        while block := response.read1(min(BLOCK_BYTES, artifact.size - offset - received + 1)):
            received += len(block)
            if offset + received > artifact.size:
                file.close()
                path.unlink()
                raise ArtifactSizeMismatch(path=artifact.path, expected=artifact.size, found="more")
            file.write(block)
            show(offset + received, artifact.size)
            _check_rate(time.monotonic() - began, received)
    if offset + received < artifact.size:
        raise _Again(f"the body ended after {offset + received} of {artifact.size} bytes")


def _check_rate(seconds: float, received: int) -> None:
    if seconds > RATE_GRACE_S and received < seconds * MIN_BYTES_PER_S:
        raise _Again(f"it brings only {received / seconds:.0f} bytes a second")


def _verify(artifact: Artifact, path: Path) -> None:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if size != artifact.size:
        path.unlink()
        raise ArtifactSizeMismatch(path=artifact.path, expected=artifact.size, found=str(size))
    if found != artifact.sha256:
        path.unlink()
        raise ArtifactHashMismatch(path=artifact.path, expected=artifact.sha256, found=found)
