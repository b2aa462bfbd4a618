"""``dora paper-exchange --check-world``: is the synthetic world a market or a toy?

Runs the default mix in virtual time with one small, naive maker in it that always joins the best price on
both sides, and compares what happens with `world_facts.json` (ranges measured on recorded markets). A world
whose takers always pay the maker, or whose books look like no recorded book, fails.
"""

import json
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib.resources import files
from typing import NamedTuple, TextIO

from dora_bot.models import Level, Side
from dora_bot.paper.engine import Exchange
from dora_bot.paper.events import FillMade, TickerChanged, TradePrinted
from dora_bot.paper.market_mix import WIDE
from dora_bot.paper.specs import FillView, OrderRequest, Refused
from dora_bot.paper.synthetic import SyntheticWorld

NAIVE = "naive"
_START_MS = 1_767_225_600_000
_VISIT_MS = 1_000
_SAMPLE_EVERY = 5
_LOT_E2 = 500
_SHARDS = 4
_CASH_E6 = 10**15
_HORIZONS_MS = (10_000, 60_000)
_WORLDS = 2


class Fact(NamedTuple):
    """A figure's admissible range and where the range comes from."""

    name: str
    low: float
    high: float
    source: str


def load_facts() -> list[Fact]:
    """The committed ranges, in the order they are printed."""
    text = files("dora_bot.paper").joinpath("world_facts.json").read_text(encoding="utf-8")
    return [Fact(row["name"], row["low"], row["high"], row["source"]) for row in json.loads(text)]


# ── a maker that joins the touch ────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Joiner:
    """One small order on each side at the best price of the others; ``inside`` ticks better where there is room.

    It knows nothing: no fair value, no inventory, no news.
    """

    exchange: Exchange
    account: str
    ticker: str
    shard: int
    inside: int = 0
    orders: dict[Side, tuple[str, int]] = field(default_factory=dict)

    def visit(self, now_ms: int) -> tuple[list[Level], list[Level]]:
        """Quote again where needed; returns the book without our own size, best first."""
        mine = {side: self._mine(side) for side in Side}
        cut = self.exchange.book(self.ticker)
        bids, asks = _without(cut.bids, mine[Side.BID]), _without(cut.asks, mine[Side.ASK])
        wanted = self._wanted(bids, asks)
        for side in Side:
            price_e4, left_e2 = mine[side]
            if left_e2 and price_e4 != wanted.get(side):
                self._cancel(side, now_ms)
                left_e2 = 0
            if not left_e2 and side in wanted:
                self._place(side, wanted[side], now_ms)
        return bids, asks

    def _wanted(self, bids: list[Level], asks: list[Level]) -> dict[Side, int]:
        if not bids or not asks:
            return {}
        grid = self.exchange.market(self.ticker).grid
        bid, ask = bids[0].price_e4, asks[0].price_e4
        if self.inside and ask - bid >= 300:
            bid, ask = grid.floor(bid + 100 * self.inside), grid.ceil(ask - 100 * self.inside)
        return {Side.BID: bid, Side.ASK: ask}

    def _mine(self, side: Side) -> tuple[int, int]:
        """(price, contracts left) of our order on a side."""
        order_id, price_e4 = self.orders.get(side, ("", 0))
        if not order_id:
            return 0, 0
        return price_e4, self.exchange.order(order_id).remaining_e2

    def _place(self, side: Side, price_e4: int, now_ms: int) -> None:
        request = OrderRequest(
            self.ticker,
            side,
            price_e4,
            _LOT_E2,
            post_only=True,
            client_order_id=f"{self.ticker}/{side}/{now_ms}",
        )
        try:
            receipt = self.exchange.create(self.account, request, now_ms)
        except Refused:
            self.orders.pop(side, None)
            return
        self.orders[side] = (receipt.order_id, price_e4)

    def _cancel(self, side: Side, now_ms: int) -> None:
        try:
            self.exchange.cancel(self.account, self.orders.pop(side)[0], now_ms, shard=self.shard)
        except Refused:
            return


def _without(levels: tuple[Level, ...], mine: tuple[int, int]) -> list[Level]:
    price_e4, count_e2 = mine
    taken = [
        Level(level.price_e4, level.count_e2 - count_e2) if level.price_e4 == price_e4 else level
        for level in levels
    ]
    return [level for level in taken if level.count_e2 > 0]


# ── what is measured ────────────────────────────────────────────────────────────────────────────


class _Pending(NamedTuple):
    due_ms: int
    ticker: str
    sign: int
    price_e4: int
    count_e2: int


