"""What can go wrong with a workspace, as its steps tell it. Each says whether trying again can help by itself."""

from __future__ import annotations

from zlh_common.errors import ZlhError


class StepFailed(ZlhError):
    """A step of the workspace did not work; each kind says why."""

    code, status = "workspace_step_failed", 500

    def __init__(self, message: str, *, exit_code: int | None = None, output: str | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.output = output


class WorkspaceUnusable(StepFailed):
    """Home or workspace is not a folder of the customer's user that they can write."""

    code = "workspace_unusable"


class SudoUnavailable(StepFailed):
    """There is nobody to give `sudo` to: programs run as the agent's own user."""

    code = "sudo_unavailable"


class SudoFailed(StepFailed):
    """The rule for `sudo` cannot be written or taken away."""

    code = "sudo_failed"


class WorkspaceNotEmpty(StepFailed):
    """Nothing is cloned over files."""

    code = "workspace_not_empty"


class RepositoryNotFound(StepFailed):
    """The server has no such repository, or shows it to nobody who is not signed in."""

    code = "repository_not_found"


class RepositoryNeedsCredentials(StepFailed):
    """The server wants to know who asks."""

    code = "repository_needs_credentials"


class BranchNotFound(StepFailed):
    """The repository has no such branch or tag."""

    code = "repository_branch_not_found"


class RepositoryUnreachable(StepFailed):
    """The server does not answer, or not to the end."""

    code, retryable = "repository_unreachable", True


class RepositoryDiskFull(StepFailed):
    """The container's disk has no room for the repository."""

    code = "repository_disk_full"


class RepositoryTimedOut(StepFailed):
    """It took longer than a clone may."""

    code = "repository_timed_out"


class GitMissing(StepFailed):
    """The container has no git."""

    code = "git_missing"


class CloneFailed(StepFailed):
    """Git failed in another way; its own words stand in the output."""

    code = "clone_failed"


class CloneInterrupted(StepFailed):
    """The child that clones ended without a word."""

    code, retryable = "clone_interrupted", True


class StartScriptFailed(StepFailed):
    """The script ended with another code than 0, or was killed."""

    code = "start_script_failed"


class StartScriptTimedOut(StepFailed):
    """The script was still running when its time was up."""

    code = "start_script_timed_out"


class StartScriptInterrupted(StepFailed):
    """The container went down while the script ran, or nobody saw its end."""

    code = "start_script_interrupted"


class StartScriptNotStarted(StepFailed):
    """The script could not be begun, and nothing of it has run."""

    code, retryable = "start_script_not_started", True


# What a child that clones may say; each has words in `clone_rules`.
FAILURES: dict[str, type[StepFailed]] = {
    kind.code: kind
    for kind in (
        WorkspaceNotEmpty, RepositoryNotFound, RepositoryNeedsCredentials, BranchNotFound, RepositoryUnreachable,
        RepositoryDiskFull, RepositoryTimedOut, GitMissing, CloneFailed, CloneInterrupted,
    )
}  # fmt: skip
