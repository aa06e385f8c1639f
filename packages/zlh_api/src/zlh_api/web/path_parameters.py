"""Parameters of paths: each name means the same everywhere, and what could not be one leads nowhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from zlh_api.web.query import parse_id
from zlh_common.errors import NotFound
from zlh_common.names import Vmid

MAX_VMID = 999_999_999
_IN_PATH = re.compile(r"{(\w+)(?::[^}]*)?}")


@dataclass(frozen=True, slots=True)
class PathParameter:
    """What stands in a path at one place; `read` raises ValueError for whatever could not."""

    # To follow "there is no such".
    what: str
    about: str
    schema: Mapping[str, Any]
    read: Callable[[str], Any]


def _id(what: str) -> PathParameter:
    return PathParameter(what, f"The id of the {what}.", {"type": "string", "format": "uuid"}, parse_id)


def _text(what: str, about: str, *, pattern: str, high: int) -> PathParameter:
    shape = re.compile(pattern)

    def read(text: str) -> str:
        if not 0 < len(text) <= high or shape.fullmatch(text) is None:
            raise ValueError(text)
        return text

    schema = {"type": "string", "minLength": 1, "maxLength": high, "pattern": f"^{pattern}$"}
    return PathParameter(what, about, schema, read)


def _read_vmid(text: str) -> Vmid:
    if not text.isascii() or not text.isdigit() or text[0] == "0" or len(text) > len(str(MAX_VMID)):
        raise ValueError(text)
    return Vmid(int(text))


PARAMETERS: Mapping[str, PathParameter] = {
    "vmid": PathParameter(
        "container",
        "The number of the container.",
        {"type": "integer", "minimum": 1, "maximum": MAX_VMID},
        _read_vmid,
    ),
    "customer": _id("customer"),
    "user": _id("user"),
    "session": _id("session"),
    "token": _id("token"),
    "invitation": _id("invitation"),
    "exposure": _id("exposure"),
    "rollout": _id("roll-out"),
    "label": _text("page", "The first label of a host, such as 3000-dev-101.", pattern="[a-z0-9-]+", high=32),
    "process": _text("process", "The name of the process.", pattern="[a-z][a-z0-9-]*", high=32),
    "terminal": _text("terminal", "The id of the terminal; `main` always is one.", pattern="[A-Za-z0-9_-]+", high=64),
    "runtime": _text("runtime", "The name of the runtime, as in the catalog.", pattern="[a-z][a-z0-9-]*", high=32),
    "addon": _text("addon", "The name of the addon, as in the catalog.", pattern="[a-z][a-z0-9-]*", high=32),
    "version": _text(
        "version",
        "The exact version.",
        pattern="(?!(current|rollback|upgrade|verify)$)[0-9A-Za-z][0-9A-Za-z.+_-]*",
        high=64,
    ),
    "operation": _text("operation", "The id of the operation.", pattern="[0-9a-f]{32}", high=32),
    "project": _text("mod", "The id of the project at Modrinth.", pattern="[A-Za-z0-9][A-Za-z0-9_-]*", high=64),
    "change": _text("change", "The id of the change.", pattern="[0-9a-f]{32}", high=32),
    "upload": _text("upload", "The id of the upload.", pattern="[0-9a-f]{32}", high=32),
    "path": PathParameter("page", "The path of the file below the tree.", {"type": "string", "minLength": 1}, str),
}


def names_in(path: str) -> list[str]:
    """Return the parameters of a route's path, in their order."""
    return _IN_PATH.findall(path)


def plain(path: str) -> str:
    """Return the path of a route as documents spell it."""
    return _IN_PATH.sub(r"{\1}", path)


def check_path(values: Mapping[str, str]) -> None:
    """Raise NotFound where a part of the path could not be what stands there."""
    for name, text in values.items():
        read_part(name, text)


def read_part(name: str, text: str) -> Any:
    """Return a part of a path; raise NotFound for whatever could not be one."""
    parameter = PARAMETERS[name]
    try:
        return parameter.read(text)
    except ValueError:
        raise NotFound(parameter.what) from None


def read_id(values: Mapping[str, str], name: str) -> UUID:
    """Return the id at one place of a path; raise NotFound for whatever could not be one."""
    found: UUID = read_part(name, values[name])
    return found


def parse_vmid(text: str) -> Vmid:
    """Return the VMID in a path; raise NotFound for whatever could not be one."""
    return Vmid(read_part("vmid", text))
