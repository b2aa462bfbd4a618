"""What an order request must satisfy before it touches a book: each check raises the venue's refusal."""

from dora_bot.models import MarketStatus, TimeInForce
from dora_bot.paper.accounts import Account
from dora_bot.paper.market import MarketState
from dora_bot.paper.orders import Order, OrderGroup
from dora_bot.paper.specs import OrderRequest, OrderStatus, Refused, not_found
from dora_bot.paper.state import State

MAX_COUNT_E2 = 10**11
"""A billion contracts; the venue's own limit is unknown, this one keeps typing errors out."""


def check_not_paused(state: State, shard: int, *, cancels_too: bool = True) -> None:
    """An exchange pause refuses everything; a trading pause lets cancels through (``cancels_too`` False)."""
    if shard in state.exchange_paused:
        raise Refused(409, "exchange_is_paused")
    if cancels_too and shard in state.trading_paused:
        raise Refused(409, "trading_is_paused")


def check_active(market: MarketState) -> None:
    if market.status is not MarketStatus.ACTIVE:
        raise Refused(409, "market_inactive")


def check_cancellable(market: MarketState) -> None:
    """After the close even cancels are refused; a deactivated market still takes them."""
    if market.status not in {MarketStatus.ACTIVE, MarketStatus.INACTIVE}:
        raise Refused(409, "market_inactive")


def check_price(market: MarketState, price_e4: int) -> None:
    if not market.grid.contains(price_e4):
        raise Refused(400, "invalid_price")


def check_count(count_e2: int) -> None:
    if not 0 < count_e2 <= MAX_COUNT_E2:
        raise Refused(400, "invalid_order_size")


def check_expiration(state: State, expiration_ms: int) -> None:
    if expiration_ms <= state.now_ms:
        raise Refused(400, "invalid_parameters", details="Expiration timestamp must be in the future")


def check_terms(state: State, request: OrderRequest) -> None:
    """Combinations of time in force, expiry and reduce-only."""
    if request.expiration_ms is not None:
        if request.time_in_force is not TimeInForce.GTC:
            raise Refused(
                400,
                "invalid_parameters",
                details=f"Cannot specify both {request.time_in_force.value} and expiration_ts",
            )
        check_expiration(state, request.expiration_ms)
    if request.reduce_only and request.time_in_force is not TimeInForce.IOC:
        raise Refused(400, "invalid_order", details="reduce_only requires time_in_force immediate_or_cancel")


def check_new_client_id(account: Account, client_order_id: str) -> None:
    """A client order id is spent for ever by the first order that was recorded with it."""
    if client_order_id in account.client_ids:
        raise Refused(409, "order_already_exists")


def find_group(
    state: State, account: Account, group_id: str, shard: int, subaccount: int | None = None
) -> OrderGroup:
    """Raises 404 for another account's, another shard's or another subaccount's group."""
    owner, group = state.groups.get(group_id, (None, None))
    if group is None or owner is not account or group.shard != shard:
        raise not_found()
    if subaccount is not None and group.subaccount != subaccount:
        raise not_found()
    return group


def check_group(
    state: State, account: Account, request: OrderRequest, market: MarketState
) -> OrderGroup | None:
    if not request.order_group_id:
        return None
    shard = market.spec.exchange_index
    group = find_group(state, account, request.order_group_id, shard, request.subaccount)
    if state.bend.group_refusal is not None:
        raise Refused(*state.bend.group_refusal)
    if group.triggered:
        raise Refused(400, "exceeded_order_group_risk_limit")
    return group


def find_resting(account: Account, order_id: str, shard: int, subaccount: int | None) -> Order:
    """Raises one and the same 404 for unknown, finished, other shard and other subaccount."""
    order = account.resting.get(order_id)
    if (
        order is None
        or order.status is not OrderStatus.RESTING
        or order.market.spec.exchange_index != shard
        or (subaccount is not None and order.subaccount != subaccount)
    ):
        raise not_found()
    return order
