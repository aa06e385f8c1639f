"""What an npm lock file holds, and what a package must say before npm is let at it. Pure."""

from __future__ import annotations

import base64
import re

import msgspec

_SHA512 = re.compile(r"sha512-[A-Za-z0-9+/]{86}==")


class LockUnusable(ValueError):
    """A lock file leaves open what would be installed."""


class _Locked(msgspec.Struct, frozen=True, rename="camel"):
    integrity: str | None = None
    link: bool = False
    in_bundle: bool = False


class _Lock(msgspec.Struct, frozen=True):
    packages: dict[str, _Locked]


class _Root(msgspec.Struct, frozen=True):
    name: str = "server"
    version: str = "0"
    dependencies: dict[str, str] = msgspec.field(default_factory=dict)


class _RootLock(msgspec.Struct, frozen=True):
    packages: dict[str, _Root]


def check_lock(text: bytes) -> None:
    """Raise LockUnusable unless every package that would be fetched has a SHA-512."""
    try:
        lock = msgspec.json.decode(text, type=_Lock)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise LockUnusable(f"it is no lock file of npm 7 or later: {exc}") from exc
    for name, locked in lock.packages.items():
        if "node_modules/" not in name or locked.link or locked.in_bundle:
            continue
        if locked.integrity is None or not _SHA512.search(locked.integrity):
            raise LockUnusable(f"it has no SHA-512 for {name}")


def render_package(lock: bytes, *, package: str, integrity: str) -> bytes:
    """Return the `package.json` that a lock file was made from; raise LockUnusable where it holds another package."""
    known = msgspec.json.decode(lock, type=_Lock).packages
    held = known.get(f"node_modules/{package}")
    if held is None or held.integrity != integrity:
        raise LockUnusable(f"it does not hold {package} to the integrity of the recipe")
    root = msgspec.json.decode(lock, type=_RootLock).packages.get("")
    if root is None:
        raise LockUnusable("it does not say what it was made from")
    return msgspec.json.encode(root)


def integrity_hex(integrity: str) -> str:
    """Return the SHA-512 of npm's `sha512-…` as hex."""
    return base64.b64decode(integrity.removeprefix("sha512-")).hex()
