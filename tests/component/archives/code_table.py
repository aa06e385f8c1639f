"""What packing and unpacking each kind of thing comes to: done, or refused with exactly this code. Data alone.

Kinds are those of `component.files.kinds`. `packed` also stands for a tar that is there under the names of files.
"""

from __future__ import annotations

from component.files.code_table import DONE, FOLDERS, LINKS, OUT, SHUT, SPECIAL, Row
from zlh_agent.files.refusals import (
    FILE_EXISTS,
    IS_A_FOLDER,
    IS_A_LINK,
    IS_THE_ROOT,
    NAME_TOO_LONG,
    NOT_A_FOLDER,
    NOT_A_REGULAR_FILE,
    PATH_INVALID,
    PATH_NOT_FOUND,
    PATH_OUTSIDE,
    PERMISSION_DENIED,
    TOO_MANY_LINKS,
)

_UNNAMED = {IS_THE_ROOT: "root", PATH_INVALID: ".. folder/..", NAME_TOO_LONG: "long"}
# Links go into an archive as they are, so each is done, also one that leads out.
_PACKED: Row = {
    DONE: f"{LINKS} file empty folder root",
    PERMISSION_DENIED: "shut-file shut",
    NOT_A_REGULAR_FILE: SPECIAL,
    PATH_NOT_FOUND: "none",
    PATH_INVALID: ".. folder/..",
    NAME_TOO_LONG: "long",
}
AT_THE_END: dict[str, Row] = {
    "pack": _PACKED,
    "download": _PACKED,
    "pack to": {**_UNNAMED, DONE: "none", FILE_EXISTS: f"{LINKS} file empty folder shut-file shut {SPECIAL}"},
    "pack over": {
        **_UNNAMED,
        DONE: "file shut-file none",
        IS_A_LINK: LINKS,
        IS_A_FOLDER: "empty folder shut",
        NOT_A_REGULAR_FILE: SPECIAL,
    },
    "unpack": {
        DONE: "to-file file",
        IS_A_FOLDER: f"{FOLDERS} root folder/..",
        NOT_A_REGULAR_FILE: f"to-pipe {SPECIAL}",
        PERMISSION_DENIED: f"{SHUT} shut-file",
        PATH_OUTSIDE: f"{OUT} ..",
        PATH_NOT_FOUND: "dangling none",
        TOO_MANY_LINKS: "loop",
        NAME_TOO_LONG: "long",
    },
    "unpack to": {
        **_UNNAMED,
        DONE: "empty folder none",
        NOT_A_FOLDER: f"{LINKS} file shut-file {SPECIAL}",
        PERMISSION_DENIED: "shut",
    },
}
_THROUGH: Row = {
    NOT_A_FOLDER: "to-file to-pipe file pipe",
    PERMISSION_DENIED: SHUT,
    PATH_OUTSIDE: "out out-file absolute magic",
    TOO_MANY_LINKS: "loop",
    NAME_TOO_LONG: "long",
}
_NEEDS: Row = {**_THROUGH, PATH_NOT_FOUND: "to-folder folder dangling none"}
_MAKES: Row = {**_THROUGH, DONE: "to-folder folder", PATH_NOT_FOUND: "dangling none"}
IN_THE_MIDDLE: dict[str, Row] = {
    **dict.fromkeys(("pack", "download", "unpack"), _NEEDS),
    **dict.fromkeys(("pack to", "pack over", "unpack to"), _MAKES),
}
