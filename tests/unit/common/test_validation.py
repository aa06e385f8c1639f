"""`POST /api/catalog/validate` as a decision: whatever is asked, the answer is right, whole, and says what would be."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_common.runtime_choice import Choice, choose_offer, is_pre_release, validate_wish
from zlh_common.schema.catalog import (
    Artifact,
    Catalog,
    CatalogAddon,
    CatalogRuntime,
    CatalogVersion,
    Channel,
    OfferKind,
    ValidateRuntime,
)
from zlh_common.schema.process import ProcessPolicy
from zlh_common.schema.structs import encode
from zlh_common.schema.template import (
    CatalogTemplate,
    GameTemplate,
    Requirement,
    Start,
    TemplatePort,
    TemplateVersion,
)

X86, ARM = "linux-x86_64", "linux-aarch64"
STABLE: frozenset[Channel] = frozenset({"stable"})
PLACES = {"runtime", "addon", "template", "version", "platform"}


def version(
    text: str, *, platforms: tuple[str, ...] = (X86,), channel: Channel = "stable", default: bool = False
) -> CatalogVersion:
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


def game(*versions: TemplateVersion, name: str = "minecraft") -> CatalogTemplate:
    """Return a game server with these versions."""
    template = GameTemplate(
        game="minecraft",
        ports=(TemplatePort(name="game", protocol="tcp", port=25565),),
        start=Start(argv=("java",)),
        policy=ProcessPolicy(),
    )
    return CatalogTemplate(name=name, title="Minecraft", template=template, versions=versions)


def needing(text: str, java: str, *, channel: Channel = "stable", default: bool = False) -> TemplateVersion:
    """Return a build of a game server that needs a Java; its game is what stands before the dash."""
    return TemplateVersion(
        version=text,
        channel=channel,
        default=default,
        requires=(Requirement(name="java", version=java),),
        game_version=text.split("-", maxsplit=1)[0],
    )


CATALOG = Catalog(
    format=2,
    published_at=datetime(2026, 1, 1, tzinfo=UTC),
    runtimes=(
        CatalogRuntime(
            name="node",
            title="Node.js",
            versions=(
                version("26.0.0-rc.1"),
                version("25.0.0", channel="candidate"),
                version("24.19.0", platforms=(X86, ARM), default=True),
                version("22.20.0"),
            ),
        ),
        CatalogRuntime(name="java", title="Java", versions=(version("21.0.8"), version("17.0.16"))),
        CatalogRuntime(name="zig", title="Zig", versions=(version("0.15.1", channel="candidate"),)),
    ),
    addons=(CatalogAddon(name="code-server", title="code-server", versions=(version("4.104.0"),)),),
    game_templates=(
        game(
            needing("26.3-snapshot-3", "21", channel="candidate"),
            needing("26.2-9", "25"),
            needing("1.21.8-60", "21"),
            needing("1.21.4-12", "21", default=True),
            needing("1.21-3", "21"),
        ),
    ),
)


def ask(wish: ValidateRuntime, platform: str = X86) -> list[tuple[str, str, str | None]]:
    """Return code, place and suggestion of every problem."""
    answer = validate_wish(CATALOG, wish, platform=platform, channels=STABLE)
    assert answer.ok == (not answer.problems)
    return [(problem.code, problem.field, problem.suggestion) for problem in answer.problems]


def test_all_problems_are_told_together() -> None:
    """Whoever corrects a wish wants the whole list."""
    wish = ValidateRuntime(runtime="nod", addon="code-serve", template="minecraf", version="1")
    assert ask(wish, platform="plan9-mips") == [
        ("runtime_not_offered", "runtime", "node"),
        ("template_not_offered", "template", "minecraft"),
        ("addon_not_offered", "addon", "code-server"),
        ("platform_not_offered", "platform", ARM),
    ]


def test_the_newest_is_told_where_a_version_is_not_offered() -> None:
    """A candidate is no version for those who take stable ones, and no answer to them either."""
    answer = validate_wish(CATALOG, ValidateRuntime(runtime="node", version="25"), platform=X86, channels=STABLE)
    assert [problem.message for problem in answer.problems] == ["node 25 is not offered; 24.19.0 is the newest."]
    assert ask(ValidateRuntime(runtime="zig")) == [("runtime_not_offered", "runtime", None)]


@pytest.mark.parametrize(
    ("wish", "meant"),
    [
        (ValidateRuntime(runtime="node"), "24.19.0"),
        (ValidateRuntime(runtime="node", version="26.0.0-rc.1"), "26.0.0-rc.1"),
        (ValidateRuntime(addon="code-server"), "4.104.0"),
        (ValidateRuntime(addon="code-server", version="4"), "4.104.0"),
        (ValidateRuntime(template="minecraft"), "1.21.4-12"),
        (ValidateRuntime(template="minecraft", version="1.21"), "1.21-3"),
        (ValidateRuntime(template="minecraft", version="1.21.8"), "1.21.8-60"),
        (ValidateRuntime(template="minecraft", version="1.21.8-60"), "1.21.8-60"),
        (ValidateRuntime(template="minecraft", version="1"), "1.21.8-60"),
        (ValidateRuntime(runtime="java", version="17", addon="code-server"), "17.0.16"),
    ],
)
def test_what_is_offered_is_told_with_its_exact_version(wish: ValidateRuntime, meant: str) -> None:
    """The version is that of the first thing that was asked for."""
    answer = validate_wish(CATALOG, wish, platform=X86, channels=STABLE)
    assert (answer.ok, answer.version) == (True, meant)


def test_a_leading_part_means_no_pre_release() -> None:
    """Who asks for 26 is told of it, and has to name it."""
    assert ask(ValidateRuntime(runtime="node", version="26")) == [("version_not_offered", "version", "26.0.0-rc.1")]
    assert ask(ValidateRuntime(runtime="node", version="26.0.0")) == [("version_not_offered", "version", "26.0.0-rc.1")]


def test_a_game_server_without_its_runtime_is_not_offered() -> None:
    """The message says what it needs; on another platform it is the same."""
    asked = ValidateRuntime(template="minecraft", version="26.2")
    (problem,) = validate_wish(CATALOG, asked, platform=X86, channels=STABLE).problems
    assert (problem.code, problem.field) == ("template_runtime_missing", "template")
    assert "java 25" in problem.message
    elsewhere = validate_wish(CATALOG, ValidateRuntime(template="minecraft"), platform=ARM, channels=STABLE)
    assert [problem.code for problem in elsewhere.problems] == ["template_runtime_missing"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [("1.22", "1.21.4-12"), ("26.3-snapshot-3", "1.21.4-12"), ("", "1.21.4-12"), ("1.21.8-6", "1.21.8-60")],
)
def test_a_version_of_a_game_that_is_not_there_is_answered(asked: str, said: str) -> None:
    """With the nearest one that is; a candidate is none for those who take stable ones."""
    answer = validate_wish(CATALOG, ValidateRuntime(template="minecraft", version=asked), platform=X86, channels=STABLE)
    assert [(problem.code, problem.field) for problem in answer.problems] == [("version_not_offered", "version")]
    suggested = answer.problems[0].suggestion
    assert suggested is not None
    assert validate_wish(
        CATALOG, ValidateRuntime(template="minecraft", version=suggested), platform=X86, channels=STABLE
    ).ok or suggested.startswith("26")
    assert said in answer.problems[0].message or suggested == said


def test_the_program_of_a_game_server_is_no_runtime_to_choose() -> None:
    """An agent finds it, since a template requires it; nobody is offered it as a toolchain."""
    squid = CatalogRuntime(name="squid", title="Squid", versions=(version("1.0"),), for_games=True)
    catalog = msgspec.structs.replace(CATALOG, runtimes=(*CATALOG.runtimes, squid))
    answer = validate_wish(catalog, ValidateRuntime(runtime="squid"), platform=X86, channels=STABLE)
    assert [problem.code for problem in answer.problems] == ["runtime_not_offered"]
    found = choose_offer(catalog, "runtime", name="squid", version="1.0", platform=X86, channels=STABLE)
    assert isinstance(found, Choice)


def test_nothing_asked_is_a_problem() -> None:
    """Not an error, and not a yes."""
    assert ask(ValidateRuntime()) == [("runtime_missing", "runtime", None)]
    assert ask(ValidateRuntime(version="24")) == [("runtime_missing", "runtime", None)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3.13.0rc1", True), ("3.13.0a1", True), ("25.0.0-beta.2", True), ("26-ea", True), ("1.0.dev3", True),
     ("24.19.0", False), ("21.0.8-jre", False), ("17.0.16+8", False), ("2024.10.1", False), ("3.11.2-debian", False)],
)  # fmt: skip
def test_pre_releases_are_known_by_their_letters(text: str, expected: bool) -> None:
    """An edition or a build is none."""
    assert is_pre_release(text) is expected


words = st.text(max_size=300) | st.sampled_from(
    ["", "--help", "-v", "../..", "\x00", "node", "24", "24.", ".", "💥" * 60]
)


@given(runtime=st.none() | words, asked=st.none() | words, platform=words, addon=st.none() | words)
def test_any_text_is_answered(runtime: str | None, asked: str | None, platform: str, addon: str | None) -> None:
    """Never an exception; every problem names a place, fits a line, and can be sent."""
    wish = ValidateRuntime(runtime=runtime, version=asked, addon=addon)
    answer = validate_wish(CATALOG, wish, platform=platform, channels=STABLE)
    for problem in answer.problems:
        assert problem.field in PLACES
        assert len(problem.message) < 400
        assert problem.message.isprintable()
    assert msgspec.json.decode(encode(answer))["ok"] is (not answer.problems)


numbers = st.integers(min_value=0, max_value=30).map(str)
versions_text = st.lists(numbers, min_size=1, max_size=4).map(".".join)
offered_versions = st.lists(
    st.builds(
        version,
        versions_text | versions_text.map(lambda text: f"{text}-rc.1"),
        platforms=st.sampled_from([(X86,), (ARM,), (X86, ARM)]),
        channel=st.sampled_from(["stable", "candidate"]),
        default=st.booleans(),
    ),
    max_size=8,
    unique_by=lambda entry: entry.version,
)


@given(entries=offered_versions, asked=st.none() | versions_text, kind=st.sampled_from(["runtime", "addon"]))
def test_a_choice_is_what_was_asked_and_a_suggestion_can_be_followed(
    entries: list[CatalogVersion], asked: str | None, kind: OfferKind
) -> None:
    """What is chosen is offered here and begins with what was asked; what is suggested as a version is installable."""
    shapes = {"runtime": CatalogRuntime, "addon": CatalogAddon}
    offer = shapes[kind](name="it", title="It", versions=tuple(entries))
    catalog = msgspec.structs.replace(CATALOG, **{f"{kind}s": (offer,)})
    found = choose_offer(catalog, kind, name="it", version=asked, platform=X86, channels=STABLE)
    if isinstance(found, Choice):
        chosen = found.version
        assert chosen.channel == "stable"
        assert found.artifact.platform == X86
        assert asked is None or chosen.version == asked or chosen.version.startswith(f"{asked}.")
    elif found.code == "version_not_offered" and any(
        entry.channel == "stable" and found.suggestion == entry.version and X86 in {a.platform for a in entry.artifacts}
        for entry in entries
    ):
        again = choose_offer(catalog, kind, name="it", version=found.suggestion, platform=X86, channels=STABLE)
        assert isinstance(again, Choice)
    elif found.suggestion is not None and found.field == kind:
        assert found.suggestion == "it"


@given(entries=offered_versions)
def test_the_newest_release_is_chosen_where_no_default_is_marked(entries: list[CatalogVersion]) -> None:
    """In the order of the catalog, pre-releases last."""
    plain = tuple(msgspec.structs.replace(entry, default=False) for entry in entries)
    catalog = msgspec.structs.replace(CATALOG, runtimes=(CatalogRuntime(name="it", title="It", versions=plain),))
    found = choose_offer(catalog, "runtime", name="it", version=None, platform=X86, channels=STABLE)
    usable = [e for e in plain if e.channel == "stable" and X86 in {archive.platform for archive in e.artifacts}]
    releases = [entry for entry in usable if not is_pre_release(entry.version)]
    expected = (releases or usable)[:1]
    assert ([found.version] if isinstance(found, Choice) else []) == expected
