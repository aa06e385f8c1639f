"""What can go wrong with a game server's files. Each says whether trying again can help without anybody acting."""

from __future__ import annotations

from zlh_common.errors import ZlhError


class GameFileUnavailable(ZlhError):
    """No address gives a file of the game server."""

    code, status, retryable = "game_file_unavailable", 503, True

    def __init__(self, *, path: str, reason: str, may_pass: bool = True) -> None:
        super().__init__(f"{path} cannot be had: {reason}.", path=path)
        self.retryable = may_pass  # type: ignore[misc]  # one that is refused everywhere stays refused


class GameFileRefused(ZlhError):
    """A file of the game server is not what the signed catalog says."""

    code, status = "game_file_refused", 502

    def __init__(self, *, path: str, reason: str) -> None:
        super().__init__(f"{path} is refused and deleted: {reason}.", path=path)


class GameFileBlocked(ZlhError):
    """What stands where a file of the game server belongs, or on the way there, does not let it be placed."""

    code, status = "game_file_blocked", 409

    def __init__(self, *, path: str) -> None:
        super().__init__(
            f"{path} is in the way of the game server's files: it is a folder where a file belongs, leads out of the"
            " server's folder, or may not be written in. Move it away, or mend its rights.",
            path=path,
        )


class GameFilesMissing(ZlhError):
    """Files that were staged have gone or were changed before they had their names."""

    code, status, retryable = "game_files_missing", 409, True

    def __init__(self, *, paths: list[str]) -> None:
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        super().__init__(f"{', '.join(paths[:3])}{more} changed before they were in place; they are fetched anew.")


class ConfigUnreadable(ZlhError):
    """A configuration file of the game server cannot be read, so the server is not started."""

    code, status = "config_unreadable", 409

    def __init__(self, *, path: str, line: int | None, reason: str) -> None:
        where = f"{path}, line {line}" if line is not None else path
        super().__init__(f"{where}: {reason}. Mend it or delete the file; it was not changed.", path=path, line=line)


class GameScriptFailed(ZlhError):
    """A script of the game's template did not do what it should."""

    code, status = "game_script_failed", 502

    def __init__(self, *, name: str, reason: str, exit_code: int | None, output: str) -> None:
        super().__init__(f"The script {name} {reason}.", exitCode=exit_code, output=output)


class GameChildFailed(ZlhError):
    """A child that works on the game server's files ended without an answer."""

    code, status, retryable = "game_child_failed", 500, True

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"The work on the game server's files was interrupted: {reason}.")


class GameFolderUnusable(ZlhError):
    """The folder of the game server is not what it must be."""

    code, status = "game_folder_unusable", 409

    def __init__(self, *, path: str, reason: str) -> None:
        super().__init__(f"{path} cannot be used: {reason}.")


class GameBackupUnknown(ZlhError):
    """There is no such backup."""

    code, status = "game_backup_unknown", 404

    def __init__(self, backup_id: str) -> None:
        super().__init__(f"There is no backup {backup_id}; `backups` names those that there are.")


class GameBackupTooLarge(ZlhError):
    """There is not enough room for a backup of the server's folder."""

    code, status = "game_backup_too_large", 507

    def __init__(self, *, needed_bytes: int, free_bytes: int) -> None:
        super().__init__(
            f"A backup may take {needed_bytes} bytes where {free_bytes} are free. Make room, or change the version"
            " without a backup."
        )


class GameBackupIncomplete(ZlhError):
    """Something in the server's folder cannot be packed, so a backup would lack it."""

    code, status = "game_backup_incomplete", 409

    def __init__(self, *, path: str, reason: str, count: int) -> None:
        more = f", and {count - 1} more" if count > 1 else ""
        super().__init__(
            f"{path} cannot be packed ({reason}){more}, so a backup would lack it. Give its owner the right to read it,"
            " or change the version without a backup.",
            path=path,
        )


class NoGame(ZlhError):
    """This container has no game server."""

    code, status = "no_game", 404

    def __init__(self) -> None:
        super().__init__("This container has no game server.")


class GameStepFailed(ZlhError):
    """Something that a game server needs was not done; `reason_code` says why."""

    code, status = "game_step_failed", 502

    def __init__(
        self, *, reason_code: str, message: str, may_pass: bool, exit_code: int | None = None, output: str | None = None
    ) -> None:
        super().__init__(message, reasonCode=reason_code)
        self.reason_code = reason_code
        # An instance knows better than its class whether the reason can pass.
        self.may_pass = may_pass
        self.exit_code = exit_code
        self.output = output
