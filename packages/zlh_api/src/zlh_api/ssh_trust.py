"""By what we are known to an SSH server, and it to us: files that are read before anything is sent."""

from __future__ import annotations

from pathlib import Path

import asyncssh

from zlh_common.errors import ConfigInvalid


def read_trust(key_file: Path, known_hosts: Path) -> tuple[asyncssh.SSHKey, asyncssh.SSHKnownHosts]:
    """Return our key and those of hosts; raise ConfigInvalid where either cannot be used, or others may read ours."""
    try:
        key = asyncssh.read_private_key(str(key_file))
        mode = key_file.stat().st_mode
    except (OSError, asyncssh.Error, ValueError) as exc:
        raise ConfigInvalid(source=str(key_file), problems=[f"it cannot be used as an SSH key: {exc}"]) from exc
    if mode & 0o077:
        raise ConfigInvalid(source=str(key_file), problems=[f"others may read {key_file}; set its mode to 0600"])
    try:
        known = asyncssh.read_known_hosts(str(known_hosts))
    except (OSError, asyncssh.Error, ValueError) as exc:
        raise ConfigInvalid(source=str(known_hosts), problems=[f"its host keys cannot be read: {exc}"]) from exc
    return key, known
