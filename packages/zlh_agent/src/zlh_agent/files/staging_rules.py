"""Where long work keeps what is not whole yet, and what an archive is made as."""

from __future__ import annotations

from zlh_common.errors import InvalidBody
from zlh_common.schema.files import ArchiveFormat


def staging_of(to: str, token: str) -> str:
    """Return a hidden path beside a target: what is left there is known by whoever has kept it."""
    folder, slash, _ = to.rstrip("/").rpartition("/")
    return f"{folder}{slash}.{token[:16]}.zlh-staging"


def format_of(to: str, asked: ArchiveFormat | None) -> ArchiveFormat:
    """Return what an archive is made as: what was asked for, else as its name ends."""
    if asked is not None:
        return asked
    for form in ArchiveFormat:
        if to.endswith(f".{form.value}"):
            return form
    raise InvalidBody(reason=f"the name ends in none of {', '.join(ArchiveFormat)}, and no format is said")
