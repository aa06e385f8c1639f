"""A vendor's own tarball, held by the checksum that the vendor publishes beside it."""

from __future__ import annotations

import hashlib
import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from zlh_api.artifacts.building.sources.port import Material, Pin
from zlh_api.artifacts.building.sources.vendor_rules import ReleasesUnusable, VendorFile, find_newest
from zlh_api.artifacts.building.sources.workbench import Workbench
from zlh_api.artifacts.building.tar_reader import ArchiveUnsafe, Blobs, open_compressed
from zlh_api.artifacts.errors import ArtifactFetchFailed, SourceHashMismatch, SourceUnsafe
from zlh_api.artifacts.model import Recipe, VendorSource

STALL_S = 20.0
FETCH_TIMEOUT_S = 1800.0
MAX_BYTES = 2_000_000_000
# .NET's list of all releases of a line has 2 MB.
MAX_LIST_BYTES = 50_000_000
_CHUNK = 1 << 20


class FromVendor:
    """The files of one tarball."""

    # Tarball, its files, and the archive of .NET's SDK.
    room_bytes = 1_500_000_000

    def __init__(self, recipe: Recipe, source: VendorSource, platform: str, bench: Workbench) -> None:
        self._recipe, self._source = recipe, source
        self._file, self._platform = source.files[platform], platform
        self._base = bench.means.mirrors.get(recipe.name, source.base_url).rstrip("/")
        self._found: VendorFile | None = None

    def pin(self) -> Pin:
        """Take the recipe's file, or ask the vendor's list for the newest of the recipe's line."""
        self._found = self._find_newest() if self._source.releases else self._named_by_recipe()
        return Pin(self._found.version, f"vendor:{self._found.url}")

    @contextmanager
    def open(self, pin: Pin, work: Path) -> Iterator[Material]:
        """Fetch the tarball, compare its checksum, and only then read it."""
        assert self._found is not None  # a source is opened with the pin that it gave
        path = work / "tarball"
        url = self._rebased(self._found.url)
        sha256 = _fetch_checked(url, path, self._found.checksum, is_plain_allowed=self._is_plain_allowed)
        (work / "blobs").mkdir()
        blobs = Blobs(work / "blobs")
        try:
            with path.open("rb") as file:
                blobs.add_tar(open_compressed(file, self._file))
        except ArchiveUnsafe as exc:
            raise SourceUnsafe(source=pin.origin, reason=str(exc)) from exc
        path.unlink()
        yield Material(list(blobs.entries.values()), blobs.open, sha256)

    @property
    def _is_plain_allowed(self) -> bool:
        """A mirror is the operator's own choice; of the vendor only https is believed."""
        return self._base != self._source.base_url

    def _named_by_recipe(self) -> VendorFile:
        url = f"{self._source.base_url}/{self._file}"
        return VendorFile(self._recipe.version, url, self._source.checksums[self._platform])

    def _find_newest(self) -> VendorFile:
        url = f"{self._base}/{self._source.releases}"
        with _opened(url, is_plain_allowed=self._is_plain_allowed) as answer:
            text = answer.read(MAX_LIST_BYTES)
        try:
            return find_newest(text, line=self._recipe.version, file=self._file)
        except ReleasesUnusable as exc:
            raise SourceUnsafe(source=url, reason=str(exc)) from exc

    def _rebased(self, url: str) -> str:
        """Return where the file is fetched: a mirror stands in for the vendor's own address."""
        if self._base == self._source.base_url:
            return url
        path = url.removeprefix(self._source.base_url) if url.startswith(self._source.base_url) else urlsplit(url).path
        return f"{self._base}/{path.lstrip('/')}"


def _fetch_checked(url: str, path: Path, checksum: str, *, is_plain_allowed: bool) -> str:
    """Write what `url` gives to `path`; return its SHA-256, or raise SourceHashMismatch."""
    kind, wanted = checksum.split(":")
    digest, sha256 = hashlib.new(kind), hashlib.sha256()
    deadline, size = time.monotonic() + FETCH_TIMEOUT_S, 0
    with _opened(url, is_plain_allowed=is_plain_allowed) as answer, path.open("xb") as file:
        while chunk := answer.read(_CHUNK):
            size += len(chunk)
            if size > MAX_BYTES:
                raise ArtifactFetchFailed(source=url, reason=f"it is larger than {MAX_BYTES} bytes")
            if time.monotonic() > deadline:
                raise ArtifactFetchFailed(source=url, reason=f"no end after {FETCH_TIMEOUT_S:.0f} s")
            for one in (digest, sha256):
                one.update(chunk)
            file.write(chunk)
        if answer.length:
            raise ArtifactFetchFailed(source=url, reason=f"it ended {answer.length} bytes too early")
    if digest.hexdigest() != wanted:
        raise SourceHashMismatch(source=url, wanted=wanted, found=digest.hexdigest())
    return sha256.hexdigest()


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a few redirects, and none that leaves https."""

    max_redirections = 5

    def __init__(self, *, is_plain_allowed: bool) -> None:
        self._schemes = {"https", "http"} if is_plain_allowed else {"https"}

    def redirect_request(  # noqa: PLR0917 - the standard library's signature
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: object, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme not in self._schemes:
            raise urllib.error.URLError(f"it redirects to {newurl[:200]!r}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


@contextmanager
def _opened(url: str, *, is_plain_allowed: bool) -> Iterator[http.client.HTTPResponse]:
    """Open an address for reading; whatever goes wrong until the context ends is ArtifactFetchFailed."""
    if urlsplit(url).scheme != "https" and not is_plain_allowed:
        raise ArtifactFetchFailed(source=url, reason="only https is fetched")
    opener = urllib.request.build_opener(_SafeRedirects(is_plain_allowed=is_plain_allowed))
    try:
        with opener.open(url, timeout=STALL_S) as answer:
            yield answer
    except urllib.error.HTTPError as exc:
        exc.close()
        raise ArtifactFetchFailed(source=url, reason=f"the server answers {exc.code}") from exc
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as exc:
        raise ArtifactFetchFailed(source=url, reason=str(exc) or type(exc).__name__) from exc
