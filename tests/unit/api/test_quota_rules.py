"""What more a customer may have."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlh_api.quotas.rules import KINDS, QuotaExceeded, Usage, decide_quota, is_limited, refuse_excess, report_use
from zlh_common.schema.customers import Quota

FIGURES = st.integers(0, 1000)
QUOTAS = st.builds(Quota, **{kind: st.none() | FIGURES for kind in KINDS})
USES = st.builds(Usage, **dict.fromkeys(KINDS, FIGURES))
CHANGES = st.builds(Usage, **dict.fromkeys(KINDS, st.integers(-1000, 1000)))


def is_refused(quota: Quota, used: Usage, more: Usage) -> bool:
    """Tell whether so much more is refused."""
    try:
        refuse_excess(quota, used, more)
    except QuotaExceeded:
        return True
    return False


@given(QUOTAS, USES, CHANGES)
def test_what_grows_stays_within_its_limit_and_what_shrinks_is_never_refused(
    quota: Quota, used: Usage, more: Usage
) -> None:
    """Kind by kind: above its quota already or not."""
    over = [
        kind
        for kind in KINDS
        if getattr(quota, kind) is not None
        and getattr(more, kind) > 0
        and getattr(used, kind) + getattr(more, kind) > getattr(quota, kind)
    ]
    assert is_refused(quota, used, more) is bool(over)
    if over:
        assert is_limited(quota, more)


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_names_its_figures_and_the_way_out(kind: str) -> None:
    """Whichever it is, in the spelling of the API."""
    quota, used, more = Quota(**{kind: 5}), Usage(**{kind: 4}), Usage(**{kind: 2})
    with pytest.raises(QuotaExceeded) as caught:
        refuse_excess(quota, used, more)
    name = {"memory_mib": "memoryMib", "disk_mib": "diskMib"}.get(kind, kind)
    assert caught.value.data == {"quota": name, "limit": 5, "used": 4, "wanted": 2}
    assert "larger quota" in caught.value.detail
    assert "being deleted" not in caught.value.detail


@pytest.mark.parametrize(
    ("kind", "wanted", "used", "said"),
    [
        ("containers", 1, 1, "1 more container, and 1 of the 1 that this customer may have is in use"),
        ("containers", 2, 3, "2 more containers, and 3 of the 3 that this customer may have are in use"),
        ("memory_mib", 1, 512, "1 more MiB of memory, and 512 of the 512"),
        ("exposures", 1, 2, "1 more published port, "),
    ],
)
def test_a_refusal_is_a_sentence(kind: str, wanted: int, used: int, said: str) -> None:
    """One of a thing, or several."""
    with pytest.raises(QuotaExceeded) as caught:
        refuse_excess(Quota(**{kind: used}), Usage(**{kind: used}), Usage(**{kind: wanted}))
    assert f"This takes {said}" in caught.value.detail


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_being_deleted_is_told_where_it_will_make_room(kind: str) -> None:
    """Who waits for it gets in; members do not go with containers."""
    with pytest.raises(QuotaExceeded) as caught:
        refuse_excess(Quota(**{kind: 5}), Usage(**{kind: 5, "deleting": 2}), Usage(**{kind: 1}))
    assert ("2 of the customer's containers are being deleted" in caught.value.detail) is (kind != "members")


@pytest.mark.parametrize(
    ("kind", "limit", "said"), [("memory_mib", 2_097_152, "2097152"), ("cpu", 2.5, "2.5"), ("cpu", 100.0, "100")]
)
def test_a_refusal_is_told_in_whole_figures(kind: str, limit: float, said: str) -> None:
    """However large they are."""
    with pytest.raises(QuotaExceeded, match=f"the {said} that this customer may have"):
        refuse_excess(Quota(**{kind: limit}), Usage(**{kind: limit}), Usage(**{kind: 1}))  # type: ignore[arg-type]


def test_cores_are_counted_in_hundredths() -> None:
    """Ten times a tenth is one."""
    used = Usage(cpu=sum([0.1] * 9))
    refuse_excess(Quota(cpu=1.0), used, Usage(cpu=0.1))
    with pytest.raises(QuotaExceeded):
        refuse_excess(Quota(cpu=1.0), used, Usage(cpu=0.11))


@given(QUOTAS, QUOTAS)
def test_a_figure_of_ones_own_wins(own: Quota, default: Quota) -> None:
    """A zero too; what is null is the default."""
    held = msgspec.structs.asdict(decide_quota(own, default))
    expected: dict[str, Any] = {
        kind: getattr(default, kind) if getattr(own, kind) is None else getattr(own, kind) for kind in KINDS
    }
    assert held == expected


@given(QUOTAS, QUOTAS, USES)
def test_every_kind_is_reported_once(own: Quota, default: Quota, used: Usage) -> None:
    """With what is used, what holds, and whose figure that is."""
    told = report_use(own, default, used)
    assert [entry.used for entry in told] == [getattr(used, kind) for kind in KINDS]
    assert [entry.is_own for entry in told] == [getattr(own, kind) is not None for kind in KINDS]
    assert [entry.quota for entry in told] == [getattr(decide_quota(own, default), kind) for kind in KINDS]
