"""What one tick reports, and which decisions are worth a row."""

from collections import deque

from dora_bot.events import FeedDown
from dora_bot.models import Amend, Cancel, Place, Side
from dora_bot.tick_report import Decisions
from dora_bot.views import Decision
from tests.fakes.bench import Bench
from tests.fakes.core import T, market_view, snapshot, view
from tests.fakes.exchange import LOST, REFUSED


def test_the_line_of_a_tick_counts_what_the_exchange_took() -> None:
    bench = Bench(latency_ms=40)
    line = bench.tick().line()
    assert (line["tick"], line["markets"], line["quotes"], line["placed"], line["took_ms"]) == (
        1,
        1,
        2,
        2,
        40,
    )
    assert (line["posture"], line["reasons"], line["vetoed"]) == ("RUN", [], [])
    bench.post(snapshot(4_200, 5_200))
    assert bench.tick().line()["amended"] == 2
    bench.post(FeedDown("reset"))
    assert bench.tick().line()["cancelled"] == 2


def test_refused_and_unknown_are_counted_apart_and_not_as_placed() -> None:
    bench = Bench()
    bench.exchange.answers = deque([REFUSED, LOST])
    report = bench.tick()
    line = report.line()
    assert (line["refused"], line["unknown"], line["placed"]) == (1, 1, 0)
    assert [report.count(kind) for kind in (Place, Amend, Cancel)] == [0, 0, 0]


def test_a_veto_is_named_with_its_market_and_check() -> None:
    bench = Bench().quoting()
    bench.post(snapshot(3_000, 4_000))
    vetoed = bench.tick().line()["vetoed"]
    assert isinstance(vetoed, list)
    assert [veto[:51] for veto in vetoed] == ["KXA check_self_cross: would cross our own bid at 0."]


def test_renewals_are_counted_apart() -> None:
    bench = Bench().quoting()
    bench.clock.advance(30_000)
    report = bench.tick()
    assert (report.renewals(), report.line()["renewed"], report.line()["amended"]) == (2, 2, 2)


def test_the_reaction_is_from_the_event_to_the_answer_and_nothing_where_nothing_was_sent() -> None:
    bench = Bench(latency_ms=40).quoting()
    assert bench.tick().reaction_ms is None
    bench.bot.woken = bench.clock.now()
    assert bench.tick(5).reaction_ms is None
    bench.post(snapshot(4_200, 5_200))
    assert bench.tick(5).reaction_ms == 50


def test_a_decision_is_a_row_when_quotes_or_the_kind_of_reason_change() -> None:
    decisions = Decisions()
    seen = view(market_view())

    def rows(reason: str) -> int:
        return len(decisions.changed(seen, {T: Decision((), reason)}, []))

    assert rows("spread 0.0100 is below 0.0400") == 1
    assert rows("spread 0.0200 is below 0.0400") == 0
    assert rows("disabled in config") == 1
    assert rows("disabled in config") == 0


def test_a_row_holds_the_book_the_inventory_and_what_was_done() -> None:
    bench = Bench().quoting()
    bench.trade(Side.BID, 1_000)
    report = bench.tick()
    (row,) = Decisions().changed(report.view, report.decided, report.outcomes)
    assert (row.ticker, row.inventory_e2, row.placed, row.time_ms) == (
        T,
        1_000,
        1,
        report.started.exchange_ms,
    )
    assert row.bids[0].price_e4 == 4_000
    assert row.quotes == report.decided[T].quotes
