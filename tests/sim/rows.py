"""What the tests of the fault catalogue's rows have in common: quotes asked for and withdrawn, and what became of orders."""

from collections.abc import Callable
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import partial

from dora_bot.events import HaltsChanged
from dora_bot.halts import HaltFile
from dora_bot.items import MARKET_CONFIG
from dora_bot.models import Side
from dora_bot.paper.specs import OrderRequest, OrderStatus, OrderView
from tests.sim.client import Flight
from tests.sim.scene import Scene
from tests.sim.stores import QUOTE, SHARDS, TICKERS, market_item
from tests.sim.tables import PREFIX
from tests.sim.venue import BOT, HOUSE

A, B = TICKERS
QUOTING_MS = 20_000
"""By then a bot that was started has its quotes in every market."""

STILL_MS = 30_000
ALWAYS = 10**6
"""As often as a fault can strike."""


# ── what there is at the exchange ───────────────────────────────────────────────────────────────


def orders(world: Scene, ticker: str = "") -> dict[str, OrderView]:
    """Own orders that rest, by order id."""
    found = world.venue.engine.orders(BOT, status=OrderStatus.RESTING)
    return {order.order_id: order for order in found if ticker in ("", order.ticker)}


def order(world: Scene, ticker: str, side: Side) -> OrderView:
    (found,) = [one for one in orders(world, ticker).values() if one.side is side]
    return found


def bids_e2(world: Scene, ticker: str) -> int:
    return sum(one.remaining_e2 for one in orders(world, ticker).values() if one.side is Side.BID)


def net_e2(world: Scene, ticker: str) -> int:
    """What the account holds."""
    return sum(p.net_e2 for p in world.venue.engine.positions(BOT) if p.ticker == ticker)


# ── what the bot sent, and what struck it ───────────────────────────────────────────────────────


def cancels(world: Scene, order_ids: set[str]) -> list[Flight]:
    """Cancels of the trading path that name any of these orders, in the order in which they left."""
    return [
        flight
        for flight in world.sent
        if flight.place.startswith("cancel/") and order_ids & {one.order_id for one in flight.actions}  # type: ignore[union-attr]  # cancels
    ]


def exposing(world: Scene, since_ms: int, ticker: str = "") -> list[Flight]:
    """Creates and amends that left from that moment on."""
    return [
        flight
        for flight in world.sent
        if flight.sent_ms >= since_ms
        and not flight.place.startswith("cancel/")
        and ticker in ("", *(one.ticker for one in flight.actions))
    ]


def hits(world: Scene, places: str) -> int:
    """How often a fault has struck at places (with its kind) of this pattern."""
    return sum(fnmatchcase(hit, places) for hit in world.faults.hits)


# ── what the test does ──────────────────────────────────────────────────────────────────────────


def strike(world: Scene, *script: tuple[str, str, int]) -> None:
    """From now on these faults strike: (places, kind, how often)."""
    world.faults.script = [list(entry) for entry in script]


def configure(world: Scene, ticker: str, **changes: object) -> None:
    """The market's item as it is at first, with these changes; the bot reads it within some seconds."""
    world.tables.put(PREFIX + MARKET_CONFIG.suffix, market_item(ticker) | changes, world.kernel.now_ms)


def withdraw(world: Scene, *tickers: str) -> None:
    """The markets are not to be quoted from now on."""
    for ticker in tickers:
        configure(world, ticker, enabled=False)


def quote(world: Scene, *tickers: str) -> None:
    for ticker in tickers:
        configure(world, ticker)


def still(world: Scene) -> None:
    """Nobody else trades any more; what rests stays."""
    for flow in world.venue.flows:
        flow.running = False


def remove(world: Scene, ticker: str, side: Side) -> None:
    """The public takes its orders of one side away."""
    engine = world.venue.engine
    for order in engine.orders(HOUSE, status=OrderStatus.RESTING):
        if order.ticker == ticker and order.side is side:
            world.venue.step(partial(engine.cancel, HOUSE, order.order_id, shard=SHARDS[ticker]))


def narrow(world: Scene, ticker: str) -> str:
    """Somebody bids right below the best ask: there is nothing to be earned. Returns the order's id, for `widen`."""
    engine = world.venue.engine
    bid = OrderRequest(ticker, Side.BID, engine.book(ticker).asks[0].price_e4 - 100, 5_000)
    return world.venue.step(lambda now: engine.create(HOUSE, bid, now)).order_id


def widen(world: Scene, ticker: str, order_id: str) -> None:
    engine = world.venue.engine
    world.venue.step(lambda now: engine.cancel(HOUSE, order_id, now, shard=SHARDS[ticker]))


def fill(world: Scene, ticker: str, side: Side, count_e2: int) -> None:
    """Somebody trades with our order."""
    order_id = order(world, ticker, side).order_id
    world.venue.step(lambda now: world.venue.engine.fill_order(order_id, count_e2, now))


def flat_below_a_cap(world: Scene, ticker: str) -> None:
    """Nothing is held, and both sides rest in full; one contract more on the bid would break the cap."""
    while held := net_e2(world, ticker):
        fill(world, ticker, Side.ASK if held > 0 else Side.BID, min(abs(held), 100))
        wait(world, 3_000)
    withdraw(world, ticker)
    until(world, f"{ticker} withdrawn", lambda: not orders(world, ticker), 10_000)
    configure(world, ticker, max_inventory_yes=Decimal(QUOTE))
    both_sides(world, ticker)
    assert bids_e2(world, ticker) == QUOTE * 100


def halt(world: Scene) -> HaltsChanged:
    """A person halts everything; the bot reads it in the file."""
    host = world.hosts[0]
    return HaltFile(host.folder / "halts.jsonl").latch("a drill", "operator", "", host.operator_now())


def held_e2(world: Scene, ticker: str) -> int:
    """What the bot believes to hold."""
    state = world.trading.state
    assert state is not None
    return state.positions[ticker].net_e2 if ticker in state.positions else 0


def both_sides(world: Scene, ticker: str) -> None:
    until(world, f"both sides of {ticker}", lambda: len(orders(world, ticker)) == 2, 20_000)


def wait(world: Scene, ms: int) -> None:
    world.until(world.kernel.now_ms + ms)


def until(world: Scene, what: str, holds: Callable[[], object], within_ms: int, step_ms: int = 100) -> int:
    """Let time pass until it holds; fails if it takes longer than that. Returns how long it took."""
    began = world.kernel.now_ms
    while not holds():
        assert world.kernel.now_ms - began < within_ms, f"{what}: not within {within_ms} ms"
        wait(world, step_ms)
    return world.kernel.now_ms - began


def settle(world: Scene) -> None:
    """At the end nobody trades, everything is read, and the ledger is the exchange's."""
    world.faults.script = []
    still(world)
    wait(world, STILL_MS)
    world.judge.check_ledger([life for life in world.lives if life.ticking])
    assert world.judge.violations == []
