"""Risk before and after the strategy: the stance (may we quote at all?) and the veto on each action.

The veto is a list of small named checks. Cancels never pass through it. An exposure write that does not raise
the worst case of its direction always passes the inventory and exposure checks: risk limits must not forbid
getting out. Each approved action is counted before the next one is looked at.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from dora_bot.exposure import Ends, Open, ends, event_loss_e6, event_of, events_of, is_exclusive, open_size
from dora_bot.models import (
    Action,
    Amend,
    Cancel,
    Hold,
    Place,
    Side,
)
from dora_bot.own_orders import OwnOrder
from dora_bot.units import ONE_E4, count_text, money_text, price_text
from dora_bot.views import MarketView, Posture, Stance, View
from dora_bot.write_budget import Wanted


@dataclass(frozen=True, slots=True)
class Refused:
    """An action that risk does not let out, with the check that said no."""

    action: Action
    check: str
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    approved: tuple[Wanted, ...]
    refused: tuple[Refused, ...]


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that, once broken, holds everything or its ``scope`` until an operator resumes it."""

    reason: str
    evidence: str
    hold: Hold = Hold.HALTED
    scope: str = ""


def breaches(view: View) -> list[Breach]:
    """What in this view must be latched and is not yet: loss limits that are broken, a hand on our order groups."""
    latched = {halt.reason for halt in view.halts}
    found = [*_account_breaches(view), *_market_breaches(view), *_event_breaches(view)]
    return [breach for breach in found if breach.reason not in latched]


def _account_breaches(view: View) -> Iterator[Breach]:
    if view.tripped:
        yield Breach("an order group was triggered by somebody else", view.tripped)
    limits = view.global_config
    if limits is None:
        return
    if view.daily_pnl_e6 < -limits.max_daily_loss_e6:
        text = f"daily PnL {money_text(view.daily_pnl_e6)} is below -{money_text(limits.max_daily_loss_e6)}"
        yield Breach("daily loss limit", text)
    cap = limits.max_drawdown_e6
    if cap is not None and view.peak is not None and view.peak.equity_e6 - view.equity_e6 > cap:
        equity, peak = money_text(view.equity_e6), money_text(view.peak.equity_e6)
        yield Breach(
            "drawdown limit", f"equity {equity} is more than {money_text(cap)} below its peak {peak}"
        )


def _market_breaches(view: View) -> Iterator[Breach]:
    for ticker, market in view.markets.items():
        cap = market.config.max_market_loss_e6
        if cap is not None and market.pnl_e6 < -cap:
            text = f"PnL {money_text(market.pnl_e6)} is below -{money_text(cap)}"
            yield Breach(f"loss limit of {ticker}", text, Hold.REDUCE_ONLY, ticker)


def _event_breaches(view: View) -> Iterator[Breach]:
    cap = view.global_config.max_event_loss_e6 if view.global_config else None
    if cap is None:
        return
    for event, pnl_e6 in view.event_pnl_e6.items():
        if pnl_e6 < -cap:
            text = f"PnL {money_text(pnl_e6)} is below -{money_text(cap)}"
            yield Breach(f"loss limit of event {event}", text, Hold.REDUCE_ONLY, f"event#{event}")


def stance(view: View) -> Stance:
    """The least that anything demands of the whole bot; every reason is kept."""
    demands = [(Posture[h.hold], f"{h.halt_id}: {h.reason}") for h in view.halts if not h.scope]
    demands += [(Posture[b.hold], b.reason) for b in breaches(view) if not b.scope]
    if view.global_config is None:
        demands.append((Posture.PAUSED, "no valid global_config yet"))
    elif not view.global_config.trading_enabled:
        demands.append((Posture.PAUSED, "trading_enabled is false"))
    if not (view.status.active and view.status.trading):
        demands.append((Posture.PAUSED, "the exchange is paused"))
    if view.closed:
        demands.append((Posture.PAUSED, view.closed))
    if not demands:
        return Stance(Posture.RUN)
    lowest = min(posture for posture, _ in demands)
    return Stance(lowest, tuple(reason for _, reason in demands))


def market_stance(market: MarketView, everywhere: Stance) -> Stance:
    """The stance in one market: that of the whole bot, lowered by what holds this market only."""
    if not market.reduce_only:
        return everywhere
    lowest = min(everywhere.posture, Posture.REDUCE_ONLY)
    return Stance(lowest, (*everywhere.reasons, market.reduce_only))


