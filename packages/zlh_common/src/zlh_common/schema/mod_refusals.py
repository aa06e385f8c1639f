"""What can be in the way of a change of mods, in the words of agent and API alike."""

from __future__ import annotations

from zlh_common.errors import ZlhError


class ModsNotOffered(ZlhError):
    """There is nothing here that mods could be put into."""

    code, status = "mods_not_offered", 409

    def __init__(self) -> None:
        super().__init__("This container has no game server that takes mods.")


class ModsBusy(ZlhError):
    """Another change of the mods is under way."""

    code, status, retryable = "mods_busy", 409, True

    def __init__(self) -> None:
        super().__init__(
            "The mods, or all files of the server, are being changed at this moment; try again when that is done."
        )


class GameFilesChanging(ZlhError):
    """Another version of the game server, or a backup, takes the place of what is there."""

    code, status, retryable = "game_files_changing", 409, True

    def __init__(self) -> None:
        super().__init__(
            "The files of the game server are being put in place or backed up; try again once that is through."
        )


class ModsChanged(ZlhError):
    """The mods are not those that a change was planned on."""

    code, status = "mods_changed", 409

    def __init__(self) -> None:
        super().__init__("The mods have changed since this was planned; plan it again.")


class ModUnknown(ZlhError):
    """The ledger has no mod of the project."""

    code, status = "mod_unknown", 404

    def __init__(self, *, project_id: str) -> None:
        super().__init__(f"There is no mod of the project {project_id} here.", projectId=project_id)


class ModChangeUnknown(ZlhError):
    """No change of this id is known."""

    code, status = "mod_change_unknown", 404

    def __init__(self) -> None:
        super().__init__("No change of the mods has this id, or it was long ago.")


class ModChangeInterrupted(ZlhError):
    """A change was ended in the middle, and taken back."""

    code, status, retryable = "mod_change_interrupted", 409, True

    def __init__(self) -> None:
        super().__init__("The change was interrupted before all of it was ready; the mods are as before it. Try again.")


class ModChangeImpossible(ZlhError):
    """After the change the ledger would be one that cannot be read."""

    code, status = "mod_change_impossible", 409

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"The change cannot be made: {reason}.")


class ModFileUnavailable(ZlhError):
    """The file of a mod does not come."""

    code, status, retryable = "mod_file_unavailable", 502, True

    def __init__(self, *, file_name: str, reason: str) -> None:
        super().__init__(f"{file_name} could not be fetched: {reason}.", fileName=file_name)


class ModFileWrong(ZlhError):
    """The file of a mod is not the one that was promised."""

    code, status = "mod_file_wrong", 502

    def __init__(self, *, file_name: str, reason: str) -> None:
        super().__init__(f"{file_name} is not taken, since {reason}.", fileName=file_name)


class ModOriginRefused(ZlhError):
    """A file lies where none may be fetched from."""

    code, status = "mod_origin_refused", 422

    def __init__(self, *, file_name: str) -> None:
        super().__init__(f"{file_name} does not lie at a host that files may be fetched from.", fileName=file_name)


class ModFileInTheWay(ZlhError):
    """Something else has the name of a mod's file."""

    code, status = "mod_file_in_the_way", 409

    def __init__(self, *, file_name: str) -> None:
        super().__init__(
            f"{file_name} in the folder of the mods is none of ours; move or remove it, or have it identified.",
            fileName=file_name,
        )


class ModRollbackImpossible(ZlhError):
    """A change cannot be undone."""

    code, status = "mod_rollback_impossible", 409

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"The change cannot be undone: {reason}.")


class ModsDamaged(ZlhError):
    """A change could be neither finished nor undone."""

    code, status, retryable = "mods_damaged", 500, True

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"A change of the mods stands still in the middle: {reason}. It is gone on with by itself.")
