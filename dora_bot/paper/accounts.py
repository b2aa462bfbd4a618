"""Members and their money: purses by shard and subaccount, netted holdings, collateral behind resting orders.

One market is one signed position: the opposite leg closes first, and each YES + NO pair is worth a dollar at
once. A resting order locks its purchase value and its maker fee, except where it only closes a holding.
"""

from typing import NamedTuple

from dora_bot.fees import trade_fee_e6
from dora_bot.models import FeeTerms, Side
from dora_bot.paper.orders import Order
from dora_bot.paper.specs import FillView, MarketSpec, PositionView, PurseView, Refused, SettlementView
from dora_bot.units import ONE_E4


def leg_price(side: Side, price_e4: int) -> int:
    """What a contract of the leg being bought costs: YES for a bid, NO for an ask."""
    return price_e4 if side is Side.BID else ONE_E4 - price_e4


class Claim(NamedTuple):
    """An order that may come to rest, as far as collateral is concerned."""

    side: Side
    price_e4: int
    remaining_e2: int
    reserve_e6: int


class Purse:
    """Cash of one (shard, subaccount). ``locked_e6`` of it stands behind resting orders."""

    __slots__ = ("cash_e6", "locked_e6")

    def __init__(self, cash_e6: int = 0) -> None:
        self.cash_e6 = cash_e6
        self.locked_e6 = 0

    @property
    def free_e6(self) -> int:
        return self.cash_e6 - self.locked_e6


class Holding:
    """One subaccount's net position and resting orders in one market.

    ``cost_e6`` is the purchase value of the open contracts (of the leg that is held), never negative.
    """

    __slots__ = (
        "cost_e6",
        "event_ticker",
        "fees_e6",
        "locked_e6",
        "net_e2",
        "purse",
        "realised_e6",
        "reserved_e6",
        "resting",
        "settled_ms",
        "shard",
        "subaccount",
        "ticker",
        "traded_e6",
        "updated_ms",
        "volume_e2",
    )  # fmt: skip

    def __init__(self, ticker: str, event_ticker: str, shard: int, subaccount: int, purse: Purse) -> None:
        self.ticker = ticker
        self.event_ticker = event_ticker
        self.shard = shard
        self.subaccount = subaccount
        self.purse = purse
        self.net_e2 = 0
        self.cost_e6 = 0
        self.traded_e6 = 0
        self.realised_e6 = 0
        self.fees_e6 = 0
        self.volume_e2 = 0
        self.updated_ms = 0
        self.settled_ms = 0
        self.resting: dict[str, Order] = {}
        self.reserved_e6 = 0
        self.locked_e6 = 0

    def closable_e2(self, side: Side) -> int:
        """How much an order on this side can close before it opens something."""
        return max(-self.net_e2 * side.sign, 0)

    def trade(self, side: Side, price_e4: int, count_e2: int, fee_e6: int, now_ms: int) -> None:
        """Book one execution: close against the holding first, open with the rest, pay the fee."""
        bought = leg_price(side, price_e4)
        held = self.closable_e2(side)
        closing = min(count_e2, held)
        opening = count_e2 - closing
        if closing:
            released = self.cost_e6 * closing // held
            proceeds = (ONE_E4 - bought) * closing
            self.cost_e6 -= released
            self.realised_e6 += proceeds - released
            self.purse.cash_e6 += proceeds
        self.cost_e6 += bought * opening
        self.purse.cash_e6 -= bought * opening + fee_e6
        self.net_e2 += side.sign * count_e2
        self.fees_e6 += fee_e6
        self.traded_e6 += bought * count_e2
        self.volume_e2 += count_e2
        self.updated_ms = now_ms

    def pay_out(self, amount_e6: int, fee_e6: int, now_ms: int) -> None:
        """The market settled: the position turns into cash."""
        self.realised_e6 += amount_e6 - self.cost_e6
        self.purse.cash_e6 += amount_e6 - fee_e6
        self.fees_e6 += fee_e6
        self.net_e2 = self.cost_e6 = 0
        self.updated_ms = self.settled_ms = now_ms

    # ── collateral ──────────────────────────────────────────────────────────────────────────────

    def rest(self, order: Order) -> None:
        self.resting[order.order_id] = order
        self.reserved_e6 += order.reserve_e6

    def unrest(self, order: Order) -> None:
        if self.resting.pop(order.order_id, None) is not None:
            self.reserved_e6 -= order.reserve_e6

    def reserve_again(self, order: Order, reserve_e6: int) -> None:
        """A resting order's size or price changed."""
        self.reserved_e6 += reserve_e6 - order.reserve_e6
        order.reserve_e6 = reserve_e6

    def relock(self) -> None:
        """Bring the purse's lock up to date after orders or the position changed."""
        locked = self.reserved_e6 - self._closing_credit()
        self.purse.locked_e6 += locked - self.locked_e6
        self.locked_e6 = locked

    def affords(self, claim: Claim, replaced: Order | None = None) -> bool:
        """Is there free cash for what resting this order too (instead of ``replaced``) would lock in addition?"""
        gone = replaced.reserve_e6 if replaced is not None else 0
        locked = self.reserved_e6 + claim.reserve_e6 - gone - self._closing_credit(claim, replaced)
        return locked - self.locked_e6 <= max(self.purse.free_e6, 0)

    def _closing_credit(self, extra: Claim | None = None, replaced: Order | None = None) -> int:
        """The part of the reserves that is not needed, because those orders close the holding.

        Within one account the best-priced orders fill first, so they are the ones that close.
        """
        if self.net_e2 == 0:
            return 0
        side = Side.ASK if self.net_e2 > 0 else Side.BID
        closing: list[Order | Claim] = [
            order for order in self.resting.values() if order.side is side and order is not replaced
        ]
        if extra is not None and extra.side is side:
            closing.append(extra)
        closing.sort(key=lambda order: -side.sign * order.price_e4)
        left, credit = abs(self.net_e2), 0
        for order in closing:
            taken = min(left, order.remaining_e2)
            if taken <= 0:
                continue
            credit += order.reserve_e6 * taken // order.remaining_e2
            left -= taken
        return credit

    def view(self) -> PositionView:
        return PositionView(
            self.ticker, self.event_ticker, self.subaccount, self.shard, self.net_e2, self.cost_e6,
            self.traded_e6, self.realised_e6, self.fees_e6, self.volume_e2, self.updated_ms, self.settled_ms,
        )  # fmt: skip


