"""Tapes on the exchange: the recorded book to the last contract, honest queues, no fill that was not traded."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from dora_bot.errors import ConfigError
from dora_bot.models import Level, MarketStatus, Side
from dora_bot.paper.check_world import Joiner
from dora_bot.paper.engine import Exchange
from dora_bot.paper.events import FillMade, LifecycleEvent, LifecycleKind, OrderChanged
from dora_bot.paper.recording import Change, load_recording
from dora_bot.paper.specs import OrderRequest
from dora_bot.paper.tape_world import TapeWorld
from dora_bot.paper.world import SHIPPED_TAPE, build_world
from dora_bot.units import ONE_E4, parse_count, parse_price
from tests.fakes.tapes import recorded_tape

START_MS = 1_767_225_600_000
US = "us"
RICH = dict.fromkeys(range(4), 10**15)


class Playing:
    """A tape world in virtual time with one rich account beside it."""

    def __init__(self, *paths: Path, speed: float = 1.0) -> None:
        self.exchange = Exchange(1)
        self.exchange.open_account(US, RICH)
        self.recordings = [load_recording(path) for path in paths]
        self.world = TapeWorld(self.exchange, self.recordings, start_ms=START_MS, speed=speed)
        self.now_ms = START_MS

    def is_open(self, ticker: str) -> bool:
        known = {view.spec.ticker: view.close_ms for view in self.exchange.markets()}
        return self.now_ms < known.get(ticker, 0)

    def steps(self, until_ms: int) -> Iterator[int]:
        """Step to each due time up to ``until_ms`` after the start."""
        while self.world.next_due_ms() <= START_MS + until_ms:
            self.now_ms = self.world.next_due_ms()
            self.exchange.advance(self.now_ms)
            self.world.step(self.now_ms)
            yield self.now_ms

    def run(self, until_ms: int) -> None:
        for _ in self.steps(until_ms):
            pass


# ── the book is the tape's book ─────────────────────────────────────────────────────────────────


class Reference:
    """The book of one market rebuilt from frames by the plainest code possible."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[str, dict[int, int]]] = {}

    def take(self, frame: dict[str, Any]) -> None:
        msg = frame.get("msg", {})
        if frame["type"] == "orderbook_snapshot":
            self.sides[msg["market_ticker"]] = {
                side: {parse_price(p): parse_count(c) for p, c in msg.get(f"{side}_dollars_fp", [])}
                for side in ("yes", "no")
            }
        elif frame["type"] == "orderbook_delta":
            side = self.sides[msg["market_ticker"]][msg["side"]]
            price = parse_price(msg["price_dollars"])
            side[price] = side.get(price, 0) + parse_count(msg["delta_fp"])
            if side[price] == 0:
                del side[price]

    def book(self, ticker: str) -> tuple[list[Level], list[Level]]:
        sides = self.sides[ticker]
        bids = [Level(price, sides["yes"][price]) for price in sorted(sides["yes"], reverse=True)]
        asks = [Level(ONE_E4 - price, sides["no"][price]) for price in sorted(sides["no"], reverse=True)]
        return bids, asks


@pytest.mark.parametrize(
    ("name", "seconds"), [("", 900), ("20260511T053112", 30), ("20260513T1819", 120), ("20260514T043808", 60)]
)
def test_without_our_orders_the_book_is_the_recorded_book_at_every_ticker(name: str, seconds: int) -> None:
    path = recorded_tape(name) if name else SHIPPED_TAPE
    origin_ms = load_recording(path).start_ms
    playing, reference, checked = Playing(path), Reference(), 0
    with gzip.open(path, "rt") as file:
        lines = [json.loads(line) for line in file]
    for recv_ms, group in groupby(lines, key=lambda line: int(line["recv_ms"])):
        if recv_ms > origin_ms + seconds * 1_000:
            break
        playing.run(recv_ms - origin_ms)
        frames = [line["frame"] for line in group]
        for frame in frames:
            reference.take(frame)
        for frame in frames:
            if frame["type"] == "ticker" and playing.is_open(frame["msg"]["market_ticker"]):
                ticker = frame["msg"]["market_ticker"]
                book = playing.exchange.book(ticker)
                assert (list(book.bids), list(book.asks)) == reference.book(ticker)
                checked += 1
    assert checked > 20


