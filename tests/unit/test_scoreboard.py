"""Totals over a run: each thing counted once, renewals apart."""

from collections import deque

import pytest

from dora_bot.events import FeedDown
from dora_bot.models import Side
from dora_bot.reconcile import Reconciled
from dora_bot.scoreboard import Scoreboard, percentile
from tests.fakes.bench import Bench
from tests.fakes.core import T, snapshot
from tests.fakes.exchange import LOST, REFUSED


def scored(bench: Bench) -> Scoreboard:
    scores = Scoreboard()
    for report in bench.beats():
        scores.add(report)
    return scores


def test_a_run_is_counted_by_what_the_exchange_took() -> None:
    bench = Bench(latency_ms=30).quoting()
    bench.post(snapshot(4_200, 5_200))
    bench.tick()
    bench.clock.advance(30_000)
    bench.tick()
    bench.trade(Side.BID, 300)
    bench.trade(Side.ASK, 250)
    bench.post(FeedDown("reset"))
    bench.tick()
    scores = scored(bench)
    assert (scores.ticks, scores.placed, scores.amended, scores.renewals, scores.cancelled) == (4, 2, 2, 2, 2)
    assert (scores.fills, scores.contracts_e2) == (2, 550)
    assert [f.count_e2 for f in scores.last_fills] == [300, 250]
    assert list(scores.tick_ms) == [30, 30, 30, 30]
    assert scores.reasons == {T: "book is not proven"}
    assert scores.last is bench.beats()[-1]


def test_what_ended_badly_is_counted_apart() -> None:
    bench = Bench()
    bench.exchange.answers = deque([REFUSED, LOST])
    bench.tick()
    scores = scored(bench)
    assert (scores.placed, scores.refused, scores.unknown) == (0, 1, 1)


def test_the_last_reconciliation_is_the_one_shown() -> None:
    scores = Scoreboard()
    scores.add_reconciled(Reconciled(mismatches=("KXA: 1 and 2",)))
    assert list(scores.mismatches) == ["KXA: 1 and 2"]
    scores.add_reconciled(Reconciled())
    assert (list(scores.mismatches), scores.foreign) == ([], 0)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, 0), ([7], 0.99, 7), ([3, 1, 2], 0.5, 2), (list(range(100)), 0.99, 99), ([1, 2], 1.0, 2)],
)
def test_percentiles(values: list[int], share: float, expected: int) -> None:
    assert percentile(values, share) == expected