class Account:
    """One member (or house trader): purses, holdings, orders, and every client order id it ever used."""

    __slots__ = (
        "client_ids", "fills", "holdings", "house", "name", "orders", "purses", "resting", "settlements",
        "sweeps",
    )  # fmt: skip

    def __init__(self, name: str, *, house: bool) -> None:
        self.name = name
        self.house = house
        self.purses: dict[tuple[int, int], Purse] = {}
        self.holdings: dict[tuple[str, int], Holding] = {}
        self.orders: dict[str, Order] = {}
        self.resting: dict[str, Order] = {}
        self.client_ids: set[str] = set()
        self.fills: list[FillView] = []
        self.settlements: list[SettlementView] = []
        self.sweeps: list[tuple[int | None, int]] = []
        """Cancel-alls whose tail still runs: (subaccount or None for all, until_ms)."""

    def purse(self, shard: int, subaccount: int) -> Purse:
        key = (shard, subaccount)
        found = self.purses.get(key)
        if found is None:
            found = self.purses[key] = Purse()
        return found

    def holding(self, spec: MarketSpec, subaccount: int) -> Holding:
        key = (spec.ticker, subaccount)
        found = self.holdings.get(key)
        if found is None:
            purse = self.purse(spec.exchange_index, subaccount)
            found = Holding(spec.ticker, spec.event_ticker, spec.exchange_index, subaccount, purse)
            self.holdings[key] = found
        return found

    def transfer(self, amount_e6: int, source: tuple[int, int], target: tuple[int, int]) -> None:
        """Move free cash between purses, each (shard, subaccount)."""
        if not 0 < amount_e6 <= self.purse(*source).free_e6:
            raise Refused(400, "insufficient_balance")
        self.purse(*source).cash_e6 -= amount_e6
        self.purse(*target).cash_e6 += amount_e6

    def purse_views(self) -> list[PurseView]:
        return [
            PurseView(shard, subaccount, purse.cash_e6, purse.locked_e6)
            for (shard, subaccount), purse in sorted(self.purses.items())
        ]


def claim_for(side: Side, price_e4: int, count_e2: int, terms: FeeTerms, *, may_take: bool) -> Claim:
    """The purchase value plus the largest trade fee the order can meet.

    A taker may execute at better prices than its limit, where the fee can be higher: it peaks at 0.50 $.
    """
    worst = price_e4
    if may_take:
        half = ONE_E4 // 2
        worst = min(price_e4, half) if side is Side.BID else max(price_e4, half)
    fee = trade_fee_e6(terms, worst, count_e2, is_taker=may_take)
    return Claim(side, price_e4, count_e2, leg_price(side, price_e4) * count_e2 + fee)
