"""A paper exchange inside the test process: in a thread of its own, on free ports, with a world of your own.

with PaperServer(LaunchOptions(profile="fast")) as server:
...server.here.rest_url, server.here.key_id...
server.run(lambda venue: venue.engine.book("T-1"))
"""

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from dora_bot.models import FeeTerms, Level, Side
from dora_bot.paper.admin_actions import OPERATOR
from dora_bot.paper.engine import Exchange
from dora_bot.paper.grids import GRIDS, LINEAR_CENT
from dora_bot.paper.launch import Announcement, LaunchOptions, PaperExchange, WorldBuilder
from dora_bot.paper.specs import EventSpec, MarketSpec, OrderRequest, SeriesSpec
from dora_bot.paper.venue import Venue

Result = TypeVar("Result")

_FOREVER_MS = 1 << 60
_DAY_MS = 86_400_000
_START_TIMEOUT_S = 20.0
_NO_MAKER_FEES = FeeTerms("quadratic")


@dataclass(frozen=True, slots=True)
class StaticMarket:
    """A market of a still world: its book is what the house quotes, and nobody trades unless told to."""

    ticker: str
    bids: Sequence[Level] = (Level(4_700, 10_000),)
    asks: Sequence[Level] = (Level(5_200, 10_000),)
    structure: str = LINEAR_CENT
    exchange_index: int = 0
    fees: FeeTerms = _NO_MAKER_FEES
    close_in_ms: int = _DAY_MS

    @property
    def series_ticker(self) -> str:
        return f"{self.event_ticker}S"

    @property
    def event_ticker(self) -> str:
        return self.ticker.rsplit("-", 1)[0]


@dataclass
class StaticWorld:
    """The world of `StaticMarket`s. Tickers up to the last ``-`` name the event."""

    markets: Sequence[StaticMarket]
    tickers: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.tickers = tuple(market.ticker for market in self.markets)

    def install(self, engine: Exchange, now_ms: int) -> Self:
        """List and quote the markets; a `WorldBuilder`."""
        for event in dict.fromkeys(market.event_ticker for market in self.markets):
            first = next(market for market in self.markets if market.event_ticker == event)
            series = SeriesSpec(
                first.series_ticker, event, "Test", "custom", first.fees, first.exchange_index
            )
            engine.add_series(series)
            engine.add_event(EventSpec(event, first.series_ticker, event), now_ms)
        for market in self.markets:
            spec = MarketSpec(
                market.ticker,
                market.event_ticker,
                market.ticker,
                GRIDS[market.structure],
                market.structure,
                now_ms,
                now_ms + market.close_in_ms,
                market.exchange_index,
                created_ms=now_ms,
            )
            engine.add_market(spec, now_ms)
            for side, levels in ((Side.BID, market.bids), (Side.ASK, market.asks)):
                for level in levels:
                    order = OrderRequest(market.ticker, side, level.price_e4, level.count_e2)
                    engine.create(OPERATOR, order, now_ms)
        return self

    def next_due_ms(self) -> int:
        return _FOREVER_MS

    def step(self, now_ms: int) -> None:
        """Nothing moves by itself."""


class PaperServer:
    """A context manager around one `PaperExchange` on a loop in a thread."""

    def __init__(self, options: LaunchOptions, build: WorldBuilder | None = None) -> None:
        self._options = options
        self._build = build
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="paper-exchange", daemon=True)
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._exchange: PaperExchange | None = None
        self._here: Announcement | None = None
        self._stop: asyncio.Event | None = None

    @property
    def here(self) -> Announcement:
        """URLs, key and token."""
        assert self._here is not None, "the server is not running"
        return self._here

    def run(self, act: Callable[[Venue], Result]) -> Result:
        """Do something with the venue on its own thread and publish what it changed."""
        return asyncio.run_coroutine_threadsafe(self._act(act), self._loop).result(_START_TIMEOUT_S)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(_START_TIMEOUT_S), "the paper exchange did not start"
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already: the exchange broke
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_START_TIMEOUT_S)
        if self._failure is not None and error is None:
            raise self._failure

    def _run(self) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="dora-paper-") as private:
                self._loop.run_until_complete(self._serve(Path(private)))
        except BaseException as failure:  # noqa: BLE001  # policy: re-raised in the test's thread
            self._failure = failure
        finally:
            self._loop.close()
            self._started.set()

    async def _serve(self, private: Path) -> None:
        exchange = PaperExchange(self._options, self._options.state_dir or private, self._build)
        self._exchange, self._stop = exchange, asyncio.Event()
        self._here = await exchange.start()
        self._started.set()
        waits = {asyncio.create_task(self._stop.wait()), asyncio.create_task(exchange.until_failed())}
        _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await exchange.stop()

    async def _act(self, act: Callable[[Venue], Result]) -> Result:
        assert self._exchange is not None, "the server is not running"
        venue = self._exchange.venue
        return venue.applied(lambda _: act(venue))
