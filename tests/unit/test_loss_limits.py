"""Each loss limit, reached by fills and marks through the whole tick: what it holds, for how long, and who ends it."""

from dataclasses import replace
from typing import Any

import pytest

from dora_bot import risk_manager
from dora_bot.events import CatalogChanged, HaltsChanged
from dora_bot.models import Hold, Place, Position, Side
from dora_bot.state_manager import Restored
from dora_bot.valuation import Peak, risen
from dora_bot.views import ConfigChanged, Posture, Stance
from dora_bot.write_budget import Wanted
from tests.fakes.bench import Bench
from tests.fakes.core import RUN, T, config, halt, limits, market, market_view, own, snapshot, view
from tests.fakes.manual_clock import NOON_MS

OTHER = "KXOTHER"
ANOTHER_EVENT = "KXELSEWHERE"


def quoting(
    of_market: dict[str, Any] | None = None, restored: Restored | None = None, **of_all: Any
) -> Bench:
    """Two markets of one event and one of another, all quoted; the daily limit is far away."""
    bench = Bench(restored) if restored else Bench()
    names = (T, OTHER, ANOTHER_EVENT)
    bench.post(
        CatalogChanged((market(), market(OTHER), market(ANOTHER_EVENT, event_ticker="ELSEWHERE"))),
        ConfigChanged(
            tuple(config(market_id=name, **(of_market or {})) for name in names),
            limits(max_daily_loss=1_000, **of_all),
        ),
        snapshot(ticker=OTHER),
        snapshot(ticker=ANOTHER_EVENT),
    )
    bench.tick()
    assert all(sides(bench, name) == {Side.BID, Side.ASK} for name in names)
    return bench


def lose(bench: Bench) -> None:
    """Ten contracts are sold to our bid at 41 cents, then the best bid falls to 30: $1.10 and fees are lost."""
    bench.trade(Side.BID, 1_000)
    bench.tick()
    bench.post(snapshot(3_000, 4_000))
    bench.tick()
    bench.tick()


def sides(bench: Bench, ticker: str) -> set[Side]:
    return {o.side for o in bench.exchange.resting().values() if o.ticker == ticker}


def held(bench: Bench) -> list[tuple[str, Hold, str]]:
    return [(h.reason, h.hold, h.scope) for h in bench.latch.read().halts]


def test_a_market_that_lost_too_much_only_reduces_and_the_others_go_on() -> None:
    bench = quoting({"max_market_loss": 1})
    lose(bench)
    assert held(bench) == [(f"loss limit of {T}", Hold.REDUCE_ONLY, T)]
    assert sides(bench, T) == {Side.ASK}
    assert bench.exchange.own(Side.ASK).remaining_e2 <= 1_000
    assert sides(bench, OTHER) == sides(bench, ANOTHER_EVENT) == {Side.BID, Side.ASK}
    assert bench.latch.raised == 1


def test_below_the_limit_nothing_is_held() -> None:
    bench = quoting({"max_market_loss": 2}, max_event_loss=2, max_drawdown=2)
    lose(bench)
    assert held(bench) == []
    assert sides(bench, T) == {Side.BID, Side.ASK}


def test_an_event_that_lost_too_much_only_reduces_in_all_its_markets() -> None:
    bench = quoting(max_event_loss=1)
    lose(bench)
    assert held(bench) == [("loss limit of event EVT", Hold.REDUCE_ONLY, "event#EVT")]
    assert (sides(bench, T), sides(bench, OTHER)) == ({Side.ASK}, set())
    assert sides(bench, ANOTHER_EVENT) == {Side.BID, Side.ASK}


def test_a_fall_from_the_peak_halts_everything_and_lifting_it_begins_a_new_peak() -> None:
    bench = quoting(max_drawdown=1)
    lose(bench)
    assert held(bench) == [("drawdown limit", Hold.HALTED, "")]
    assert not bench.exchange.resting()
    bench.clock.advance(1_000)
    bench.resume("H1")
    for _ in range(5):
        assert bench.tick().stance == RUN
    bench.post(snapshot(1_500, 2_500))
    bench.tick()
    assert [h.halt_id for h in bench.latch.read().halts] == ["H2"]


def test_a_gain_that_is_given_back_counts_as_a_fall() -> None:
    bench = quoting(max_drawdown=2)
    bench.trade(Side.BID, 1_000)
    bench.post(snapshot(6_000, 7_000))
    bench.tick()
    assert held(bench) == []
    bench.post(snapshot(3_900, 4_900))
    bench.tick()
    assert held(bench) == [("drawdown limit", Hold.HALTED, "")]


