"""Reading the file."""

from __future__ import annotations

from pathlib import Path

from zlh_api.config.edge_tables import TraefikSection
from zlh_api.config.model import ApiConfig
from zlh_api.config.problems import find_problems
from zlh_common.errors import ConfigInvalid
from zlh_common.toml_config import convert_document, read_document


def load_config(path: Path, *, is_used_here: bool = True) -> ApiConfig:
    """Return the configuration in `path`; raise ConfigInvalid with every problem that was found."""
    config = convert_document(read_document(path), ApiConfig, source=path)
    problems = find_problems(config)
    if is_used_here:
        # What is only looked at may name files of another machine.
        problems += _find_missing_files(config.traefik)
    if problems:
        raise ConfigInvalid(source=str(path), problems=problems)
    return config


def _find_missing_files(traefik: TraefikSection) -> list[str]:
    """Return which files of this machine are named and not there."""
    named: list[tuple[str, Path | None]] = [
        ("traefik.api_ca", traefik.api_ca),
        ("traefik.api_credentials", traefik.api_credentials),
        ("traefik.tls.ca", traefik.tls.ca if traefik.tls is not None else None),
    ]
    if traefik.sftp is not None:
        named += [("traefik.sftp.key", traefik.sftp.key), ("traefik.sftp.known_hosts", traefik.sftp.known_hosts)]
    return [f"{name} {path} is no file" for name, path in named if path is not None and not path.is_file()]
