"""The veto over events: no approved set passes a dollar cap, and what does not raise the worst case always passes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_bot import risk_manager
from dora_bot.config_edit import changes_between
from dora_bot.exposure import losses_e6
from dora_bot.models import Place, Side
from dora_bot.views import MarketView
from dora_bot.write_budget import Wanted
from tests.fakes.core import GLOBAL_ITEM, RUN, config, limits, market, market_view, own, view
from tests.fakes.manual_clock import NOON_MS

CENT = st.integers(1, 99).map(lambda cents: cents * 100)
WIDE = config(
    max_inventory_yes=500, max_inventory_no=500, quote_size=20, price_min="0.0001", price_max="0.9999"
)


def leg(ticker: str, event: str = "EVT") -> MarketView:
    return market_view(of=market(ticker, exclusive_event=True, event_ticker=event))


def place(ticker: str, side: Side, price_e4: int, count_e2: int, number: int = 0) -> Place:
    return Place(f"n{number}", ticker, side, price_e4, count_e2, NOON_MS + 50_000, 0)


@st.composite
def events(draw: st.DrawFn) -> list[MarketView]:
    found = []
    exclusive = draw(st.booleans())
    for number in range(draw(st.integers(1, 3))):
        told = market(f"K{number}", exclusive_event=exclusive)
        orders = [
            own(
                draw(st.sampled_from(Side)),
                draw(CENT),
                draw(st.integers(1, 2_000)),
                ticker=told.ticker,
                client_order_id=f"c{number}{at}",
            )
            for at in range(draw(st.integers(0, 2)))
        ]
        net = draw(st.integers(-3_000, 3_000))
        found.append(market_view(*orders, of=told, net_e2=net, cost_e6=net * draw(CENT), with_config=WIDE))
    return found


@st.composite
def writes(draw: st.DrawFn, markets: list[MarketView]) -> list[Place]:
    return [
        place(draw(st.sampled_from(markets)).ticker, draw(st.sampled_from(Side)), draw(CENT), count, number)
        for number, count in enumerate(draw(st.lists(st.integers(1, 2_000), min_size=1, max_size=5)))
    ]


def with_orders(markets: list[MarketView], placed: list[Place]) -> list[MarketView]:
    """The markets as if these orders rested too."""
    return [
        replace(
            m,
            orders=(
                *m.orders,
                *(
                    own(p.side, p.price_e4, p.count_e2, ticker=p.ticker)
                    for p in placed
                    if p.ticker == m.ticker
                ),
            ),
        )
        for m in markets
    ]


@given(events(), st.data(), st.integers(0, 40), st.integers(0, 40))
def test_no_approved_set_brings_an_event_or_the_total_above_its_cap(
    markets: list[MarketView], data: st.DataObject, event_cap: int, total_cap: int
) -> None:
    wanted = [Wanted(p) for p in data.draw(writes(markets))]
    caps = limits(max_event_exposure=event_cap, max_total_exposure=total_cap)
    verdict = risk_manager.vet(wanted, view(*markets, global_config=caps), RUN)
    placed = [w.action for w in verdict.approved if isinstance(w.action, Place)]
    allowed = max(losses_e6(markets)["EVT"], min(event_cap, total_cap) * 1_000_000)
    assert losses_e6(with_orders(markets, placed))["EVT"] <= allowed


@given(events(), st.data())
def test_what_does_not_raise_the_worst_case_passes_at_every_cap_and_nothing_else_does(
    markets: list[MarketView], data: st.DataObject
) -> None:
    wish = data.draw(writes(markets))[0]
    raised = losses_e6(with_orders(markets, [wish]))["EVT"] > losses_e6(markets)["EVT"]
    caps = limits(max_event_exposure=0, max_total_exposure=0)
    verdict = risk_manager.vet([Wanted(wish)], view(*markets, global_config=caps), RUN)
    refused_by = [r.check for r in verdict.refused]
    if refused_by in ([], ["check_exposure"]):
        assert (refused_by == ["check_exposure"]) is raised


def test_the_event_cap_is_exact_and_named() -> None:
    told = view(leg("A"), leg("B", "OTHER"), global_config=limits(max_event_exposure=4))
    at_cap, over = place("B", Side.BID, 4_000, 1_000), place("A", Side.BID, 4_100, 1_000)
    verdict = risk_manager.vet([Wanted(at_cap), Wanted(over)], told, RUN)
    assert [w.action.ticker for w in verdict.approved] == ["B"]
    assert [r.reason for r in verdict.refused] == ["exposure of EVT of 4.100000 would exceed 4.000000"]


@pytest.mark.parametrize(
    ("old", "new", "riskier"), [(None, 5, False), (5, None, True), (5, 6, True), (6, 5, False)]
)
def test_setting_a_limit_that_was_absent_lowers_risk(
    old: int | None, new: int | None, *, riskier: bool
) -> None:
    def item(value: int | None) -> dict[str, object]:
        return {**GLOBAL_ITEM, **({} if value is None else {"max_event_exposure": value})}

    (change,) = changes_between(item(old), item(new))
    assert change.riskier is riskier
