"""What must survive: positions, the day's risk state with its halts, heartbeats, and the trade log.

Positions are written only by `drain`, in one transaction with the row that led to them. Everything here is
read at start, by the operator's commands and by reports, or published once a minute for people.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from dora_bot.dynamo import Condition, Dynamo
from dora_bot.items import (
    POSITION_PREFIX,
    STATE,
    TRADE_LOG,
    Item,
    days_between,
    halt_item,
    halt_of,
    money,
    open_order_view,
    parse_timestamp,
    position_of,
    positions_map,
    scaled,
    timestamp,
)
from dora_bot.models import ExchangeOrder, Halt, Hold, Position
from dora_bot.valuation import Peak, utc_date

RISK_STATE = "risk_state"
OPEN_ORDERS = "open_orders"
POSITIONS = "positions"
_HEARTBEAT_PREFIX = "heartbeat#"
_ORDERS_TOLD = 1_000
"""More would not fit into one item (400 KB); the exchange has them all."""


_HALT_ATTRIBUTES = ("trading_halted", "halts")

HaltMark = Mapping[str, Any]
"""The two halt attributes of ``risk_state`` as they stood in the table, those that were there."""


@dataclass(frozen=True, slots=True)
class RiskState:
    """The item ``risk_state``: a UTC day, the equity it began with, its PnL, the newest fill, the halts in force,
    and the highest equity since the last halt was lifted (none before the first).
    """

    day: str = ""
    day_start_equity_e6: int = 0
    daily_pnl_e6: int = 0
    last_fill_ms: int = 0
    halts: tuple[Halt, ...] = ()
    peak: Peak | None = None
    halt_mark: HaltMark = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Published:
    """The bot's picture of itself for people and other programs, from one moment. PnL since midnight UTC."""

    time_ms: int
    positions: tuple[Position, ...]
    open_orders: tuple[ExchangeOrder, ...]
    day_start_equity_e6: int
    daily_pnl_e6: int
    last_fill_ms: int
    peak: Peak | None = None


class StateStore:
    def __init__(self, db: Dynamo) -> None:
        self._db = db

    def positions(self) -> dict[str, Position]:
        """The truth, one per market ever traded (flat ones included, for their version and totals)."""
        found = [position_of(item) for item in self._db.scan(STATE, POSITION_PREFIX)]
        return {position.ticker: position for position in found}

    def position(self, ticker: str) -> Position:
        """One market's position; flat and of version 0 if it never traded."""
        item = self._db.get(STATE, {"key": POSITION_PREFIX + ticker})
        return position_of(item) if item else Position(ticker)

    # ── risk state ──────────────────────────────────────────────────────────────────────────────

    def risk_state(self) -> RiskState:
        """Raises `StoreError` if the item is damaged."""
        item = self._db.get(STATE, {"key": RISK_STATE})
        halts = tuple(halt_of(halt) for halt in item.get("halts", ()))
        if item.get("trading_halted") and not any(halt.hold is Hold.HALTED for halt in halts):
            halts += (Halt("console", "trading_halted was set by hand", 0, "console"),)
        last_fill = item.get("last_fill_timestamp", "")
        return RiskState(
            day=str(item.get("day", "")),
            day_start_equity_e6=_money(item, "day_start_equity"),
            daily_pnl_e6=_money(item, "daily_pnl"),
            last_fill_ms=parse_timestamp(last_fill) if last_fill else 0,
            halts=halts,
            halt_mark={name: item[name] for name in _HALT_ATTRIBUTES if name in item},
            peak=Peak(_money(item, "peak_equity"), parse_timestamp(str(item["peak_since"])))
            if "peak_since" in item
            else None,
        )

    def set_halts(self, halts: Sequence[Halt], unless_changed: HaltMark | None = None) -> HaltMark:
        """Replace the halts in force; empty lifts them all. Returns the mark of what stands there now.

        With a mark: raises `ConditionFailed` if the halts in the table are not those any more, so that one that
        was set by hand meanwhile is not overwritten.
        """
        told = [halt_item(halt) for halt in halts]
        mark = {"trading_halted": any(halt.hold is Hold.HALTED for halt in halts), "halts": told}
        condition = None if unless_changed is None else _still(unless_changed)
        self._db.update(STATE, {"key": RISK_STATE}, mark, condition)
        return mark

    def publish(self, published: Published) -> None:
        """Write the map of positions, the open orders, the risk figures and the day's snapshot."""
        now, day = timestamp(published.time_ms), utc_date(published.time_ms)
        pnl = {
            "daily_pnl": money(published.daily_pnl_e6),
            "day_start_equity": money(published.day_start_equity_e6),
        }
        figures: Item = {"day": day, **pnl}
        if published.peak is not None:
            figures["peak_equity"] = money(published.peak.equity_e6)
            figures["peak_since"] = timestamp(published.peak.since_ms)
        if published.last_fill_ms:
            figures["last_fill_timestamp"] = timestamp(published.last_fill_ms)
        self._db.update(STATE, {"key": RISK_STATE}, figures)
        told = published.open_orders[:_ORDERS_TOLD]
        orders = {order.order_id: open_order_view(order) for order in told}
        self._db.batch_put(
            STATE,
            [
                {"key": POSITIONS, "positions": positions_map(published.positions), "updated_at": now},
                {
                    "key": OPEN_ORDERS,
                    "orders": orders,
                    "count": Decimal(len(published.open_orders)),
                    "updated_at": now,
                },
                {"key": f"pnl#{day}", **pnl, "updated_at": now},
            ],
        )

    # ── heartbeats and other single items ───────────────────────────────────────────────────────

    def beat(self, instance: str, now_ms: int, details: Mapping[str, Any]) -> None:
        """Say that the instance lives; ``details`` are DynamoDB values (text, Decimal, bool)."""
        self._db.put(STATE, {"key": _HEARTBEAT_PREFIX + instance, "at": timestamp(now_ms), **details})

    def item(self, key: str) -> Item:
        """Any item of the state table; empty if there is none."""
        return self._db.get(STATE, {"key": key})

    def put_item(self, key: str, attributes: Mapping[str, Any]) -> None:
        self._db.put(STATE, {**attributes, "key": key})

    # ── trade log ───────────────────────────────────────────────────────────────────────────────

    def trade_rows(self, first_day: str, last_day: str) -> Iterator[Item]:
        """All rows from one UTC date to another (both included) in the order of the exchange's time."""
        for day in days_between(first_day, last_day):
            yield from self._db.query(TRADE_LOG, day)

    def trade_rows_since(self, since_ms: int, now_ms: int) -> Iterator[Item]:
        """Rows with an exchange time ≥ ``since_ms``; tomorrow's partition too, clocks differ."""
        start = timestamp(since_ms)
        for day in days_between(utc_date(since_ms), utc_date(now_ms + 86_400_000)):
            yield from self._db.query(TRADE_LOG, day, start)


def _money(item: Item, name: str) -> int:
    return scaled(item, name, 6) if name in item else 0


def _still(mark: HaltMark) -> Condition:
    parts, names, values = [], {}, {}
    for at, attribute in enumerate(_HALT_ATTRIBUTES):
        names[f"#h{at}"] = attribute
        if attribute in mark:
            parts.append(f"#h{at} = :h{at}")
            values[f":h{at}"] = mark[attribute]
        else:
            parts.append(f"attribute_not_exists(#h{at})")
    return Condition(" AND ".join(parts), names, values)
