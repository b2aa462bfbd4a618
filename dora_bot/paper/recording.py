"""Read a recorded tape (``*.frames.jsonl``, gzip allowed) into typed steps on the recorder's time axis.

The file holds WebSocket frames as received and the recorder's own marks; here they become what a replay
needs: listings, whole books, level changes and stretches where nothing is known. Changes carry how much of
them was traded (`tape_trades`). Everything is on the YES leg.
"""

import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from dora_bot.errors import ConfigError, WireError
from dora_bot.models import Level
from dora_bot.paper.grids import TAPERED_DECI_CENT
from dora_bot.paper.tape_trades import TradeFinder
from dora_bot.units import ONE_E4, parse_count, parse_price

_SETTLEMENTS = "settlements.json"


class Listed(NamedTuple):
    """The recorder began to follow a market; ``close_ms`` is the recorded close, on the exchange's clock."""

    at_ms: int
    ticker: str
    close_ms: int
    structure: str
    exchange_index: int


class Whole(NamedTuple):
    """A snapshot: the book is known from here on."""

    at_ms: int
    ticker: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class Change(NamedTuple):
    """One level changed by ``delta_e2``, of which ``traded_e2`` (≤ −delta, ≥ 0) was traded away."""

    at_ms: int
    ticker: str
    is_bid: bool
    price_e4: int
    delta_e2: int
    traded_e2: int = 0


class Lost(NamedTuple):
    """From here to its next snapshot the recording does not know this market's book."""

    at_ms: int
    ticker: str


class Summary(NamedTuple):
    """A recorded ``ticker`` frame: the exchange's own word on top of book and volume (both sides counted)."""

    at_ms: int
    ticker: str
    bid: Level
    ask: Level
    volume_e2: int


Step = Listed | Whole | Change | Lost | Summary


@dataclass(frozen=True, slots=True)
class Recording:
    """One tape: its steps in recorded order and the results of its markets, where known."""

    path: Path
    steps: tuple[Step, ...]
    results: dict[str, str]

    @property
    def start_ms(self) -> int:
        """The first instant at which a book is known."""
        return next(step.at_ms for step in self.steps if isinstance(step, Whole))

    @property
    def end_ms(self) -> int:
        return self.steps[-1].at_ms


def load_recording(path: Path) -> Recording:
    """Read a whole tape and the ``settlements.json`` beside it.

    Raises `ConfigError` where the file is missing, is no tape, or holds no book.
    """
    try:
        steps = tuple(_Reader().read(_lines(path)))
    except (OSError, EOFError, msgspec.MsgspecError, WireError) as error:
        raise ConfigError(f"tape {path}: {error}") from error
    if not any(isinstance(step, Whole) for step in steps):
        raise ConfigError(f"tape {path}: no orderbook_snapshot in it")
    return Recording(path, steps, _results(path.parent / _SETTLEMENTS))


