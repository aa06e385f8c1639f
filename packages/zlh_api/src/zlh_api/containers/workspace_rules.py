"""What becomes of a wish for a workspace: pure.

A repository's URL is shown to everybody who sees the container, so it holds no secret; it becomes an argument of git,
so neither it nor the branch can be read as an option.
"""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import SplitResult, urlsplit

import msgspec

from zlh_common.errors import ZlhError
from zlh_common.schema.spec import CreateContainer, PatchContainer, Repository, RepositoryWish, WantedWorkspace

SCHEMES = ("https", "http", "git")
_UNSEEN = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\\]")
_HOST = re.compile(r"(?!-)[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
# `git@host:path`, which git takes for SSH.
_LIKE_SCP = re.compile(r"[^/]+@[^/]+:")
# As far as anything can be taken for a user and password, or for a query.
_BEFORE_HOST = re.compile(r"(^[a-z0-9+.-]*://)?.*@", re.DOTALL | re.IGNORECASE)
_BEHIND_PATH = re.compile(r"([?#]).*", re.DOTALL)
# What `git check-ref-format --branch` refuses, and a leading dash.
_NO_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[-/]|[/.]$|(^|/)\.|\.lock(/|$)|^@$")


class WorkspaceOfGame(ZlhError):
    """A game container has no workspace of a customer's user."""

    code, status = "workspace_of_game", 422

    def __init__(self, fields: tuple[str, ...]) -> None:
        super().__init__(
            f"A game container has none of {', '.join(fields)}; create a dev container, or leave them out.",
            fields=fields,
        )


class RepositoryInvalid(ZlhError):
    """The URL is none that a repository is cloned from."""

    code, status = "repository_invalid", 422

    def __init__(self, reason: str) -> None:
        message = (
            f"This repository cannot be cloned: {reason}. Give its address as https://host/path, http:// or git://."
        )
        super().__init__(message, problems=({"field": "repository.url", "message": message},))


class RepositoryHasCredentials(ZlhError):
    """The URL holds a user or a password, which everybody who sees the container would read."""

    code, status = "repository_has_credentials", 422

    def __init__(self) -> None:
        message = (
            "The repository's URL holds a user or a password, and everybody who sees the container would read it. "
            "Give the URL without it; clone a private repository from a terminal."
        )
        super().__init__(message, problems=({"field": "repository.url", "message": message},))


class BranchInvalid(ZlhError):
    """No branch or tag of git can have this name."""

    code, status = "branch_invalid", 422

    def __init__(self) -> None:
        message = "Git knows no branch or tag of such a name; correct it, or leave it out."
        super().__init__(message, problems=({"field": "repository.branch", "message": message},))


class WorkspaceHasNothing(ZlhError):
    """There is neither a repository nor a start script to be tried again."""

    code, status = "workspace_has_nothing", 409

    def __init__(self) -> None:
        super().__init__("This container was created with neither a repository nor a start script: nothing is to redo.")


def decide_first_workspace(wish: CreateContainer) -> WantedWorkspace | None:
    """Return what a new container gets, None where nothing is asked for; raise what is wrong with it."""
    asked = {
        "sudo": wish.sudo,
        "repository": wish.repository is not None,
        "startScript": wish.start_script is not None,
    }
    _refuse_game(wish.kind, asked)
    if not any(asked.values()):
        return None
    repository = _decide_repository(wish.repository) if wish.repository else None
    return WantedWorkspace(sudo=wish.sudo, repository=repository, start_script=wish.start_script)


def decide_workspace(kind: Literal["dev", "game"], had: WantedWorkspace, wish: PatchContainer) -> WantedWorkspace:
    """Return what a container shall have from now on."""
    if wish.sudo is None:
        return had
    _refuse_game(kind, {"sudo": True})
    return msgspec.structs.replace(had, sudo=wish.sudo)


def decide_retry(had: WantedWorkspace) -> WantedWorkspace:
    """Return what has a failed clone tried again, and the script run once more; raise WorkspaceHasNothing."""
    if had.repository is None and had.start_script is None:
        raise WorkspaceHasNothing
    return msgspec.structs.replace(had, attempt=had.attempt + 1)


def hide_secrets(url: str) -> str:
    """Return a URL, which may be refused, without what stands where secrets do: so it can be written down."""
    return _BEHIND_PATH.sub(r"\1…", _BEFORE_HOST.sub(r"\1…@", url))


def _refuse_game(kind: Literal["dev", "game"], asked: dict[str, bool]) -> None:
    fields = tuple(name for name, is_asked in asked.items() if is_asked)
    if kind == "game" and fields:
        raise WorkspaceOfGame(fields)


def _decide_repository(wish: RepositoryWish) -> Repository:
    _check_url(wish.url)
    if wish.branch is not None and _NO_REF.search(wish.branch):
        raise BranchInvalid
    return Repository(url=wish.url, branch=wish.branch)


def _check_url(url: str) -> None:
    if _UNSEEN.search(url):
        raise RepositoryInvalid("its URL holds a space, a backslash or a character that cannot be seen")
    if _LIKE_SCP.match(url) and "://" not in url:
        raise RepositoryInvalid("SSH is not possible here yet")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise RepositoryInvalid("this is no URL") from exc
    # Git knows schemes in small letters alone.
    if url.partition(":")[0] not in SCHEMES:
        is_ssh = parts.scheme == "ssh"
        raise RepositoryInvalid("SSH is not possible here yet" if is_ssh else "this is no URL of https, http or git")
    if "@" in parts.netloc:
        raise RepositoryHasCredentials
    if reason := _find_fault(parts, host, port):
        raise RepositoryInvalid(reason)


def _find_fault(parts: SplitResult, host: str | None, port: int | None) -> str | None:
    if not host or not _HOST.fullmatch(host) or port == 0:
        return "its URL names no host"
    if parts.query or parts.fragment or parts.path in {"", "/"}:
        return "its URL needs a path, and nothing behind that"
    return None
