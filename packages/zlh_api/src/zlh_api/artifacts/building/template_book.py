"""Reading templates of game servers: TOML files, shipped with this package or given as a folder of one's own.

A file says what `schema.template.GameTemplate` has, in its names, and besides `name`, `title`, `[source]`, `[keep]` and
`uses`: files of the folder `parts` whose tables are laid under its own and whose lists come before its own.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from zlh_api.artifacts.errors import TemplateInvalid
from zlh_api.artifacts.template_model import Keep, Source, TemplateFile
from zlh_common.schema.structs import find_ignored
from zlh_common.schema.template import GameTemplate
from zlh_common.template_rules import find_template_problems

SHIPPED = Path(str(files("zlh_api.artifacts.building"))) / "templates"


class _Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file says beside the template itself."""

    name: str
    title: str
    source: Source
    keep: Keep = Keep()


class TemplateBook:
    """All templates of one folder, checked."""

    def __init__(self, folder: Path | None = SHIPPED) -> None:
        """Read the folder at once; raise TemplateInvalid, which names the file and all that is wrong with it."""
        self._folder = folder
        paths = sorted(folder.glob("*.toml")) if folder is not None else []
        self.templates = [self._read(path) for path in paths]

    @property
    def names(self) -> list[str]:
        """The names of all of them."""
        return [template.name for template in self.templates]

    def choose(self, asked: Iterable[str]) -> list[TemplateFile]:
        """Return the templates whose names are asked for, or all where nothing is; other names are not for us."""
        names = set(asked)
        return [template for template in self.templates if not names or template.name in names]

    def _read(self, path: Path) -> TemplateFile:
        try:
            document, digest = self._join(path)
            head, template = _split(document)
        except (tomllib.TOMLDecodeError, msgspec.MsgspecError, UnicodeDecodeError, OSError, ValueError) as exc:
            raise TemplateInvalid(template=path.name, problems=[str(exc)]) from exc
        if head.name != path.stem:
            raise TemplateInvalid(template=path.name, problems=[f"its name is {head.name}, not that of its file"])
        if problems := find_template_problems(template, title=head.title):
            raise TemplateInvalid(template=path.name, problems=[str(problem) for problem in problems])
        return TemplateFile(
            name=head.name, title=head.title, source=head.source, keep=head.keep, template=template, digest=digest
        )

    def _join(self, path: Path) -> tuple[dict[str, Any], str]:
        """Return a file with its parts, and the SHA-256 of all of them."""
        raw = path.read_bytes()
        document = tomllib.loads(raw.decode())
        digest = hashlib.sha256(raw)
        parts: dict[str, Any] = {}
        for name in document.pop("uses", []):
            if not isinstance(name, str) or "/" in name:
                raise ValueError(f"{name!r} is no name of a part")
            below = (path.parent / "parts" / f"{name}.toml").read_bytes()
            digest.update(below)
            parts = merge(parts, tomllib.loads(below.decode()))
        return merge(parts, document), digest.hexdigest()


def merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return two documents as one: tables are joined, lists put one after the other, and of the rest `over` holds."""
    joined = dict(under)
    for key, value in over.items():
        below = joined.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            joined[key] = merge(below, value)
        elif isinstance(below, list) and isinstance(value, list) and _are_tables([*below, *value]):
            joined[key] = [*below, *value]
        else:
            joined[key] = value
    return joined


def _are_tables(items: list[Any]) -> bool:
    return all(isinstance(item, dict) for item in items)


def _split(document: dict[str, Any]) -> tuple[_Head, GameTemplate]:
    names = {field.encode_name for field in msgspec.structs.fields(_Head)}
    head: _Head = msgspec.convert({key: value for key, value in document.items() if key in names}, _Head)
    rest = {key: value for key, value in document.items() if key not in names}
    template: GameTemplate = msgspec.convert(rest, GameTemplate)
    if ignored := find_ignored(rest, template):
        raise ValueError(f"there is no field {ignored}")
    return head, template
