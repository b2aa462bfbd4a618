"""Which synthetic markets there are: the default mix, built so that nothing about it is easy.

Markets come in blocks of six: an exclusive event of three outcomes, one market on a 0.1¢ grid, one series
with maker fees, and one 15-minute series on another shard whose markets are tight and roll into successors
(every series rolls, the others more slowly). Five of six quote wide, as most of the exchange does.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle, islice
from random import Random

from dora_bot.models import FeeTerms
from dora_bot.paper.grids import DECI_CENT, GRIDS, LINEAR_CENT, TAPERED_DECI_CENT
from dora_bot.paper.specs import EventSpec, MarketSpec, SeriesSpec

_MINUTE_MS = 60_000
_FREE = FeeTerms("quadratic")
_MAKER_FEES = FeeTerms("quadratic_with_maker_fees")


@dataclass(frozen=True, slots=True)
class Profile:
    """How a market trades. Prices in ¢, times in s, sizes in contracts; ``(median, sigma)`` are log-normal.

    ``half_spread``: the competing makers' distance from their estimate; ``width_sigma`` is its spread over
    markets. ``wake``: mean time between a maker's looks; it quotes what it sees (``prompt``) or what it saw
    at the look before. ``error``: sd of a maker's private mistake. ``depth``:
    levels a maker keeps on a side, 1¢ apart. ``noise``: mean time between uninformed orders. ``informed``:
    mean time between looks of someone who sees the value; ``informed_edge`` is the least they trade for.
    ``news``: mean time between jumps, ``news_strength`` their evidence, ``evidence`` that of one minute.
    """

    name: str
    half_spread: tuple[float, float]
    width_sigma: float
    spread_floor: float
    wake: float
    prompt: bool
    error: float
    makers: int
    depth: int
    level_size: tuple[float, float]
    noise: float
    trade_size: tuple[float, float]
    informed: float
    informed_edge: float
    informed_size: tuple[float, float]
    news: float
    news_strength: float
    evidence: float


WIDE = Profile(
    "wide",
    half_spread=(2.05, 0.3),
    width_sigma=0.45,
    spread_floor=1.75,
    wake=5.0,
    prompt=False,
    error=0.35,
    makers=2,
    depth=2,
    level_size=(130.0, 1.1),
    noise=28.0,
    trade_size=(20.0, 2.0),
    informed=6.0,
    informed_edge=0.1,
    informed_size=(200.0, 1.0),
    news=50.0,
    news_strength=0.02,
    evidence=0.003,
)
TIGHT = Profile(
    "tight",
    half_spread=(0.48, 0.4),
    width_sigma=0.2,
    spread_floor=0.3,
    wake=2.5,
    prompt=True,
    error=0.15,
    makers=3,
    depth=3,
    level_size=(420.0, 1.6),
    noise=2.7,
    trade_size=(20.0, 2.0),
    informed=6.0,
    informed_edge=0.4,
    informed_size=(90.0, 1.0),
    news=240.0,
    news_strength=0.01,
    evidence=0.002,
)


@dataclass(frozen=True, slots=True)
class SeriesPlan:
    """A series and how its events follow each other: one event at a time, ``life_ms`` long."""

    series: SeriesSpec
    outcomes: int
    listed: int
    structure: str
    life_ms: int
    profile: Profile
    threshold: bool = False

    @property
    def exclusive(self) -> bool:
        return self.outcomes > 2


@dataclass(frozen=True, slots=True)
class EventPlan:
    """One event with its markets; ``prior`` are the starting beliefs over all outcomes."""

    event: EventSpec
    markets: tuple[MarketSpec, ...]
    prior: tuple[float, ...]
    close_ms: int


def default_mix(markets: int) -> list[SeriesPlan]:
    """Series whose first events list exactly ``markets`` markets."""
    plans: list[SeriesPlan] = []
    left = markets
    for number, make in enumerate(islice(cycle((_exclusive, _fine_grid, _maker_fees, _rolling)), markets)):
        if left == 0:
            break
        plan = make(number // 4, left)
        plans.append(plan)
        left -= plan.listed
    return plans


_CITIES = ("NYC", "CHI", "MIA", "AUS", "DEN", "LAX", "PHL", "SEA")
_COINS = ("BTC", "ETH", "SOL", "XRP", "DOGE", "HYPE", "BNB", "LTC")


def _name(names: tuple[str, ...], number: int) -> str:
    lap, at = divmod(number, len(names))
    return names[at] + (str(lap + 1) if lap else "")


def _exclusive(number: int, left: int) -> SeriesPlan:
    city = _name(_CITIES, number)
    series = SeriesSpec(
        f"KXSYNTEMP{city}H", f"Warmest hour band in {city}", "Climate and Weather", "hourly", _FREE
    )
    return SeriesPlan(series, 3, min(3, left), LINEAR_CENT, 60 * _MINUTE_MS, WIDE)


def _fine_grid(number: int, left: int) -> SeriesPlan:
    city = _name(_CITIES, number)
    series = SeriesSpec(f"KXSYNRAIN{city}", f"Rain in {city}", "Climate and Weather", "hourly", _FREE)
    return SeriesPlan(series, 2, min(1, left), DECI_CENT, 50 * _MINUTE_MS, WIDE)


def _maker_fees(number: int, left: int) -> SeriesPlan:
    city = _name(_CITIES, number)
    series = SeriesSpec(f"KXSYNGAME{city}", f"{city} to win", "Sports", "custom", _MAKER_FEES, 3)
    return SeriesPlan(series, 2, min(1, left), LINEAR_CENT, 40 * _MINUTE_MS, WIDE)


def _rolling(number: int, left: int) -> SeriesPlan:
    coin = _name(_COINS, number)
    series = SeriesSpec(f"KXSYN{coin}15M", f"{coin} up in 15 minutes", "Crypto", "fifteen_min", _FREE, 2)
    return SeriesPlan(series, 2, min(1, left), TAPERED_DECI_CENT, 15 * _MINUTE_MS, TIGHT, threshold=True)


def plan_event(plan: SeriesPlan, rng: Random, *, open_ms: int, close_ms: int) -> EventPlan:
    """The series' next event, open from ``open_ms`` to ``close_ms``; names carry the closing time (UTC)."""
    closing = datetime.fromtimestamp(close_ms / 1000, UTC)
    event_ticker = f"{plan.series.ticker}-{closing:%y%b%d%H%M%S}".upper()
    event = EventSpec(event_ticker, plan.series.ticker, plan.series.title, mutually_exclusive=plan.exclusive)
    specs = tuple(
        _market(plan, event, suffix, open_ms=open_ms, close_ms=close_ms)
        for suffix in _suffixes(plan, closing)
    )
    return EventPlan(event, specs, _prior(plan, rng), close_ms)


def _suffixes(plan: SeriesPlan, closing: datetime) -> list[str]:
    return [f"B{at}" for at in range(1, plan.listed + 1)] if plan.exclusive else [f"{closing:%M}"]


def _prior(plan: SeriesPlan, rng: Random) -> tuple[float, ...]:
    """Starting beliefs away from the bounds: a market that is decided teaches nothing."""
    if plan.outcomes == 2:
        first = 0.5 if plan.threshold else rng.uniform(0.3, 0.7)
        return (first, 1.0 - first)
    weights = [rng.uniform(0.7, 1.5) for _ in range(plan.outcomes)]
    return tuple(weight / sum(weights) for weight in weights)


def _market(plan: SeriesPlan, event: EventSpec, suffix: str, *, open_ms: int, close_ms: int) -> MarketSpec:
    return MarketSpec(
        f"{event.ticker}-{suffix}",
        event.ticker,
        f"{plan.series.title} – {suffix}",
        GRIDS[plan.structure],
        plan.structure,
        open_ms,
        close_ms,
        plan.series.exchange_index,
        created_ms=open_ms,
        yes_sub_title=suffix,
    )
