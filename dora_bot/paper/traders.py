"""The people on the other side: makers who know a little late, takers who know nothing, takers who know first.

All of them place real orders through a `Desk`. Prices here are ¢ floats until they meet the grid: they are
opinions. Each market has its own random stream, so one market's history does not move another's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import exp, sqrt
from random import Random
from typing import NamedTuple, Protocol

from dora_bot.models import Level, PriceGrid, Side
from dora_bot.paper.market_mix import Profile


class Desk(Protocol):
    """What a trader may do in its market; a refused order (pause, close) is simply not there."""

    grid: PriceGrid

    def best(self) -> tuple[Level, Level]:
        """Best bid and ask with everybody's size; count 0 where a side is empty."""
        ...

    def rest(self, account: str, side: Side, price_e4: int, count_e2: int) -> str:
        """Place a post-only order: its id, or "" if it was refused."""
        ...

    def take(self, account: str, side: Side, price_e4: int, count_e2: int) -> int:
        """Buy or sell at once up to a limit price: the count that traded."""
        ...

    def resting(self, order_id: str) -> int:
        """What is left of a resting order; 0 once it is gone."""
        ...

    def cancel(self, account: str, order_id: str) -> None: ...


def draw_size(rng: Random, size: tuple[float, float]) -> int:
    """A log-normal number of 0.01 contracts around (median, sigma); one in five has a fraction, as recorded."""
    median, sigma = size
    contracts = median * exp(sigma * rng.gauss(0.0, 1.0))
    return max(round(contracts * 100), 1) if rng.random() < 0.2 else 100 * max(round(contracts), 1)


def _drift(rng: Random, value: float, sigma: float) -> float:
    """One look's step of a mean-reverting walk with standard deviation ``sigma``; memory about twenty looks."""
    return 0.95 * value + sqrt(1.0 - 0.95**2) * sigma * rng.gauss(0.0, 1.0)


class _Rest(NamedTuple):
    order_id: str
    price_e4: int
    count_e2: int


@dataclass(slots=True)
class Maker:
    """A competing market maker: quotes a ladder around what it saw one look ago, with a slowly varying error."""

    account: str
    profile: Profile
    rng: Random
    width: float
    seen: float
    error: float = 0.0
    regime: float = 0.0
    sides: dict[Side, list[_Rest]] = field(default_factory=lambda: {Side.BID: [], Side.ASK: []})
    anchors: dict[Side, float] = field(default_factory=dict)
    ladders: dict[Side, tuple[int, ...]] = field(default_factory=dict)

    def look(self, desk: Desk, fair: float) -> None:
        """Quote what was seen at the last look (a prompt one: now). ``fair`` is a probability."""
        estimate = 100.0 * (fair if self.profile.prompt else self.seen)
        self.seen = fair
        rng, profile = self.rng, self.profile
        self.error = _drift(rng, self.error, profile.error)
        median, sigma = profile.half_spread
        self.regime = _drift(rng, self.regime, sigma)
        shape = sqrt(max(4.0 * fair * (1.0 - fair), 0.04))
        half = max(median * self.width * exp(self.regime) * shape, profile.spread_floor)
        self._requote(desk, Side.BID, estimate + self.error - half)
        self._requote(desk, Side.ASK, estimate + self.error + half)

    def _requote(self, desk: Desk, side: Side, top: float) -> None:
        """Move the ladder if its top is off by most of a tick, and refill what was traded away."""
        anchor = self.anchors.get(side)
        if anchor is None or abs(anchor - top) > 0.7:
            self.anchors[side] = top
            self.ladders[side] = tuple(self._ladder(desk.grid, side, top))
        wanted = list(self.ladders[side])
        kept: list[_Rest] = []
        for rest in self.sides[side]:
            left = desk.resting(rest.order_id)
            if rest.price_e4 in wanted and left * 3 >= rest.count_e2:
                kept.append(rest)
                wanted.remove(rest.price_e4)
            elif left:
                desk.cancel(self.account, rest.order_id)
        for price_e4 in wanted:
            count_e2 = draw_size(self.rng, self.profile.level_size)
            order_id = desk.rest(self.account, side, price_e4, count_e2)
            if order_id:
                kept.append(_Rest(order_id, price_e4, count_e2))
        self.sides[side] = kept

    def _ladder(self, grid: PriceGrid, side: Side, top: float) -> Iterator[int]:
        """Up to ``depth`` distinct grid prices 1¢ apart, away from the market, away from the bounds."""
        last = 0
        for level in range(self.profile.depth):
            raw_e4 = round(100 * (top - side.sign * level))
            price_e4 = grid.floor(raw_e4) if side is Side.BID else grid.ceil(raw_e4)
            inside = raw_e4 >= grid.prices[0] if side is Side.BID else raw_e4 <= grid.prices[-1]
            if inside and price_e4 != last:
                last = price_e4
                yield price_e4


@dataclass(slots=True)
class Takers:
    """Everybody who trades at once in one market: noise, sweeps, and those who see the value."""

    profile: Profile
    rng: Random
    account: str

    def noise(self, desk: Desk, fair: float) -> float:
        """An uninformed order; returns the seconds until the next one. Few pay up for a price far off."""
        rng = self.rng
        side = Side.BID if rng.random() < 0.55 else Side.ASK
        price_e4 = self._opposite(desk, side)
        if price_e4:
            cost = side.sign * (price_e4 / 100 - 100.0 * fair)
            if rng.random() < exp(-max(cost, 0.0) / 6.0):
                self._send(desk, side, price_e4, draw_size(rng, self.profile.trade_size))
        burst = rng.random() < 0.3
        return rng.expovariate(1 / (1.0 if burst else self.profile.noise))

    def sweep(self, desk: Desk) -> None:
        """Somebody in a hurry: a large order through up to four cents of the book."""
        side = Side.BID if self.rng.random() < 0.5 else Side.ASK
        price_e4 = self._opposite(desk, side)
        if price_e4:
            size = draw_size(self.rng, (400.0, 0.6))
            self._send(desk, side, price_e4 + side.sign * self.rng.randint(1, 4) * 100, size)

    def informed(self, desk: Desk, fair: float) -> None:
        """Someone who sees the value takes everything that is wrong by more than their edge and the fee."""
        rng = self.rng
        edge = self.profile.informed_edge * (1.0 + rng.expovariate(1.0)) + 2.0 * fair * (1.0 - fair)
        bid, ask = desk.best()
        for side, level in ((Side.BID, ask), (Side.ASK, bid)):
            limit = 100.0 * fair - side.sign * edge
            if level.count_e2 and side.sign * (limit - level.price_e4 / 100) >= 0:
                self._send(desk, side, round(100 * limit), draw_size(rng, self.profile.informed_size))

    def _opposite(self, desk: Desk, side: Side) -> int:
        """The price one would trade at, 0 where nobody is there."""
        bid, ask = desk.best()
        level = ask if side is Side.BID else bid
        return level.price_e4 if level.count_e2 else 0

    def _send(self, desk: Desk, side: Side, limit_e4: int, count_e2: int) -> int:
        price_e4 = desk.grid.floor(limit_e4) if side is Side.BID else desk.grid.ceil(limit_e4)
        return desk.take(self.account, side, price_e4, count_e2)
