"""What can go wrong between a recipe and an archive that a client believes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zlh_common.errors import ZlhError


class RecipeUnknown(ZlhError):
    """There is no recipe of this name."""

    code, status = "recipe_unknown", 404

    def __init__(self, *, asked: str, known: list[str], suggestion: str | None) -> None:
        hint = f" Did you mean {suggestion}?" if suggestion else ""
        super().__init__(f"There is no recipe {asked}; there are {', '.join(known) or 'none'}.{hint}", known=known)


class RecipeInvalid(ZlhError):
    """A recipe cannot be used as it is written."""

    code = "recipe_invalid"

    def __init__(self, *, recipe: str, reason: str) -> None:
        super().__init__(f"The recipe {recipe} cannot be used: {reason}.")


class TemplateInvalid(ZlhError):
    """A template of a game server cannot be used as it is written."""

    code = "template_invalid"

    def __init__(self, *, template: str, problems: Sequence[str]) -> None:
        told = " ".join(f"({number}) {problem}" for number, problem in enumerate(problems, 1))
        super().__init__(f"The template {template} cannot be used: {told}", problems=list(problems))


class CatalogTooLarge(ZlhError):
    """What is to be signed is more than any reader takes."""

    code, status = "catalog_too_large", 409

    def __init__(self, *, size: int, limit: int) -> None:
        super().__init__(
            f"The catalog would have {size} bytes, and readers take {limit}; offer fewer versions of game servers "
            "(`keep` in their templates), or withdraw old ones."
        )


class PlatformNotBuilt(ZlhError):
    """A recipe names no source for this platform."""

    code, status = "artifact_platform_unknown", 409

    def __init__(self, *, recipe: str, platform: str, platforms: list[str]) -> None:
        super().__init__(f"{recipe} cannot be built for {platform}; its recipe knows {', '.join(platforms)}.")


class ArtifactFetchFailed(ZlhError):
    """The source of an artifact could not be fetched."""

    code, status, retryable = "artifact_fetch_failed", 502, True

    def __init__(self, *, source: str, reason: str) -> None:
        super().__init__(f"{source} could not be fetched: {reason}", source=source)


class ArtifactPartsMissing(ZlhError):
    """This machine lacks what an artifact is built with."""

    code, status = "artifact_parts_missing", 409

    def __init__(self, *, recipe: str, parts: list[str]) -> None:
        super().__init__(f"{recipe} cannot be built on this machine, which lacks {', '.join(parts)}.", parts=parts)


class SourceUnsafe(ZlhError):
    """The source of an artifact holds what no archive of ours may come from."""

    code, status = "artifact_source_unsafe", 502

    def __init__(self, *, source: str, reason: str) -> None:
        super().__init__(f"{source} is not used: {reason}.", source=source)


class SourceVersionUnexpected(ZlhError):
    """A source offers a version of another line than the recipe's."""

    code, status = "artifact_version_unexpected", 502

    def __init__(self, *, recipe: str, found: str) -> None:
        super().__init__(f"The source of {recipe} now has version {found}, which is of another line; it is not used.")


class SourceHashMismatch(ZlhError):
    """The source of an artifact is not the file that its recipe names."""

    code, status = "artifact_source_mismatch", 502

    def __init__(self, *, source: str, wanted: str, found: str) -> None:
        super().__init__(f"{source} has the hash {found} and should have {wanted}; it is not used.", source=source)


class ArtifactAlreadyPublished(ZlhError):
    """A recipe changed what it makes, while clients may be fetching what it made before."""

    code, status = "artifact_already_published", 409

    def __init__(self, *, archive: str, wanted: str, found: str) -> None:
        super().__init__(
            f"{archive} is published as {found} and the recipe now makes {wanted}; a published archive never changes, "
            "so raise `revision` in the recipe.",
            archive=archive,
        )


class ArtifactDiffers(ZlhError):
    """A release has other bytes for an archive that clients may be fetching."""

    code, status = "artifact_differs", 409

    def __init__(self, *, archive: str, held: str, offered: str) -> None:
        super().__init__(
            f"{archive} is published as {held} and the release has it as {offered}; a published archive never changes, "
            "so make the release anew under another version.",
            archive=archive,
        )