@dataclass(slots=True)
class Figures:
    """Sums over one run. Prices in ¢, counts in contracts."""

    edge_sum: float = 0.0
    contracts: float = 0.0
    fills: int = 0
    trade_sizes: list[float] = field(default_factory=list)
    spreads: dict[str, list[float]] = field(default_factory=dict)
    wide: dict[str, bool] = field(default_factory=dict)
    top_sizes: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})
    depths: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})
    mids: dict[str, float] = field(default_factory=dict)
    pending: dict[int, deque[_Pending]] = field(default_factory=lambda: {h: deque() for h in _HORIZONS_MS})
    markouts: dict[int, tuple[float, float]] = field(
        default_factory=lambda: dict.fromkeys(_HORIZONS_MS, (0.0, 0.0))
    )

    def on_fill(self, fill: FillView, fair: float) -> None:
        contracts = fill.count_e2 / 100
        edge = fill.side.sign * (100 * fair - fill.price_e4 / 100) * contracts
        self.edge_sum += edge - fill.fee_e6 / 10_000
        self.contracts += contracts
        self.fills += 1

    def on_trade(self, trade: TradePrinted) -> None:
        self.trade_sizes.append(trade.count_e2 / 100)
        for horizon, queue in self.pending.items():
            queue.append(
                _Pending(
                    trade.now_ms + horizon,
                    trade.ticker,
                    -trade.taker_side.sign,
                    trade.price_e4,
                    trade.count_e2,
                )
            )

    def on_ticker(self, event: TickerChanged) -> None:
        if event.bid_size_e2 and event.ask_size_e2:
            self.mids[event.ticker] = (event.bid_e4 + event.ask_e4) / 200

    def mark_out(self, now_ms: int) -> None:
        """Book the markouts that fell due: the maker's gain against the mid at the horizon."""
        for horizon, queue in self.pending.items():
            total, weight = self.markouts[horizon]
            while queue and queue[0].due_ms <= now_ms:
                trade = queue.popleft()
                mid = self.mids.get(trade.ticker)
                if mid is not None:
                    total += trade.sign * (mid - trade.price_e4 / 100) * trade.count_e2
                    weight += trade.count_e2
            self.markouts[horizon] = (total, weight)

    def sample(self, ticker: str, bids: list[Level], asks: list[Level]) -> None:
        """One look at the book of the others."""
        if not bids or not asks:
            self.spreads[ticker].append(100.0)
            return
        best_bid, best_ask = bids[0], asks[0]
        is_wide = self.wide[ticker]
        self.spreads[ticker].append((best_ask.price_e4 - best_bid.price_e4) / 100)
        self.top_sizes[is_wide] += (best_bid.count_e2 / 100, best_ask.count_e2 / 100)
        near = sum(level.count_e2 for level in bids if level.price_e4 >= best_bid.price_e4 - 500)
        near += sum(level.count_e2 for level in asks if level.price_e4 <= best_ask.price_e4 + 500)
        self.depths[is_wide].append(near / 100)

    def forget(self, ticker: str) -> None:
        self.mids.pop(ticker, None)

    def merge(self, other: "Figures") -> None:
        """Add another run's sums; its markets count as markets of their own."""
        self.edge_sum += other.edge_sum
        self.contracts += other.contracts
        self.fills += other.fills
        self.trade_sizes += other.trade_sizes
        for ticker, spreads in other.spreads.items():
            name = f"{ticker}/{len(self.spreads)}"
            self.spreads[name], self.wide[name] = spreads, other.wide[ticker]
        for is_wide in (True, False):
            self.top_sizes[is_wide] += other.top_sizes[is_wide]
            self.depths[is_wide] += other.depths[is_wide]
        for horizon, (total, weight) in other.markouts.items():
            mine = self.markouts[horizon]
            self.markouts[horizon] = (mine[0] + total, mine[1] + weight)


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


# ── the run ─────────────────────────────────────────────────────────────────────────────────────


