"""HTTP of files of a container: looking at them, changing them, and work on them that may take long."""

from __future__ import annotations

from typing import Any

from zlh_api.agents.routes import REFUSED_BY_AGENT
from zlh_api.containers.refusals import AgentTooOld, BeingDeleted, ContainerNotUp, ContainerOff, ContainerSuspended
from zlh_api.files.refusals import SearchEmpty
from zlh_api.files.rules import check_names, check_roots
from zlh_api.files.service import FileService, taking_nonsense
from zlh_api.web.endpoint import Answer, Call, Endpoint, Policy
from zlh_api.web.query import flag, one_of, page_limit, short_text
from zlh_common.schema.file_refusals import (
    ArchiveRefused,
    FileRefused,
    FileRootUnknown,
    FilesBusy,
    FilesNotSafe,
    FilesUnavailable,
    OperationLimit,
    OperationNotFound,
)
from zlh_common.schema.files import (
    DEFAULT_FOUND,
    DEFAULT_LISTED,
    MAX_FOUND,
    MAX_LISTED,
    MAX_NEEDLE_CHARS,
    ArchiveFiles,
    ChangeMode,
    ChecksumFile,
    CopyFile,
    ExtractArchive,
    FileEntry,
    FileOperation,
    FileOperations,
    FileRoots,
    FileSearch,
    FileSort,
    Folder,
    MakeFolder,
    MeasureFolder,
    MoveFile,
)

FILES = "/api/containers/{vmid}/files"
_TEXT = r"^[^\x00]*$"
# An address has 8,190 bytes at most; longer paths can be said in a body.
MAX_ASKED_CHARS = 4096
PATH = short_text(
    "path", "The path below the root; left out, the root itself.", max_chars=MAX_ASKED_CHARS, pattern=_TEXT
)
ROOT = short_text(
    "root", "One of `files/roots`; left out, the default one.", max_chars=32, min_chars=1, pattern="^[a-z][a-z0-9-]*$"
)
AFTER = short_text("after", "The `next` of the page before.", max_chars=4096)
LISTED = page_limit(default=DEFAULT_LISTED, high=MAX_LISTED)
FOUND = page_limit(default=DEFAULT_FOUND, high=MAX_FOUND)
SORT = one_of("sort", "By what it is listed; by name where it is left out.", [str(each) for each in FileSort])
DESCENDING = flag("descending", "The last comes first.", default=False)
FOLDERS_FIRST = flag("foldersFirst", "Folders come before everything else.", default=False)
HIDDEN = flag("hidden", "Names that begin with a dot are listed too.", default=True)
FOLLOW = flag("follow", "Of a link: what it leads to.", default=False)
RECURSIVE = flag("recursive", "A folder goes with all that is in it.", default=True)
NAME = short_text("name", "Part of a name, or a pattern with `*` and `?`.", max_chars=MAX_NEEDLE_CHARS)
TEXT = short_text("text", "A text in a line of a file.", max_chars=MAX_NEEDLE_CHARS)
MATCH_CASE = flag("matchCase", "Capitals and small letters are different.", default=False)
# What can be in the way of each call on files.
REFUSED = (
    *REFUSED_BY_AGENT, AgentTooOld, BeingDeleted, ContainerOff, ContainerNotUp, ContainerSuspended,
    FileRefused, FileRootUnknown, FilesBusy, FilesNotSafe, FilesUnavailable,
)  # fmt: skip
_GOES_ON = {202: "It goes on; ask for the operation"}


def endpoints(service: FileService) -> list[Endpoint]:
    """Return those that take and give documents."""
    return [*_looking_endpoints(service), *_changing_endpoints(service), *_operation_endpoints(service)]


def asked_of(call: Call, *parameters: Any) -> dict[str, Any]:
    """Return query parameters as they are handed on."""
    return {parameter.name: call.asked(parameter) for parameter in parameters}


def note_body(call: Call) -> None:
    """Tell the audit log which files a body is about."""
    for name in ("path", "to", "root", "mode"):
        call.note(name, getattr(call.body, name, None))
    paths = getattr(call.body, "paths", None)
    if paths is not None:
        call.note("path", paths[0])
        call.note("paths", len(paths))


def _looking_endpoints(service: FileService) -> list[Endpoint]:
    async def roots(call: Call) -> FileRoots:
        with taking_nonsense():
            told = (await service.ask(call.container, "GET", "/roots", FileRoots)).value
            check_roots(told.roots)
        return told

    async def index(call: Call) -> Folder:
        asked = asked_of(call, PATH, ROOT, AFTER, LISTED, SORT, DESCENDING, FOLDERS_FIRST, HIDDEN)
        folder = (await service.ask(call.container, "GET", "", Folder, query=asked)).value
        with taking_nonsense():
            check_names(folder.entries, most=call.asked(LISTED))
        return folder

    async def stat(call: Call) -> FileEntry:
        query = asked_of(call, PATH, ROOT, FOLLOW)
        return (await service.ask(call.container, "GET", "/stat", FileEntry, query=query)).value

    async def search(call: Call) -> FileSearch:
        if not call.asked(NAME) and not call.asked(TEXT):
            raise SearchEmpty
        query = asked_of(call, PATH, ROOT, NAME, TEXT, MATCH_CASE, FOUND)
        return (await service.ask(call.container, "GET", "/search", FileSearch, query=query)).value

    read, listed = Policy.READ_FILES, (PATH, ROOT, AFTER, LISTED, SORT, DESCENDING, FOLDERS_FIRST, HIDDEN)
    return [
        Endpoint("GET", f"{FILES}/roots", read, roots, "Folders in which files are offered, and room on their disks",
                 response=FileRoots, refusals=REFUSED, name="listFileRoots"),
        Endpoint("GET", FILES, read, index, "A page of a folder", response=Folder, query=listed, refusals=REFUSED,
                 name="listFiles"),
        Endpoint("GET", f"{FILES}/stat", read, stat, "One file, folder or link", response=FileEntry,
                 query=(PATH, ROOT, FOLLOW), refusals=REFUSED, name="getFile"),
        Endpoint("GET", f"{FILES}/search", read, search, "Look for names and for texts in files", response=FileSearch,
                 query=(PATH, ROOT, NAME, TEXT, MATCH_CASE, FOUND), refusals=(*REFUSED, SearchEmpty),
                 name="searchFiles", about="It ends after 10 s with what it has found by then (`stoppedBy`)."),
    ]  # fmt: skip


