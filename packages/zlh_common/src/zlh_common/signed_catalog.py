"""Reading the signed catalog: TUF decides whether it can be believed, then it is parsed.

Imported by short-lived children alone, never by a daemon: tuf costs 11 MB of memory for good, and its work blocks.
The caller keeps `metadata_dir`: it holds the newest metadata that was ever believed, which is what makes a rollback
visible. Readers of one folder take turns. A reader that is killed leaves what was believed before, or a newer part of
it, and nothing that the next one would believe without checking it.

Several servers may have the same tree (mirrors). They are asked in order, and the next one whenever one gives nothing
that can be believed: the keys decide what is believed, so it does not matter who hands it out.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.api.metadata import TargetFile  # type: ignore[attr-defined] # no __all__ there
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.updater import Updater

from zlh_common.errors import ZlhError
from zlh_common.schema.catalog import CATALOG_FORMAT, CATALOG_TARGET, MAX_CATALOG_BYTES, Catalog
from zlh_common.schema.structs import decode
from zlh_common.timed_http import HttpFailed, TimedClient

# Seconds for all servers together, and for all that each of them sends.
LIMIT_S = 50.0
# A catalog is signed anew every day, for two weeks. One from further ahead than clocks differ, or that holds for longer
# than any platform signs, is seen by a clock that is behind; such a clock would believe what has long expired.
CLOCK_TOLERANCE = timedelta(days=1)
LONGEST_LIFE = timedelta(days=60)
_LOCK_NAME = ".lock"


@dataclass(frozen=True, slots=True)
class SignedCatalog:
    """A catalog that is believed."""

    catalog: Catalog
    # Until when, if nobody signs it again.
    expires_at: datetime
    # Which server gave it, and what those that were asked before it did wrong.
    url: str
    troubles: tuple[str, ...] = ()


class CatalogUnavailable(ZlhError):
    """The artifact server does not answer with a catalog."""

    code, status, retryable = "catalog_unavailable", 503, True

    def __init__(self, *, url: str, reason: str) -> None:
        super().__init__(f"The artifact server at {url} gives no catalog: {reason}.", url=url)


class CatalogExpired(ZlhError):
    """The catalog's signatures are too old to be believed."""

    code, status, retryable = "catalog_expired", 503, True

    def __init__(self, *, url: str, what: str, expired_at: datetime | None, now: datetime) -> None:
        until = f"{what} held until {_show(expired_at)}" if expired_at else f"{what} is too old"
        super().__init__(
            f"The catalog at {url} has expired: {until}, and it is {_show(now)} here. "
            "The artifact server must sign it again, or the clock here is wrong.",
            url=url,
        )


class CatalogClockWrong(ZlhError):
    """The clock of this machine is behind what was signed."""

    code, status, retryable = "catalog_clock_wrong", 503, True

    def __init__(self, *, url: str, reason: str, now: datetime) -> None:
        super().__init__(
            f"The catalog at {url} is not from this time: {reason}, and it is {_show(now)} here. "
            "Correct the clock of this machine; until then nobody can tell whether the catalog has expired.",
            url=url,
        )


class CatalogUntrusted(ZlhError):
    """The catalog is not what the trusted keys have signed."""

    code, status = "catalog_untrusted", 502

    def __init__(self, *, url: str, reason: str) -> None:
        super().__init__(f"The catalog at {url} is refused: {reason}. Nothing of it was used.", url=url)


def fetch_catalog(*, artifacts_urls: Sequence[str], trusted_root: bytes, metadata_dir: Path) -> Catalog:
    """Fetch, verify and parse the catalog of the first server that gives one; raise one of the four errors above."""
    return fetch_signed_catalog(
        artifacts_urls=artifacts_urls, trusted_root=trusted_root, metadata_dir=metadata_dir
    ).catalog


def fetch_signed_catalog(
    *, artifacts_urls: Sequence[str], trusted_root: bytes, metadata_dir: Path, limit_s: float = LIMIT_S
) -> SignedCatalog:
    """Do the same, and tell until when it holds and who gave it.

    Where no server gives one, the gravest failure is raised, with what the others did in its detail.
    """
    ends_at = time.monotonic() + limit_s
    failures: list[ZlhError] = []
    try:
        metadata_dir.mkdir(parents=True, exist_ok=True)
        with _only_reader(metadata_dir, ends_at):
            for place, url in enumerate(artifacts_urls):
                share_s = (ends_at - time.monotonic()) / (len(artifacts_urls) - place)
                try:
                    return _fetch_from(url, trusted_root, metadata_dir, share_s, failures)
                except (CatalogUnavailable, CatalogExpired, CatalogClockWrong, CatalogUntrusted) as exc:
                    failures.append(exc)
    except OSError as exc:
        raise CatalogUnavailable(url=", ".join(artifacts_urls), reason=f"{metadata_dir}: {exc}") from exc
    raise _gravest(failures)


def _gravest(failures: list[ZlhError]) -> ZlhError:
    order = (CatalogUntrusted, CatalogClockWrong, CatalogExpired, CatalogUnavailable)
    gravest = min(failures, key=lambda failure: order.index(type(failure)))
    others = [failure.detail for failure in failures if failure is not gravest]
    gravest.detail = " ".join([gravest.detail, *others])
    return gravest