def _results(path: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(f"{path}: {error}") from error


# ── the file format ─────────────────────────────────────────────────────────────────────────────


class _Msg(msgspec.Struct):
    market_ticker: str = ""
    price_dollars: str = ""
    delta_fp: str = ""
    side: str = ""
    ts_ms: int = 0
    yes_dollars_fp: list[tuple[str, str]] = []
    no_dollars_fp: list[tuple[str, str]] = []
    volume_fp: str = ""
    last_trade_size_fp: str = ""
    yes_bid_dollars: str = ""
    yes_ask_dollars: str = ""
    yes_bid_size_fp: str = ""
    yes_ask_size_fp: str = ""
    close_time: str = ""
    price_level_structure: str = TAPERED_DECI_CENT
    exchange_index: int = 2


class _Frame(msgspec.Struct):
    type: str
    sid: int = 0
    seq: int = 0
    msg: _Msg = msgspec.field(default_factory=_Msg)


class _Line(msgspec.Struct):
    recv_ms: int
    conn: int
    frame: _Frame


def _lines(path: Path) -> Iterator[_Line]:
    decoder = msgspec.json.Decoder(_Line)
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as file:
        for line in file:
            yield decoder.decode(line)


@lru_cache(maxsize=20_000)
def _price(text: str) -> int:
    return parse_price(text) if text else 0


@lru_cache(maxsize=100_000)
def _count(text: str) -> int:
    return parse_count(text) if text else 0


def _ladder(levels: list[tuple[str, str]], *, mirror: bool) -> tuple[Level, ...]:
    """Levels best first; ``mirror`` turns NO bids into YES asks."""
    found = [
        Level(ONE_E4 - _price(price) if mirror else _price(price), _count(count)) for price, count in levels
    ]
    return tuple(sorted(found, reverse=not mirror))


# ── frames to steps ─────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Reader:
    """Turns lines into steps, watching connections and sequence numbers for what was not recorded."""

    steps: list[Step] = field(default_factory=list)
    seq_of_sid: dict[int, int] = field(default_factory=dict)
    sound_ms: int = 0
    known: set[str] = field(default_factory=set)
    trades: dict[str, TradeFinder] = field(default_factory=dict)

    def read(self, lines: Iterable[_Line]) -> list[Step]:
        for line in lines:
            self._take(line.recv_ms, line.frame)
        # A loss is found late but began with the first missing frame: put it where it belongs.
        return sorted(self.steps, key=lambda step: step.at_ms)

    def _take(self, at_ms: int, frame: _Frame) -> None:
        if frame.type == "_connected":
            self.seq_of_sid.clear()
            self._lose()
        elif frame.type == "_market":
            self._list(at_ms, frame.msg)
        elif frame.type == "ticker":
            self._summary(at_ms, frame.msg)
        elif frame.seq:
            self._follow(at_ms, frame)
            if frame.type == "orderbook_snapshot":
                self._whole(at_ms, frame.msg)
            elif frame.type == "orderbook_delta" and frame.msg.market_ticker in self.known:
                self._change(at_ms, frame.msg)

    def _list(self, at_ms: int, msg: _Msg) -> None:
        close_ms = round(datetime.fromisoformat(msg.close_time).timestamp() * 1000)
        self.steps.append(
            Listed(at_ms, msg.market_ticker, close_ms, msg.price_level_structure, msg.exchange_index)
        )

    def _follow(self, at_ms: int, frame: _Frame) -> None:
        """Note the number; a gap on a sid loses every book, and only a snapshot brings one back."""
        last = self.seq_of_sid.get(frame.sid)
        self.seq_of_sid[frame.sid] = frame.seq
        if last is not None and frame.seq != last + 1:
            self._lose()
        self.sound_ms = at_ms

    def _lose(self) -> None:
        """Every book is unknown since the last frame that followed its predecessor."""
        self.steps.extend(Lost(self.sound_ms, ticker) for ticker in sorted(self.known))
        self.known.clear()

    def _whole(self, at_ms: int, msg: _Msg) -> None:
        bids = _ladder(msg.yes_dollars_fp, mirror=False)
        asks = _ladder(msg.no_dollars_fp, mirror=True)
        self.steps.append(Whole(at_ms, msg.market_ticker, bids, asks))
        self.known.add(msg.market_ticker)
        self.trades[msg.market_ticker] = TradeFinder(bids, asks)

    def _change(self, at_ms: int, msg: _Msg) -> None:
        is_bid = msg.side == "yes"
        price = _price(msg.price_dollars)
        step = Change(
            at_ms, msg.market_ticker, is_bid, price if is_bid else ONE_E4 - price, _count(msg.delta_fp)
        )
        self.trades[msg.market_ticker].note(
            len(self.steps), step.is_bid, step.price_e4, step.delta_e2, msg.ts_ms
        )
        self.steps.append(step)

    def _summary(self, at_ms: int, msg: _Msg) -> None:
        ticker = msg.market_ticker
        bid = Level(_price(msg.yes_bid_dollars), _count(msg.yes_bid_size_fp))
        ask = Level(_price(msg.yes_ask_dollars), _count(msg.yes_ask_size_fp))
        summary = Summary(at_ms, ticker, bid, ask, _count(msg.volume_fp))
        self.steps.append(summary)
        if ticker not in self.known:
            return
        last = Level(_price(msg.price_dollars), _count(msg.last_trade_size_fp))
        for index, traded_e2 in self.trades[ticker].settle(summary.volume_e2, last, msg.ts_ms):
            step = self.steps[index]
            assert isinstance(step, Change), "only changes are noted"
            self.steps[index] = step._replace(traded_e2=traded_e2)
