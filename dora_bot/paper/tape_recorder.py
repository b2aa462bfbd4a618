"""Record the paper exchange's own markets as a tape, frame for frame as a client would have recorded them.

Turns engine events into lines of the format that `recording` reads: the recorder's marks, one snapshot a
market, every level change with its number on the subscription, and a ``ticker`` at most once a second. No
trade channel, as in the recordings this imitates; the volume counts both sides of every trade.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from dora_bot.models import Level
from dora_bot.paper.engine import Exchange
from dora_bot.paper.events import BookChanged, EngineEvent, TickerChanged
from dora_bot.units import ONE_E4, count_text, price_text

_TICKER_SID = 1
_BOOK_SID = 2
_TICKER_EVERY_MS = 1_000


class TapeRecorder:
    """Follows markets on one connection; a market can be added at any time. Lines come out as JSON text."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._followed: set[str] = set()
        self._seq = 0
        self._summaries: dict[str, tuple[int, TickerChanged | None]] = {}

    def start(self, tickers: Sequence[str], now_ms: int) -> Iterator[str]:
        """The marks and snapshots with which a recording begins."""
        for ticker in tickers:
            yield self._market_mark(ticker, now_ms)
        yield _line(now_ms, {"type": "_connected"})
        for ticker in tickers:
            yield self._snapshot(ticker, now_ms)

    def follow(self, ticker: str, now_ms: int) -> Iterator[str]:
        """Add a market to the running recording."""
        yield self._market_mark(ticker, now_ms)
        yield self._snapshot(ticker, now_ms)

    def take(self, events: Iterable[EngineEvent], now_ms: int) -> Iterator[str]:
        """The frames of these events, and the tickers that are due."""
        for event in events:
            if isinstance(event, BookChanged) and event.ticker in self._followed:
                yield self._delta(event)
            elif isinstance(event, TickerChanged) and event.ticker in self._followed:
                last_ms, _ = self._summaries.get(event.ticker, (0, None))
                self._summaries[event.ticker] = (last_ms, event)
        for ticker, (last_ms, summary) in self._summaries.items():
            if summary is not None and now_ms - last_ms >= _TICKER_EVERY_MS:
                self._summaries[ticker] = (now_ms, None)
                yield _line(now_ms, self._ticker(summary))

    def _market_mark(self, ticker: str, now_ms: int) -> str:
        market = self._exchange.market(ticker)
        close = datetime.fromtimestamp(market.close_ms / 1000, UTC)
        msg = {
            "close_time": f"{close:%Y-%m-%dT%H:%M:%S}Z",
            "exchange_index": market.spec.exchange_index,
            "market_ticker": ticker,
            "price_level_structure": market.structure,
            "status": "active",
        }
        return _line(now_ms, {"type": "_market", "msg": msg})

    def _numbered(self, kind: str, msg: dict[str, Any]) -> dict[str, Any]:
        self._seq += 1
        return {"type": kind, "sid": _BOOK_SID, "msg": msg, "seq": self._seq}

    def _snapshot(self, ticker: str, now_ms: int) -> str:
        book = self._exchange.book(ticker)
        self._followed.add(ticker)
        msg: dict[str, Any] = {"market_id": _market_id(ticker), "market_ticker": ticker}
        if book.asks:
            msg["no_dollars_fp"] = _levels([Level(ONE_E4 - p, count) for p, count in book.asks])
        if book.bids:
            msg["yes_dollars_fp"] = _levels(book.bids)
        return _line(now_ms, self._numbered("orderbook_snapshot", msg))

    def _delta(self, event: BookChanged) -> str:
        msg = {
            "delta_fp": count_text(event.delta_e2),
            "market_id": _market_id(event.ticker),
            "market_ticker": event.ticker,
            "price_dollars": price_text(event.price_e4 if event.is_bid else ONE_E4 - event.price_e4),
            "side": "yes" if event.is_bid else "no",
            "ts": _time_text(event.now_ms),
            "ts_ms": event.now_ms,
        }
        return _line(event.now_ms, self._numbered("orderbook_delta", msg))

    def _ticker(self, event: TickerChanged) -> dict[str, Any]:
        msg = {
            "dollar_open_interest": event.open_interest_e2 // 200,
            "dollar_volume": event.turnover_e6 // 1_000_000,
            "last_trade_size_fp": count_text(event.last_count_e2),
            "market_id": _market_id(event.ticker),
            "market_ticker": event.ticker,
            "open_interest_fp": count_text(event.open_interest_e2),
            "price_dollars": price_text(event.last_price_e4),
            "time": _time_text(event.now_ms),
            "ts": event.now_ms // 1000,
            "ts_ms": event.now_ms,
            "volume_fp": count_text(2 * event.volume_e2),
            "yes_ask_dollars": price_text(event.ask_e4),
            "yes_ask_size_fp": count_text(event.ask_size_e2),
            "yes_bid_dollars": price_text(event.bid_e4),
            "yes_bid_size_fp": count_text(event.bid_size_e2),
        }
        return {"type": "ticker", "sid": _TICKER_SID, "msg": msg}


def _levels(levels: Sequence[Level]) -> list[tuple[str, str]]:
    return [(price_text(price_e4), count_text(count_e2)) for price_e4, count_e2 in sorted(levels)]


def _market_id(ticker: str) -> str:
    return str(uuid5(NAMESPACE_URL, ticker))


def _time_text(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _line(recv_ms: int, frame: dict[str, Any]) -> str:
    return json.dumps({"recv_ms": recv_ms, "conn": 1, "frame": frame}, separators=(",", ":"))
