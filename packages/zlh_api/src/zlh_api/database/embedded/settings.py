"""What the server is told and what it says of itself, as text: pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

ROLE = DATABASE = "zlh"
SUPERUSER = "postgres"
PORT = 5432


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """How to reach the database."""

    socket_dir: Path

    @property
    def dsn(self) -> str:
        """The address as one string; it holds no secret."""
        return f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(self.socket_dir), safe='/')}&port={PORT}"


@dataclass(frozen=True, slots=True)
class PostmasterFile:
    """What `postmaster.pid` says; `status` is `starting`, `ready`, `stopping` … or empty while it is being written."""

    pid: int
    socket_dir: str
    status: str


def parse_postmaster_file(text: str) -> PostmasterFile | None:
    """Return the contents of `postmaster.pid`, or None where it is empty or half-written garbage."""
    lines = [line.strip() for line in text.splitlines()]
    if not lines or not re.fullmatch(r"[1-9][0-9]{0,9}", lines[0]):
        return None
    lines += [""] * (8 - len(lines))
    return PostmasterFile(int(lines[0]), lines[4], lines[7])


def render_settings(*, major: int, socket_dir: Path) -> str:
    """Return `postgresql.conf`: sane for a laptop, and nothing listens beyond the socket."""
    settings = {
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": str(socket_dir),
        "unix_socket_permissions": "0700",
        "max_connections": "100",
        "shared_buffers": "64MB",
        "dynamic_shared_memory_type": "posix",
        "max_wal_size": "256MB",
        "min_wal_size": "32MB",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_destination": "stderr",
        "logging_collector": "off",
        "log_line_prefix": "%m [%p] ",
        "cluster_name": "zlh",
    }
    if major >= 18:
        # The workers of 18 are three more processes on a laptop and gain nothing there.
        settings["io_method"] = "sync"
    return "".join(f"{name} = {_quote(value)}\n" for name, value in settings.items())


def render_hba() -> str:
    """Return `pg_hba.conf`: the socket alone, peer alone."""
    return f"local {DATABASE} {ROLE} peer map=zlh\nlocal all {SUPERUSER} peer map=keeper\n"


def render_ident(*, client: str, server: str) -> str:
    """Return `pg_ident.conf`: the client's user is `zlh`; the user that owns the cluster's files may repair it."""
    users = dict.fromkeys([client, server])
    rows = [f'zlh "{user}" {ROLE}\n' for user in users] + [f'keeper "{server}" {SUPERUSER}\n']
    return "".join(rows)


def _quote(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def render_role_sql() -> str:
    """Return what a new cluster is told in single-user mode, one statement a line."""
    return (
        f"CREATE ROLE {ROLE} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS\n"
        f"CREATE DATABASE {DATABASE} OWNER {ROLE}\n"
        f"REVOKE CONNECT ON DATABASE {DATABASE} FROM PUBLIC\n"
    )