def _changing_endpoints(service: FileService) -> list[Endpoint]:
    def post(word: str) -> Any:
        async def change(call: Call) -> FileEntry:
            note_body(call)
            return (await service.ask(call.container, "POST", f"/{word}", FileEntry, body=call.body)).value

        return change

    write = Policy.WRITE_FILES
    return [
        Endpoint("POST", f"{FILES}/mkdir", write, post("mkdir"), "Make a folder", MakeFolder, FileEntry, 201,
                 refusals=REFUSED, act="folder.make", name="makeFolder", example={"path": "src/app", "parents": True}),
        Endpoint("POST", f"{FILES}/move", write, post("move"), "Give a file or folder another name or place", MoveFile,
                 FileEntry, refusals=REFUSED, act="file.move", name="moveFile",
                 example={"path": "notes.txt", "to": "docs/notes.txt"}),
        Endpoint("POST", f"{FILES}/chmod", write, post("chmod"), "Give a file or folder other rights", ChangeMode,
                 FileEntry, refusals=REFUSED, act="file.set-mode", name="changeFileMode",
                 example={"path": "run.sh", "mode": "0755"}),
    ]  # fmt: skip


def _operation_endpoints(service: FileService) -> list[Endpoint]:
    def post(word: str) -> Any:
        async def work(call: Call) -> Answer:
            note_body(call)
            told = await service.ask(call.container, "POST", f"/{word}", FileOperation, body=call.body)
            return Answer(told.value, 202 if told.status == 202 else 200)

        return work

    async def delete(call: Call) -> Answer:
        for parameter in (PATH, ROOT):
            call.note(parameter.name, call.asked(parameter))
        query = asked_of(call, PATH, ROOT, RECURSIVE)
        told = await service.ask(call.container, "DELETE", "", FileOperation, query=query)
        return Answer(told.value, 202 if told.status == 202 else 200)

    async def index(call: Call) -> FileOperations:
        return (await service.ask(call.container, "GET", "/operations", FileOperations)).value

    async def one(call: Call) -> FileOperation:
        return (await service.ask(call.container, "GET", _operation(call), FileOperation)).value

    async def cancel(call: Call) -> FileOperation:
        return (await service.ask(call.container, "DELETE", _operation(call), FileOperation)).value

    def row(word: str, summary: str, request: type, example: dict[str, Any], act: str | None = None) -> Endpoint:
        # What leaves no trace in the log only reads.
        policy = Policy.READ_FILES if act is None else Policy.WRITE_FILES
        return Endpoint(
            "POST", f"{FILES}/{word}", policy, post(word), summary, request, FileOperation, also=_GOES_ON,
            refusals=(*REFUSED, OperationLimit, ArchiveRefused), act=act, name=f"{word}File", example=example,
        )  # fmt: skip

    read, write, of_one = Policy.READ_FILES, Policy.WRITE_FILES, (*REFUSED, OperationNotFound)
    return [
        row("copy", "Copy a file or folder", CopyFile, {"path": "src", "to": "src-old"}, "file.copy"),
        row("archive", "Put files and folders into a new archive", ArchiveFiles,
            {"paths": ["src"], "to": "src.zip"}, "file.archive"),
        row("extract", "Unpack an archive", ExtractArchive, {"path": "src.zip", "to": "src"}, "file.extract"),
        row("checksum", "The SHA-256 of a file", ChecksumFile, {"path": "src.zip"}),
        row("measure", "Count all that is in a folder", MeasureFolder, {"path": ""}),
        Endpoint("DELETE", FILES, write, delete, "Delete a file, or a folder with all that is in it",
                 response=FileOperation, query=(PATH, ROOT, RECURSIVE), also=_GOES_ON,
                 refusals=(*REFUSED, OperationLimit), act="file.delete", name="deleteFile"),
        Endpoint("GET", f"{FILES}/operations", read, index, "Work on files that goes on, or has ended lately",
                 response=FileOperations, refusals=REFUSED, name="listFileOperations"),
        Endpoint("GET", f"{FILES}/operations/{{operation}}", read, one, "How far such work is", response=FileOperation,
                 refusals=of_one, name="getFileOperation"),
        Endpoint("DELETE", f"{FILES}/operations/{{operation}}", write, cancel, "End such work", response=FileOperation,
                 refusals=of_one, act="file-operation.cancel", name="cancelFileOperation"),
    ]  # fmt: skip


def _operation(call: Call) -> str:
    """Return where the agent has an operation; the id was checked like every part of a path."""
    return f"/operations/{call.request.match_info['operation']}"
