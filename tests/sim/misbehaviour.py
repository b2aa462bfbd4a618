"""How the simulated exchange departs from good behaviour: on one request, or in one market for some seconds.

Whatever is matched, is matched by the engine under its own rules, so truth stays consistent.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

from dora_bot.models import Action, Amend, Cancel, FeeTerms, Place, Side, TimeInForce
from dora_bot.paper.bend import NO_BEND, Bend
from dora_bot.paper.grids import DECI_CENT, GRIDS, LINEAR_CENT
from dora_bot.paper.specs import AmendRequest, OrderRequest, Refused, not_found
from dora_bot.paper.wire_account import cancel_body, receipt_body
from dora_bot.units import count_text, parse_count
from tests.sim.stores import SHARDS, TICKERS
from tests.sim.venue import BOT, CLOSE_MS, Venue

HAPPENS_MS = 15_000
HAPPENS_WEIGHT = 2.0
FEES_MS = 40_000
"""New fees last longer than others: nobody changes them for seconds, which no reader of the terms would ever see."""
HAPPENINGS = (
    "pause", "pause_keep", "exchange_pause", "deactivate", "close", "grid", "fees", "foreign_order", "foreign_fill", "refuse",
)  # fmt: skip
GHOST_MS = 2_000

ODD_WEIGHT = 0.1
"""``twice``: some box on the way sends a create again, and its second answer is the one that arrives; ``poor``: refused
for want of cash that is there; ``misrouted``: a cancel is looked for on another shard.
"""

Body = dict[str, Any]


# ── one request ─────────────────────────────────────────────────────────────────────────────────


def perform(venue: Venue, action: Action, place: str, now_ms: int) -> Body:
    """Apply one write to the engine, as the HTTP layer would, and answer it. Raises `Refused`."""
    if action.ticker in venue.refusing and not isinstance(action, Cancel):
        raise Refused(400, "invalid_order")
    if isinstance(action, Place):
        return _create(venue, action, place, now_ms)
    if isinstance(action, Amend):
        return _amend(venue, action, place, now_ms)
    return _cancel(venue, action, place, now_ms)


def _create(venue: Venue, action: Place, place: str, now_ms: int) -> Body:
    odd = venue.faults.strike(f"odd/{place}", ("twice", "poor"), ODD_WEIGHT)
    if odd == "poor":
        raise Refused(400, "insufficient_balance")
    kind = venue.faults.strike(f"eng/{place}", ("ghost", "fill_first", "other"), 0.5)
    request = OrderRequest(
        action.ticker,
        action.side,
        action.price_e4,
        action.count_e2,
        time_in_force=action.time_in_force,
        client_order_id=action.client_order_id,
        post_only=action.post_only,
        reduce_only=action.reduce_only,
        expiration_ms=action.expiration_ms // 1_000 * 1_000,
        cancel_on_pause=True,
        order_group_id=action.order_group_id,
        shard=action.exchange_index,
    )
    with venue.engine.bent(Bend(ghost_ms=GHOST_MS) if kind == "ghost" else NO_BEND):
        receipt = venue.engine.create(BOT, request, now_ms)
        if odd == "twice":
            venue.engine.create(BOT, request, now_ms)
    if kind == "fill_first":
        _fill(venue, receipt.order_id, place, now_ms)
    return _other(receipt_body(receipt), kind)


def _amend(venue: Venue, action: Amend, place: str, now_ms: int) -> Body:
    kind = venue.faults.strike(f"eng/{place}", ("fill_first", "other"), 0.5)
    if kind == "fill_first":
        _fill(venue, action.order_id, place, now_ms)
    change = AmendRequest(
        action.order_id,
        action.ticker,
        action.side,
        action.price_e4,
        action.total_e2,
        expiration_ms=action.expiration_ms // 1_000 * 1_000,
        shard=action.exchange_index,
    )
    return _other(receipt_body(venue.engine.amend(BOT, change, now_ms)), kind)


def _cancel(venue: Venue, action: Cancel, place: str, now_ms: int) -> Body:
    if venue.faults.strike(f"odd/{place}", ("misrouted",), ODD_WEIGHT):
        raise not_found()
    kind = venue.faults.strike(f"eng/{place}", ("fill_all", "fill_all", "fill_first", "reduced", "other"))
    if kind in ("fill_all", "fill_first"):
        _fill(venue, action.order_id, place, now_ms, whole=kind == "fill_all")
    body = cancel_body(venue.engine.cancel(BOT, action.order_id, now_ms, shard=action.exchange_index))
    if kind == "reduced":  # less than was really taken away: looks like a fill that nobody will ever see
        body["reduced_by"] = count_text(parse_count(body["reduced_by"]) // 2)
    return _other(body, kind)


def _fill(venue: Venue, order_id: str, place: str, now_ms: int, *, whole: bool = False) -> None:
    """Somebody trades with the order just before what was asked for is done."""
    with suppress(Refused):
        remaining = venue.engine.order(order_id).remaining_e2
        part = remaining if whole else int(remaining * venue.faults.share(f"eng/{place}/part"))
        if part:
            venue.engine.fill_order(order_id, part, now_ms)


def _other(body: Body, kind: str) -> Body:
    """The reply speaks of another order than the one that was asked about."""
    return {**body, "order_id": "somebody-elses", "client_order_id": "another"} if kind == "other" else body


# ── the markets ─────────────────────────────────────────────────────────────────────────────────


class Happenings:
    """Pauses, closes, new rules and other hands on the account, each for some seconds."""

    def __init__(self, venue: Venue, note: Callable[[str, str], None], begun: Callable[[], bool]) -> None:
        """``begun``: whether an order of the bot was taken yet. What another hand did before is no part of its first day."""
        self._venue = venue
        self._begun = begun
        self._note = note
        self._number = 0
        self._later()

    def _later(self) -> None:
        kernel = self._venue.kernel
        kernel.at(kernel.now_ms + HAPPENS_MS, self._turn)

    def _turn(self) -> None:
        self._later()
        if not self._begun():
            return
        self._number += 1
        place = f"happens/{self._number}"
        faults = self._venue.faults
        kind = faults.strike(place, HAPPENINGS, HAPPENS_WEIGHT)
        if not kind:
            return
        ticker = TICKERS[int(faults.share(f"{place}/market") * len(TICKERS))]
        lasts_ms = 4_000 + int(26_000 * faults.share(f"{place}/ms")) + (FEES_MS if kind == "fees" else 0)
        self._note("happens", f"{kind} {ticker} for {lasts_ms} ms")
        begin: dict[str, Callable[[], Callable[[int], None] | None]] = {
            "pause": lambda: self._pause("trading", keep=False),
            "pause_keep": lambda: self._pause("trading", keep=True),
            "exchange_pause": lambda: self._pause("exchange", keep=False),
            "deactivate": lambda: self._deactivate(ticker),
            "close": lambda: self._close(ticker),
            "grid": lambda: self._grid(ticker),
            "fees": lambda: self._fees(ticker),
            "refuse": lambda: self._refuse(ticker),
            "foreign_order": lambda: self._foreign(ticker, place, TimeInForce.GTC),
            "foreign_fill": lambda: self._foreign(ticker, place, TimeInForce.IOC),
        }
        end = begin[kind]()
        if end is not None:
            kernel = self._venue.kernel
            kernel.at(kernel.now_ms + lasts_ms, lambda: self._do(end))

    def _do(self, act: Callable[[int], object]) -> None:
        def careful(now_ms: int) -> None:
            with suppress(Refused):
                act(now_ms)

        self._venue.step(careful)

    def _pause(self, kind: Literal["trading", "exchange"], *, keep: bool) -> Callable[[int], None]:
        engine = self._venue.engine
        self._do(lambda now: engine.pause(kind, now, on=True, keep_orders=keep))
        return lambda now: engine.pause(kind, now, on=False)

    def _deactivate(self, ticker: str) -> Callable[[int], None]:
        engine = self._venue.engine
        self._do(lambda now: engine.set_status(ticker, "inactive", now))
        return lambda now: engine.set_status(ticker, "active", now)

    def _close(self, ticker: str) -> Callable[[int], None]:
        """The close comes nearer, then moves away again, also from a market that has closed meanwhile."""
        engine = self._venue.engine
        self._do(lambda now: engine.set_close(ticker, now + 20_000, now))
        return lambda now: engine.set_close(ticker, CLOSE_MS, now)

    def _grid(self, ticker: str) -> Callable[[int], None]:
        engine = self._venue.engine
        self._do(lambda now: engine.change_grid(ticker, GRIDS[DECI_CENT], DECI_CENT, now))
        return lambda now: engine.change_grid(ticker, GRIDS[LINEAR_CENT], LINEAR_CENT, now)

    def _fees(self, ticker: str) -> Callable[[int], None]:
        engine = self._venue.engine
        before = engine.market(ticker).fees
        other = "quadratic" if before.fee_type != "quadratic" else "quadratic_with_maker_fees"
        self._do(lambda now: engine.change_fees(f"{ticker}S", FeeTerms(other), now))
        return lambda now: engine.change_fees(f"{ticker}S", before, now)

    def _refuse(self, ticker: str) -> Callable[[int], None]:
        """No order of ours is right there, for a reason that nobody can see."""
        self._venue.refusing.add(ticker)
        return lambda _now: self._venue.refusing.discard(ticker)

    def _foreign(self, ticker: str, place: str, force: TimeInForce) -> Callable[[int], None] | None:
        """Another hand on the same account: it trades at once, or leaves an order far from the market."""
        engine, buys = self._venue.engine, self._venue.faults.share(f"{place}/side") < 0.5
        taking = force is TimeInForce.IOC
        price = 9_500 if buys is taking else 500
        request = OrderRequest(
            ticker, Side.BID if buys else Side.ASK, price, 100, time_in_force=force, client_order_id=f"web-{place}"
        )  # fmt: skip
        made: list[str] = []
        self._do(lambda now: made.append(engine.create(BOT, request, now).order_id))
        if taking or not made:
            return None
        return lambda now: _gone(engine.cancel(BOT, made[0], now, shard=SHARDS[ticker]))


def _gone(_reduced: object) -> None:
    """A cancel's answer is nobody's business here."""
