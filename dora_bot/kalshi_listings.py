"""Kalshi's REST replies about the exchange and its rules → models. Pure; the same manners as
`kalshi_replies`: unknown fields ignored, unknown enum values kept apart, a missing field named.
"""

from dataclasses import dataclass
from decimal import Decimal

import msgspec

from dora_bot import wire_values as values
from dora_bot.errors import WireError
from dora_bot.events import FeeChange
from dora_bot.models import AccountLimits, BucketLimit, ExchangeStatus

_BATCH_CANCEL = "DELETE /portfolio/events/orders/batched"
_BATCH_CREATE = "POST /portfolio/events/orders/batched"
_AMEND = "POST /portfolio/events/orders/:order_id/amend"


@dataclass(frozen=True, slots=True)
class MaintenanceWindow:
    """A stretch in which the exchange may be unavailable, Unix ms."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class TradingSession:
    """One stretch of trading hours: Eastern time as the exchange writes it, Monday = 0."""

    weekday: int
    open_time: str
    close_time: str


@dataclass(frozen=True, slots=True)
class Schedule:
    sessions: tuple[TradingSession, ...]
    maintenance: tuple[MaintenanceWindow, ...]


@dataclass(frozen=True, slots=True)
class Incentive:
    """A reward programme of one market: ``reward_e4`` is the pool for the period in 0.0001 $."""

    incentive_id: str
    ticker: str
    kind: str
    start_ms: int
    end_ms: int
    reward_e4: int
    discount_bps: int | None
    target_e2: int | None


@dataclass(frozen=True, slots=True)
class OrderGroup:
    group_id: str
    limit_e2: int
    exchange_index: int


# ── the exchange ────────────────────────────────────────────────────────────────────────────────


class _ShardStatus(msgspec.Struct):
    exchange_index: values.Shard
    exchange_active: bool
    trading_active: bool


class _Status(msgspec.Struct):
    exchange_active: bool
    trading_active: bool
    exchange_index_statuses: list[_ShardStatus] | None = None


class _Hours(msgspec.Struct):
    open_time: str
    close_time: str


class _Week(msgspec.Struct):
    monday: list[_Hours] | None = None
    tuesday: list[_Hours] | None = None
    wednesday: list[_Hours] | None = None
    thursday: list[_Hours] | None = None
    friday: list[_Hours] | None = None
    saturday: list[_Hours] | None = None
    sunday: list[_Hours] | None = None


class _Window(msgspec.Struct):
    start_datetime: str
    end_datetime: str


class _ScheduleShape(msgspec.Struct):
    standard_hours: list[_Week] | None
    maintenance_windows: list[_Window] | None


class _ScheduleReply(msgspec.Struct):
    schedule: _ScheduleShape


class _AsOf(msgspec.Struct):
    as_of_time: str


_STATUS = msgspec.json.Decoder(_Status)
_SCHEDULE = msgspec.json.Decoder(_ScheduleReply)
_AS_OF = msgspec.json.Decoder(_AsOf)


def exchange_status(body: bytes) -> ExchangeStatus:
    """The top-level flags describe shard 0 alone: where shards are told apart, a pause counts where it is."""
    found = values.decode(_STATUS, body)
    shards = found.exchange_index_statuses or ()
    if not shards:
        return ExchangeStatus(found.exchange_active, found.trading_active)
    return ExchangeStatus(
        active=any(shard.exchange_active for shard in shards),
        trading=any(shard.trading_active for shard in shards),
        paused_shards=frozenset(
            shard.exchange_index for shard in shards if not (shard.exchange_active and shard.trading_active)
        ),
    )


def schedule(body: bytes) -> Schedule:
    found = values.decode(_SCHEDULE, body).schedule
    sessions = tuple(
        TradingSession(weekday, hours.open_time, hours.close_time)
        for week in found.standard_hours or ()
        for weekday, day in enumerate(_days(week))
        for hours in day
    )
    windows = tuple(
        MaintenanceWindow(
            values.time_ms(window.start_datetime, "maintenance_windows[].start_datetime"),
            values.time_ms(window.end_datetime, "maintenance_windows[].end_datetime"),
        )
        for window in found.maintenance_windows or ()
    )
    return Schedule(sessions, windows)


def _days(week: _Week) -> tuple[list[_Hours], ...]:
    days = (
        week.monday,
        week.tuesday,
        week.wednesday,
        week.thursday,
        week.friday,
        week.saturday,
        week.sunday,
    )
    return tuple(day or [] for day in days)


def user_data_timestamp(body: bytes) -> int:
    return values.time_ms(values.decode(_AS_OF, body).as_of_time, "as_of_time")


# ── limits, groups, incentives, fee changes ─────────────────────────────────────────────────────


class _Bucket(msgspec.Struct):
    refill_rate: values.Whole
    bucket_capacity: values.Whole


class _Limits(msgspec.Struct):
    usage_tier: str
    read: _Bucket
    write: _Bucket


class _Cost(msgspec.Struct):
    method: str
    path: str
    cost: values.Whole


class _Costs(msgspec.Struct):
    default_cost: values.Whole
    endpoint_costs: list[_Cost] | None = None


class _Group(msgspec.Struct):
    id: str
    contracts_limit_fp: str = "0"
    exchange_index: values.Shard = 0


class _Groups(msgspec.Struct):
    order_groups: list[_Group] | None = None


class _NewGroup(msgspec.Struct):
    order_group_id: str


class _Incentive(msgspec.Struct):
    id: str
    market_ticker: str
    incentive_type: str
    start_date: str
    end_date: str
    period_reward: values.Whole
    discount_factor_bps: values.Whole | None = None
    target_size_fp: str | None = None


class _Incentives(msgspec.Struct):
    incentive_programs: list[_Incentive] | None
    next_cursor: str | None = None


class _SeriesChange(msgspec.Struct):
    series_ticker: str
    fee_type: str
    fee_multiplier: Decimal
    scheduled_ts: str


class _SeriesChanges(msgspec.Struct):
    series_fee_change_arr: list[_SeriesChange] | None


class _EventChange(msgspec.Struct):
    event_ticker: str
    series_ticker: str
    fee_type_override: str | None
    fee_multiplier_override: Decimal | None
    scheduled_ts: str


class _EventChanges(msgspec.Struct):
    event_fee_changes: list[_EventChange] | None
    cursor: str | None = None


_LIMITS = msgspec.json.Decoder(_Limits)
_COSTS = msgspec.json.Decoder(_Costs)
_GROUPS = msgspec.json.Decoder(_Groups)
_NEW_GROUP = msgspec.json.Decoder(_NewGroup)
_INCENTIVES = msgspec.json.Decoder(_Incentives)
_SERIES_CHANGES = msgspec.json.Decoder(_SeriesChanges)
_EVENT_CHANGES = msgspec.json.Decoder(_EventChanges)


def account_limits(limits_body: bytes, costs_body: bytes) -> AccountLimits:
    limits, costs = values.decode(_LIMITS, limits_body), values.decode(_COSTS, costs_body)
    listed = {f"{item.method} {item.path}": item.cost for item in costs.endpoint_costs or ()}

    def cost(call: str) -> int:
        """The endpoint's own cost, whatever prefix its path is listed with."""
        method, path = call.split()
        found = (n for told, n in listed.items() if told.startswith(method) and told.endswith(path))
        return _positive(next(found, costs.default_cost), f"endpoint_costs[{call}].cost")

    return AccountLimits(
        values.word(limits.usage_tier),
        _bucket(limits.read, "read"),
        _bucket(limits.write, "write"),
        _positive(costs.default_cost, "default_cost"),
        cost(_BATCH_CANCEL),
        cost(_BATCH_CREATE),
        cost(_AMEND),
    )