# ── fills ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["", "20260513T215130", "20260514T045722"])
def test_an_aggressive_joiner_never_gets_more_than_was_traded(name: str) -> None:
    """Per market and minute our fills stay within the traded volume, however hard we join and step inside."""
    playing = Playing(recorded_tape(name) if name else SHIPPED_TAPE)
    ours: Counter[tuple[str, int]] = Counter()
    traded = recorded_volume(playing)
    joiners: dict[str, Joiner] = {}
    visited_ms = 0
    for now_ms in playing.steps(400_000):
        if now_ms >= visited_ms + 500:
            visited_ms = now_ms
            for ticker in playing.world.tickers:
                if playing.exchange.market(ticker).status is MarketStatus.ACTIVE:
                    joiner = joiners.setdefault(ticker, Joiner(playing.exchange, US, ticker, 2, inside=1))
                    joiner.shard = playing.exchange.market(ticker).spec.exchange_index
                    joiner.visit(now_ms)
        for event in playing.exchange.drain_events():
            if isinstance(event, FillMade):
                ours[(event.fill.ticker, (event.now_ms - START_MS) // 60_000)] += event.fill.count_e2
    assert sum(ours.values()) > 0
    for minute, count_e2 in ours.items():
        assert count_e2 <= traded[minute]


def recorded_volume(playing: Playing) -> Counter[tuple[str, int]]:
    """Contracts traded in the tape, by market and minute of play."""
    traded: Counter[tuple[str, int]] = Counter()
    for recording in playing.recordings:
        for step in recording.steps:
            if isinstance(step, Change):
                traded[(step.ticker, (step.at_ms - recording.start_ms) // 60_000)] += step.traded_e2
    return traded


class SmallTape:
    """A hand-made tape of one market: bid 48 (100 contracts), ask 52 (80)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[dict[str, Any]] = []
        self.seq = 0
        self.add(0, {"type": "_market", "msg": {"close_time": "1970-01-01T00:15:00Z", "market_ticker": M}})
        self.add(0, {"type": "_connected"})
        self.snapshot(0)

    def add(self, recv_ms: int, frame: dict[str, Any]) -> None:
        self.lines.append({"recv_ms": recv_ms, "conn": 1, "frame": frame})

    def _numbered(self, recv_ms: int, kind: str, msg: dict[str, Any]) -> None:
        self.seq += 1
        frame = {"type": kind, "sid": 2, "seq": self.seq, "msg": {"market_ticker": M, **msg}}
        self.add(recv_ms, frame)

    def snapshot(self, recv_ms: int) -> None:
        levels = {"yes_dollars_fp": [["0.4800", "100.00"]], "no_dollars_fp": [["0.4800", "80.00"]]}
        self._numbered(recv_ms, "orderbook_snapshot", levels)

    def delta(self, recv_ms: int, side: str, price: str, delta: str) -> None:
        msg = {"side": side, "price_dollars": price, "delta_fp": delta, "ts_ms": recv_ms}
        self._numbered(recv_ms, "orderbook_delta", msg)

    def traded(self, recv_ms: int, contracts: int) -> None:
        """A ticker whose volume (both sides) grew by this many contracts traded since the last."""
        self.volume = getattr(self, "volume", 0) + 2 * contracts
        msg = {"market_ticker": M, "volume_fp": f"{self.volume}.00", "ts_ms": recv_ms}
        self.add(recv_ms, {"type": "ticker", "sid": 1, "msg": msg})

    def save(self) -> Path:
        self.path.write_text("".join(json.dumps(line) + "\n" for line in self.lines))
        return self.path


M = "KXBTC15M-70JAN010015-15"


@pytest.fixture
def tape(tmp_path: Path) -> SmallTape:
    return SmallTape(tmp_path / "small.frames.jsonl")


def rest(playing: Playing, side: Side, cents: int, contracts: int) -> str:
    request = OrderRequest(M, side, cents * 100, contracts * 100, post_only=True, client_order_id="c-1")
    return playing.exchange.create(US, request, playing.now_ms).order_id


def filled(playing: Playing) -> list[tuple[int, int]]:
    """Our fills as (ms after the start, 0.01 contracts)."""
    return [(fill.time_ms - START_MS, fill.count_e2) for fill in playing.exchange.fills(US)]


def test_our_order_waits_until_what_stood_ahead_of_it_has_traded(tape: SmallTape) -> None:
    tape.traded(5, 0)
    for at_ms in (1_000, 2_000, 3_000):
        tape.delta(at_ms, "yes", "0.4800", "-40.00")
        tape.delta(at_ms + 1, "yes", "0.4800", "30.00")
        tape.traded(at_ms + 2, 40)
    playing = Playing(tape.save())
    order_id = rest(playing, Side.BID, 48, 10)
    assert playing.exchange.queue_position(order_id) == 10_000
    playing.run(2_500)
    assert filled(playing) == []
    assert playing.exchange.queue_position(order_id) == 2_000
    playing.run(4_000)
    assert filled(playing) == [(3_000, 1_000)]


def test_cancels_behind_us_bring_us_no_nearer_and_fill_nothing(tape: SmallTape) -> None:
    tape.traded(5, 0)
    tape.delta(1_000, "yes", "0.4800", "60.00")
    tape.delta(2_000, "yes", "0.4800", "-60.00")
    tape.traded(2_100, 0)
    playing = Playing(tape.save())
    order_id = rest(playing, Side.BID, 48, 10)
    playing.run(5_000)
    assert playing.exchange.queue_position(order_id) == 10_000
    assert filled(playing) == []


def test_an_order_inside_the_spread_is_filled_first_but_only_out_of_trades(tape: SmallTape) -> None:
    tape.traded(5, 0)
    tape.delta(1_000, "yes", "0.4800", "-40.00")
    tape.traded(1_100, 4)
    playing = Playing(tape.save())
    rest(playing, Side.BID, 49, 10)
    playing.run(5_000)
    assert filled(playing) == [(1_000, 400)]


def test_one_trade_fills_one_of_two_orders(tape: SmallTape) -> None:
    tape.traded(5, 0)
    tape.delta(1_000, "yes", "0.4800", "-40.00")
    tape.traded(1_100, 10)
    playing = Playing(tape.save())
    for number, cents in enumerate((49, 50)):
        request = OrderRequest(M, Side.BID, cents * 100, 1_000, client_order_id=f"c-{number}")
        playing.exchange.create(US, request, playing.now_ms)
    playing.run(5_000)
    assert [(fill.price_e4, fill.count_e2) for fill in playing.exchange.fills(US)] == [(5_000, 1_000)]


def test_nothing_trades_in_a_pause_but_the_book_goes_on(tape: SmallTape) -> None:
    tape.traded(5, 0)
    tape.delta(1_000, "yes", "0.4800", "-40.00")
    tape.traded(1_100, 40)
    playing = Playing(tape.save())
    rest(playing, Side.BID, 49, 10)
    playing.exchange.pause("trading", playing.now_ms, on=True, shard=2)
    playing.run(2_000)
    assert filled(playing) == []
    assert Level(4_800, 6_000) in playing.exchange.book(M).bids


def test_a_market_that_the_operator_determined_early_has_no_book_and_no_trades(tape: SmallTape) -> None:
    tape.traded(5, 0)
    tape.delta(1_000, "yes", "0.4800", "-40.00")
    tape.traded(1_100, 40)
    tape.delta(2_000, "yes", "0.4700", "40.00")
    playing = Playing(tape.save())
    playing.exchange.determine(M, "no", playing.now_ms)
    playing.exchange.drain_events()
    playing.run(1_500)
    assert playing.exchange.drain_events() == []


# ── what the recording does not know, and its clock ─────────────────────────────────────────────


def lifecycle(playing: Playing) -> list[tuple[int, LifecycleKind]]:
    return [
        (event.now_ms - START_MS, event.kind)
        for event in playing.exchange.drain_events()
        if isinstance(event, LifecycleEvent)
    ]


def test_in_a_gap_the_market_is_inactive_and_its_return_cancels_our_orders(tape: SmallTape) -> None:
    tape.delta(1_000, "yes", "0.4800", "1.00")
    tape.seq += 1
    tape.delta(4_000, "yes", "0.4800", "1.00")
    tape.snapshot(6_000)
    playing = Playing(tape.save())
    order_id = rest(playing, Side.BID, 48, 10)
    playing.exchange.drain_events()
    playing.run(5_000)
    assert playing.exchange.market(M).status is MarketStatus.INACTIVE
    playing.run(6_000)
    events = playing.exchange.drain_events()
    kinds = [(e.now_ms - START_MS, e.kind) for e in events if isinstance(e, LifecycleEvent)]
    # The recording ends with its second snapshot, so the market is left deactivated again.
    assert kinds == [
        (1_000, LifecycleKind.DEACTIVATED),
        (6_000, LifecycleKind.ACTIVATED),
        (6_000, LifecycleKind.DEACTIVATED),
    ]
    assert playing.exchange.order(order_id).remaining_e2 == 0
    assert any(isinstance(event, OrderChanged) for event in events)


def test_speed_shortens_gaps_and_moves_the_close_but_not_the_clock(tape: SmallTape) -> None:
    tape.delta(60_000, "yes", "0.4800", "7.00")
    tape.delta(600_000, "yes", "0.4800", "7.00")
    playing = Playing(tape.save(), speed=10.0)
    assert playing.exchange.market(M).close_ms == START_MS + 90_000
    playing.run(5_999)
    assert playing.exchange.book(M).bids[0].count_e2 == 10_000
    playing.run(6_000)
    assert playing.exchange.book(M).bids[0].count_e2 == 10_700


def test_a_tape_that_ends_before_the_close_leaves_its_market_inactive(tape: SmallTape) -> None:
    tape.delta(60_000, "yes", "0.4800", "7.00")
    playing = Playing(tape.save())
    playing.run(60_000)
    assert lifecycle(playing)[-1] == (60_000, LifecycleKind.DEACTIVATED)
    assert playing.world.next_due_ms() > START_MS + 10**12, "nothing is left to do"


def test_the_recorded_result_determines_the_market_after_its_close(tape: SmallTape, tmp_path: Path) -> None:
    (tmp_path / "settlements.json").write_text(json.dumps({M: "yes"}))
    tape.delta(60_000, "yes", "0.4800", "7.00")
    playing = Playing(tape.save(), speed=10.0)
    playing.run(200_000)
    playing.exchange.advance(START_MS + 400_000)
    view = playing.exchange.market(M)
    assert (view.result, view.status) == ("yes", MarketStatus.FINALIZED)


def test_tapes_with_other_markets_play_side_by_side(tape: SmallTape) -> None:
    playing = Playing(SHIPPED_TAPE, tape.save())
    assert M in playing.world.tickers
    assert len(playing.world.tickers) == 7


def test_a_tape_that_goes_on_with_the_same_market_comes_after_the_first(tmp_path: Path) -> None:
    first, second = SmallTape(tmp_path / "1.frames.jsonl"), SmallTape(tmp_path / "2.frames.jsonl")
    first.delta(60_000, "yes", "0.4800", "7.00")
    for line in second.lines:
        line["recv_ms"] += 300_000
    second.delta(330_000, "yes", "0.4800", "9.00")
    playing = Playing(first.save(), second.save())
    playing.run(61_000)
    assert playing.exchange.market(M).status is MarketStatus.INACTIVE
    playing.run(70_000)
    assert playing.exchange.market(M).status is MarketStatus.ACTIVE
    assert playing.exchange.book(M).bids[0].count_e2 == 10_000


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_a_speed_that_makes_no_sense_is_refused(speed: float) -> None:
    with pytest.raises(ConfigError, match="--speed"):
        build_world(Exchange(1), markets=1, seed=1, now_ms=START_MS, tapes=[SHIPPED_TAPE], speed=speed)