def test_a_market_or_event_stays_held_until_its_halt_is_lifted_whatever_the_loss_becomes() -> None:
    bench = quoting({"max_market_loss": 1})
    lose(bench)
    bench.post(snapshot(4_000, 5_000))
    bench.tick()
    assert sides(bench, T) == {Side.ASK}
    bench.resume("H1")
    bench.tick()
    assert sides(bench, T) == {Side.BID, Side.ASK}
    assert held(bench) == []


def test_the_peak_holds_over_a_restart_and_a_missing_mark_is_neither_gain_nor_loss() -> None:
    """Held before the restart: 10 contracts at 41¢ worth 60¢; the book comes back worse than the limit allows."""
    position = Position(T, 1_000, 1_000 * 4_100)
    bench = Bench(Restored({T: position}, frozenset(), peak=Peak(1_900_000, NOON_MS - 60_000)))
    bench.exchange.net[T] = 1_000
    bench.inbox.drain()  # no book has come yet
    bench.post(
        CatalogChanged((market(last_price_e4=6_000),)),
        ConfigChanged((config(),), limits(max_drawdown=1)),
    )
    report = bench.tick()
    assert held(bench) == []
    assert report.view.peak == Peak(1_900_000, NOON_MS - 60_000)
    bench.post(snapshot(4_500, 5_500))
    bench.tick()
    assert held(bench) == [("drawdown limit", Hold.HALTED, "")]


def test_the_peak_rises_with_equity_and_begins_anew_after_a_halt_was_lifted() -> None:
    first = risen(None, 5, 0, 1_000)
    assert first == Peak(5, 1_000)
    assert risen(first, 7, 0, 2_000) == Peak(7, 1_000)
    assert risen(Peak(7, 1_000), 3, 999, 2_000) == Peak(7, 1_000)
    assert risen(Peak(7, 1_000), 3, 1_500, 2_000) == Peak(3, 2_000)


# ── reduce only ─────────────────────────────────────────────────────────────────────────────────


def test_reducing_only_by_hand_takes_the_adding_side_everywhere_and_ends_by_its_id() -> None:
    bench = quoting()
    bench.trade(Side.BID, 500)
    hold = bench.hold(Hold.REDUCE_ONLY)
    report = bench.tick()
    bench.tick()
    assert report.stance == Stance(Posture.REDUCE_ONLY, (f"{hold}: REDUCE_ONLY by hand",))
    assert (sides(bench, T), sides(bench, OTHER)) == ({Side.ASK}, set())
    assert bench.exchange.own(Side.ASK).remaining_e2 == 500
    bench.resume(hold)
    bench.tick()
    assert sides(bench, OTHER) == {Side.BID, Side.ASK}


def test_a_market_whose_item_is_no_longer_valid_only_reduces() -> None:
    bench = quoting()
    bench.post(ConfigChanged((config(), config(market_id=OTHER)), limits(), outdated=frozenset({T})))
    bench.tick()
    bench.tick()
    assert (sides(bench, T), sides(bench, OTHER)) == (set(), {Side.BID, Side.ASK})


@pytest.mark.parametrize(
    ("net", "side", "count", "resting", "refused"),
    [
        (1_000, Side.ASK, 1_000, 0, False),
        (1_000, Side.ASK, 1_000, 1, True),
        (1_000, Side.BID, 1, 0, True),
        (-1_000, Side.BID, 1_000, 0, False),
        (0, Side.BID, 1, 0, True),
        (0, Side.ASK, 1, 0, True),
    ],
)
def test_the_veto_lets_an_order_reduce_but_never_pass_flat(
    net: int, side: Side, count: int, resting: int, *, refused: bool
) -> None:
    orders = [own(side, 4_500, resting)] if resting else []
    wish = Place("n", T, side, 4_500, count, NOON_MS + 50_000, 0)
    told = view(market_view(*orders, net_e2=net))
    for stance, held_market in ((Stance(Posture.REDUCE_ONLY), ""), (RUN, "H1: loss")):
        markets = {T: replace(told.markets[T], reduce_only=held_market)}
        verdict = risk_manager.vet([Wanted(wish)], replace(told, markets=markets), stance)
        assert [r.check for r in verdict.refused] == (["check_reduce_only"] if refused else [])
    assert not [
        r for r in risk_manager.vet([Wanted(wish)], told, RUN).refused if r.check == "check_reduce_only"
    ]


def test_halts_of_a_scope_do_not_lower_the_whole_bot() -> None:
    told = view(market_view(), halts=(halt("a", scope=T), halt("b", "H2", Hold.REDUCE_ONLY, "event#EVT")))
    assert risk_manager.stance(told) == RUN
    assert HaltsChanged(told.halts).stops == ()
