"""What can be in the way of work on a customer's files: the same codes from the child that works to the portal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zlh_common.errors import ZlhError


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason, as everybody is told it; `{path}` is what was asked for."""

    code: str
    status: int
    sentence: str
    may_pass: bool = False


REFUSALS = {
    refusal.code: refusal
    for refusal in (
        Refusal(code="path_invalid", status=400, sentence="{path} is no path that a file can have."),
        Refusal(code="path_not_found", status=404, sentence="There is no {path}."),
        Refusal(code="path_outside", status=403, sentence="{path} leads out of the folder that may be worked in."),
        Refusal(
            code="path_busy",
            status=409,
            sentence="{path} is being changed or used at this moment. Try again.",
            may_pass=True,
        ),
        Refusal(code="name_too_long", status=400, sentence="{path} is longer than the disk allows."),
        Refusal(code="too_many_links", status=409, sentence="{path} leads through too many links, or in a circle."),
        Refusal(code="is_the_root", status=409, sentence="The folder that everything stands in cannot be changed."),
        Refusal(code="is_a_folder", status=409, sentence="{path} is a folder."),
        Refusal(
            code="not_a_folder", status=409, sentence="{path} is no folder, or leads through something that is none."
        ),
        Refusal(code="folder_not_empty", status=409, sentence="{path} is a folder with something in it."),
        Refusal(code="not_a_regular_file", status=409, sentence="{path} is a pipe, a socket or a device, and no file."),
        Refusal(code="is_a_link", status=409, sentence="{path} is a link, and this is not done to links."),
        Refusal(code="link_outside", status=422, sentence="A link at {path} may only lead to a relative place inside."),
        Refusal(
            code="file_exists",
            status=409,
            sentence="There is already something at {path}. Choose another name, or have it replaced.",
        ),
        Refusal(
            code="file_already_there",
            status=412,
            sentence="There is already something at {path}, and it was to be written only where nothing is.",
        ),
        Refusal(
            code="file_changed",
            status=412,
            sentence="{path} is not what it was when it was last looked at. Look at it again first.",
        ),
        Refusal(code="file_too_large", status=413, sentence="{path} would be larger than a file may be."),
        Refusal(
            code="permission_denied", status=403, sentence="The rights of {path}, or of its folder, do not allow it."
        ),
        Refusal(
            code="mode_not_allowed",
            status=422,
            sentence="{path} cannot have these rights; set-uid and set-gid are refused.",
        ),
        Refusal(code="into_itself", status=409, sentence="{path} cannot be moved or copied into itself."),
        Refusal(
            code="other_file_system",
            status=409,
            sentence="{path} is on another file system, or one is mounted there. Copy it, or unmount that.",
        ),
        Refusal(
            code="disk_full",
            status=507,
            sentence="There is no room left on the disk for {path}. Remove something, or have the disk made larger.",
            may_pass=True,
        ),
        Refusal(code="disk_read_only", status=409, sentence="The disk of {path} can only be read."),
        Refusal(code="disk_error", status=500, sentence="The disk fails on {path}.", may_pass=True),
        Refusal(
            code="files_limit",
            status=409,
            sentence="{path} needs more memory or open files than file work may take. Do it in parts, or in a shell.",
        ),
    )
}


class FileRefused(ZlhError):
    """Work on a file was not done."""

    # An instance has one of the codes above, this one where none fits.
    code, status = "files_failed", 500

    def __init__(self, code: str, *, path: str, where: str = "") -> None:
        refusal = REFUSALS.get(code)
        shown = show_path(f"{path}/{where}" if where else path or "/")
        sentence = refusal.sentence if refusal else "Work on {path} failed in a way that nobody foresaw."
        super().__init__(sentence.format(path=shown), path=shown)
        if refusal is not None:
            # An instance knows better than its class.
            self.code = refusal.code  # type: ignore[misc]
            self.status = refusal.status  # type: ignore[misc]
            self.retryable = refusal.may_pass  # type: ignore[misc]


class FilesUnavailable(ZlhError):
    """The child that works on the files of a container is gone, does not answer, or is not to be believed."""

    code, status, retryable = "files_unavailable", 503, True

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"The files cannot be worked on at this moment: {reason}.")


class FilesBusy(ZlhError):
    """As much work on files is under way in a container as may be."""

    code, status, retryable = "files_busy", 503, True

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"{limit} works on files are under way, and no more than that may be at once. Try again.")


class FilesNotSafe(ZlhError):
    """The kernel lacks what work on files needs, so there is none."""

    code, status = "files_not_safe", 501

    def __init__(self, *, step: str, reason: str) -> None:
        super().__init__(f"Files are not worked on here, since it would not be safe: {step}: {reason}.", step=step)


class FileRootUnknown(ZlhError):
    """Work on files is not offered in a root of this name."""

    code, status = "file_root_unknown", 404

    def __init__(self, *, root: str, known: Sequence[str]) -> None:
        super().__init__(f"There is no root {root} here; there is {', '.join(known)}.", root=root, known=list(known))


class FilePageUnknown(ZlhError):
    """The page of a folder that was asked for is none that was named before, in the order that was asked for."""

    code, status = "file_page_unknown", 400

    def __init__(self, *, path: str) -> None:
        super().__init__(
            f"This is no page of {show_path(path) or '/'} in this order; give the `next` of the page before as it was, "
            "or begin with the first page.",
            path=show_path(path),
        )


