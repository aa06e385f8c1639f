"""Makes a workspace as the customer: root would follow any link there. A fault is one line on standard error."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> int:
    """Make the folder that is named, and see that files can be made in it."""
    workspace = Path(sys.argv[1])
    try:
        workspace.mkdir(mode=0o755, exist_ok=True)
        if not os.access(workspace, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError("it cannot be written")
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
