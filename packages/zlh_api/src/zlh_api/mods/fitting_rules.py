"""Which version of a project fits a server: its loaders in order, its game's version, and the channel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from zlh_api.mods.model import Target, Version
from zlh_common.schema.mods import ReleaseChannel

# The safest first; a channel takes what is safer, too.
CHANNELS: tuple[ReleaseChannel, ...] = ("release", "beta", "alpha")


@dataclass(frozen=True, slots=True)
class Why:
    """Why nothing was found."""

    code: str
    message: str


def loader_rank(version: Version, target: Target) -> int | None:
    """Return how good the best loader of a version is for the server, 0 for its own, or None where none is taken."""
    return next((rank for rank, loader in enumerate(target.loaders) if loader in version.loaders), None)


def fits_game(version: Version, target: Target) -> bool:
    """Tell whether the author names the server's version of the game, or the server has none that mods are made for."""
    return target.game_version is None or target.game_version in version.game_versions


def is_within(version: Version, channel: ReleaseChannel) -> bool:
    """Tell whether a version is at least as safe as the channel."""
    return CHANNELS.index(version.channel) <= CHANNELS.index(channel)


def find_newest(listing: Iterable[Version], target: Target, channel: ReleaseChannel) -> Version | None:
    """Return the newest version for the best loader that fits, is within the channel and can be had; else None."""
    fitting = [version for version in _fitting(listing, target) if version.file and is_within(version, channel)]
    return min(fitting, key=lambda version: _order(version, target), default=None)


def list_fitting(listing: Iterable[Version], target: Target) -> list[Version]:
    """Return all versions that fit, whatever their channel, the newest first."""
    return sorted(_fitting(listing, target), key=lambda version: (version.published_at, version.id), reverse=True)


def explain_none(title: str, listing: Iterable[Version], target: Target, channel: ReleaseChannel) -> Why:
    """Return why no version of a project can be taken."""
    fitting = _fitting(listing, target)
    if not fitting:
        return Why(code="mod_none_fits", message=f"{title} has no version for {describe_target(target)}.")
    within = [version for version in fitting if is_within(version, channel)]
    if within:
        newest = min(within, key=lambda version: _order(version, target))
        message = f"{title} {newest.number} cannot be taken: {newest.trouble}."
        return Why(code="mod_file_refused", message=message)
    safest = min(CHANNELS.index(version.channel) for version in fitting)
    message = f"{title} has no {channel} for {describe_target(target)}; the channel {CHANNELS[safest]} has one."
    return Why(code="mod_none_in_channel", message=message)


def describe_target(target: Target) -> str:
    """Return what mods must be made for, in words."""
    loaders = " or ".join(target.loaders)
    return f"{loaders} and version {target.game_version} of the game" if target.game_version else loaders


def _fitting(listing: Iterable[Version], target: Target) -> list[Version]:
    return [v for v in listing if loader_rank(v, target) is not None and fits_game(v, target)]


def _order(version: Version, target: Target) -> tuple[int, float, str]:
    rank = loader_rank(version, target)
    return (len(target.loaders) if rank is None else rank, -version.published_at.timestamp(), version.id)
