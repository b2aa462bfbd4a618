"""The server's codec, second part: the bodies of one account's data, for REST and for private channels."""

from collections import defaultdict
from collections.abc import Iterable

from dora_bot.models import Side
from dora_bot.paper.specs import (
    FillView,
    GroupView,
    OrderView,
    PositionView,
    PurseView,
    Receipt,
    Reduced,
    SettlementView,
)
from dora_bot.paper.wire import Json, action, no_price, outcome, rfc3339, stable_uuid
from dora_bot.units import ONE_E4, count_text, format_fixed, money_text, price_text


def receipt_body(receipt: Receipt) -> Json:
    """The reply to a create or an amend; averages only where something was matched."""
    body: Json = {
        "order_id": receipt.order_id,
        "client_order_id": receipt.client_order_id,
        "fill_count": count_text(receipt.filled_e2),
        "remaining_count": count_text(receipt.remaining_e2),
        "ts_ms": receipt.ts_ms,
    }
    if receipt.matched_e2:
        body["average_fill_price"] = price_text(receipt.average_price_e4)
        body["average_fee_paid"] = price_text(receipt.average_fee_e4)
    return body


def cancel_body(reduced: Reduced) -> Json:
    return {
        "order_id": reduced.order_id,
        "client_order_id": reduced.client_order_id,
        "reduced_by": count_text(reduced.reduced_by_e2),
        "ts_ms": reduced.ts_ms,
    }


def decrease_body(reduced: Reduced) -> Json:
    return {
        "order_id": reduced.order_id,
        "client_order_id": reduced.client_order_id,
        "remaining_count": count_text(reduced.remaining_e2),
        "ts_ms": reduced.ts_ms,
    }


def order_body(order: OrderView) -> Json:
    """An order as ``GET /portfolio/orders`` shows it. The price is the limit, not the fill price."""
    body: Json = {
        "order_id": order.order_id,
        "user_id": stable_uuid(order.account),
        "client_order_id": order.client_order_id,
        "ticker": order.ticker,
        "side": "yes",
        "action": action(order.side),
        "outcome_side": outcome(order.side),
        "book_side": order.side.value,
        "type": "limit",
        "status": order.status.value,
        "yes_price_dollars": price_text(order.price_e4),
        "no_price_dollars": no_price(order.price_e4),
        "initial_count_fp": count_text(order.initial_e2),
        "fill_count_fp": count_text(order.filled_e2),
        "remaining_count_fp": count_text(order.remaining_e2),
        "taker_fees_dollars": money_text(order.taker_fees_e6),
        "maker_fees_dollars": money_text(order.maker_fees_e6),
        "taker_fill_cost_dollars": money_text(order.taker_cost_e6),
        "maker_fill_cost_dollars": money_text(order.maker_cost_e6),
        "created_time": rfc3339(order.created_ms),
        "last_update_time": rfc3339(order.updated_ms),
        "self_trade_prevention_type": order.stp,
        "subaccount_number": order.subaccount,
        "exchange_index": order.exchange_index,
    }
    if order.expiration_ms:
        body["expiration_time"] = rfc3339(order.expiration_ms)
    if order.order_group_id:
        body["order_group_id"] = order.order_group_id
    if order.cancel_on_pause:
        body["cancel_order_on_pause"] = True
    return body


def fill_body(fill: FillView) -> Json:
    """A fill by REST: without client_order_id since 2026-03-30."""
    return {
        "fill_id": fill.trade_id,
        "trade_id": fill.trade_id,
        "order_id": fill.order_id,
        "ticker": fill.ticker,
        "market_ticker": fill.ticker,
        "exchange_index": fill.exchange_index,
        "side": "yes",
        "action": action(fill.side),
        "outcome_side": outcome(fill.side),
        "book_side": fill.side.value,
        "count_fp": count_text(fill.count_e2),
        "yes_price_dollars": price_text(fill.price_e4),
        "no_price_dollars": no_price(fill.price_e4),
        "is_taker": fill.is_taker,
        "fee_cost": money_text(fill.fee_e6),
        "created_time": rfc3339(fill.time_ms),
        "subaccount_number": fill.subaccount,
        "ts": fill.time_ms // 1_000,
    }


def position_body(position: PositionView) -> Json:
    return {
        "ticker": position.ticker,
        "exchange_index": position.exchange_index,
        "position_fp": count_text(position.net_e2),
        "market_exposure_dollars": money_text(position.exposure_e6),
        "total_traded_dollars": money_text(position.traded_e6),
        "realized_pnl_dollars": money_text(position.realised_e6),
        "fees_paid_dollars": money_text(position.fees_e6),
        "last_updated_ts": rfc3339(position.updated_ms),
    }


