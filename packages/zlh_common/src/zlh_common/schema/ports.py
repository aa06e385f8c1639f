"""What an agent says of the ports of its container."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from zlh_common.schema.structs import Report


class PortCut(Report):
    """`POST /ports/{port}/cut` of an agent, from protocol 5 on: so many connections were ended."""

    cut: Annotated[int, Meta(ge=0, le=2**31 - 1)]