class FileHashWrong(ZlhError):
    """What came has another hash than was said, so it was not put in place."""

    code, status = "file_hash_wrong", 422

    def __init__(self, *, path: str, wanted: str, found: str) -> None:
        super().__init__(
            f"{show_path(path)} was to have the SHA-256 {wanted}, and what came has {found}; nothing was changed.",
            path=show_path(path),
            wanted=wanted,
            found=found,
        )


class FileTooShort(ZlhError):
    """The body ended before as much had come as was announced, and can not be gone on with."""

    code, status = "file_too_short", 400

    def __init__(self, *, path: str, wanted: int, found: int) -> None:
        super().__init__(
            f"{show_path(path)} was to have {wanted} bytes, and {found} came; nothing was changed. "
            "Send it again, or by the resumable protocol.",
            path=show_path(path),
            wanted=wanted,
            found=found,
        )


class BodyStalled(ZlhError):
    """Nothing came any more of a body that was still to come."""

    code, status, retryable = "body_stalled", 408, True

    def __init__(self, *, silence_s: float) -> None:
        super().__init__(
            f"For {silence_s:g} s nothing came of what was still to come. Send it again; an upload in pieces goes on "
            "where it stopped."
        )


class UploadNotFound(ZlhError):
    """There is no such upload: it is finished, given up, or never was."""

    code, status = "upload_not_found", 404

    def __init__(self) -> None:
        super().__init__("There is no such upload: it is finished, was given up, or has expired. Begin a new one.")


class UploadOffsetWrong(ZlhError):
    """A piece of an upload does not begin where the last one ended."""

    code, status = "upload_offset_wrong", 409

    def __init__(self, *, wanted: int, given: int) -> None:
        super().__init__(
            f"The upload goes on at byte {wanted}, not at {given}; ask for its offset and send what follows.",
            offset=wanted,
            given=given,
        )


class UploadBusy(ZlhError):
    """Another connection has come to this upload, or it is being put in place."""

    code, status, retryable = "upload_busy", 423, True

    def __init__(self) -> None:
        super().__init__(
            "Another connection has come to this upload, or it is being put in place. Ask for its offset a moment "
            "later, and go on there."
        )


class UploadPieceWrong(ZlhError):
    """A piece of an upload has another checksum than was said; it was thrown away."""

    # As the tus protocol wants it.
    code, status, retryable = "upload_piece_wrong", 460, True

    def __init__(self) -> None:
        super().__init__("The piece has another checksum than was said, and was thrown away; send it again.")


class UploadInvalid(ZlhError):
    """What is said of an upload does not make one."""

    code, status = "upload_invalid", 400

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"This is no upload: {reason}.")


class UploadTypeWrong(ZlhError):
    """A piece of an upload is not sent as one."""

    code, status = "upload_type_wrong", 415

    def __init__(self, *, wanted: str) -> None:
        super().__init__(f"A piece of an upload is sent with the Content-Type {wanted}.", wanted=wanted)


class TusVersionWrong(ZlhError):
    """The client speaks another version of the resumable protocol, or does not say which."""

    code, status = "tus_version_wrong", 412

    def __init__(self, *, version: str) -> None:
        super().__init__(f"Uploads are taken by version {version} of tus; say so in Tus-Resumable.", version=version)


class UploadLimit(ZlhError):
    """As many uploads are unfinished as may be."""

    code, status = "upload_limit", 409

    def __init__(self, *, limit: int) -> None:
        super().__init__(
            f"{limit} uploads are unfinished, and no more may be; finish or give up one of them.", limit=limit
        )


class NoRoomOnDisk(ZlhError):
    """What was announced is more than the disk has left; nothing of it was taken."""

    code, status = "no_room_on_disk", 507

    def __init__(self, *, path: str, wanted_bytes: int, free_bytes: int, free_files: int | None = None) -> None:
        """`free_files` is how many files the disk can still hold, where that is what is missing."""
        lack = (
            f"takes {wanted_bytes} bytes, and the disk has {free_bytes} left"
            if free_files is None
            else f"is one more file, and the disk can hold {free_files} more, however small"
        )
        super().__init__(
            f"{show_path(path)} {lack}. Remove something, or have the container made larger.",
            wantedBytes=wanted_bytes,
            freeBytes=free_bytes,
            **({} if free_files is None else {"freeFiles": free_files}),
        )


class OperationNotFound(ZlhError):
    """There is no such operation, or it has ended long ago."""

    code, status = "operation_not_found", 404

    def __init__(self) -> None:
        super().__init__(
            "There is no such operation; those that have ended are forgotten after a while. Look at the files to see "
            "what it has done."
        )


class OperationLimit(ZlhError):
    """As many operations on files are under way as may be."""

    code, status, retryable = "operation_limit", 429, True

    def __init__(self, *, limit: int) -> None:
        super().__init__(
            f"{limit} operations on files are under way, and no more may be; wait or cancel one.", limit=limit
        )


class ArchiveRefused(ZlhError):
    """An archive cannot be unpacked, or not be unpacked safely; nothing of it was put in place."""

    code, status = "file_archive_refused", 422

    def __init__(self, *, path: str, reason: str) -> None:
        super().__init__(f"{show_path(path)} is not unpacked: {reason}. Nothing was changed.", path=show_path(path))


def show_path(path: str) -> str:
    """Return a path as one line of text, with what is no text in it escaped, and bounded."""
    shown = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in path)
    return shown if len(shown) <= 200 else f"…{shown[-200:]}"
