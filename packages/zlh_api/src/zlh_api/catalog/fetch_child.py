"""A child that reads the signed catalog for the API and ends: tuf and its memory never enter the daemon.

Standard input: `{"artifactsUrls", "trustedRoot", "metadataDir"}`. Standard output:
`{"catalog", "expiresAt", "url", "troubles"}` or `{"code", "detail"}`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from zlh_common.errors import ZlhError
from zlh_common.signed_catalog import fetch_signed_catalog


def main() -> None:
    """Read the order, fetch, print the answer."""
    order = msgspec.json.decode(sys.stdin.buffer.read())
    try:
        fetched = fetch_signed_catalog(
            artifacts_urls=order["artifactsUrls"],
            trusted_root=Path(order["trustedRoot"]).read_bytes(),
            metadata_dir=Path(order["metadataDir"]),
        )
        answer: dict[str, object] = {
            "catalog": fetched.catalog,
            "expiresAt": fetched.expires_at,
            "url": fetched.url,
            "troubles": fetched.troubles,
        }
    except ZlhError as error:
        answer = {"code": error.code, "detail": error.detail}
    except OSError as error:
        answer = {"code": "catalog_unavailable", "detail": str(error)}
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