def event_position_bodies(positions: Iterable[PositionView]) -> list[Json]:
    """The same positions summed by event."""
    by_event: dict[str, list[PositionView]] = defaultdict(list)
    for position in positions:
        by_event[position.event_ticker].append(position)
    return [
        {
            "event_ticker": event,
            "total_cost_dollars": money_text(sum(p.traded_e6 for p in members)),
            "total_cost_shares_fp": count_text(sum(p.volume_e2 for p in members)),
            "event_exposure_dollars": money_text(sum(p.exposure_e6 for p in members)),
            "realized_pnl_dollars": money_text(sum(p.realised_e6 for p in members)),
            "fees_paid_dollars": money_text(sum(p.fees_e6 for p in members)),
        }
        for event, members in by_event.items()
    ]


def settlement_body(settlement: SettlementView) -> Json:
    return {
        "ticker": settlement.ticker,
        "exchange_index": settlement.exchange_index,
        "event_ticker": settlement.event_ticker,
        "market_result": settlement.result,
        "yes_count_fp": count_text(settlement.yes_count_e2),
        "yes_total_cost_dollars": money_text(settlement.yes_cost_e6),
        "no_count_fp": count_text(settlement.no_count_e2),
        "no_total_cost_dollars": money_text(settlement.no_cost_e6),
        "revenue": settlement.revenue_e6 // 10_000,
        "settled_time": rfc3339(settlement.time_ms),
        "fee_cost": money_text(settlement.traded_fee_e6 + settlement.fee_e6),
        "value": settlement.value_e4 // 100,
    }


def dollars(money_e6: int) -> str:
    """A balance: dollars with the four decimals of a direct member, rounded down."""
    return format_fixed(money_e6 // 100, 4)


def balance_body(purses: Iterable[PurseView], positions_e6: int, as_of_ms: int) -> Json:
    """Cash in truncated cents and in dollars, by shard; collateral of resting orders is still in it."""
    by_shard: dict[int, int] = defaultdict(int)
    for purse in purses:
        by_shard[purse.exchange_index] += purse.cash_e6
    total = sum(by_shard.values())
    return {
        "balance": total // 10_000,
        "balance_dollars": dollars(total),
        "portfolio_value": positions_e6 // 10_000,
        "updated_ts": as_of_ms // 1_000,
        "balance_breakdown": [
            {"exchange_index": shard, "balance": dollars(cash)} for shard, cash in sorted(by_shard.items())
        ],
    }


def position_value_e6(position: PositionView, mark_e4: int) -> int:
    """What the open contracts are worth at a YES price."""
    return position.net_e2 * mark_e4 if position.net_e2 >= 0 else -position.net_e2 * (ONE_E4 - mark_e4)


def group_body(group: GroupView) -> Json:
    return {
        "id": group.group_id,
        "contracts_limit_fp": count_text(group.limit_e2),
        "is_auto_cancel_enabled": True,
        "exchange_index": group.exchange_index,
    }


def group_detail_body(group: GroupView) -> Json:
    return {
        "is_auto_cancel_enabled": True,
        "contracts_limit_fp": count_text(group.limit_e2),
        "orders": list(group.order_ids),
        "exchange_index": group.exchange_index,
    }


# ── private channels ────────────────────────────────────────────────────────────────────────────


def fill_message(fill: FillView) -> Json:
    side = outcome(fill.side)
    body: Json = {
        "trade_id": fill.trade_id,
        "order_id": fill.order_id,
        "market_ticker": fill.ticker,
        "exchange_index": fill.exchange_index,
        "is_taker": fill.is_taker,
        "side": "yes",
        "action": action(fill.side),
        "purchased_side": side,
        "outcome_side": side,
        "book_side": fill.side.value,
        "yes_price_dollars": price_text(fill.price_e4),
        "count_fp": count_text(fill.count_e2),
        "fee_cost": money_text(fill.fee_e6),
        "post_position_fp": count_text(fill.post_position_e2),
        "ts": fill.time_ms // 1_000,
        "ts_ms": fill.time_ms,
    }
    if fill.client_order_id:
        body["client_order_id"] = fill.client_order_id
    if fill.subaccount:
        body["subaccount"] = fill.subaccount
    return body


def user_order_message(order: OrderView) -> Json:
    """A ``user_order`` frame's message: the order's fields under the names of that channel."""
    rest = order_body(order)
    dropped = ("type", "action", "no_price_dollars", "cancel_order_on_pause")
    body = {name: value for name, value in rest.items() if name not in dropped}
    body["is_yes"] = order.side is Side.BID
    body["created_ts_ms"] = order.created_ms
    body["last_updated_ts_ms"] = order.updated_ms
    if order.expiration_ms:
        body["expiration_ts_ms"] = order.expiration_ms
    if order.reason:
        body["last_update_reason"] = order.reason.value
    return body


def position_message(account: str, position: PositionView) -> Json:
    body: Json = {
        "user_id": stable_uuid(account),
        "market_ticker": position.ticker,
        "position_fp": count_text(position.net_e2),
        "position_cost_dollars": money_text(position.exposure_e6),
        "realized_pnl_dollars": money_text(position.realised_e6),
        "fees_paid_dollars": money_text(position.fees_e6),
        "position_fee_cost_dollars": money_text(position.fees_e6),
        "volume_fp": count_text(position.volume_e2),
    }
    if position.subaccount:
        body["subaccount"] = position.subaccount
    return body
