"""What can be wrong with asking for mods."""

from __future__ import annotations

from collections.abc import Iterable

from zlh_common.errors import ZlhError
from zlh_common.schema.mods import PlanProblem


class ModsNotConfigured(ZlhError):
    """This installation does not ask Modrinth."""

    code, status = "mods_not_configured", 409

    def __init__(self) -> None:
        super().__init__("Mods cannot be looked for here: the operator has not configured Modrinth ([mods]).")


class ModrinthRefused(ZlhError):
    """Modrinth does not answer as it should."""

    code, status = "modrinth_refused", 502

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"Modrinth cannot be made use of: {reason}.")


class ModProjectUnknown(ZlhError):
    """Modrinth has no such project."""

    code, status = "mod_project_unknown", 404

    def __init__(self, *, project: str) -> None:
        super().__init__(f"Modrinth has no project {project}; search for it.", project=project)


class ModsTooWide(ZlhError):
    """A wish leads to more than is looked at."""

    code, status = "mods_too_wide", 422

    def __init__(self, *, limit: int, of: str = "projects") -> None:
        super().__init__(f"What these mods need leads to more than {limit} {of}; ask for fewer.", limit=limit)


class ModsImpossible(ZlhError):
    """What is asked for cannot be done as it is."""

    code, status = "mods_impossible", 409

    def __init__(self, problems: Iterable[PlanProblem]) -> None:
        fatal = [problem for problem in problems if problem.is_fatal]
        told = " ".join(problem.message for problem in fatal[:3])
        super().__init__(
            f"This cannot be done: {told}",
            problems=[{"code": problem.code, "message": problem.message} for problem in fatal[:20]],
        )
