"""The API decides about published versions: by a child each, one after the other, and by nobody without the key."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from component.artifacts.conftest import Workshop
from zlh_api.artifacts.promotion import DecisionRefused, DecisionUnsure, Promotion, TargetsKeyAbsent
from zlh_api.artifacts.signing.publish import read_catalog, verify_tree
from zlh_common.schema.catalog_decisions import DecideVersion, DecisionAct


@pytest.fixture
def shop(published: Workshop) -> Workshop:
    """Give a workshop that offers 2.0, the default, and 1.0."""
    published.add_recipe("2.0")
    published.build()
    published.publish()
    return published


@pytest.fixture
def promotion(shop: Workshop) -> Promotion:
    """Decide in this workshop."""
    return Promotion(shop.tree, shop.keys)


def wish(act: DecisionAct, version: str = "2.0", *, make_default: bool = False) -> DecideVersion:
    """Return a decision about the runtime of the workshop."""
    return DecideVersion(act=act, kind="runtime", name="tiny", version=version, make_default=make_default)


def offered(shop: Workshop) -> dict[str, str]:
    """Return the channel of each version that clients see, the default marked with a star."""
    (runtime,) = read_catalog(shop.tree, shop.keys, now=shop.now).runtimes
    return {entry.version: entry.channel + ("*" if entry.default else "") for entry in runtime.versions}


async def test_a_decision_is_published_before_it_is_answered(shop: Workshop, promotion: Promotion) -> None:
    """Clients see it, the answer tells the default that follows, and the same once more changes nothing."""
    done = await promotion.decide(wish(DecisionAct.DEMOTE))
    assert (done.channel, done.default_before, done.default, done.is_changed) == ("candidate", "2.0", "1.0", True)
    assert await asyncio.to_thread(offered, shop) == {"2.0": "candidate", "1.0": "stable*"}
    assert not (await promotion.decide(wish(DecisionAct.DEMOTE))).is_changed
    done = await promotion.decide(wish(DecisionAct.PROMOTE, make_default=True))
    assert (done.channel, done.default) == ("stable", "2.0")


async def test_what_does_not_fit_is_refused_with_its_reason(shop: Workshop, promotion: Promotion) -> None:
    """The last stable version stays, a candidate is no default, and what nobody published is not known."""
    await promotion.decide(wish(DecisionAct.DEMOTE))
    for asked, reason in (
        (wish(DecisionAct.DEMOTE, "1.0"), "offer_last_stable"),
        (wish(DecisionAct.DEFAULT), "default_not_stable"),
        (wish(DecisionAct.PROMOTE, "9.9"), "offer_unknown"),
    ):
        with pytest.raises(DecisionRefused) as refused:
            await promotion.decide(asked)
        assert refused.value.data["reasonCode"] == reason
    assert await asyncio.to_thread(offered, shop) == {"2.0": "candidate", "1.0": "stable*"}


async def test_without_the_key_the_command_is_told(shop: Workshop) -> None:
    """Nothing is tried; what is told to be run makes the same decision."""
    (shop.keys / "targets.pem").unlink()
    promotion = Promotion(shop.tree, shop.keys)
    assert not await promotion.may_sign()
    with pytest.raises(TargetsKeyAbsent) as refused:
        await promotion.decide(wish(DecisionAct.PROMOTE, make_default=True))
    expected = f"zlh-api artifacts promote tiny 2.0 --kind runtime --default --dir {shop.tree} --keys {shop.keys}"
    assert refused.value.data["command"] == expected
    with pytest.raises(TargetsKeyAbsent, match="--dir TREE --keys KEYS"):
        await Promotion(None, None).decide(wish(DecisionAct.DEFAULT))


async def test_decisions_at_the_same_time_follow_each_other(shop: Workshop, promotion: Promotion) -> None:
    """None is lost, whichever comes first, and what is signed in the end is whole."""
    done = await asyncio.gather(
        promotion.decide(wish(DecisionAct.DEFAULT, "1.0")),
        promotion.decide(wish(DecisionAct.PROMOTE, "2.0")),
        promotion.decide(wish(DecisionAct.DEFAULT, "1.0")),
    )
    assert sorted(each.is_changed for each in done) == [False, False, True]
    assert await asyncio.to_thread(offered, shop) == {"2.0": "stable", "1.0": "stable*"}
    assert (await asyncio.to_thread(verify_tree, shop.tree, shop.keys, now=shop.now)).ok


async def test_one_that_is_ended_on_its_way_is_made_by_asking_again(shop: Workshop, promotion: Promotion) -> None:
    """Whether it is ended before or after it was published, there is one whole offer, and asking again settles it."""
    asking = asyncio.create_task(promotion.decide(wish(DecisionAct.DEMOTE)))
    while not asking.done() and await asyncio.to_thread(offered, shop) == {"2.0": "stable*", "1.0": "stable"}:
        await asyncio.sleep(0.01)
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    assert (await asyncio.to_thread(verify_tree, shop.tree, shop.keys, now=shop.now)).ok
    assert (await promotion.decide(wish(DecisionAct.DEMOTE))).channel == "candidate"
    assert await asyncio.to_thread(offered, shop) == {"2.0": "candidate", "1.0": "stable*"}


async def test_one_that_breaks_is_told_as_unsure(shop: Workshop, promotion: Promotion) -> None:
    """A key that is no key ends the child with a refusal of its own; a tree that is none of ours as well."""
    (shop.keys / "targets.pem").write_text("no key")
    with pytest.raises((DecisionRefused, DecisionUnsure)):
        await promotion.decide(wish(DecisionAct.DEMOTE))
    assert (await asyncio.to_thread(read_catalog, shop.tree, shop.keys, now=shop.now)).runtimes
