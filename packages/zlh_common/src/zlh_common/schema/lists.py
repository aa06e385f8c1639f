"""The one shape of every list."""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import UNSET, UnsetType

from zlh_common.schema.structs import Report

T = TypeVar("T")


class Items(Report, Generic[T]):
    """A page of a list; `next`, where there is more, is the `after` of the following page."""

    items: tuple[T, ...]
    next: str | UnsetType = UNSET
