"""What all tables of the file have in common."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from zlh_common.schema.structs import FrozenMeta

ListenPort = Annotated[int, Meta(ge=1, le=65535)]


class Section(msgspec.Struct, metaclass=FrozenMeta, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; an unknown key is a typing mistake, so it is refused."""
