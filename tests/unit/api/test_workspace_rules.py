"""What may be asked of a workspace, and what is refused with which code."""

from __future__ import annotations

import pytest

from zlh_api.containers.workspace_rules import (
    BranchInvalid,
    RepositoryHasCredentials,
    RepositoryInvalid,
    WorkspaceHasNothing,
    WorkspaceOfGame,
    decide_first_workspace,
    decide_retry,
    decide_workspace,
    hide_secrets,
)
from zlh_common.schema.spec import CreateContainer, PatchContainer, Repository, RepositoryWish, WantedWorkspace


def wish(url: str, branch: str | None = None) -> CreateContainer:
    """Return a wish for a dev container with this repository."""
    return CreateContainer(kind="dev", repository=RepositoryWish(url=url, branch=branch))


@pytest.mark.parametrize(
    "url",
    [
        "https://h.example/me/shop.git",
        "http://10.0.0.1:3000/x",
        "git://[::1]:9418/x",
        "https://H.example/x",
        "https://h/a~b/ü",
    ],
)
def test_what_git_can_clone_is_taken_as_it_is(url: str) -> None:
    """Byte for byte."""
    made = decide_first_workspace(wish(url, "feature/x"))
    assert made == WantedWorkspace(repository=Repository(url=url, branch="feature/x"))


@pytest.mark.parametrize(
    "url",
    [
        "-u", "--upload-pack=x", "/etc", "file:///etc", "ssh://git@h/x", "git@h:me/x.git", "ext::sh -c id", "https://",
        "https:///x", "https://h", "https://h/", "https://-h/x", "https://h:99999/x", "https://h:0/x", "https://[::1/x",
        "https://h/x y", "https://h/x\n", "https://h/\x7f", "https://h\\x", "https://h/x?private_token=1", "https://h/x#y",
        "https://h/\u2028", "//h/x", "ftp://h/x", "HTTPS://h/x",
    ],
)  # fmt: skip
def test_what_it_cannot_or_may_not_is_refused(url: str) -> None:
    """Never a way to an option, another protocol or a file."""
    with pytest.raises(RepositoryInvalid):
        decide_first_workspace(wish(url))


@pytest.mark.parametrize("url", ["https://me:secret@h/x", "https://token@h/x", "http://@h/x", "git://me@h/x"])
def test_a_secret_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    """Everybody who sees the container would read it."""
    with pytest.raises(RepositoryHasCredentials) as refused:
        decide_first_workspace(wish(url))
    assert "secret" not in refused.value.detail


@pytest.mark.parametrize(
    "branch",
    ["-b", "a..b", "a b", "a~", "a^", "a:b", "a?", "a*", "a[", "a\\b", "/a", "a/", "a//b", ".a", "a/.b", "a.", "a.lock",
     "a.lock/b", "@", "a@{b", "a\x7f", "a\nb"],
)  # fmt: skip
def test_a_branch_that_git_refuses_is_refused(branch: str) -> None:
    """By git's own rules."""
    with pytest.raises(BranchInvalid):
        decide_first_workspace(wish("https://h/x", branch))


@pytest.mark.parametrize("branch", ["main", "v1.0", "feature/a-b", "a@b", "ü", "x" * 255])
def test_a_branch_that_git_takes_is_taken(branch: str) -> None:
    """Tags too."""
    assert decide_first_workspace(wish("https://h/x", branch)) is not None


def test_a_game_has_none_of_it() -> None:
    """And a dev container that asks for nothing has nothing."""
    for game in (
        CreateContainer(kind="game", sudo=True),
        CreateContainer(kind="game", start_script="x"),
        CreateContainer(kind="game", repository=RepositoryWish(url="https://h/x")),
    ):
        with pytest.raises(WorkspaceOfGame):
            decide_first_workspace(game)
    with pytest.raises(WorkspaceOfGame):
        decide_workspace("game", WantedWorkspace(), PatchContainer(sudo=False))
    assert decide_first_workspace(CreateContainer(kind="game")) is None
    assert decide_first_workspace(CreateContainer(kind="dev")) is None


def test_a_change_of_sudo_changes_nothing_else() -> None:
    """And none that is not named changes anything."""
    had = WantedWorkspace(repository=Repository(url="https://h/x"), start_script="x", attempt=3)
    changed = decide_workspace("dev", had, PatchContainer(sudo=True))
    assert changed == WantedWorkspace(sudo=True, repository=had.repository, start_script="x", attempt=3)
    assert decide_workspace("dev", had, PatchContainer(name="x")) == had


def test_trying_again_raises_the_attempt() -> None:
    """Of what there is to try."""
    assert decide_retry(WantedWorkspace(start_script="x")).attempt == 1
    with pytest.raises(WorkspaceHasNothing):
        decide_retry(WantedWorkspace(sudo=True))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/me/shop.git", "https://h/me/shop.git"),
        ("https://me:secret@h/x", "https://…@h/x"),
        ("https://me:sec@ret@h/x", "https://…@h/x"),
        ("secret@h:x", "…@h:x"),
        ("https://h/x?token=secret#secret", "https://h/x?…"),
    ],
)
def test_a_url_is_written_down_without_what_may_be_secret(url: str, shown: str) -> None:
    """The audit log is for ever, and holds refused wishes as well."""
    assert hide_secrets(url) == shown
