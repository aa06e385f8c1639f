"""Pages of lists: all say the same way where the next one begins, and that there is none."""

from __future__ import annotations

import importlib
import pkgutil
from types import NoneType
from typing import Any, get_args, get_type_hints

import msgspec
from msgspec import UNSET, UnsetType

from zlh_common import schema
from zlh_common.schema.game import PlayerSessions
from zlh_common.schema.structs import Report


def pages() -> list[type[Report]]:
    """Return all shapes of answers that have a next page."""
    for module in pkgutil.iter_modules(schema.__path__):
        importlib.import_module(f"{schema.__name__}.{module.name}")
    found: list[type[Any]] = [Report]
    for each in found:
        found += each.__subclasses__()
    return [each for each in found if "next" in each.__struct_fields__]


def test_the_last_page_leaves_next_out() -> None:
    """No list says `null` where another leaves it out; what agents of before say is understood."""
    assert len(pages()) > 5
    for page in pages():
        kinds = get_args(get_type_hints(page)["next"])
        assert UnsetType in kinds, page
        assert NoneType not in kinds or page is PlayerSessions, page
    assert msgspec.convert({"items": [], "next": None}, PlayerSessions).next is None
    assert msgspec.convert({"items": []}, PlayerSessions).next is UNSET
