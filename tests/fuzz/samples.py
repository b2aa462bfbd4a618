"""Well-formed messages of the exchange to start from, and the ways in which they are spoilt.

`spoilt` is deterministic in its `Random`, so that hypothesis, atheris and the memory script all use the same.
"""

import json
from copy import deepcopy
from random import Random
from typing import Any

T = "KXT-A"
"""Of the books that `targets.Conversation` has open; its next frame there is number 5 of sid 6."""
SIDED = {"book_side": "bid", "yes_price_dollars": "0.4700"}
ORDER = {
    "order_id": "o-1",
    "client_order_id": "c-1",
    "ticker": T,
    "status": "resting",
    "remaining_count_fp": "3.00",
    "fill_count_fp": "0.00",
    "exchange_index": 0,
    **SIDED,
}
FILL = {
    "trade_id": "t-1",
    "order_id": "o-1",
    "market_ticker": T,
    "is_taker": False,
    "count_fp": "1.00",
    **SIDED,
}
GRID = [{"start": "0.0000", "end": "1.0000", "step": "0.0100"}]
WHEN = "2026-11-20T12:00:00Z"

FRAMES: tuple[dict[str, Any], ...] = (
    {
        "type": "orderbook_delta",
        "sid": 6,
        "seq": 5,
        "sending_ts_ms": 1_781_159_489_958,
        "msg": {
            "market_ticker": T,
            "price_dollars": "0.4700",
            "delta_fp": "1.00",
            "side": "yes",
            "ts_ms": 1_781_159_489_957,
        },
    },
    {
        "type": "orderbook_snapshot",
        "sid": 6,
        "seq": 5,
        "msg": {
            "market_ticker": T,
            "yes_dollars_fp": [["0.4700", "3.00"]],
            "no_dollars_fp": [["0.5200", "3.00"]],
        },
    },
    {
        "type": "trade",
        "sid": 8,
        "seq": 1,
        "msg": {"market_ticker": T, "count_fp": "1.00", "ts_ms": 1, "taker_book_side": "bid", **SIDED},
    },
    {
        "type": "market_lifecycle_v2",
        "sid": 5,
        "seq": 1,
        "msg": {"market_ticker": T, "event_type": "close_date_updated", "close_ts": 2, "price_ranges": GRID},
    },
    {
        "type": "event_fee_update",
        "sid": 5,
        "seq": 1,
        "msg": {"event_ticker": "KXT", "fee_type_override": "quadratic", "fee_multiplier_override": 0.5},
    },
    {
        "type": "order_group_updates",
        "sid": 4,
        "seq": 1,
        "msg": {"event_type": "triggered", "order_group_id": "g"},
    },
    {
        "type": "ticker",
        "sid": 7,
        "msg": {"market_ticker": T, "yes_bid_dollars": "0.4700", "yes_ask_dollars": "0.5200", "ts_ms": 1},
    },
    {"type": "fill", "sid": 1, "msg": {**FILL, "fee_cost": "0.0100", "ts_ms": 1, "client_order_id": "c-1"}},
    {"type": "user_order", "sid": 2, "msg": {**ORDER, "created_ts_ms": 1, "expiration_ts_ms": 2}},
    {"type": "market_position", "sid": 3, "msg": {"market_ticker": T, "position_fp": "-3.00"}},
    {"type": "error", "id": 3, "msg": {"code": 6, "msg": "already subscribed"}},
    {"type": "subscribed", "id": 1, "msg": {"channel": "orderbook_delta", "sid": 6}},
    {"type": "ok", "id": 1, "sid": 6, "seq": 5, "msg": {"market_tickers": [T]}},
    {"type": "brand_new", "sid": 9, "seq": 1, "msg": {}},
)

