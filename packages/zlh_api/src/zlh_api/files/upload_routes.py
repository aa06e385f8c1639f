"""HTTP of uploads in pieces, which go on where they were cut: tus 1.0.0."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from zlh_api.agents.client import AgentNonsense
from zlh_api.files.bytes import announce_length, read_headers, reading_body
from zlh_api.files.refusals import BodyCutOff, TransferTooSlow
from zlh_api.files.routes import FILES, REFUSED
from zlh_api.files.rules import (
    METADATA,
    Malformed,
    Nonsense,
    read_date,
    read_metadata,
    read_number,
    read_upload_id,
    target_of,
    write_metadata,
)
from zlh_api.files.service import FileService
from zlh_api.web.endpoint import Call, Endpoint, Policy
from zlh_api.web.problems import TUS_VERSION, RequestRefused, TusVersionRefused
from zlh_common.schema.file_refusals import (
    BodyStalled,
    FileHashWrong,
    FileTooShort,
    NoRoomOnDisk,
    UploadBusy,
    UploadInvalid,
    UploadLimit,
    UploadNotFound,
    UploadOffsetWrong,
    UploadPieceWrong,
)
from zlh_common.schema.files import MAX_FILE_BYTES, FileUploads

UPLOADS, ONE = f"{FILES}/uploads", f"{FILES}/uploads/{{upload}}"
PIECE = "application/offset+octet-stream"
_VERSION = {"Tus-Resumable": TUS_VERSION}
_OFFERS = {
    "Tus-Version": TUS_VERSION,
    "Tus-Extension": "creation,creation-with-upload,expiration,checksum,termination",
    "Tus-Checksum-Algorithm": "sha1,sha256",
    "Tus-Max-Size": str(MAX_FILE_BYTES),
}
_TAKES = {"Tus-Resumable": f"`{TUS_VERSION}`."}
_TAKES_BEGIN = {
    **_TAKES,
    "Upload-Length": "The size of the whole file.",
    "Upload-Metadata": f"Where it belongs and how: {', '.join(sorted(METADATA))}, each in base64.",
}
_TAKES_PIECE = {
    **_TAKES,
    "Upload-Offset": "At which byte this piece begins.",
    "Upload-Checksum": "`sha1` or `sha256` of this piece, in base64; a piece with another one is thrown away.",
}
_SAYS = {"Upload-Offset": "How much has come.", "Upload-Expires": "Until when it may be gone on with."}
_OF_BYTES = (
    BodyCutOff, BodyStalled, TransferTooSlow, FileHashWrong, FileTooShort, NoRoomOnDisk, TusVersionRefused,
    UploadInvalid, UploadPieceWrong, UploadOffsetWrong, UploadBusy,
)  # fmt: skip


def endpoints(service: FileService) -> list[Endpoint]:
    """Return the endpoints of the protocol, and the list of what is unfinished."""
    return [*_whole_endpoints(service), *_piece_endpoints(service)]


def _whole_endpoints(service: FileService) -> list[Endpoint]:
    async def offers(_call: Call) -> web.Response:
        return web.Response(status=204, headers=_OFFERS)

    async def index(call: Call) -> FileUploads:
        return (await service.ask(call.container, "GET", "/uploads", FileUploads)).value

    async def begin(call: Call) -> web.Response:
        _check_version(call)
        metadata = _metadata_of(call)
        headers = {**_VERSION, **read_headers(call, "Upload-Length", "Upload-Checksum")}
        call.note("path", target_of(metadata))
        call.note("root", metadata.get("root"))
        call.note("size", headers.get("Upload-Length"))
        headers |= {"Upload-Metadata": write_metadata(metadata)} if metadata else {}
        has_bytes = call.request.body_exists
        headers |= announce_length(call, PIECE) if has_bytes else {"Content-Length": "0"}
        with reading_body(call) as body:
            blocks = body if has_bytes else None
            async with service.open_transfer(
                call.container, "POST", "/uploads", headers=headers, body=blocks
            ) as transfer:
                upload = read_upload_id(transfer.headers)
                said = _say(transfer.headers, must_tell=has_bytes)
        call.note("upload", upload)
        place = f"/api/containers/{call.container.vmid}/files/uploads/{upload}"
        return web.Response(status=201, headers={"Location": place, **said})

    return [
        Endpoint("OPTIONS", UPLOADS, Policy.READ_FILES, offers, "What of tus 1.0.0 is spoken here", status=204,
                 headers=dict.fromkeys(_OFFERS, "See tus 1.0.0."), always=_VERSION, name="describeUploads"),
        Endpoint("GET", UPLOADS, Policy.READ_FILES, index, "Uploads that are unfinished", response=FileUploads,
                 refusals=REFUSED, name="listUploads"),
        Endpoint("POST", UPLOADS, Policy.WRITE_FILES, begin, "Begin an upload that can be gone on with", status=201,
                 is_transfer=True, raw=PIECE, takes=_TAKES_BEGIN, always=_VERSION,
                 headers={"Location": "Where its pieces are sent.", **_SAYS},
                 refusals=(*REFUSED, *_OF_BYTES, UploadLimit), act="upload.begin", name="beginUpload",
                 about="With a body, that is its first piece."),
    ]  # fmt: skip


def _piece_endpoints(service: FileService) -> list[Endpoint]:
    async def look(call: Call) -> web.Response:
        _check_version(call)
        async with service.open_transfer(
            call.container, "HEAD", _upload(call), headers=_VERSION, also=frozenset(range(400, 500))
        ) as transfer:
            # There is no body that would say why.
            if transfer.status == HTTPStatus.LOCKED:
                raise UploadBusy
            if transfer.status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
                raise UploadNotFound
            if transfer.status >= HTTPStatus.BAD_REQUEST:
                raise AgentNonsense(f"status {transfer.status} without a reason")
            length = read_number(transfer.headers, "Upload-Length", most=MAX_FILE_BYTES)
            said = _say(transfer.headers, must_tell=True)
        return web.Response(status=200, headers={"Upload-Length": str(length), "Cache-Control": "no-store", **said})

    async def add(call: Call) -> web.Response:
        _check_version(call)
        headers = {**_VERSION, **announce_length(call, PIECE), **read_headers(call, "Upload-Offset", "Upload-Checksum")}
        call.note("offset", headers.get("Upload-Offset"))
        call.note("size", call.request.content_length)
        if "Upload-Offset" not in headers:
            raise RequestRefused("its header Upload-Offset is missing")
        with reading_body(call) as body:
            async with service.open_transfer(
                call.container, "PATCH", _upload(call), headers=headers, body=body
            ) as transfer:
                said = _say(transfer.headers, must_tell=True)
        return web.Response(status=204, headers=said)

    async def give_up(call: Call) -> web.Response:
        _check_version(call)
        await service.exchange(call.container, "DELETE", _upload(call), headers=_VERSION)
        return web.Response(status=204)

    read, write, of_one = Policy.READ_FILES, Policy.WRITE_FILES, (*REFUSED, UploadNotFound, UploadBusy)
    return [
        Endpoint("HEAD", ONE, read, look, "How much of an upload has come", takes=_TAKES, always=_VERSION,
                 headers={"Upload-Length": "The size of the whole file.", **_SAYS},
                 refusals=(*of_one, TusVersionRefused), name="lookAtUpload"),
        Endpoint("PATCH", ONE, write, add, "Send the next piece of an upload", status=204, is_transfer=True,
                 is_piece=True, raw=PIECE, takes=_TAKES_PIECE, always=_VERSION, headers=_SAYS,
                 refusals=(*of_one, *_OF_BYTES), act="upload.continue", name="continueUpload"),
        Endpoint("DELETE", ONE, write, give_up, "Give an upload up", status=204, takes=_TAKES, always=_VERSION,
                 refusals=(*of_one, TusVersionRefused), act="upload.give-up", name="giveUpUpload"),
    ]  # fmt: skip


def _check_version(call: Call) -> None:
    if call.request.headers.getall("Tus-Resumable", []) != [TUS_VERSION]:
        raise TusVersionRefused


def _metadata_of(call: Call) -> dict[str, str]:
    try:
        return read_metadata(",".join(call.request.headers.getall("Upload-Metadata", [])))
    except Malformed as error:
        raise RequestRefused(f"its header {error}") from None


def _upload(call: Call) -> str:
    """Return where the agent has an upload; the id was checked like every part of a path."""
    return f"/uploads/{call.request.match_info['upload']}"


def _say(told: Mapping[str, str], *, must_tell: bool) -> dict[str, str]:
    """Return how far an upload is, as the agent says; raise Nonsense."""
    said = {}
    if must_tell or "Upload-Offset" in told:
        said["Upload-Offset"] = str(read_number(told, "Upload-Offset", most=MAX_FILE_BYTES))
    try:
        expires = read_date(told, "Upload-Expires")
    except Nonsense:
        expires = None
    return {**said, **({} if expires is None else {"Upload-Expires": expires})}
