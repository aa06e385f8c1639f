"""What can be in the way of work on a customer's files: the same codes from the child that works to the portal."""

from __future__ import annotations

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
            code="path_busy", status=409, sentence="{path} is being changed or used at this moment.", may_pass=True
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
        Refusal(code="file_exists", status=409, sentence="There is already something at {path}."),
        Refusal(code="file_changed", status=412, sentence="{path} is not what it was when it was last looked at."),
        Refusal(code="file_too_large", status=413, sentence="{path} would be larger than a file may be."),
        Refusal(
            code="permission_denied", status=403, sentence="The rights of {path}, or of its folder, do not allow it."
        ),
        Refusal(
            code="mode_not_allowed",
            status=422,
            sentence="{path} cannot have these rights; set-uid and set-gid are refused.",
        ),
        Refusal(code="into_itself", status=409, sentence="{path} cannot be moved into itself."),
        Refusal(
            code="other_file_system", status=409, sentence="{path} is on another file system, or one is mounted in it."
        ),
        Refusal(code="disk_full", status=507, sentence="There is no room left on the disk for {path}.", may_pass=True),
        Refusal(code="disk_read_only", status=409, sentence="The disk of {path} can only be read."),
        Refusal(code="disk_error", status=500, sentence="The disk fails on {path}.", may_pass=True),
        Refusal(
            code="files_limit", status=409, sentence="{path} needs more memory or open files than file work may take."
        ),
    )
}


class FileRefused(ZlhError):
    """Work on a file was not done; an instance has one of the codes above, this one where none fits."""

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
        super().__init__(f"{limit} works on files are under way, and no more than that may be at once.")


class FilesNotSafe(ZlhError):
    """The kernel lacks what work on files needs, so there is none."""

    code, status = "files_not_safe", 501

    def __init__(self, *, step: str, reason: str) -> None:
        super().__init__(f"Files are not worked on here, since it would not be safe: {step}: {reason}.", step=step)


def show_path(path: str) -> str:
    """Return a path as one line of text, with what is no text in it escaped, and bounded."""
    shown = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in path)
    return shown if len(shown) <= 200 else f"…{shown[-200:]}"