LADDERS = {"yes_dollars": [["0.4700", "3.00"]], "no_dollars": [["0.5200", "3.00"]]}
MARKET = {
    "ticker": T,
    "event_ticker": "KXT",
    "status": "active",
    "price_ranges": GRID,
    "open_time": WHEN,
    "close_time": WHEN,
    "last_price_dollars": "0.4700",
    "volume_fp": "9.00",
}
EVENT = {"event_ticker": "KXT", "series_ticker": "KX", "mutually_exclusive": True}
SERIES = {"ticker": "KX", "fee_type": "quadratic", "fee_multiplier": 1.0}
CHANGE = {"fee_type_override": None, "fee_multiplier_override": None, "scheduled_ts": WHEN}
REPLIES: tuple[dict[str, Any], ...] = (
    {"orderbook_fp": LADDERS},
    {"orderbooks": [{"ticker": T, "orderbook_fp": LADDERS}]},
    {"order": ORDER},
    {"orders": [{**ORDER, "created_time": WHEN, "expiration_time": WHEN}], "cursor": ""},
    {"fills": [{**FILL, "fee_cost": "0.01", "created_time": WHEN}], "cursor": ""},
    {"market_positions": [{"ticker": T, "position_fp": "1.00", "fees_paid_dollars": "0.01"}], "cursor": ""},
    {
        "settlements": [
            {
                "ticker": T,
                "market_result": "yes",
                "settled_time": WHEN,
                "value": 100,
                "revenue": 300,
                "yes_count_fp": "3.00",
                "no_count_fp": "0.00",
            }
        ],
        "cursor": "",
    },
    {"balance_dollars": "9.00", "balance_breakdown": [{"exchange_index": 0, "balance": "9.00"}]},
    {"queue_positions": [{"order_id": "o-1", "queue_position_fp": "1.00"}]},
    {"markets": [MARKET], "cursor": ""},
    {"event": EVENT},
    {"events": [EVENT], "cursor": ""},
    {"series": SERIES},
    {
        "trades": [{"trade_id": "t", "ticker": T, "count_fp": "1.00", "created_time": WHEN, **SIDED}],
        "cursor": "",
    },
    {"exchange_active": True, "trading_active": True},
    {
        "schedule": {
            "standard_hours": [],
            "maintenance_windows": [{"start_datetime": WHEN, "end_datetime": WHEN}],
        }
    },
    {"as_of_time": WHEN},
    {
        "usage_tier": "basic",
        "read": {"refill_rate": 1, "bucket_capacity": 1},
        "write": {"refill_rate": 1, "bucket_capacity": 1},
    },
    {"default_cost": 10, "endpoint_costs": [{"method": "DELETE", "path": "/x", "cost": 2}]},
    {"order_groups": [{"id": "g-1", "contracts_limit_fp": "9.00", "exchange_index": 0}]},
    {"order_group_id": "g-1"},
    {"series_fee_change_arr": [{**SERIES, "series_ticker": "KX", "scheduled_ts": WHEN}]},
    {"event_fee_changes": [{**EVENT, **CHANGE}], "cursor": ""},
    {
        "incentive_programs": [
            {
                "id": "i",
                "market_ticker": T,
                "incentive_type": "liquidity",
                "start_date": WHEN,
                "end_date": WHEN,
                "period_reward": 1,
            }
        ]
    },
    {
        "orders": [
            {
                "order_id": "o-1",
                "client_order_id": "c-1",
                "fill_count": "0",
                "remaining_count": "3",
                "reduced_by": "3",
            }
        ]
    },
    {
        "order_id": "o-1",
        "client_order_id": "c-1",
        "fill_count": "0",
        "remaining_count": "3",
        "reduced_by": "3",
        "ts_ms": 1,
    },
    {"error": {"code": "not_found", "message": "not found"}},
    {"error": "too many requests"},
)  # fmt: skip  (one message a line)

ITEMS: tuple[dict[str, Any], ...] = (
    {
        "market_id": T,
        "enabled": True,
        "max_inventory_yes": 100,
        "max_inventory_no": 100,
        "min_spread": "0.04",
        "quote_size": 10,
    },
    {"key": "global_config", "max_total_exposure": 1_000, "max_daily_loss": 50, "trading_enabled": True},
    {"market_id": T, "net": 1, "cost": 1, "realized_pnl": 0, "fees": 0, "version": 1},
    {
        "halt_id": "H-1",
        "reason": "r",
        "raised_at": WHEN,
        "raised_by": "tick",
        "evidence": "e",
        "hold": "HALTED",
    },
)

NASTY: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**53 + 1,
    2**63,
    2**64,
    -(2**63) - 1,
    10**40,
    1e308,
    -0.5,
    1e-9,
    "",
    " ",
    "0",
    "-0.00",
    "1.0000",
    "0.00001",
    "1e3",
    "NaN",
    "Infinity",
    "-1.00",
    "9" * 15,
    "9" * 16,
    "9" * 5_000,
    "0." + "0" * 500 + "1",
    "0x10",
    "1_000",
    "٣",
    "KXT-B",
    "../../etc/passwd",
    "KX/../A",
    "KX..A",
    "KX/A",
    "%s%n",
    "{0.__class__}",
    "{}",
    "$(id)",
    "KX\x00A",
    "KX\nA",
    "\u202eKX",
    "\ud83d\ude00",
    "x" * 100_000,
    "bid",
    "no",
    "yes",
    "active",
    "2026-13-45T99:99:99Z",
    "9999-12-31T23:59:59+14:00",
    "0001-01-01T00:00:00-14:00",
    [],
    {},
    [[]],
    [None],
    ["0.4700", "3.00"],
    [["0.4700", "3.00"]] * 3,
    {"code": 1},
    {"msg": {}},
)  # fmt: skip  (a table)


def spoilt(message: Any, rng: Random) -> bytes:
    """The message with one to three values replaced, dropped, doubled or moved; sometimes its bytes broken too."""
    changed = deepcopy(message)
    for _ in range(rng.randint(1, 3)):
        _spoil(changed, rng)
    data = json.dumps(changed).encode()
    if rng.random() < 0.1:
        data = _broken(data, rng)
    return data


def _spoil(message: Any, rng: Random) -> None:
    place = _place(message, rng)
    if place is None:
        return
    holder, key = place
    how = rng.random()
    if how < 0.7:
        holder[key] = deepcopy(rng.choice(NASTY))
    elif how < 0.85:
        del holder[key]
    elif isinstance(holder, dict):
        holder[rng.choice(("extra", "msg", "orders", "type", "sid"))] = deepcopy(holder[key])
    else:
        holder.append(deepcopy(holder[key]))


def _place(message: Any, rng: Random) -> tuple[Any, Any] | None:
    """Some value anywhere in the message, as its container and key."""
    found: list[tuple[Any, Any]] = []
    waiting = [message]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        for key in keys:
            found.append((holder, key))
            if isinstance(holder[key], dict | list):
                waiting.append(holder[key])
    return rng.choice(found) if found else None


def _broken(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    kind = rng.randrange(4)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + rng.randbytes(3) + data[at:]
    if kind == 2:
        return data + data
    return b"[" * 5_000 + data