def _bucket(shape: _Bucket, where: str) -> BucketLimit:
    return BucketLimit(
        _positive(shape.bucket_capacity, f"{where}.bucket_capacity"),
        _positive(shape.refill_rate, f"{where}.refill_rate"),
    )


def _positive(number: int, where: str) -> int:
    if number <= 0:
        raise WireError(f"{where}: not above 0: {number}")
    return number


def order_groups(body: bytes) -> list[OrderGroup]:
    return [
        OrderGroup(
            values.identifier(item.id, "order_groups[].id"),
            values.count(item.contracts_limit_fp, "order_groups[].contracts_limit_fp"),
            item.exchange_index,
        )
        for item in values.decode(_GROUPS, body).order_groups or ()
    ]


def new_order_group(body: bytes) -> str:
    return values.identifier(values.decode(_NEW_GROUP, body).order_group_id, "order_group_id")


def incentives(body: bytes) -> tuple[list[Incentive], str]:
    page = values.decode(_INCENTIVES, body)
    return [_incentive(item) for item in page.incentive_programs or ()], page.next_cursor or ""


def _incentive(item: _Incentive) -> Incentive:
    where = "incentive_programs[]"
    target = item.target_size_fp
    return Incentive(
        values.identifier(item.id, f"{where}.id"),
        values.ticker(item.market_ticker, f"{where}.market_ticker"),
        values.word(item.incentive_type),
        values.time_ms(item.start_date, f"{where}.start_date"),
        values.time_ms(item.end_date, f"{where}.end_date"),
        item.period_reward,
        item.discount_factor_bps,
        None if target is None else values.count(target, f"{where}.target_size_fp"),
    )


def series_fee_changes(body: bytes) -> list[FeeChange]:
    return [
        FeeChange(
            values.ticker(item.series_ticker, "series_fee_change_arr[].series_ticker"),
            "",
            values.word(item.fee_type),
            values.multiplier_e6(item.fee_multiplier, "series_fee_change_arr[].fee_multiplier"),
            values.time_ms(item.scheduled_ts, "series_fee_change_arr[].scheduled_ts"),
        )
        for item in values.decode(_SERIES_CHANGES, body).series_fee_change_arr or ()
    ]


def event_fee_changes(body: bytes) -> tuple[list[FeeChange], str]:
    page = values.decode(_EVENT_CHANGES, body)
    return [_event_change(item) for item in page.event_fee_changes or ()], page.cursor or ""


def _event_change(item: _EventChange) -> FeeChange:
    where = "event_fee_changes[]"
    override = item.fee_multiplier_override
    return FeeChange(
        "",
        values.ticker(item.event_ticker, f"{where}.event_ticker"),
        None if item.fee_type_override is None else values.word(item.fee_type_override),
        None if override is None else values.multiplier_e6(override, f"{where}.fee_multiplier_override"),
        values.time_ms(item.scheduled_ts, f"{where}.scheduled_ts"),
    )
