"""Rebuild the books of recorded tapes and hold them against the exchange's own `ticker` frames.

    python scripts/book_check.py [TAPE…]      default: every tape under ../shared/data/ws_kxbtc15m

One JSON line a tape. For each ticker on a proven book, its best prices and sizes are compared with the book's
state after the last delta whose ``ts_ms`` is not later than the ticker's own.
"""

import gzip
import json
import sys
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from dora_bot.events import (
    BookDelta,
    BookLost,
    BookSnapshot,
    TickerSeen,
)
from dora_bot.feed_session import BOOK, FeedSession
from dora_bot.models import Instant
from dora_bot.order_book import Book, Books
from dora_bot.units import ONE_E4

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "ws_kxbtc15m"
SHIPPED = Path(__file__).resolve().parents[1] / "dora_bot" / "paper" / "tapes"

Top = tuple[int, int, int, int]
"""Best bid, its size, best ask, its size; an empty side reads 0 or 1 dollar, as in a ticker."""


@dataclass(slots=True)
class Figures:
    tape: str = ""
    deltas: int = 0
    tickers: int = 0
    checked: int = 0
    equal: int = 0
    negative_levels: int = 0
    crossed: int = 0
    gaps: int = 0
    connections: int = 0

    @property
    def agreement(self) -> float:
        return self.equal / self.checked if self.checked else 0.0

    @property
    def coverage(self) -> float:
        return self.checked / self.tickers if self.tickers else 0.0


class _Frame(msgspec.Struct):
    type: str
    msg: msgspec.Raw = msgspec.Raw(b"{}")
    sid: int = 0


class Line(msgspec.Struct):
    """One line of a tape; ``frame`` is kept as the bytes that came over the wire."""

    conn: int
    frame: msgspec.Raw


_LINE = msgspec.json.Decoder(Line)
_FRAME = msgspec.json.Decoder(_Frame)
_MARKET = msgspec.json.Decoder(dict[str, object])


def lines(tape: Path) -> Iterator[Line]:
    with gzip.open(tape) if tape.suffix == ".gz" else tape.open("rb") as file:
        for line in file:
            yield _LINE.decode(line)


class Checker:
    """Plays the exchange's side of the subscription handshake, which the recorder did not keep."""

    def __init__(self, tape: str) -> None:
        self.figures = Figures(tape)
        self._books = Books()
        self._session = FeedSession(yes_priced=False)
        self._tops: dict[str, tuple[list[int], list[Top | None]]] = {}
        self._pending: list[TickerSeen] = []
        self._markets: list[str] = []
        self._announced: list[str] = []
        self._book_sid = 0
        self._newest_ms = 0

    def line(self, line: Line) -> None:
        frame = _FRAME.decode(line.frame)
        if frame.type == "_market":
            self._announced.append(str(_MARKET.decode(frame.msg)["market_ticker"]))
        elif frame.type == "_connected":
            self._connected()
        else:
            if frame.type.startswith("orderbook") and frame.sid != self._book_sid:
                self._book_sid = frame.sid
                self._session.receive(self._subscribed(frame.sid), 0)
            for event in self._session.receive(bytes(line.frame), 0):
                self._take(event)

    def finish(self) -> Figures:
        self._settle()
        self.figures.gaps = self._session.counts["gaps"]
        return self.figures

    def _connected(self) -> None:
        self._settle()
        self.figures.connections += 1
        self._books.lose_all("reconnect")
        if self._announced:
            self._markets, self._announced = self._announced, []
        self._session.opened(self._markets, 0)
        self._book_sid = 0

    def _subscribed(self, sid: int) -> bytes:
        for command in map(json.loads, self._session.commands()):
            if command["cmd"] == "subscribe" and command["params"]["channels"] == [BOOK]:
                reply = {"type": "subscribed", "id": command["id"], "msg": {"channel": BOOK, "sid": sid}}
                return json.dumps(reply).encode()
        raise AssertionError("the session asked for no book")

    def _take(self, event: object) -> None:
        if isinstance(event, BookDelta | BookSnapshot | BookLost):
            told = self._books.apply(event, Instant(0, 0))
            self.figures.negative_levels += told == "a level fell below zero"
            self.figures.crossed += told.startswith("crossed")
            self.figures.deltas += isinstance(event, BookDelta)
            if isinstance(event, BookLost):
                # Wrong from the last good change on, not only from when the loss was noticed.
                for ticker in event.tickers:
                    self._note(ticker, 0, None)
            elif isinstance(event, BookSnapshot):
                # It does not say of which moment it is; the next delta does.
                self._note(event.ticker, self._newest_ms, None)
            else:
                self._newest_ms = max(self._newest_ms, event.time_ms)
                book = self._books.book(event.ticker)
                self._note(event.ticker, event.time_ms, None if book is None or book.doubt else top_of(book))
        elif isinstance(event, TickerSeen):
            self.figures.tickers += 1
            self._newest_ms = max(self._newest_ms, event.time_ms)
            self._pending.append(event)

    def _note(self, ticker: str, time_ms: int, top: Top | None) -> None:
        """Remember the top of the book from ``time_ms`` on (0: from the last change on); None = not proven."""
        times, tops = self._tops.setdefault(ticker, ([], []))
        stamp = max(time_ms, times[-1] if times else 0)
        if times and times[-1] == stamp:
            tops[-1] = top
        else:
            times.append(stamp)
            tops.append(top)

    def _settle(self) -> None:
        """Judge the tickers of this connection, now that every delta that belongs before them has come."""
        for seen in self._pending:
            times, tops = self._tops.get(seen.ticker, ([], []))
            at = bisect_right(times, seen.time_ms) - 1
            top = tops[at] if at >= 0 else None
            if top is not None:
                self.figures.checked += 1
                told = (seen.bid_e4, seen.bid_size_e2, seen.ask_e4, seen.ask_size_e2)
                self.figures.equal += top == told
        self._pending.clear()
        self._tops.clear()
        self._newest_ms = 0


def top_of(book: Book) -> Top:
    bids, asks = book.bids, book.asks
    bid = bids.prices[-1] if bids.prices else 0
    ask = asks.prices[0] if asks.prices else ONE_E4
    return bid, bids.sizes.get(bid, 0), ask, asks.sizes.get(ask, 0)


def check(tape: Path) -> Figures:
    checker = Checker(tape.name)
    for line in lines(tape):
        checker.line(line)
    return checker.finish()


def main(arguments: Sequence[str]) -> int:
    tapes = [Path(name) for name in arguments] or sorted(SHARED.glob("*.frames.jsonl*"))
    if not tapes:
        print("no tape given and none under", SHARED, file=sys.stderr)
        return 2
    for tape in tapes:
        figures = check(tape)
        print(
            json.dumps(
                {
                    **asdict(figures),
                    "agreement": round(figures.agreement, 5),
                    "coverage": round(figures.coverage, 5),
                }
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
