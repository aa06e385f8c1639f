"""Reading the file."""

from __future__ import annotations

from pathlib import Path

from zlh_api.config.model import ApiConfig
from zlh_api.config.problems import find_problems
from zlh_common.errors import ConfigInvalid
from zlh_common.toml_config import convert_document, read_document


def load_config(path: Path) -> ApiConfig:
    """Return the configuration in `path`; raise ConfigInvalid with every problem that was found."""
    config = convert_document(read_document(path), ApiConfig, source=path)
    problems = find_problems(config)
    if problems:
        raise ConfigInvalid(source=str(path), problems=problems)
    return config
