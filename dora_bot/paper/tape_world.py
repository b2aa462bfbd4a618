"""Recorded markets played on the paper exchange: our orders rest inside the recorded book.

Frames are re-stamped to the exchange's clock. ``speed`` divides the gaps between recorded events and moves
the closes, nothing else. Where the recording knows nothing (a sequence gap, a reconnect, its own end) the
market is deactivated; the next snapshot activates it, which cancels our orders as on the real exchange.
"""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush, heapreplace
from typing import NamedTuple

from dora_bot.models import FeeTerms, MarketStatus, Side
from dora_bot.paper.engine import Exchange
from dora_bot.paper.grids import GRIDS
from dora_bot.paper.recording import Change, Listed, Lost, Recording, Step, Whole
from dora_bot.paper.specs import EventSpec, MarketSpec, SeriesSpec

_OPEN = frozenset({MarketStatus.ACTIVE, MarketStatus.INACTIVE})
_VERDICT_MS = 10_000
_SPLICE_MS = 3_000
"""What is left of the pause between two tapes that follow the same market one after the other."""


class Placed(NamedTuple):
    """A recording on the exchange's clock: recorded time ``recording.start_ms`` is played at ``start_ms``."""

    recording: Recording
    start_ms: int
    speed: float

    def at(self, recorded_ms: int) -> int:
        return self.start_ms + max(round((recorded_ms - self.recording.start_ms) / self.speed), 0)

    @property
    def end_ms(self) -> int:
        return self.at(self.recording.end_ms)


def place_recordings(recordings: Sequence[Recording], *, start_ms: int, speed: float) -> list[Placed]:
    """Side by side from ``start_ms``; a tape that shares a market with another comes after it."""
    placed: list[Placed] = []
    for recording in sorted(recordings, key=lambda tape: tape.start_ms):
        before = [p.end_ms for p in placed if _tickers(p.recording) & _tickers(recording)]
        start = max(before) + round(_SPLICE_MS / speed) if before else start_ms
        placed.append(Placed(recording, start, speed))
    return placed


def _tickers(recording: Recording) -> set[str]:
    return {step.ticker for step in recording.steps if isinstance(step, Listed)}


