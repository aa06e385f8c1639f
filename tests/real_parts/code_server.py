"""The real code-server, as its shipped recipe makes it: built once for a checkout, for all workers and runs."""

from __future__ import annotations

from pathlib import Path

from fakes.runtime_shop import RuntimeShop
from real_parts.built_archives import build_archive, offer_archive_as

NAME, VERSION = "code-server", "4.139.1"
# The same archive under the number of a release that there is not, to go up to.
NEXT_VERSION = "4.139.99"
# On a machine that does nothing else it takes less than two minutes.
BUILD_LIMIT_S = 840


def build_code_server() -> Path:
    """Return the archive; its record lies beside it. Whoever comes while it is built waits for it."""
    return build_archive(NAME, VERSION, limit_s=BUILD_LIMIT_S)


def code_server_shop(folder: Path, archive: Path) -> RuntimeShop:
    """Return a signed tree that offers it as two versions."""
    shop = RuntimeShop(folder)
    for version in (VERSION, NEXT_VERSION):
        offer_archive_as(archive, version, shop.tree)
    shop.publish()
    return shop
