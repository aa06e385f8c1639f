"""What can go wrong with an install. Each says whether trying again can help without anybody changing anything."""

from __future__ import annotations

from collections.abc import Sequence

from zlh_common.errors import ZlhError


class ArtifactUnavailable(ZlhError):
    """The artifact server does not give the archive."""

    code, status, retryable = "artifact_unavailable", 503, True

    def __init__(self, *, path: str, reason: str) -> None:
        super().__init__(f"The artifact server does not give {path}: {reason}.")


class ArtifactSizeMismatch(ZlhError):
    """The archive is not as long as the signed catalog says."""

    code, status = "artifact_size_mismatch", 502

    def __init__(self, *, path: str, expected: int, found: str) -> None:
        super().__init__(f"{path} should have {expected} bytes and has {found}. It is refused and deleted.")


class ArtifactHashMismatch(ZlhError):
    """The archive is not the one that the signed catalog names."""

    code, status = "artifact_hash_mismatch", 502

    def __init__(self, *, path: str, expected: str, found: str) -> None:
        super().__init__(
            f"{path} should have SHA-256 {expected} and has {found}. It is refused and deleted; nothing was unpacked."
        )


class DiskFull(ZlhError):
    """There is not enough room for the install."""

    code, status, retryable = "disk_full", 507, True

    def __init__(self, *, needed_bytes: int, free_bytes: int, needed_files: int, free_files: int | None) -> None:
        files = "" if free_files is None else f", and {needed_files} new files where {free_files} can be made"
        super().__init__(f"The install needs {needed_bytes} bytes where {free_bytes} are free{files}.")


class DiskFailed(ZlhError):
    """The disk refuses what a child does."""

    code, status, retryable = "disk_error", 500, True

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"The disk refuses: {reason}.")


class UnpackFailed(ZlhError):
    """The archive cannot be unpacked."""

    code, status = "unpack_failed", 502

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"The archive cannot be unpacked: {reason}.")
        self.reason = reason


class ArchiveRefused(ZlhError):
    """The archive holds something that no runtime may hold."""

    code, status = "archive_refused", 502

    def __init__(self, *, entry: str, what: str) -> None:
        super().__init__(
            f"The archive is refused, since its entry {entry[:300]!r} is {what}. Nothing of it was kept.",
            entry=entry[:300],
        )
        self.entry = entry[:300]
        self.what = what


class SmokeTestFailed(ZlhError):
    """The unpacked runtime does not run as it should."""

    code, status = "smoke_test_failed", 502

    def __init__(self, *, command: str, reason: str, exit_code: int | None, output: str) -> None:
        super().__init__(f"`{command}` {reason}. The runtime was not installed.", exitCode=exit_code, output=output)


class AgentPythonUnsupported(ZlhError):
    """A bundle of the agent has no modules for the Python of this container."""

    code, status = "agent_python_unsupported", 409

    def __init__(self, *, version: str, python: str, supported: Sequence[str]) -> None:
        told = ", ".join(supported)
        super().__init__(
            f"The agent {version} has modules for Python {told}, and this container has {python}. "
            "Give the container one of those, or roll out a version that is for it."
        )


class NotInCatalog(ZlhError):
    """The catalog does not offer what is wanted; `reason_code` says what is missing."""

    code, status = "not_in_catalog", 422

    def __init__(self, *, reason_code: str, message: str) -> None:
        super().__init__(message, reasonCode=reason_code)


class InstallInterrupted(ZlhError):
    """The child that installs ended without a word."""

    code, status, retryable = "install_interrupted", 500, True

    def __init__(self, *, exit_code: int, output: str) -> None:
        super().__init__(f"The install was interrupted (exit {exit_code}).", exitCode=exit_code, output=output)


class RuntimeChanged(ZlhError):
    """An installed version is not what was installed any more."""

    code, status = "runtime_changed", 409

    def __init__(self, *, name: str, version: str, files: list[str]) -> None:
        told = ", ".join(files[:5]) + (f" and {len(files) - 5} more" if len(files) > 5 else "")
        super().__init__(
            f"{name} {version} is not what was installed: {told}. It is not taken into use; install it anew.",
            files=files[:5],
        )


class InstallNotConfined(ZlhError):
    """The child that installs could not give up its rights, so it did nothing."""

    code, status = "install_not_confined", 500

    def __init__(self, *, step: str, reason: str) -> None:
        super().__init__(f"The install could not be confined ({step}: {reason}), so it was not begun.")


class RuntimeNotInstalled(ZlhError):
    """This version is not installed."""

    code, status = "runtime_not_installed", 404

    def __init__(self, *, name: str, version: str) -> None:
        super().__init__(f"{name} {version} is not installed.")


class RuntimeBusy(ZlhError):
    """The version was changed or removed while it was being looked at."""

    code, status, retryable = "runtime_busy", 409, True

    def __init__(self, *, name: str, version: str) -> None:
        super().__init__(f"{name} {version} is being changed at the moment.")


class RuntimeIsCurrent(ZlhError):
    """PATH leads to this version, so it stays."""

    code, status, retryable = "runtime_is_current", 409, True

    def __init__(self, *, name: str, version: str) -> None:
        super().__init__(f"`current` leads to {name} {version}, and the spec names other versions of {name}.")


class RuntimeUseUnknown(ZlhError):
    """There are more processes than can be looked at, so nobody knows who uses a version."""

    code, status, retryable = "runtime_use_unknown", 503, True

    def __init__(self) -> None:
        super().__init__("There are too many processes and open files to tell who uses this version.")


class RuntimeChildFailed(ZlhError):
    """A child that checks or removes a version did not do it; `reason_code` says why."""

    code, status, retryable = "runtime_child_failed", 500, True

    def __init__(self, *, reason_code: str, message: str, may_pass: bool = True) -> None:
        super().__init__(message, reasonCode=reason_code)
        self.reason_code = reason_code
        # An instance knows better than its class whether the reason can pass.
        self.may_pass = may_pass