class TapeWorld:
    """Plays recordings into the exchange; it places no orders, it moves recorded ladders and trades."""

    def __init__(
        self, exchange: Exchange, recordings: Sequence[Recording], *, start_ms: int, speed: float
    ) -> None:
        self._exchange = exchange
        self._now_ms = start_ms
        self._placed = place_recordings(recordings, start_ms=start_ms, speed=speed)
        self._closes = _closes(self._placed)
        self._results = {ticker: result for tape in recordings for ticker, result in tape.results.items()}
        self._known: dict[str, bool] = {}
        self._verdicts: list[tuple[int, str]] = []
        self._cursors = [
            (tape.at(tape.recording.steps[0].at_ms), n, 0) for n, tape in enumerate(self._placed)
        ]
        heapify(self._cursors)
        self.step(start_ms)

    @property
    def tickers(self) -> tuple[str, ...]:
        return tuple(ticker for ticker in self._known if self._closes[ticker] > self._now_ms)

    def next_due_ms(self) -> int:
        """When the next frame or verdict is due; far away once every tape has ended."""
        frame_ms = self._cursors[0][0] if self._cursors else _NEVER_MS
        return min(frame_ms, self._verdicts[0][0] if self._verdicts else _NEVER_MS)

    def step(self, now_ms: int) -> None:
        self._now_ms = max(now_ms, self._now_ms)
        while self._cursors and self._cursors[0][0] <= now_ms:
            _, number, index = self._cursors[0]
            tape = self._placed[number]
            self._play(tape.recording.steps[index])
            self._advance(tape, number, index + 1)
        while self._verdicts and self._verdicts[0][0] <= now_ms:
            self._determine(heappop(self._verdicts)[1])

    def _advance(self, tape: Placed, number: int, index: int) -> None:
        steps = tape.recording.steps
        if index < len(steps):
            heapreplace(self._cursors, (tape.at(steps[index].at_ms), number, index))
            return
        heappop(self._cursors)
        for ticker in sorted(_tickers(tape.recording)):
            self._lose(ticker)

    # ── one recorded step ───────────────────────────────────────────────────────────────────────

    def _play(self, step: Step) -> None:
        if isinstance(step, Change):
            if self._known.get(step.ticker):
                self._change(step)
        elif isinstance(step, Whole):
            self._whole(step)
        elif isinstance(step, Lost):
            self._lose(step.ticker)
        elif isinstance(step, Listed):
            self._list(step)

    def _is_open(self, ticker: str) -> bool:
        """Neither past its recorded close nor determined by an operator."""
        return self._now_ms < self._closes[ticker] and self._exchange.market(ticker).status in _OPEN

    def _trades(self, ticker: str) -> bool:
        """Nothing trades in a pause or while an operator holds the market; the ladder follows all the same."""
        view = self._exchange.market(ticker)
        shards = {shard.exchange_index: shard for shard in self._exchange.status()}
        shard = shards[view.spec.exchange_index]
        return view.status is MarketStatus.ACTIVE and shard.trading_active and shard.exchange_active

    def _change(self, step: Change) -> None:
        """The traded part of a decrease trades, the rest of it is cancelled."""
        if not self._is_open(step.ticker):
            return
        side = Side.BID if step.is_bid else Side.ASK
        traded_e2 = step.traded_e2 if step.traded_e2 and self._trades(step.ticker) else 0
        if traded_e2:
            self._exchange.tape_trade(step.ticker, side.other, step.price_e4, traded_e2, self._now_ms)
        left_e2 = step.delta_e2 + traded_e2
        if left_e2:
            self._exchange.ladder_delta(step.ticker, side, step.price_e4, left_e2, self._now_ms)

    def _whole(self, step: Whole) -> None:
        if not self._is_open(step.ticker):
            return
        if self._exchange.market(step.ticker).status is MarketStatus.INACTIVE:
            self._exchange.set_status(step.ticker, "active", self._now_ms)
        self._exchange.set_ladder(step.ticker, step.bids, step.asks, self._now_ms)
        self._known[step.ticker] = True

    def _lose(self, ticker: str) -> None:
        if not self._known.get(ticker):
            return
        self._known[ticker] = False
        if self._exchange.market(ticker).status is MarketStatus.ACTIVE and self._is_open(ticker):
            self._exchange.set_status(ticker, "inactive", self._now_ms)

    def _list(self, step: Listed) -> None:
        if step.ticker in self._known:
            return
        event_ticker = step.ticker.rpartition("-")[0] or step.ticker
        series_ticker = step.ticker.partition("-")[0]
        if series_ticker not in {series.ticker for series in self._exchange.series()}:
            self._exchange.add_series(
                SeriesSpec(
                    series_ticker,
                    series_ticker,
                    "Crypto",
                    "fifteen_min",
                    FeeTerms("quadratic"),
                    step.exchange_index,
                )
            )
        if event_ticker not in {event.ticker for event in self._exchange.events()}:
            self._exchange.add_event(EventSpec(event_ticker, series_ticker, event_ticker), self._now_ms)
        close_ms = self._closes[step.ticker]
        spec = MarketSpec(
            step.ticker,
            event_ticker,
            step.ticker,
            GRIDS[step.structure],
            step.structure,
            self._now_ms,
            close_ms,
            step.exchange_index,
        )
        self._exchange.add_market(spec, self._now_ms)
        self._known[step.ticker] = False
        if step.ticker in self._results:
            heappush(self._verdicts, (close_ms + _VERDICT_MS, step.ticker))

    def _determine(self, ticker: str) -> None:
        """The recorded result, unless an operator was first."""
        if self._exchange.market(ticker).status is MarketStatus.CLOSED:
            self._exchange.determine(ticker, self._results[ticker], self._now_ms)


_NEVER_MS = 1 << 52


def _closes(placed: Sequence[Placed]) -> dict[str, int]:
    """When each market closes on the exchange's clock; where two tapes hold it, the later one knows better."""
    return {
        step.ticker: tape.at(step.close_ms)
        for tape in placed
        for step in tape.recording.steps
        if isinstance(step, Listed)
    }
