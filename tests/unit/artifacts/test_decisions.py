"""What is decided about builds, for any builds and any order of decisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unit.artifacts.test_rules import NOW, make_record
from zlh_api.artifacts.errors import DefaultNotStable, LastStableVersion, OfferAmbiguous
from zlh_api.artifacts.model import BuildRecord, Decisions
from zlh_api.artifacts.rules import is_same_offer, offers_of, render_catalog
from zlh_api.artifacts.signing.decisions import (
    GRACE,
    decide_channel,
    decide_default,
    find_version,
    note_left,
    plan_removals,
    plan_withdrawals,
    render_listing,
)
from zlh_common.schema.catalog import Catalog, Channel

NUMBERS = st.integers(min_value=1, max_value=9)


def build(version: int, *, name: str = "node", is_default: bool = False, channel: Channel = "stable") -> BuildRecord:
    """Return a build whose hash is its own."""
    made = make_record(f"{version}.0", default=is_default)
    return msgspec.structs.replace(made, name=name, channel=channel, sha256=f"{name}{version}".ljust(64, "0"))


builds = st.lists(
    st.builds(
        build,
        NUMBERS,
        name=st.sampled_from(["node", "go"]),
        is_default=st.booleans(),
        channel=st.sampled_from(["stable", "candidate"]),
    ),
    min_size=1,
    max_size=10,
    unique_by=lambda record: record.offered_version,
)


def catalog_of(records: list[BuildRecord], decisions: Decisions) -> Catalog:
    """Return what is offered."""
    return render_catalog(records, published_at=NOW, decisions=decisions)


@given(records=builds, keep=NUMBERS, data=st.data())
def test_every_name_has_one_default_and_a_stable_one_where_there_is_any(
    records: list[BuildRecord], keep: int, data: st.DataObject
) -> None:
    """Whatever was promoted, demoted, made the default or withdrawn, in whatever order."""
    decisions = Decisions()
    for _ in range(data.draw(st.integers(0, 6))):
        meant = data.draw(st.sampled_from(records))
        channel: Channel = data.draw(st.sampled_from(["stable", "candidate"]))
        decisions = decide_channel(decisions, records, meant, channel, may_leave_none=True)
        if channel == "stable" and data.draw(st.booleans()):
            decisions = decide_default(decisions, meant)
        if data.draw(st.booleans()):
            decisions = plan_withdrawals(records, decisions, keep=keep, now=NOW)
    for offer in offers_of(catalog_of(records, decisions)).values():
        (default,) = [entry for entry in offer.versions if entry.default]
        assert default.channel == "stable" or all(entry.channel == "candidate" for entry in offer.versions)


@given(records=builds, data=st.data())
def test_demote_and_promote_undo_each_other(records: list[BuildRecord], data: st.DataObject) -> None:
    """What is offered is what was offered before, the default too."""
    decisions = Decisions()
    if data.draw(st.booleans()):
        stable = [record for record in records if record.channel == "stable"]
        if stable:
            decisions = decide_default(decisions, data.draw(st.sampled_from(stable)))
    before = catalog_of(records, decisions)
    meant = data.draw(st.sampled_from(records))
    there: Channel = "candidate" if meant.channel == "stable" else "stable"
    moved = decide_channel(decisions, records, meant, there, may_leave_none=True)
    again = decide_channel(moved, records, meant, there, may_leave_none=True)
    back = decide_channel(moved, records, meant, meant.channel, may_leave_none=True)
    assert again == moved
    assert is_same_offer(catalog_of(records, back), before)


@given(records=builds, keep=NUMBERS, later=st.integers(0, 40), named=st.sets(st.integers(0, 9)))
def test_nothing_goes_that_a_client_can_be_fetching(
    records: list[BuildRecord], keep: int, later: int, named: set[int]
) -> None:
    """What goes is not offered, not named by any catalog, and was last named longer ago than the grace."""
    before = catalog_of(records, Decisions())
    decided = plan_withdrawals(records, Decisions(), keep=keep, now=NOW)
    after = catalog_of(records, decided)
    decided = note_left(decided, before, after, NOW)
    still_named = {record.sha256 for number, record in enumerate(records) if number in named}
    now = NOW + timedelta(days=later)
    gone, waiting = plan_removals(records, decided, named=still_named, keep=keep, now=now)
    offered = {
        artifact.sha256
        for offer in offers_of(after).values()
        for entry in offer.versions
        for artifact in entry.artifacts
    }
    for record in gone:
        assert record.sha256 not in offered | still_named
        assert now >= NOW + GRACE
    assert all(entry.until > now for entry in waiting)


def test_the_last_stable_version_is_named_in_the_refusal() -> None:
    """A candidate beside it does not help."""
    records = [build(2), build(3, channel="candidate")]
    with pytest.raises(LastStableVersion, match=r"2\.0 is the only stable version of node"):
        decide_channel(Decisions(), records, records[0], "candidate", may_leave_none=False)
    decide_channel(Decisions(), records, records[1], "candidate", may_leave_none=False)


def test_a_withdrawn_version_is_no_default() -> None:
    """It has to be offered first."""
    record = build(1)
    decisions = Decisions(withdrawn={record.offered_version: NOW})
    with pytest.raises(DefaultNotStable):
        decide_default(decisions, record)


def test_a_name_of_two_kinds_needs_its_kind() -> None:
    """Nothing is guessed."""
    runtime = build(1)
    addon = msgspec.structs.replace(runtime, kind="addon")
    with pytest.raises(OfferAmbiguous, match="addon and runtime"):
        find_version([runtime, addon], name="node", version="1.0")
    assert find_version([runtime, addon], name="node", version="1.0", kind="addon") is addon


def test_the_list_tells_what_is_published_and_what_only_built() -> None:
    """The newest first, one line a build."""
    records = [build(1), build(2), build(3)]
    decisions = Decisions(withdrawn={records[0].offered_version: datetime(2026, 1, 1, tzinfo=UTC)})
    published = catalog_of(records[:2], decisions)
    rows = render_listing(records, decisions, published)
    assert [(row.version, row.state, row.default) for row in rows] == [
        ("3.0", "built", False),
        ("2.0", "published", True),
        ("1.0", "withdrawn", False),
    ]
