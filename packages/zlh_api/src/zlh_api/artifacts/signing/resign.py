"""The short-lived child that renews signatures for a server, so that the server never holds tuf: `python -m …resign`.

Prints one JSON object and exits 0; on a named error it prints `{"code", "detail"}` and exits 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from zlh_api.artifacts.signing.publish import refresh_timestamp
from zlh_common.clock import SystemClock
from zlh_common.errors import ZlhError


def main() -> int:
    """Renew the signatures of the tree and keys folder named by the two arguments."""
    folder, keys = (Path(argument) for argument in sys.argv[1:])
    try:
        done = msgspec.json.encode(refresh_timestamp(folder, keys, now=SystemClock().now()))
        status = 0
    except ZlhError as exc:
        done, status = msgspec.json.encode({"code": exc.code, "detail": exc.detail}), 1
    sys.stdout.write(done.decode() + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