class WorldRun:
    """One world in virtual time with one joiner in every market."""

    def __init__(self, *, markets: int, seed: int, inside: int = 0) -> None:
        self.exchange = Exchange(seed)
        self.world = SyntheticWorld(self.exchange, markets=markets, seed=seed, now_ms=_START_MS)
        self.exchange.open_account(NAIVE, dict.fromkeys(range(_SHARDS), _CASH_E6))
        self.figures = Figures()
        self.now_ms = _START_MS
        self._inside = inside
        self._joiners: dict[str, Joiner] = {}
        self._visits = 0
        self._moved: set[str] = set()

    def run(self, *, fills: int = 0, until_ms: int = 0) -> Figures:
        """Until there are ``fills`` fills, or until ``until_ms`` after the start."""
        end_ms = _START_MS + until_ms
        while self.figures.fills < fills or self.now_ms < end_ms:
            next_visit_ms = self.now_ms + _VISIT_MS
            while self.world.next_due_ms() <= next_visit_ms:
                self._step(self.world.next_due_ms())
            self._step(next_visit_ms)
            self._visit()
        return self.figures

    def _step(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.exchange.advance(now_ms)
        self.world.step(now_ms)
        self._collect()

    def _collect(self) -> None:
        for event in self.exchange.drain_events():
            if isinstance(event, FillMade):
                self.figures.on_fill(event.fill, self.world.fair(event.fill.ticker))
            elif isinstance(event, TradePrinted):
                self.figures.on_trade(event)
            elif isinstance(event, TickerChanged):
                self.figures.on_ticker(event)
                self._moved.add(event.ticker)
        self.figures.mark_out(self.now_ms)

    def _visit(self) -> None:
        """Once a second: quote again where the top of the book moved, look at every book now and then."""
        self._visits += 1
        sampling = self._visits % _SAMPLE_EVERY == 0
        moved, self._moved = self._moved, set()
        tickers = self.world.tickers
        for ticker in [known for known in self._joiners if known not in tickers]:
            del self._joiners[ticker]
            self.figures.forget(ticker)
        for ticker in tickers:
            if ticker not in moved and not sampling and ticker in self._joiners:
                continue
            joiner = self._joiners.get(ticker) or self._join(ticker)
            bids, asks = joiner.visit(self.now_ms)
            if sampling:
                self.figures.sample(ticker, bids, asks)

    def _join(self, ticker: str) -> Joiner:
        shard = self.exchange.market(ticker).spec.exchange_index
        joiner = self._joiners[ticker] = Joiner(self.exchange, NAIVE, ticker, shard, self._inside)
        self.figures.spreads[ticker] = []
        self.figures.wide[ticker] = self.world.profile(ticker) is WIDE
        return joiner


def measure(figures: Figures) -> dict[str, float]:
    """Every figure that a fact bounds, by name."""
    per_market = [spreads for spreads in figures.spreads.values() if spreads]
    mostly_wide = [s for s in per_market if sum(spread >= 3.0 for spread in s) >= 0.8 * len(s)]
    wide = [s for ticker, spreads in figures.spreads.items() if figures.wide[ticker] for s in spreads]
    tight = [s for ticker, spreads in figures.spreads.items() if not figures.wide[ticker] for s in spreads]
    sizes = figures.trade_sizes
    found = {
        "naive_fills": float(figures.fills),
        "naive_edge_c": figures.edge_sum / figures.contracts,
        # Weighted by time listed: a 15-minute market and its three successors are one market at a time.
        "markets_wide_80pct_share": sum(map(len, mostly_wide)) / sum(map(len, per_market)),
        "trade_size_mean": sum(sizes) / len(sizes),
        "markout_10s_c": _mean(figures.markouts[10_000]),
        "markout_60s_c": _mean(figures.markouts[60_000]),
    }
    samples = {
        "wide_spread_c": wide,
        "tight_spread_c": tight,
        "wide_top_size": figures.top_sizes[True],
        "tight_top_size": figures.top_sizes[False],
        "wide_depth_5c": figures.depths[True],
        "tight_depth_5c": figures.depths[False],
        "trade_size": sizes,
    }
    for name, values in samples.items():
        for percent in (25, 50, 75, 90):
            found[f"{name}_p{percent}"] = _quantile(values, percent / 100) if values else 0.0
    return found


def _mean(total_and_weight: tuple[float, float]) -> float:
    total, weight = total_and_weight
    return total / weight if weight else 0.0


def report_lines(found: dict[str, float], facts: list[Fact]) -> Iterator[dict[str, object]]:
    for fact in facts:
        value = found[fact.name]
        yield {
            "check": fact.name,
            "value": round(value, 4),
            "low": fact.low,
            "high": fact.high,
            "ok": fact.low <= value <= fact.high,
            "source": fact.source,
        }


def check_world(*, markets: int = 50, seed: int = 1, fills: int = 20_000, out: TextIO) -> int:
    """Run, print one JSON object a figure, return the exit code: 0 only if every figure is in its range.

    Two worlds (seeds ``seed`` and ``seed`` + 1) run side by side, half of the fills in each.
    """
    with ProcessPoolExecutor(_WORLDS) as pool:
        shares = [(markets, seed + world, -(-fills // _WORLDS)) for world in range(_WORLDS)]
        parts = list(pool.map(_run_share, shares))
    figures = parts[0]
    for part in parts[1:]:
        figures.merge(part)
    lines = list(report_lines(measure(figures), load_facts()))
    out.writelines(json.dumps(line) + "\n" for line in lines)
    return 0 if all(line["ok"] for line in lines) else 1


def _run_share(share: tuple[int, int, int]) -> Figures:
    markets, seed, fills = share
    return WorldRun(markets=markets, seed=seed).run(fills=fills)
