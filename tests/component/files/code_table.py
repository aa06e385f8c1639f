"""What each call on each kind of thing comes to: done, or refused with exactly this code. Data alone.

A kind is a name of `kinds`; `root` is the root itself, `long` a name of 256 bytes, `none` one that is free. Who adds a
call adds its row; who changes a code changes what programs of customers are written against.
"""

from __future__ import annotations

import os

from zlh_agent.files.refusals import (
    FILE_EXISTS,
    FOLDER_NOT_EMPTY,
    INTO_ITSELF,
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

DONE = "done"
Row = dict[str, str]

OUT = "out out-file out-new absolute magic magic-file"
LINKS = f"to-file to-folder to-pipe to-shut to-root dangling loop {OUT}"
SPECIAL = "pipe socket device"
# By a link as well as by name, and what of it is a folder.
FOLDERS, SHUT = "to-folder to-root empty folder", "to-shut shut"


def told_of(row: Row) -> dict[str, str]:
    """Return what is expected of each kind; a device can be made by root alone."""
    kinds = [(kind, code) for code, text in row.items() for kind in text.split()]
    assert len(kinds) == len(dict(kinds)), "a kind stands in two places"
    return {kind: code for kind, code in kinds if kind != "device" or os.geteuid() == 0}


# ── at the end of a path ──

# What does not act on the last name as it stands there, but on where it leads.
_LED = {PATH_OUTSIDE: f"{OUT} ..", TOO_MANY_LINKS: "loop", NAME_TOO_LONG: "long"}
_LOOKED = {**_LED, PATH_NOT_FOUND: "dangling none", PERMISSION_DENIED: SHUT}
_FOLDER: Row = {
    **_LOOKED,
    DONE: f"{FOLDERS} root folder/..",
    NOT_A_FOLDER: f"to-file to-pipe file shut-file {SPECIAL}",
}
_CONTENT: Row = {
    **_LOOKED,
    DONE: "to-file file",
    IS_A_FOLDER: f"{FOLDERS} root folder/..",
    NOT_A_REGULAR_FILE: f"to-pipe {SPECIAL}",
    PERMISSION_DENIED: f"{SHUT} shut-file",
}
_UNNAMED = {IS_THE_ROOT: "root", PATH_INVALID: ".. folder/..", NAME_TOO_LONG: "long"}
# A whole file to what a link leads to.
_WRITTEN: Row = {
    **_UNNAMED,
    DONE: "to-file dangling file shut-file none",
    IS_A_FOLDER: "to-folder to-shut empty folder shut",
    NOT_A_REGULAR_FILE: f"to-pipe {SPECIAL}",
    IS_THE_ROOT: "to-root root",
    PATH_OUTSIDE: OUT,
    TOO_MANY_LINKS: "loop",
}
_WRITTEN_NEW: Row = {**_WRITTEN, DONE: "dangling none", FILE_EXISTS: "to-file file shut-file"}
# A name that has to be free.
_MADE: Row = {**_UNNAMED, DONE: "none", FILE_EXISTS: f"{LINKS} file empty folder shut-file shut {SPECIAL}"}
# Whatever has the name, a link as the link.
_NAMED: Row = {**_UNNAMED, DONE: f"{LINKS} file empty folder shut-file shut {SPECIAL}", PATH_NOT_FOUND: "none"}
# Nobody but the machine's administrator may make a device, and giving one a name is making it.
_RENAMED: Row = {**_NAMED, DONE: f"{LINKS} file empty folder shut-file shut pipe socket", PERMISSION_DENIED: "device"}
_PARTIAL: Row = {
    **_UNNAMED,
    DONE: "file",
    IS_A_LINK: LINKS,
    IS_A_FOLDER: "empty folder shut",
    NOT_A_REGULAR_FILE: SPECIAL,
    PERMISSION_DENIED: "shut-file",
}

AT_THE_END: dict[str, Row] = {
    "stat": {
        DONE: f"{LINKS} file empty folder shut-file shut {SPECIAL} root folder/..",
        PATH_NOT_FOUND: "none",
        PATH_OUTSIDE: "..",
        NAME_TOO_LONG: "long",
    },
    "stat followed": {
        **_LED,
        DONE: f"to-file to-pipe {FOLDERS} {SHUT} file shut-file {SPECIAL} root folder/..",
        PATH_NOT_FOUND: "dangling none",
    },
    "list": _FOLDER,
    "read": _CONTENT,
    "checksum": _CONTENT,
    "measure": {**_LOOKED, DONE: f"to-file to-pipe {FOLDERS} file shut-file {SPECIAL} root folder/.."},
    "search": _FOLDER,
    "write": _WRITTEN,
    "write new": _WRITTEN_NEW,
    "begin an upload at": _MADE,
    "go on with": {**_PARTIAL, DONE: "file none"},
    "place an upload at": _WRITTEN,
    "place a new upload at": _WRITTEN_NEW,
    "place as an upload": {**_PARTIAL, PATH_NOT_FOUND: "none"},
    "give up": {**_UNNAMED, DONE: f"{LINKS} file shut-file {SPECIAL} none", IS_A_FOLDER: "empty folder shut"},
    "make a folder": _MADE,
    "make folders": {
        **_LED,
        DONE: f"{FOLDERS} {SHUT} none folder/..",
        IS_THE_ROOT: "root",
        NOT_A_FOLDER: f"to-file to-pipe file shut-file {SPECIAL}",
        PATH_NOT_FOUND: "dangling",
    },
    "make a link": _MADE,
    "move": _RENAMED,
    "move a file to": _MADE,
    "move a file over": {
        **_UNNAMED,
        DONE: f"{LINKS} file shut-file {SPECIAL} none",
        IS_A_FOLDER: "empty folder shut",
    },
    "move a folder over": {
        **_UNNAMED,
        DONE: "empty none",
        NOT_A_FOLDER: f"{LINKS} file shut-file {SPECIAL}",
        FOLDER_NOT_EMPTY: "folder shut",
    },
    "exchange with": _RENAMED,
    "copy": {
        **_NAMED,
        DONE: f"{LINKS} file empty folder",
        PERMISSION_DENIED: "shut-file shut",
        NOT_A_REGULAR_FILE: SPECIAL,
    },
    "copy a file to": _WRITTEN_NEW,
    "copy a file over": _WRITTEN,
    "copy a link over": {
        **_UNNAMED,
        DONE: f"{LINKS} file shut-file {SPECIAL} none",
        IS_A_FOLDER: "empty folder shut",
    },
    "copy a folder to": {
        **_UNNAMED,
        DONE: "folder none",
        FILE_EXISTS: f"{LINKS} file shut-file {SPECIAL}",
        INTO_ITSELF: "empty",
        PERMISSION_DENIED: "shut",
    },
    "copy a folder over": {
        **_UNNAMED,
        DONE: "folder none",
        NOT_A_FOLDER: f"{LINKS} file shut-file {SPECIAL}",
        INTO_ITSELF: "empty",
        PERMISSION_DENIED: "shut",
    },
    "copy the content of": _CONTENT,
    "copy the content to": _WRITTEN,
    "remove": {
        **_NAMED,
        DONE: f"{LINKS} file empty shut-file {SPECIAL}",
        FOLDER_NOT_EMPTY: "folder shut",
    },
    "remove all of": {**_UNNAMED, DONE: f"{LINKS} file empty folder shut-file shut {SPECIAL} none"},
    "change the rights of": {
        **_UNNAMED,
        DONE: f"file empty folder shut-file shut {SPECIAL}",
        IS_A_LINK: LINKS,
        PATH_NOT_FOUND: "none",
    },
    "set the time of": _NAMED,
}

# ── in the middle of a path, before a name that is free ──

_THROUGH: Row = {
    NOT_A_FOLDER: f"to-file to-pipe file shut-file {SPECIAL}",
    PERMISSION_DENIED: SHUT,
    PATH_OUTSIDE: OUT,
    TOO_MANY_LINKS: "loop",
    NAME_TOO_LONG: "long",
}
# What needs something there, what makes it, and what is content with nothing.
_NEEDS: Row = {**_THROUGH, PATH_NOT_FOUND: f"{FOLDERS} folder/.. dangling none"}
_MAKES: Row = {**_THROUGH, DONE: f"{FOLDERS} folder/..", PATH_NOT_FOUND: "dangling none"}
_OF_THE_EMPTY: Row = {**_MAKES, DONE: "to-folder to-root folder folder/..", INTO_ITSELF: "empty"}

_MAKING = (
    "write", "write new", "begin an upload at", "go on with", "place an upload at", "place a new upload at",
    "make a folder", "make a link", "move a file to", "move a file over", "copy a file to", "copy a file over",
    "copy a link over", "copy the content to", "remove all of",
)  # fmt: skip
IN_THE_MIDDLE: dict[str, Row] = {
    **dict.fromkeys(AT_THE_END, _NEEDS),
    **dict.fromkeys(_MAKING, _MAKES),
    **dict.fromkeys(("move a folder over", "copy a folder to", "copy a folder over"), _OF_THE_EMPTY),
    "make folders": {**_THROUGH, DONE: f"{FOLDERS} folder/.. none", PATH_NOT_FOUND: "dangling"},
    "give up": {**_THROUGH, DONE: f"{FOLDERS} folder/.. dangling none"},
}
