"""One TOML file becomes one typed value, or an error that names the file and the place."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from zlh_common.errors import ConfigInvalid

T = TypeVar("T")


def read_document(path: Path) -> dict[str, Any]:
    """Return what stands in the file; raise ConfigInvalid where it cannot be read or is no TOML."""
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise ConfigInvalid(source=str(path), problems=[str(exc)]) from exc


def convert_document(document: dict[str, Any], kind: type[T], *, source: Path) -> T:
    """Return the document as a `kind`, whose fields may be paths; raise ConfigInvalid where it is none."""
    try:
        return msgspec.convert(document, kind, dec_hook=_decode_path)
    except msgspec.ValidationError as exc:
        raise ConfigInvalid(source=str(source), problems=[str(exc)]) from exc


def is_http_url(text: str) -> bool:
    """Tell whether it is the address of a server, as configurations name those that are called."""
    try:
        url = urlsplit(text)
        has_port = url.port is None or url.port > 0
    except ValueError:
        return False
    return url.scheme in {"http", "https"} and bool(url.hostname) and has_port


def _decode_path(kind: type, value: object) -> object:
    if kind is not Path:
        raise NotImplementedError(f"{kind} cannot be read from a configuration file")
    if not isinstance(value, str):
        raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
    return Path(value)
