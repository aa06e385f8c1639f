"""Secrets of providers: read whenever they are needed, so that whoever renews one restarts nothing."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from pathlib import Path

from zlh_api.dns.port import DnsSecretUnusable


async def read_secret(path: Path, *, provider: str) -> str:
    """Return the one word in a file that is for its owner alone; raise DnsSecretUnusable, which names no secret."""
    return await asyncio.to_thread(_read, path, provider)


def _read(path: Path, provider: str) -> str:
    try:
        mode, text = path.stat().st_mode, path.read_text().strip()
    except (OSError, UnicodeDecodeError) as exc:
        reason = spell_errno(exc) if isinstance(exc, OSError) else "it is no text"
        raise DnsSecretUnusable(provider=provider, reason=f"its file cannot be read ({reason})") from exc
    if stat.S_IMODE(mode) & 0o077:
        raise DnsSecretUnusable(provider=provider, reason="others may read its file; set its mode to 0600")
    if not re.fullmatch(r"[\x21-\x7e]{1,500}", text):
        raise DnsSecretUnusable(provider=provider, reason="its file holds no secret, which is one word")
    return text


def spell_errno(error: OSError) -> str:
    """Say what is wrong without the file or the address that it is about."""
    return os.strerror(error.errno) if error.errno else type(error).__name__
