"""The exchange's own record of one order, and the order groups that bound what a member can be filled."""

from collections import deque
from typing import TYPE_CHECKING

from dora_bot.fees import FeeRounding, OrderFees
from dora_bot.models import Side
from dora_bot.paper.specs import GroupView, OrderStatus, OrderView, Reason, SelfTradePrevention

if TYPE_CHECKING:
    from dora_bot.paper.accounts import Account, Holding
    from dora_bot.paper.market import MarketState

GROUP_WINDOW_MS = 15_000


class Order:
    """An order from creation to its end. ``recorded`` marks a chunk of recorded (tape) liquidity."""

    __slots__ = (
        "cancel_on_pause", "client_order_id", "created_ms", "expiration_ms", "fees", "filled_e2", "group",
        "holding", "initial_e2", "maker_cost_e6", "maker_fees_e6", "market", "order_id", "owner", "post_only", "price_e4",
        "reason", "recorded", "remaining_e2", "reserve_e6", "side", "status", "stp", "subaccount",
        "taker_cost_e6", "taker_fees_e6", "updated_ms",
    )  # fmt: skip

    def __init__(
        self,
        order_id: str,
        owner: "Account",
        market: "MarketState",
        limit: tuple[Side, int, int],
        subaccount: int,
        now_ms: int,
    ) -> None:
        """``limit``: (side, price_e4, count_e2)."""
        side, price_e4, count_e2 = limit
        self.order_id = order_id
        self.owner = owner
        self.market = market
        self.subaccount = subaccount
        self.holding: Holding = owner.holding(market.spec, subaccount)
        self.side = side
        self.price_e4 = price_e4
        self.initial_e2 = count_e2
        self.remaining_e2 = count_e2
        self.filled_e2 = 0
        self.status = OrderStatus.RESTING
        self.reason = Reason.NONE
        self.client_order_id = ""
        self.stp: SelfTradePrevention = "taker_at_cross"
        self.post_only = False
        self.cancel_on_pause = False
        self.recorded = False
        self.group: OrderGroup | None = None
        self.expiration_ms = 0
        self.created_ms = now_ms
        self.updated_ms = now_ms
        self.fees: OrderFees | None = None
        self.taker_cost_e6 = 0
        self.maker_cost_e6 = 0
        self.taker_fees_e6 = 0
        self.maker_fees_e6 = 0
        self.reserve_e6 = 0

    def fee_account(self, rounding: FeeRounding) -> OrderFees:
        """The order's rounding accumulator, made at its first fill."""
        if self.fees is None:
            self.fees = OrderFees(rounding)
        return self.fees

    def view(self) -> OrderView:
        return OrderView(
            self.order_id, self.client_order_id, self.owner.name, self.subaccount, self.market.spec.ticker,
            self.market.spec.exchange_index, self.side, self.price_e4, self.initial_e2, self.filled_e2,
            self.remaining_e2, self.status, self.reason, self.stp, self.taker_cost_e6, self.maker_cost_e6,
            self.taker_fees_e6, self.maker_fees_e6, self.created_ms, self.updated_ms, self.expiration_ms,
            self.group.group_id if self.group is not None else "", self.cancel_on_pause,
        )  # fmt: skip


class OrderGroup:
    """Orders that stop together once ``limit_e2`` contracts were matched within 15 seconds."""

    __slots__ = (
        "group_id",
        "limit_e2",
        "matched_e2",
        "matches",
        "resting",
        "shard",
        "subaccount",
        "triggered",
    )

    def __init__(self, group_id: str, limit_e2: int, shard: int, subaccount: int) -> None:
        self.group_id = group_id
        self.limit_e2 = limit_e2
        self.shard = shard
        self.subaccount = subaccount
        self.triggered = False
        self.resting: dict[str, Order] = {}
        self.matches: deque[tuple[int, int]] = deque()
        self.matched_e2 = 0

    def match(self, count_e2: int, now_ms: int) -> None:
        self.matches.append((now_ms, count_e2))
        self.matched_e2 += count_e2

    def is_over(self, now_ms: int) -> bool:
        """Has the rolling window reached the limit?"""
        while self.matches and self.matches[0][0] <= now_ms - GROUP_WINDOW_MS:
            self.matched_e2 -= self.matches.popleft()[1]
        return self.matched_e2 >= self.limit_e2

    def reset(self) -> None:
        self.triggered = False
        self.matches.clear()
        self.matched_e2 = 0

    def view(self) -> GroupView:
        return GroupView(
            self.group_id, self.subaccount, self.shard, self.limit_e2, self.triggered, tuple(self.resting)
        )