def _fetch_from(
    url: str, trusted_root: bytes, metadata_dir: Path, limit_s: float, earlier: list[ZlhError]
) -> SignedCatalog:
    now = datetime.now(UTC)
    with TimedClient(limit_s) as client:
        fetcher = _Fetcher(client)
        try:
            raw, expires_at = _refresh(url, trusted_root, metadata_dir, fetcher)
        except ExpiredMetadataError as exc:
            name = _name_expired(exc)
            expired_at = fetcher.expiry_of(name, metadata_dir)
            raise CatalogExpired(url=url, what=name, expired_at=expired_at, now=now) from exc
        except (RepositoryError, DownloadLengthMismatchError) as exc:
            # A file that is longer than what was signed did arrive: trying again would not make it ours.
            raise CatalogUntrusted(url=url, reason=str(exc)) from exc
        except (DownloadError, HttpFailed) as exc:
            raise CatalogUnavailable(url=url, reason=_innermost(exc)) from exc
    catalog = decode(raw, Catalog)
    if catalog.format != CATALOG_FORMAT:
        raise CatalogUntrusted(url=url, reason=f"it has format {catalog.format}, this version reads {CATALOG_FORMAT}")
    if trouble := find_clock_trouble(now, published_at=catalog.published_at, expires_at=expires_at):
        raise CatalogClockWrong(url=url, reason=trouble, now=now)
    return SignedCatalog(catalog, expires_at, url, tuple(failure.detail for failure in earlier))


def find_clock_trouble(now: datetime, *, published_at: datetime, expires_at: datetime) -> str | None:
    """Return what tells that the clock here is behind, or None."""
    if published_at > now + CLOCK_TOLERANCE:
        return f"it was published on {_show(published_at)}"
    if expires_at > now + LONGEST_LIFE:
        return f"it is signed for two weeks at a time and holds until {_show(expires_at)}"
    return None


def _name_expired(exc: ExpiredMetadataError) -> str:
    """Return the file that tuf speaks of: it says `Final root.json is expired` and `New targets is expired`."""
    words = str(exc).split()
    name = words[1] if words[0] in {"Final", "New"} else words[0]
    return name if name.endswith(".json") else f"{name}.json"


def _refresh(url: str, trusted_root: bytes, metadata_dir: Path, fetcher: _Fetcher) -> tuple[bytes, datetime]:
    base = url.rstrip("/")
    updater = Updater(
        str(metadata_dir),
        f"{base}/metadata/",
        target_dir=str(metadata_dir),
        target_base_url=f"{base}/targets/",
        fetcher=fetcher,
        config=UpdaterConfig(),
        bootstrap=trusted_root,
    )
    updater.refresh()
    target = updater.get_targetinfo(CATALOG_TARGET)
    if target is None:
        raise RepositoryError(f"it signs no {CATALOG_TARGET}")
    if target.length > MAX_CATALOG_BYTES:
        raise RepositoryError(f"its {CATALOG_TARGET} has {target.length} bytes, {MAX_CATALOG_BYTES} are the most")
    raw = _read_target(updater, target)
    expires_at = _read_expiry(metadata_dir / "timestamp.json")
    if expires_at is None:
        raise OSError(f"{metadata_dir / 'timestamp.json'} cannot be read again")
    return raw, expires_at


def _read_target(updater: Updater, target: TargetFile) -> bytes:
    """Return the signed bytes, fetched where the file of the last time is another; checked as they are used."""
    path = updater.find_cached_target(target) or updater.download_target(target)
    raw = Path(path).read_bytes()
    target.verify_length_and_hashes(raw)
    return raw


class _Fetcher(FetcherInterface):
    """tuf's way of reading, within one time for all files; remembers when each kind of metadata said it expires."""

    def __init__(self, client: TimedClient) -> None:
        self._client = client
        self._expiries: dict[str, datetime] = {}

    def _fetch(self, url: str) -> Iterator[bytes]:
        blocks = self._client.read(url)
        try:
            first = next(blocks, b"")
        except HttpFailed as exc:
            if exc.status is not None:
                raise DownloadHTTPError(str(exc), exc.status) from exc
            raise
        return self._with_rest(first, blocks)

    def _with_rest(self, first: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
        yield first
        yield from blocks

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """Read one file of metadata."""
        raw: bytes = super().download_bytes(url, max_length)
        signed = _parse_signed(raw)
        if signed is not None:
            self._expiries[f"{signed.kind}.json"] = signed.expires
        return raw

    def expiry_of(self, name: str, metadata_dir: Path) -> datetime | None:
        """Return when a file such as `timestamp.json` has expired: as it came now, else as it is on disk."""
        return self._expiries.get(name) or _read_expiry(metadata_dir / name)


class _Signed(msgspec.Struct, frozen=True):
    kind: str = msgspec.field(name="_type")
    expires: datetime


class _Document(msgspec.Struct, frozen=True):
    signed: _Signed


def _parse_signed(raw: bytes) -> _Signed | None:
    try:
        return msgspec.json.decode(raw, type=_Document).signed
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _read_expiry(path: Path) -> datetime | None:
    try:
        signed = _parse_signed(path.read_bytes())
    except OSError:
        return None
    return signed.expires if signed else None


def _innermost(exc: BaseException) -> str:
    """Return what went wrong in the words of whoever met it: tuf says no more than that a file did not come."""
    while exc.__cause__ is not None and not isinstance(exc, HttpFailed):
        exc = exc.__cause__
    return str(exc) or type(exc).__name__


def _show(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


@contextmanager
def _only_reader(folder: Path, ends_at: float) -> Iterator[None]:
    """Hold the folder of what was believed; the kernel lets go of it however this process ends."""
    descriptor = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= ends_at:
                    raise TimeoutError("another reader holds it") from None
                time.sleep(0.02)
        _remove_leftovers(folder)
        yield
    finally:
        os.close(descriptor)


def _remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of readers that were killed; they are named by Python's tempfile."""
    for path in folder.glob("tmp*"):
        if path.is_file() and not path.is_symlink():
            path.unlink(missing_ok=True)
