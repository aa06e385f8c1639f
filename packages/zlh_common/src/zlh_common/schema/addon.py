"""Addons of a container that exists: what a customer may ask, and what there is."""

from __future__ import annotations

from zlh_common.schema.runtime import PendingRuntime, RuntimeRef
from zlh_common.schema.spec import RuntimeName, RuntimeVersion
from zlh_common.schema.status import AddonStatus, InstalledRuntime
from zlh_common.schema.structs import Report, Request


class EnableAddon(Request):
    """`POST …/addons`: have an addon, or another version of one that is there."""

    name: RuntimeName
    # Exact or the leading part of one ("4"); the newest match is taken, without one the catalog's default.
    version: RuntimeVersion | None = None


class Addons(Report):
    """`GET …/addons`: the addons, their versions on disk, what is still to happen, and what could."""

    addons: tuple[AddonStatus, ...]
    versions: tuple[InstalledRuntime, ...]
    pending: tuple[PendingRuntime, ...] = ()
    # Where an upgrade would lead that names no version, as far as the catalog is there.
    upgrades: tuple[RuntimeRef, ...] = ()
