"""What is refused of a wish for a game server."""

from __future__ import annotations

from collections.abc import Mapping

from zlh_common.errors import ZlhError
from zlh_common.names import Vmid


class VariableUnknown(ZlhError):
    """The template has no such variable."""

    code, status = "variable_unknown", 422

    def __init__(self, names: tuple[str, ...], *, known: tuple[str, ...], invalid: Mapping[str, str]) -> None:
        """`invalid`: what is wrong with the values of those that there are, by their names."""
        has = f"it has {', '.join(known)}" if known else "it has none"
        said = {name: f"The template has no variable {_show(name)}; {has}." for name in names}
        first = f"The template has no variable {', '.join(map(_show, names))}; {has}."
        wrong = _describe_invalid(invalid)
        super().__init__(" ".join((first, *wrong.values())), problems=_problems({**said, **wrong}))


class VariableInvalid(ZlhError):
    """A variable cannot have this value."""

    code, status = "variable_invalid", 422

    def __init__(self, reasons: Mapping[str, str]) -> None:
        said = _describe_invalid(reasons)
        super().__init__(" ".join(said.values()), problems=_problems(said))


class MemoryTooSmall(ZlhError):
    """The game server needs more memory than the container has."""

    code, status = "memory_too_small", 422

    def __init__(self, *, memory_mib: int, least_mib: int) -> None:
        message = f"This game server needs {least_mib} MiB of memory or more, and {memory_mib} MiB are too little."
        problem = {"field": "resources.memoryMib", "asked": memory_mib, "least": least_mib, "message": message}
        super().__init__(message, leastMib=least_mib, problems=(problem,))


class GameUnusable(ZlhError):
    """The template and the values make no command that anything can be started with."""

    code, status = "game_unusable", 422

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"A game server cannot be started like this: {reason}. Choose other values; if that does not help, the "
            "template is at fault, and whoever publishes the catalog mends it."
        )


class EulaNotAccepted(ZlhError):
    """The game asks for an agreement before anything of it is installed."""

    code, status = "eula_not_accepted", 422

    def __init__(self, *, title: str, url: str) -> None:
        super().__init__(
            f"This game asks you to agree to {title}, {url}. Read it, and send `acceptEula: true` if you do.",
            agreement=title,
            url=url,
        )


class FieldsOfOtherKind(ZlhError):
    """What is named belongs to containers of another kind."""

    code, status = "fields_of_other_kind", 422

    def __init__(self, kind: str, fields: tuple[str, ...]) -> None:
        super().__init__(f"A {kind} container has none of {', '.join(fields)}; leave them out.", fields=fields)


class TemplateMissing(ZlhError):
    """A game container needs a template."""

    code, status = "template_missing", 422

    def __init__(self) -> None:
        super().__init__(
            "A game container needs a template of the catalog: GET /api/catalog/templates lists them. Name one as "
            "`template`."
        )


class NotAGame(ZlhError):
    """The container holds no game server."""

    code, status = "not_a_game", 409

    def __init__(self, vmid: Vmid) -> None:
        super().__init__(f"Container {vmid} is no game container.", vmid=vmid)


class RuntimesOfGame(ZlhError):
    """What a game server runs on follows from its version."""

    code, status = "runtimes_of_game", 409

    def __init__(self, vmid: Vmid) -> None:
        super().__init__(
            f"The runtimes of container {vmid} are those that its game server's version needs; change that version.",
            vmid=vmid,
        )


class BackupNotFound(ZlhError):
    """The container has no such backup."""

    code, status = "backup_not_found", 404

    def __init__(self, backup_id: str) -> None:
        super().__init__(f"There is no backup {backup_id}; GET /api/game/… lists those that there are.", id=backup_id)


def _describe_invalid(reasons: Mapping[str, str]) -> dict[str, str]:
    return {name: f"{name} {reason}." for name, reason in reasons.items()}


def _problems(said: Mapping[str, str]) -> tuple[dict[str, str], ...]:
    return tuple({"field": f"variables.{_show(name)}", "message": message} for name, message in said.items())


def _show(name: str) -> str:
    plain = "".join(character if character.isprintable() else "?" for character in name[:64])
    return plain or "(nothing)"
