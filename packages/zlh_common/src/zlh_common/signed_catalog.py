"""Reading the signed catalog: TUF decides whether it can be believed, then it is parsed.

Imported by short-lived children alone, never by a daemon: tuf costs 11 MB of memory for good, and its work blocks.
The caller keeps `metadata_dir`: it holds the newest metadata that was ever believed, which is what makes a rollback
visible, and one process at a time may use it.
"""

from __future__ import annotations

from pathlib import Path

from tuf.api.exceptions import DownloadError, DownloadLengthMismatchError, ExpiredMetadataError, RepositoryError
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.updater import Updater
from urllib3.exceptions import HTTPError

from zlh_common.errors import ZlhError
from zlh_common.schema.catalog import CATALOG_FORMAT, CATALOG_TARGET, Catalog
from zlh_common.schema.structs import decode

# Seconds that one read from the artifact server may take.
READ_TIMEOUT_S = 20
MAX_CATALOG_BYTES = 5_000_000


class CatalogUnavailable(ZlhError):
    """The artifact server does not answer with a catalog."""

    code, status, retryable = "catalog_unavailable", 503, True

    def __init__(self, *, url: str, reason: str) -> None:
        super().__init__(f"The artifact server at {url} gives no catalog: {reason}.", url=url)


class CatalogExpired(ZlhError):
    """The catalog's signatures are too old to be believed."""

    code, status, retryable = "catalog_expired", 503, True

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"The catalog has expired ({reason}); the artifact server must sign it again.")


class CatalogUntrusted(ZlhError):
    """The catalog is not what the trusted keys have signed."""

    code, status = "catalog_untrusted", 502

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"The catalog is refused: {reason}. Nothing of it was used.")


def fetch_catalog(*, artifacts_url: str, trusted_root: bytes, metadata_dir: Path) -> Catalog:
    """Fetch, verify and parse the catalog below `artifacts_url`; raise one of the three errors above."""
    base = artifacts_url.rstrip("/")
    metadata_dir.mkdir(parents=True, exist_ok=True)
    try:
        updater = Updater(
            str(metadata_dir),
            f"{base}/metadata/",
            target_dir=str(metadata_dir),
            target_base_url=f"{base}/targets/",
            config=UpdaterConfig(targets_max_length=MAX_CATALOG_BYTES),
            bootstrap=trusted_root,
        )
        updater.refresh()
        target = updater.get_targetinfo(CATALOG_TARGET)
        if target is None:
            raise CatalogUntrusted(reason=f"it signs no {CATALOG_TARGET}")
        raw = Path(updater.download_target(target)).read_bytes()
    except ExpiredMetadataError as exc:
        raise CatalogExpired(reason=str(exc)) from exc
    except (RepositoryError, DownloadLengthMismatchError) as exc:
        # A file that is longer than what was signed did arrive: trying again would not make it ours.
        raise CatalogUntrusted(reason=str(exc)) from exc
    except (DownloadError, HTTPError, OSError) as exc:
        # A connection that breaks in the middle of a file comes as urllib3's own error.
        raise CatalogUnavailable(url=artifacts_url, reason=str(exc) or type(exc).__name__) from exc
    catalog = decode(raw, Catalog)
    if catalog.format != CATALOG_FORMAT:
        raise CatalogUntrusted(reason=f"it has format {catalog.format}, this version reads {CATALOG_FORMAT}")
    return catalog
