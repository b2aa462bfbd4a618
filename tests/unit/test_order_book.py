"""Books from snapshots and deltas: exact, without our own size, and in doubt as soon as anything contradicts."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dora_bot.events import BookDelta, BookLost, BookSnapshot
from dora_bot.models import (
    BookView,
    Instant,
    Level,
    Side,
)
from dora_bot.order_book import Books

ROOT = Path(__file__).resolve().parents[2]
TAPES = sorted((ROOT.parent / "shared" / "data" / "ws_kxbtc15m").glob("*.frames.jsonl.gz"))
SHIPPED = ROOT / "dora_bot" / "paper" / "tapes" / "synthetic.frames.jsonl.gz"
NOW = Instant(1_000, 2_000)
T = "KXT-A"


@dataclass(frozen=True)
class Own:
    side: Side
    price_e4: int
    remaining_e2: int


def snapshot(
    bids: dict[int, int] | None = None, asks: dict[int, int] | None = None, *, audit: bool = False
) -> BookSnapshot:
    return BookSnapshot(
        T,
        tuple(Level(*level) for level in (bids or {}).items()),
        tuple(Level(*level) for level in (asks or {}).items()),
        sid=1,
        seq=1,
        audit=audit,
    )


def bid(price_e4: int, delta_e2: int, time_ms: int = 10) -> BookDelta:
    return BookDelta(T, True, price_e4, delta_e2, time_ms)


def ask(price_e4: int, delta_e2: int, time_ms: int = 10) -> BookDelta:
    return BookDelta(T, False, price_e4, delta_e2, time_ms)


def after(*events: BookDelta | BookSnapshot | BookLost) -> tuple[Books, str]:
    """Books that took these events in, and what the last one contradicted."""
    books, told = Books(), ""
    for event in events:
        told = books.apply(event, NOW)
    return books, told


def by_rest(bids: dict[int, int], asks: dict[int, int], since_ms: int = 0) -> BookSnapshot:
    return replace(snapshot(bids, asks, audit=True), sid=0, seq=0, time_ms=since_ms)


ASKS = {5_200: 300, 5_300: 50}
BASE = snapshot({4_600: 100, 4_700: 300}, {5_200: 300, 5_300: 50})


def test_a_snapshot_is_shown_best_first() -> None:
    books, told = after(BASE)
    assert told == ""
    assert books.view(T) == BookView(
        bids=(Level(4_700, 300), Level(4_600, 100)),
        asks=(Level(5_200, 300), Level(5_300, 50)),
        proven=True,
        changed_ms=0,
        version=1,
    )
    assert books.view(T, depth=1).bids == (Level(4_700, 300),)


def test_nothing_is_known_of_a_market_without_a_snapshot() -> None:
    books, told = after(bid(4_700, 100))
    assert (told, books.view(T)) == ("", BookView())


def test_deltas_add_change_and_remove_levels() -> None:
    books, _ = after(BASE, bid(4_800, 25, 11), bid(4_700, -100, 12), bid(4_600, -100, 13), ask(5_200, 1, 14))
    view = books.view(T)
    assert view.bids == (Level(4_800, 25), Level(4_700, 200))
    assert view.asks == (Level(5_200, 301), Level(5_300, 50))
    assert (view.changed_ms, view.version, view.proven) == (14, 5, True)


@pytest.mark.fault("F33")
def test_a_snapshot_replaces_the_book_completely_and_an_absent_side_is_empty() -> None:
    books, _ = after(BASE, snapshot({1_000: 5}))
    assert (books.view(T).bids, books.view(T).asks) == ((Level(1_000, 5),), ())


@pytest.mark.fault("F35")
def test_a_level_below_zero_puts_the_book_in_doubt_until_a_snapshot() -> None:
    books, told = after(BASE, bid(4_700, -301))
    assert told == "a level fell below zero"
    assert not books.view(T).proven
    assert books.doubts() == {T: "a level fell below zero"}
    assert after(BASE, bid(4_100, -1))[1] == "a level fell below zero"
    books.apply(bid(4_700, 100), NOW)
    assert not books.view(T).proven
    books.apply(BASE, NOW)
    assert books.view(T).proven
    assert books.doubts() == {}


@pytest.mark.fault("F35")
def test_a_sweep_may_cross_the_book_within_one_moment_but_not_beyond_it() -> None:
    crossed = (BASE, bid(5_200, 100, 20))
    books, told = after(*crossed)
    assert (told, books.view(T).proven) == ("", False)
    books, told = after(*crossed, ask(5_200, -300, 20), bid(4_600, 1, 21))
    assert (told, books.view(T).proven) == ("", True)
    books, told = after(*crossed, bid(4_600, 1, 21))
    assert told == "crossed when the exchange's time moved on"
    books.apply(ask(5_200, -300, 22), NOW)
    assert not books.view(T).proven


def test_a_time_that_goes_back_does_not_move_the_book_back() -> None:
    books, _ = after(BASE, bid(4_700, 1, 20), bid(4_700, 1, 15))
    assert (books.view(T).changed_ms, books.view(T).bids[0]) == (20, Level(4_700, 302))


def test_our_own_size_is_taken_out() -> None:
    own = [
        Own(Side.BID, 4_700, 300),
        Own(Side.BID, 4_600, 40),
        Own(Side.BID, 4_600, 10),
        Own(Side.ASK, 5_300, 60),
        Own(Side.ASK, 9_000, 10),
    ]
    books, _ = after(BASE)
    view = books.view(T, own)
    assert view.bids == (Level(4_600, 50),)
    assert view.asks == (Level(5_200, 300),)
    assert books.view(T).bids[0] == Level(4_700, 300)


def test_an_audit_that_agrees_changes_nothing() -> None:
    books, _ = after(BASE)
    before = books.view(T)
    assert books.apply(snapshot({4_700: 300, 4_600: 100}, {5_300: 50, 5_200: 300}, audit=True), NOW) == ""
    assert books.view(T) == before


@pytest.mark.parametrize(
    "audit",
    [
        snapshot({4_600: 100, 4_700: 301}, {5_200: 300, 5_300: 50}, audit=True),
        snapshot({4_600: 100}, {5_200: 300, 5_300: 50}, audit=True),
        snapshot({4_600: 100, 4_700: 300}, {4_800: 300, 4_700: 50}, audit=True),
        snapshot(audit=True),
    ],
)
def test_an_audit_that_differs_is_told_and_its_content_proven_only_by_rest(audit: BookSnapshot) -> None:
    books, told = after(BASE, audit)
    assert told == "differs from its audit snapshot"
    assert books.view(T).bids == tuple(sorted(audit.bids, reverse=True))
    books.apply(replace(audit, audit=False), NOW)
    assert not books.view(T).proven, "what the feed says twice is not truer"
    assert books.unchecked() == {T}
    books.apply(by_rest(dict(audit.bids), dict(audit.asks), NOW.exchange_ms + 1), NOW)
    assert books.view(T).proven is not books.book(T).crossed  # type: ignore[union-attr]  # it is there
    assert books.unchecked() == frozenset()


def test_prices_of_the_other_leg_are_never_proven_by_the_feed_alone() -> None:
    """F34: the NO ladder mirrored is a book like any other; only another surface can tell."""
    mirrored = snapshot({4_600: 100, 4_700: 300}, {4_800: 300, 4_900: 50})
    books, _ = after(BASE, mirrored)
    rest = by_rest({4_600: 100, 4_700: 300}, ASKS, NOW.exchange_ms + 1)
    assert [bool(books.apply(rest, NOW)) for _ in range(2)] == [False, True]
    books.apply(mirrored, NOW)
    assert books.doubts() == {T: "differs from 2 REST reads in a row"}
    books.apply(BASE, NOW)
    assert not books.view(T).proven
    assert [books.apply(rest, NOW), books.view(T).proven] == ["", True]


def test_one_rest_read_that_differs_is_followed_by_another_soon() -> None:
    books, _ = after(BASE, by_rest({4_600: 100, 4_700: 300}, ASKS, NOW.exchange_ms + 1))
    assert books.unchecked() == frozenset()
    books.apply(by_rest({1: 1}, {}, NOW.exchange_ms + 1), NOW)
    assert (books.view(T).proven, books.unchecked()) == (True, frozenset({T}))


def test_a_new_connection_is_checked_anew() -> None:
    books, _ = after(BASE, by_rest({4_600: 100, 4_700: 300}, ASKS, NOW.exchange_ms + 1))
    assert books.unchecked() == frozenset()
    books.lose_all("a new connection")
    assert books.unchecked() == frozenset(), "nothing is known of it yet"
    books.apply(BASE, NOW)
    assert books.unchecked() == {T}


def test_a_polled_book_is_rests_own_word() -> None:
    books, _ = after(BASE, snapshot({1_000: 1}, audit=True), replace(snapshot({2_000: 1}), sid=0, seq=0))
    assert (books.view(T).proven, books.unchecked()) == (True, frozenset())


def test_an_audit_of_a_book_in_doubt_proves_it_and_contradicts_nothing() -> None:
    books, told = after(BASE, BookLost((T,), "gap"), snapshot({1_000: 1}, audit=True))
    assert (told, books.view(T).proven) == ("", True)


def test_lost_books_are_not_proven_and_drop_deltas() -> None:
    books, _ = after(BASE, BookLost((T, "KXT-OTHER"), "sequence gap"), bid(4_700, 1))
    assert books.doubts() == {T: "sequence gap"}
    books.apply(BASE, NOW)
    books.lose_all("feed down")
    assert books.doubts() == {T: "feed down"}
    books.forget(T)
    assert books.doubts() == {}


def test_touched_markets_are_told_once() -> None:
    books, _ = after(BASE)
    assert books.take_touched() == {T}
    assert books.take_touched() == set()
    books.apply(bid(4_700, 1), NOW)
    books.apply(snapshot({4_600: 100, 4_700: 301}, {5_200: 300, 5_300: 50}, audit=True), NOW)
    assert books.take_touched() == {T}
    books.apply(BookLost((T,), "x"), NOW)
    assert books.take_touched() == {T}


MOVED = (BASE, bid(4_700, -50, 3_000), bid(4_700, -50, 3_100), ask(5_200, 10, 3_200))


@pytest.mark.parametrize(
    ("bids", "asks", "since_ms", "agrees"),
    [
        ({4_600: 100, 4_700: 200}, {5_200: 310, 5_300: 50}, 3_150, True),
        ({4_600: 100, 4_700: 200}, ASKS, 3_150, True),
        ({4_600: 100, 4_700: 250}, ASKS, 3_050, True),
        ({4_600: 100, 4_700: 300}, ASKS, 3_000, True),
        ({4_600: 100, 4_700: 300}, ASKS, 3_150, False),
        ({4_600: 100, 4_700: 260}, ASKS, 3_000, False),
        ({4_600: 100, 4_700: 250}, {5_200: 310, 5_300: 50}, 3_000, False),
        ({4_600: 100}, ASKS, 3_000, False),
    ],
)
def test_a_rest_read_agrees_if_it_equals_any_state_held_since_it_began(
    bids: dict[int, int], asks: dict[int, int], since_ms: int, *, agrees: bool
) -> None:
    books, _ = after(*MOVED)
    told = by_rest(bids, asks, since_ms)
    assert books.apply(told, NOW) == ""
    assert books.view(T).proven
    assert bool(books.apply(told, NOW)) is not agrees
    assert books.view(T).proven is agrees


def test_one_agreeing_rest_read_forgives_the_miss_before() -> None:
    books, _ = after(*MOVED)
    wrong, right = by_rest({1: 1}, {}, 3_000), by_rest({4_600: 100, 4_700: 200}, ASKS, 3_000)
    assert [books.apply(told, NOW) for told in (wrong, right, wrong)] == ["", "", ""]
    assert books.apply(wrong, NOW) == "differs from 2 REST reads in a row"


def test_a_rest_read_that_began_before_the_books_snapshot_says_nothing() -> None:
    books, _ = after(*MOVED)
    for _ in range(3):
        assert books.apply(by_rest({1: 1}, {}, NOW.exchange_ms), NOW) == ""
    assert books.view(T).proven


def test_a_rest_read_does_not_prove_a_book_in_doubt() -> None:
    books, _ = after(BASE, BookLost((T,), "gap"), by_rest({4_600: 100, 4_700: 300}, ASKS))
    assert not books.view(T).proven


STEPS = st.lists(
    st.tuples(st.booleans(), st.integers(1, 60), st.integers(-300, 300)), min_size=1, max_size=80
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_a_book_is_the_sum_of_its_deltas(steps: list[tuple[bool, int, int]]) -> None:
    books, _ = after(snapshot({100: 1_000}, {9_900: 1_000}))
    sums = {True: Counter({100: 1_000}), False: Counter({9_900: 1_000})}
    for is_bid, tick, delta in steps:
        price = tick * 100 if is_bid else 10_000 - tick * 100
        told = books.apply(BookDelta(T, is_bid, price, delta, 5), NOW)
        sums[is_bid][price] += delta
        if sums[is_bid][price] < 0:
            assert told == "a level fell below zero"
            return
        assert told == ""
    view = books.view(T, depth=200)
    assert view.bids == tuple(sorted((Level(p, c) for p, c in sums[True].items() if c), reverse=True))
    assert view.asks == tuple(sorted(Level(p, c) for p, c in sums[False].items() if c))


# ── recorded tapes ──────────────────────────────────────────────────────────────────────────────


def figures(*tapes: Path) -> dict[str, dict[str, Any]]:
    """What `scripts/book_check.py` prints, by the tape's name."""
    run = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "book_check.py"), *map(str, tapes)],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
        cwd=ROOT,
    )
    return {line["tape"]: line for line in map(json.loads, run.stdout.splitlines())}


def test_books_rebuilt_from_the_shipped_tape_equal_its_tickers() -> None:
    (line,) = figures(SHIPPED).values()
    assert line["agreement"] >= 0.99
    assert line["coverage"] >= 0.8
    assert (line["negative_levels"], line["crossed"], line["gaps"]) == (0, 0, 0)
    assert line["deltas"] > 5_000


@pytest.mark.skipif(not TAPES, reason="../shared/data is absent")
def test_books_rebuilt_from_every_tape_equal_the_exchanges_tickers() -> None:
    found = figures(*TAPES)
    assert len(found) == len(TAPES)
    for name, line in found.items():
        assert line["agreement"] >= 0.996, name
        assert line["coverage"] >= 0.8, name
        assert (line["negative_levels"], line["crossed"]) == (0, 0), name
    assert sum(line["deltas"] for line in found.values()) > 500_000
    assert [name for name, line in found.items() if line["gaps"]] == ["20260514T045722.frames.jsonl.gz"]
    assert found["20260514T043808.frames.jsonl.gz"]["connections"] == 3
