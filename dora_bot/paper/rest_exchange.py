"""The exchange about itself: status, schedule, freshness, fee changes, limits, programmes, archive."""

from dora_bot.paper.rate_limits import costs_body
from dora_bot.paper.rest_base import Call, Endpoint, Reply
from dora_bot.paper.specs import ShardStatus
from dora_bot.paper.wire import Json, historical_cutoff_body, rfc3339

_SHARD_NAMES = {0: "default", 1: "combos", 2: "crypto and commodities", 3: "sports"}
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _shard_body(shard: ShardStatus) -> Json:
    return {
        "exchange_index": shard.exchange_index,
        "description": _SHARD_NAMES.get(shard.exchange_index, "other"),
        "exchange_active": shard.exchange_active,
        "trading_active": shard.trading_active,
        "intra_exchange_transfers_active": shard.exchange_active,
    }


def get_status(call: Call) -> Reply:
    """The top-level fields describe shard 0. There is no WebSocket channel for pauses: clients poll this."""
    shards = call.venue.engine.status()
    first = shards[0]
    return Reply(
        200,
        {
            "exchange_active": first.exchange_active,
            "trading_active": first.trading_active,
            "intra_exchange_transfers_active": first.exchange_active,
            "exchange_index_statuses": [_shard_body(shard) for shard in shards],
        },
    )


def get_schedule(call: Call) -> Reply:
    """Open round the clock but for the maintenance that the operator announced, which he also has to begin and end."""
    whole_day = [{"open_time": "00:00", "close_time": "00:00"}]
    week: Json = {"start_time": "2026-01-01T00:00:00Z", "end_time": "2036-01-01T00:00:00Z"}
    week |= dict.fromkeys(_DAYS, whole_day)
    windows = [
        {"start_datetime": rfc3339(start_ms), "end_datetime": rfc3339(end_ms)}
        for start_ms, end_ms in call.venue.maintenance
    ]
    return Reply(200, {"schedule": {"standard_hours": [week], "maintenance_windows": windows}})


def get_user_data_timestamp(call: Call) -> Reply:
    return Reply(200, {"as_of_time": rfc3339(call.venue.stale.as_of_ms(call.now_ms))})


def get_series_fee_changes(call: Call) -> Reply:  # noqa: ARG001  (every handler takes the call)
    """Nothing is ever scheduled here; the operator changes fees at once."""
    return Reply(200, {"series_fee_change_arr": []})


def get_event_fee_changes(call: Call) -> Reply:  # noqa: ARG001  (every handler takes the call)
    return Reply(200, {"event_fee_changes": [], "cursor": ""})


def get_incentive_programs(call: Call) -> Reply:
    """None run here; the limit is checked all the same."""
    call.limit("GetIncentivePrograms", maximum=10_000)
    return Reply(200, {"incentive_programs": [], "next_cursor": ""})


def get_historical_cutoff(call: Call) -> Reply:  # noqa: ARG001  (every handler takes the call)
    return Reply(200, historical_cutoff_body())


def get_endpoint_costs(call: Call) -> Reply:  # noqa: ARG001  (every handler takes the call)
    return Reply(200, costs_body())


def get_limits(call: Call) -> Reply:
    return Reply(200, call.venue.buckets[call.account].limits_body())


ENDPOINTS = (
    *(
        Endpoint("GET", pattern, handler, scope="")
        for pattern, handler in (
            ("/exchange/status", get_status),
            ("/exchange/schedule", get_schedule),
            ("/series/fee_changes", get_series_fee_changes),
            ("/events/fee_changes", get_event_fee_changes),
            ("/incentive_programs", get_incentive_programs),
            ("/historical/cutoff", get_historical_cutoff),
            ("/account/endpoint_costs", get_endpoint_costs),
        )
    ),
    Endpoint("GET", "/exchange/user_data_timestamp", get_user_data_timestamp, scope=""),
    Endpoint("GET", "/account/limits", get_limits),
)