class _Tally:
    """The worst cases as they stand after everything that was approved so far in this tick."""

    def __init__(self, view: View) -> None:
        self.exposure_e6 = view.exposure_e6
        self._live = {t: sum(o.live for o in m.orders) for t, m in view.markets.items()}
        self.orders = sum(self._live.values()) + len(view.stray_orders)
        self._events = events_of(view.markets.values())
        self._ends: dict[str, Ends] = {}
        self._placed: dict[str, list[Open]] = {}
        self._amended: dict[str, Open] = {}

    def resting(self, market: MarketView, without: str = "") -> list[Open]:
        kept = [
            self._amended.get(o.client_order_id, open_size(o))
            for o in market.orders
            if o.client_order_id != without
        ]
        return kept + self._placed.get(market.ticker, [])

    def worst_e2(self, market: MarketView, side: Side, without: str = "") -> int:
        resting = sum(count for s, _, count in self.resting(market, without) if s is side)
        return market.position.net_e2 * side.sign + resting

    def event_loss_e6(self, market: MarketView, changed: Ends | None = None) -> int:
        """What the market's event loses at worst, with the market's own ends as they are or as given."""
        members = self._events[event_of(market)]
        known = [changed if changed and m is market else self._ends_of(m) for m in members]
        return event_loss_e6(known, exclusive=is_exclusive(members))

    def live(self, ticker: str) -> int:
        """How many orders may rest in the market."""
        return self._live[ticker]

    def ends_with(self, case: "_Case") -> Ends:
        replaced = case.action.client_order_id if case.replaced else ""
        return ends(case.market.position, [*self.resting(case.market, replaced), case.at_worst])

    def _ends_of(self, market: MarketView) -> Ends:
        if market.ticker not in self._ends:
            self._ends[market.ticker] = ends(market.position, self.resting(market))
        return self._ends[market.ticker]

    def add(self, case: "_Case") -> None:
        before, after = self.event_loss_e6(case.market), self.ends_with(case)
        if case.replaced:
            self._amended[case.action.client_order_id] = case.at_worst
        else:
            self._placed.setdefault(case.market.ticker, []).append(case.at_worst)
            self._live[case.market.ticker] += 1
            self.orders += 1
        self._ends[case.market.ticker] = after
        self.exposure_e6 += self.event_loss_e6(case.market) - before


@dataclass(frozen=True)
class _Case:
    """One exposure write with its market and the tally it would add to."""

    action: Place | Amend
    market: MarketView
    view: View
    tally: _Tally
    posture: Posture

    @property
    def remaining_e2(self) -> int:
        """What will rest if the exchange told us of every fill."""
        if isinstance(self.action, Place):
            return self.action.count_e2
        return self.action.total_e2 - self._amended.filled_e2

    @cached_property
    def open_e2(self) -> int:
        """What may still come into the position: fills that were reported and not booked are on their way."""
        if isinstance(self.action, Place):
            return self.action.count_e2
        return self.action.total_e2 - self._amended.booked_e2

    @cached_property
    def _amended(self) -> OwnOrder:
        return next(o for o in self.market.orders if o.client_order_id == self.action.client_order_id)

    @cached_property
    def replaced(self) -> Open | None:
        return open_size(self._amended) if isinstance(self.action, Amend) else None

    @property
    def grows_by(self) -> int:
        """What the action adds to the side's worst case: of an amend only what exceeds the order as it rests."""
        return max(self.open_e2 - (self.replaced[2] if self.replaced else 0), 0)

    @cached_property
    def at_worst(self) -> Open:
        """How the order counts once this is sent: of an amend the worse of old and new, in price and in size."""
        side, price = self.action.side, self.action.price_e4
        if self.replaced is None:
            return side, price, self.open_e2
        worse = max if side is Side.BID else min
        return side, worse(price, self.replaced[1]), max(self.open_e2, self.replaced[2])


def check_sanity(case: _Case) -> str:
    """Price on the market's grid and inside the configured band; size positive and at most quote_size."""
    price, config = case.action.price_e4, case.market.config
    if not case.market.market.grid.contains(price) or not 0 < price < ONE_E4:
        return f"price {price_text(price)} is not on the grid"
    if not config.price_min_e4 <= price <= config.price_max_e4:
        return f"price {price_text(price)} is outside price_min..price_max"
    if not 0 < case.remaining_e2 <= max(config.quote_size_e2, case.replaced[2] if case.replaced else 0):
        return f"size {count_text(case.remaining_e2)} is not in 0.01..quote_size"
    return ""


