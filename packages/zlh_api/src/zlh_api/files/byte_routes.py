"""HTTP of the bytes of files: read in ranges, written whole, and several of them as an archive."""

from __future__ import annotations

from aiohttp import web

from zlh_api.agents.client import AgentRefused, decode_report
from zlh_api.files.bytes import announce_length, read_headers, reading_body, send_blocks
from zlh_api.files.refusals import BodyCutOff, TransferTooSlow
from zlh_api.files.routes import FILES, PATH, REFUSED, ROOT, asked_of
from zlh_api.files.rules import read_archive_head, read_file_head, read_unsatisfied, write_tag
from zlh_api.files.service import FileService
from zlh_api.web.endpoint import ANY_TYPE, BYTES, JSON, Call, Endpoint, Policy
from zlh_api.web.query import flag, one_of, several, short_text
from zlh_common.errors import RangeUnsatisfiable
from zlh_common.schema.file_refusals import BodyStalled, FileHashWrong, FileTooShort, NoRoomOnDisk
from zlh_common.schema.files import MAX_PATHS, ArchiveFormat, FileEntry
from zlh_common.schema.structs import encode

PARENTS = flag("parents", "Folders above it that are missing are made.", default=False)
MODE = short_text(
    "mode", "The rights of a new file in octal, such as 0644.", max_chars=4, min_chars=3, pattern="^[0-7]+$"
)
PATHS = several(PATH, most=MAX_PATHS)
FORMAT = one_of("format", "As what it is made; zip where it is left out.", [str(each) for each in ArchiveFormat])
_CONDITIONS = ("Range", "If-Range", "If-Match", "If-None-Match")
_READ = {
    "If-Range": "The `ETag` or `Last-Modified` that the range belongs to.",
    "If-Match": "The `ETag` that is meant; refused with 412 where it is another by now.",
    "If-None-Match": "The `ETag` that one has.",
}
_WRITTEN = {
    "If-Match": "The `ETag` of the version that is replaced; refused with 412 where it is another by now.",
    "If-None-Match": "`*` writes only what is not there yet.",
    "Repr-Digest": "`sha-256=:…:` (RFC 9530); what comes with another hash is not put in place.",
}
_MOVED = (BodyCutOff, BodyStalled, TransferTooSlow)
_LOOKED, _UNSATISFIED = frozenset({304, 416}), 416


def endpoints(service: FileService) -> list[Endpoint]:
    """Return those whose bodies are bytes."""

    async def read(call: Call) -> web.StreamResponse:
        path, asked = call.asked(PATH) or "", read_headers(call, *_CONDITIONS)
        query = {"path": path, "root": call.asked(ROOT)}
        async with service.open_transfer(
            call.container, "GET", "/content", query=query, headers=asked, also=_LOOKED
        ) as transfer:
            if transfer.status == _UNSATISFIED:
                raise RangeUnsatisfiable(size=read_unsatisfied(transfer.headers))
            head = read_file_head(transfer.status, transfer.headers, asked=asked, name=path)
            if transfer.status == 304:
                return web.Response(status=304, headers=head.headers)
            return await send_blocks(call, head, transfer)

    async def look(call: Call) -> web.StreamResponse:
        # An answer to HEAD has no body, so a refusal of it would have no reason.
        path, asked = call.asked(PATH) or "", read_headers(call, "If-Match", "If-None-Match")
        query = {"path": path, "root": call.asked(ROOT)}
        async with service.open_transfer(
            call.container, "GET", "/content", query=query, headers=asked, also=frozenset({304})
        ) as transfer:
            head = read_file_head(transfer.status, transfer.headers, asked=asked, name=path)
        return web.Response(status=head.status, headers=head.headers)

    return [
        Endpoint("GET", f"{FILES}/content", Policy.READ_FILES, read, "The bytes of a file", is_file=True,
                 is_transfer=True, query=(PATH, ROOT), takes=_READ, refusals=(*REFUSED, *_MOVED, RangeUnsatisfiable),
                 name="readFile", about="Always as an attachment: nothing of a customer is shown as a page of ours."),
        Endpoint("HEAD", f"{FILES}/content", Policy.READ_FILES, look, "Size and version of a file", query=(PATH, ROOT),
                 takes=_READ, refusals=REFUSED, name="lookAtFile"),
        *_writing_endpoints(service),
        *_archive_endpoints(service),
    ]  # fmt: skip


def _writing_endpoints(service: FileService) -> list[Endpoint]:
    async def write(call: Call) -> web.Response:
        query = asked_of(call, PATH, ROOT, PARENTS, MODE)
        for name in ("path", "root", "mode"):
            call.note(name, query[name])
        call.note("size", call.request.content_length)
        headers = announce_length(call, BYTES) | read_headers(call, *_WRITTEN)
        with reading_body(call) as body:
            async with service.open_transfer(
                call.container, "PUT", "/content", query=query, headers=headers, body=body
            ) as transfer:
                entry = decode_report(await transfer.read(64 * 1024), FileEntry)
        status = 201 if transfer.status == 201 else 200
        return web.Response(status=status, body=encode(entry), headers=write_tag(entry.version), content_type=JSON)

    return [
        Endpoint("PUT", f"{FILES}/content", Policy.WRITE_FILES, write, "Write a file, whole", response=FileEntry,
                 is_transfer=True, raw=ANY_TYPE, query=(PATH, ROOT, PARENTS, MODE), takes=_WRITTEN,
                 headers={"ETag": "The version that was written."}, also={201: "It was not there before"},
                 refusals=(*REFUSED, *_MOVED, FileHashWrong, FileTooShort, NoRoomOnDisk), act="file.write",
                 name="writeFile", about="What was there stays until all has come, and stays where not all comes."),
    ]  # fmt: skip


def _archive_endpoints(service: FileService) -> list[Endpoint]:
    async def archive(call: Call) -> web.StreamResponse:
        paths, made_as = call.asked(PATHS), call.asked(FORMAT) or ArchiveFormat.ZIP.value
        query = {"path": paths, "root": call.asked(ROOT), "format": made_as}
        async with service.open_transfer(call.container, "GET", "/archive", query=query, headers={}) as transfer:
            if transfer.status != 200:
                raise AgentRefused(status=transfer.status, agent_code="", detail="it made no archive.")
            only = paths[0].rstrip("/") if len(paths) == 1 else ""
            head = read_archive_head(transfer.headers, name=f"{only or 'files'}.{made_as}")
            return await send_blocks(call, head, transfer)

    return [
        Endpoint("GET", f"{FILES}/archive", Policy.READ_FILES, archive, "Files and folders as an archive",
                 media_type=BYTES, is_transfer=True, query=(PATHS, ROOT, FORMAT), refusals=(*REFUSED, *_MOVED),
                 name="downloadArchive"),
    ]  # fmt: skip
