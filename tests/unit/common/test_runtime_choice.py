"""Which version is meant: exact or a leading part, the newest that fits, or a reason with the nearest right answer."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from zlh_common.runtime_choice import Choice, choose_offer, validate_wish
from zlh_common.schema.catalog import (
    Artifact,
    Catalog,
    CatalogProblem,
    CatalogRuntime,
    CatalogVersion,
    Channel,
    ValidateRuntime,
)

X86, ARM = "linux-x86_64", "linux-aarch64"
STABLE: frozenset[Channel] = frozenset({"stable"})
BOTH: frozenset[Channel] = frozenset({"stable", "candidate"})
NODE_24 = ValidateRuntime(runtime="node", version="24")


def version(text: str, *platforms: str, channel: Channel = "stable", default: bool = False) -> CatalogVersion:
    """Return a version of the catalog with one archive per platform."""
    archives = tuple(
        Artifact(
            platform=platform,
            path=f"archives/{text}-{platform}.tar.zst",
            size=1,
            unpacked_size=1,
            entries=1,
            sha256="0" * 64,
            source="wheel",
            source_sha256="0" * 64,
        )
        for platform in platforms
    )
    return CatalogVersion(version=text, channel=channel, default=default, licence="MIT", artifacts=archives)


CATALOG = Catalog(
    format=1,
    published_at=datetime(2026, 1, 1, tzinfo=UTC),
    runtimes=(
        CatalogRuntime(
            name="node",
            title="Node.js",
            versions=(
                version("25.0.0", X86, ARM, channel="candidate"),
                version("24.19.0", X86, ARM),
                version("24.9.1", X86, ARM),
                version("22.20.0", X86, default=True),
            ),
        ),
        CatalogRuntime(name="go", title="Go", versions=(version("1.27.3", X86), version("1.2.0", X86))),
        CatalogRuntime(name="zig", title="Zig", versions=(version("0.15.1", X86, channel="candidate"),)),
    ),
)


def choose(
    name: str, asked: str | None, platform: str = X86, channels: frozenset[Channel] = STABLE
) -> str | CatalogProblem:
    """Return the chosen version, or the problem."""
    found = choose_offer(CATALOG, "runtime", name=name, version=asked, platform=platform, channels=channels)
    return found.version.version if isinstance(found, Choice) else found


@pytest.mark.parametrize(
    ("name", "asked", "meant"),
    [
        ("node", "24", "24.19.0"),
        ("node", "24.9", "24.9.1"),
        ("node", "24.9.1", "24.9.1"),
        ("node", None, "22.20.0"),
        ("go", None, "1.27.3"),
        ("go", "1.2", "1.2.0"),
        ("go", "1", "1.27.3"),
    ],
)
def test_version_means_the_newest_that_fits(name: str, asked: str | None, meant: str) -> None:
    """A leading part ends at a dot ("1.2" is not 1.27), and without a version the marked default is taken."""
    assert choose(name, asked) == meant


def test_candidate_is_taken_only_by_those_who_want_candidates() -> None:
    """A channel that is not followed does not exist: neither its versions nor a runtime that has no other."""
    assert choose("node", "25", channels=BOTH) == "25.0.0"
    assert isinstance(choose("node", "25"), CatalogProblem)
    assert isinstance(choose("zig", None), CatalogProblem)
    assert choose("zig", None, channels=BOTH) == "0.15.1"


def test_platform_without_an_archive_is_passed_over() -> None:
    """The choice is installable here; where nothing is, the platforms that there are get named."""
    assert choose("node", None, ARM) == "24.19.0"
    problem = choose("node", "22", ARM)
    assert isinstance(problem, CatalogProblem)
    assert (problem.code, problem.field, problem.suggestion) == ("platform_not_offered", "platform", X86)


@pytest.mark.parametrize(
    ("name", "asked", "code", "field", "suggestion"),
    [
        ("nod", "24", "runtime_not_offered", "runtime", "node"),
        ("haskell", None, "runtime_not_offered", "runtime", None),
        ("node", "24.1", "version_not_offered", "version", "24.19.0"),
        ("node", "18", "version_not_offered", "version", "24.19.0"),
        ("node", "24.", "version_not_offered", "version", "24.19.0"),
        ("node", "4", "version_not_offered", "version", "24.19.0"),
    ],
)
def test_what_is_not_offered_comes_with_the_nearest_that_is(
    name: str, asked: str | None, code: str, field: str, suggestion: str | None
) -> None:
    """The answer says what is wrong and what would be right."""
    problem = choose(name, asked)
    assert isinstance(problem, CatalogProblem)
    assert (problem.code, problem.field, problem.suggestion) == (code, field, suggestion)


def test_empty_catalog_offers_nothing() -> None:
    """A catalog without entries is answered, not tripped over."""
    empty = Catalog(format=1, published_at=datetime(2026, 1, 1, tzinfo=UTC))
    answer = validate_wish(empty, NODE_24, platform=X86, channels=STABLE)
    assert not answer.ok
    assert answer.problems[0].message == "node is not offered; the catalog has nothing."


def test_validation_names_the_exact_version() -> None:
    """Who asks for 24 learns which one an install would take."""
    answer = validate_wish(CATALOG, NODE_24, platform=X86, channels=STABLE)
    assert (answer.ok, answer.version, answer.problems) == (True, "24.19.0", ())