class NothingToImport(ZlhError):
    """A folder holds no archives to be taken in."""

    code, status = "artifacts_nothing_to_import", 404

    def __init__(self, *, folder: Path) -> None:
        super().__init__(
            f"{folder} holds no archives with their records; name the folder of a release, in which `artifacts` is."
        )


class ArtifactsNotInitialised(ZlhError):
    """The folder holds no published catalog yet."""

    code, status = "artifacts_not_initialised", 409

    def __init__(self, *, folder: Path, missing: str) -> None:
        super().__init__(
            f"{folder} has no {missing} yet; run `zlh-api artifacts init`, `build` and `publish`.", missing=missing
        )


class ArtifactDamaged(ZlhError):
    """A file of the tree is not what was signed."""

    code = "artifact_damaged"

    def __init__(self, *, file: str, reason: str) -> None:
        super().__init__(f"{file} is not what was signed: {reason}.", file=file)


class KeysUnusable(ZlhError):
    """A signing key is missing, readable by others, or not the one that the root names."""

    code = "artifact_keys_unusable"

    def __init__(self, *, key: Path, reason: str) -> None:
        super().__init__(f"The signing key {key} cannot be used: {reason}.")


class NothingToPublish(ZlhError):
    """No archive has been built."""

    code, status = "artifacts_nothing_built", 409

    def __init__(self, *, folder: Path) -> None:
        super().__init__(f"{folder} holds no built archive; run `zlh-api artifacts build` first.")


class ArtifactsBusy(ZlhError):
    """Another process is changing the same tree."""

    code, status, retryable = "artifacts_busy", 409, True

    def __init__(self, *, folder: Path, waited_s: float) -> None:
        super().__init__(f"Another process has been changing {folder} for {waited_s:.0f} s; try again when it is done.")


class ArtifactsNotWritable(ZlhError):
    """The tree cannot be written."""

    code = "artifacts_not_writable"

    def __init__(self, *, folder: Path, reason: str) -> None:
        super().__init__(f"{folder} cannot be written: {reason}.")


class ArtifactsDiskFull(ZlhError):
    """There is no room for another archive."""

    code, status = "artifacts_disk_full", 507

    def __init__(self, *, folder: Path, needed: int, free: int) -> None:
        super().__init__(
            f"{folder} has {free // 1_000_000} MB free and the next archive needs about {needed // 1_000_000} MB.",
            needed=needed,
            free=free,
        )


class OfferUnknown(ZlhError):
    """Nothing of this name or version is published."""

    code, status = "offer_unknown", 404

    def __init__(self, *, asked: str, of: str | None, known: list[str], suggestion: str | None) -> None:
        hint = f" Did you mean {suggestion}?" if suggestion else ""
        what = f"{of} {asked} is not published; of {of}" if of else f"{asked} is not published; of all"
        super().__init__(f"{what} there is {', '.join(known[:20]) or 'nothing'}.{hint}", known=known[:20])


class OfferAmbiguous(ZlhError):
    """A name stands for things of several kinds."""

    code, status = "offer_ambiguous", 409

    def __init__(self, *, name: str, kinds: Sequence[str]) -> None:
        super().__init__(f"{name} is {' and '.join(kinds)}; say which with --kind.", kinds=list(kinds))


class LastStableVersion(ZlhError):
    """A runtime would be left without any stable version."""

    code, status = "offer_last_stable", 409

    def __init__(self, *, name: str, version: str) -> None:
        super().__init__(
            f"{version} is the only stable version of {name}: without it whoever takes stable versions could not "
            "install it any more. Promote another first, or say --leave-none."
        )


class DefaultNotStable(ZlhError):
    """A candidate cannot be the default."""

    code, status = "default_not_stable", 409

    def __init__(self, *, name: str, version: str) -> None:
        super().__init__(f"{name} {version} is not stable; `promote {name} {version} --default` makes it both.")


class FileUnknown(ZlhError):
    """The artifact server has no such file."""

    code, status = "artifact_file_unknown", 404

    def __init__(self) -> None:
        super().__init__("The artifact server has no such file; the catalog names those that it has.")


class MethodNotOffered(ZlhError):
    """Artifacts are only read."""

    code, status = "artifacts_read_only", 405

    def __init__(self, *, method: str) -> None:
        super().__init__(f"Artifacts are read with GET and HEAD; {method} is not offered.")