def check_ceilings(case: _Case) -> str:
    """Nothing outside the machine's absolute limits leaves, whatever strategy and configuration ask for."""
    side, price, count = case.at_worst
    limits = case.view.ceilings
    at_risk_e6 = (price if side is Side.BID else ONE_E4 - price) * count
    if not limits.price_min_e4 <= case.action.price_e4 <= limits.price_max_e4:
        return f"price {price_text(case.action.price_e4)} is outside the ceilings' band"
    if count > limits.max_order_contracts_e2:
        return f"size {count_text(count)} is above the ceiling of {count_text(limits.max_order_contracts_e2)}"
    if at_risk_e6 > limits.max_order_notional_e6:
        return f"${money_text(at_risk_e6)} in one order, above the ceiling of ${money_text(limits.max_order_notional_e6)}"
    if case.replaced is None and case.tally.live(case.market.ticker) >= limits.max_orders_per_market:
        return f"{limits.max_orders_per_market} orders in the market already, which is the ceiling"
    if case.replaced is None and case.tally.orders >= limits.max_orders:
        return f"{limits.max_orders} orders already, which is the ceiling"
    return ""


def check_market_open(case: _Case) -> str:
    return case.market.frozen or case.market.on_hold


def check_reduce_only(case: _Case) -> str:
    """In REDUCE_ONLY an order may only close what is held: with everything that rests beside it, never pass flat."""
    if case.posture is not Posture.REDUCE_ONLY:
        return ""
    replaced = case.action.client_order_id if case.replaced else ""
    beyond = case.tally.worst_e2(case.market, case.action.side, replaced) + case.open_e2
    return f"would add {count_text(beyond)} where only reducing is allowed" if beyond > 0 else ""


def check_self_cross(case: _Case) -> str:
    """Our bid stays below our ask, counting orders whose fate is unknown and what this tick has approved."""
    sign = case.action.side.sign
    for side, price, count in case.tally.resting(case.market):
        if side is not case.action.side and count and (price - case.action.price_e4) * sign <= 0:
            return f"would cross our own {side} at {price_text(price)}"
    for order in case.market.orders:
        if order.live and order.side is not case.action.side:
            prices = {order.price_e4}
            if isinstance(order.pending, Amend):
                prices.add(order.pending.price_e4)
            if any((price - case.action.price_e4) * sign <= 0 for price in prices):
                return f"would cross our own {order.side} at {price_text(order.price_e4)}"
    return ""


def check_inventory(case: _Case) -> str:
    """Position plus everything open on the side stays within the market's cap for that direction."""
    if case.grows_by == 0:
        return ""
    side, config = case.action.side, case.market.config
    cap = config.max_inventory_yes_e2 if side is Side.BID else config.max_inventory_no_e2
    worst = case.tally.worst_e2(case.market, side) + case.grows_by
    if worst <= cap:
        return ""
    return f"worst position {count_text(worst)} would exceed the cap of {count_text(cap)}"


def check_exposure(case: _Case) -> str:
    """Worst-case loss in dollars stays within max_event_exposure and max_total_exposure, or does not grow."""
    limits = case.view.global_config
    if limits is None:
        return "no valid global_config"
    before = case.tally.event_loss_e6(case.market)
    after = case.tally.event_loss_e6(case.market, case.tally.ends_with(case))
    if after <= before:
        return ""
    cap = limits.max_event_exposure_e6
    if cap is not None and after > cap:
        return f"exposure of {event_of(case.market)} of {money_text(after)} would exceed {money_text(cap)}"
    total = case.tally.exposure_e6 + after - before
    if total > limits.max_total_exposure_e6:
        return f"total exposure {money_text(total)} would exceed {money_text(limits.max_total_exposure_e6)}"
    return ""


CHECKS: tuple[Callable[[_Case], str], ...] = (
    check_sanity,
    check_ceilings,
    check_market_open,
    check_reduce_only,
    check_self_cross,
    check_inventory,
    check_exposure,
)


def vet(wanted: Sequence[Wanted], view: View, now_stance: Stance) -> Verdict:
    """Approved or refused, each exposure write with its reason. Cancels always pass."""
    tally = _Tally(view)
    approved: list[Wanted] = []
    refused: list[Refused] = []
    for item in wanted:
        action = item.action
        if isinstance(action, Cancel):
            approved.append(item)
            continue
        market = view.markets[action.ticker]
        posture = market_stance(market, now_stance).posture
        if posture < Posture.REDUCE_ONLY:
            refused.append(Refused(action, "posture", posture.name))
            continue
        case = _Case(action, market, view, tally, posture)
        no = next(((check.__name__, reason) for check in CHECKS if (reason := check(case))), None)
        if no:
            refused.append(Refused(action, *no))
            continue
        approved.append(item)
        tally.add(case)
    return Verdict(tuple(approved), tuple(refused))
