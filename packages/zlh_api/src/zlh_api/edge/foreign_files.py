"""What does Traefik make of a file that is not ours? Pure: text in, verdict out.

Traefik reads every `.yml`, `.yaml` and `.toml` of its directory and of the folders below, and one that it cannot read
keeps it from taking up anything of any file. What is held against a file here was tried on the real one:

    broken    no UTF-8, a syntax error, no mapping, a key that is there twice, a section without anything in it
              ("cannot be a standalone element"), an unknown field of a section ("field not found")
    unsure    a Go template, a YAML tag, a merge, any field below the sections that is not in the list of plain ones
    harmless  the rest, unknown fields at the top included: Traefik passes over those

Whoever is unsure leaves a file where it is, unless Traefik shows that it loads nothing any more.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import yaml

# More than anybody writes by hand; what is larger is not read.
MOST_BYTES = 1024 * 1024
# Deeper than any setting of Traefik; also an end to aliases that hold each other.
MOST_DEPTH = 30
# Of values that a file may have, aliases counted as often as they are used.
MOST_VALUES = 50_000
EXTENSIONS = (".yml", ".yaml", ".toml")
_SECTIONS: Mapping[str, frozenset[str]] = {
    "http": frozenset({"routers", "services", "middlewares", "serverstransports", "models"}),
    "tcp": frozenset({"routers", "services", "middlewares", "serverstransports", "models"}),
    "udp": frozenset({"routers", "services"}),
    "tls": frozenset({"certificates", "options", "stores"}),
}
# What a field that we know for certain holds: a text, a number, a list of texts.
_ROUTER = {"rule": str, "service": str, "entrypoints": list, "middlewares": list, "priority": int}
_NULL_TAG = "tag:yaml.org,2002:null"


class Verdict(Enum):
    """Whether a file keeps Traefik from loading any."""

    HARMLESS = auto()
    UNSURE = auto()
    BROKEN = auto()


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and for what is not harmless the reason."""

    verdict: Verdict
    reason: str = ""


HARMLESS = Judgement(Verdict.HARMLESS)


class _BrokenError(Exception):
    """Traefik refuses it."""


class _UnsureError(Exception):
    """It takes Traefik to tell."""


def is_read_by_proxy(name: str) -> bool:
    """Tell whether Traefik reads a file of this name; dot files are no exception."""
    return name.lower().endswith(EXTENSIONS)


def judge(name: str, content: bytes) -> Judgement:
    """Return what Traefik makes of a file that it reads."""
    try:
        _judge_document(_parse(name, content))
    except _BrokenError as broken:
        return Judgement(Verdict.BROKEN, str(broken))
    except _UnsureError as unsure:
        return Judgement(Verdict.UNSURE, str(unsure))
    return HARMLESS


def _parse(name: str, content: bytes) -> dict[str, Any]:
    if len(content) > MOST_BYTES:
        raise _UnsureError(f"it is larger than {MOST_BYTES} bytes")
    if b"{{" in content:
        raise _UnsureError("it is a template")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise _BrokenError("it is no UTF-8") from exc
    return _parse_toml(text) if name.lower().endswith(".toml") else _parse_yaml(text)


def _parse_toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise _BrokenError(f"it is no TOML: {exc}") from exc
    except RecursionError as exc:
        raise _UnsureError("it is nested too deep") from exc


def _parse_yaml(text: str) -> dict[str, Any]:
    if text.lstrip().startswith("%"):
        raise _UnsureError("it has a YAML directive")
    # Traefik's parser is a port of this one, which PyYAML's own in Python is not.
    loader = yaml.CSafeLoader(text)
    try:
        # Of several documents Traefik reads the first.
        node = loader.get_node() if loader.check_node() else None
    except yaml.YAMLError as exc:
        raise _BrokenError(f"it is no YAML: {' '.join(str(exc).split())}") from exc
    except RecursionError as exc:
        raise _UnsureError("it is nested too deep") from exc
    finally:
        loader.dispose()
    if node is None:
        return {}
    value = _Reader().read(node, 0)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _BrokenError("it holds no mapping")
    return value


class _Reader:
    """Makes plain values of YAML nodes: nothing of what is written is believed to be a class."""

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def read(self, node: yaml.Node, depth: int) -> Any:
        self._left -= 1
        if depth > MOST_DEPTH or self._left < 0:
            raise _UnsureError("it is nested too deep")
        if not node.tag.startswith("tag:yaml.org,2002:"):
            raise _UnsureError(f"it has the tag {node.tag}")
        match node:
            case yaml.MappingNode():
                return self._mapping(node, depth)
            case yaml.SequenceNode():
                return [self.read(item, depth + 1) for item in node.value]
            case _:
                return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _UnsureError("it has a key that is no scalar")
            if key.tag.endswith(":merge"):
                raise _UnsureError("it merges mappings")
            if key.value in found:
                raise _BrokenError(f"it has {key.value!r} twice")
            found[key.value] = self.read(value, depth + 1)
        return found


def _scalar(node: yaml.Node) -> Any:
    if node.tag == _NULL_TAG:
        return None
    if node.tag.endswith(":str"):
        return str(node.value)
    if node.tag.endswith(":int") and str(node.value).lstrip("-").isdigit():
        return int(node.value)
    # Whatever else it is, it is a value; whether it fits is not known here.
    return node


def _judge_document(document: dict[str, Any]) -> None:
    unsure: list[_UnsureError] = []
    for name, section in document.items():
        known = _SECTIONS.get(name.lower())
        if known is None or section is None:
            continue
        if not isinstance(section, dict):
            raise _BrokenError(f"{name} is no mapping")
        try:
            _judge_section(name, section, known)
        except _UnsureError as doubt:
            # What comes behind it may be broken for certain.
            unsure.append(doubt)
    if unsure:
        raise unsure[0]


def _judge_section(name: str, section: dict[str, Any], known: frozenset[str]) -> None:
    present = {key: value for key, value in section.items() if value is not None}
    if not present:
        raise _BrokenError(f"{name} has nothing in it, and cannot stand alone")
    for key in present:
        if key.lower() not in known:
            raise _BrokenError(f"{name} has no field {key!r}")
    for key, value in present.items():
        _judge_part(f"{name}.{key}", key.lower(), value)


def _judge_part(path: str, kind: str, value: Any) -> None:
    if kind == "certificates":
        if not isinstance(value, list):
            raise _UnsureError(f"{path} is no list")
        return
    if not isinstance(value, dict):
        raise _BrokenError(f"{path} is no mapping")
    if not any(entry is not None for entry in value.values()):
        raise _BrokenError(f"{path} has nothing in it, and cannot stand alone")
    if kind != "routers":
        raise _UnsureError(f"what {path} holds is not judged here")
    for name, router in value.items():
        if not isinstance(router, dict) or not all(map(_is_plain, router.items())):
            raise _UnsureError(f"{path}.{name} holds what is not judged here")


def _is_plain(field: tuple[str, Any]) -> bool:
    name, value = field
    kind = _ROUTER.get(name.lower())
    if kind is list:
        return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)
    return kind is not None and isinstance(value, kind) and not isinstance(value, bool)
