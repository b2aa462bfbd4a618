"""Replies become models: the recorded ones exactly, damaged ones a `WireError` that names the field."""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dora_bot import kalshi_listings as listings
from dora_bot import kalshi_markets as markets
from dora_bot import kalshi_outcomes as outcomes
from dora_bot import kalshi_replies as replies
from dora_bot.errors import WireError
from dora_bot.events import BookSnapshot, FeeChange
from dora_bot.models import (
    AccountLimits,
    BucketLimit,
    Cancel,
    ExchangeStatus,
    FeeTerms,
    Level,
    Market,
    MarketStatus,
    OutcomeKind,
    Place,
    Settlement,
    Side,
)

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
DEMO = SHARED / "rest_demo_v2_2026"
PROD = SHARED / "rest_prod_fixtures_2026"
RAW = SHARED / "rest_raw_events_2026"
needs_recordings = pytest.mark.skipif(not DEMO.is_dir(), reason="../shared/data is absent")
pytestmark = pytest.mark.filterwarnings("error")

TICKER = "KXWTACHALLENGERMATCH-26JUN11JIMLEP-LEP"


def recorded(name: str) -> bytes:
    return (DEMO / f"{name}.json").read_bytes()


def sent(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEMO / f"{name}.meta.json").read_bytes())
    return found


def unzipped(path: Path) -> Any:
    return json.loads(gzip.decompress(path.read_bytes()))


def dumped(value: object) -> bytes:
    return json.dumps(value).encode()


# ── recorded on the demo venue ──────────────────────────────────────────────────────────────────


@needs_recordings
@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("orders__create_v2_maker", OutcomeKind.ACCEPTED, ""),
        ("orders__create_v2_taker_ioc", OutcomeKind.ACCEPTED, ""),
        ("orders__stp_setup", OutcomeKind.ACCEPTED, ""),
        ("orders__duplicate_client_order_id", OutcomeKind.UNKNOWN, "order_already_exists"),
        ("orders__insufficient_balance", OutcomeKind.REFUSED, "insufficient_balance"),
        ("orders__invalid_price_structure", OutcomeKind.REFUSED, "invalid_price"),
        ("orders__numeric_field_types", OutcomeKind.REFUSED, "bad_request"),
        ("orders__post_only_cross", OutcomeKind.REFUSED, "invalid_order"),
    ],
)
def test_recorded_creates(name: str, kind: OutcomeKind, code: str) -> None:
    meta = sent(name)
    status = meta["status"]
    client_order_id = meta["request_body"].get("client_order_id", "")
    place = Place(client_order_id, TICKER, Side.BID, 100, 100, 0, 0)
    outcome = outcomes.created(place, status, recorded(name))
    assert (outcome.kind, outcome.code) == (kind, code)


@needs_recordings
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("orders__cancel_v2", OutcomeKind.ACCEPTED),
        ("cleanup__stp_resting", OutcomeKind.ACCEPTED),
        ("orders__cancel_already_canceled", OutcomeKind.UNKNOWN),
        ("orders__cancel_unknown_id", OutcomeKind.UNKNOWN),
        ("cleanup__leftover_0", OutcomeKind.UNKNOWN),
    ],
)
def test_recorded_cancels(name: str, kind: OutcomeKind) -> None:
    meta = sent(name)
    order_id = meta["path"].partition("?")[0].rsplit("/", 1)[1]
    outcome = outcomes.cancelled(Cancel("", order_id, TICKER, 0), meta["status"], recorded(name))
    assert outcome.kind is kind


@needs_recordings
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("auth__bad_signature", "authentication_error"),
        ("auth__missing_signature_header", "signature_is_missing_from_headers"),
        ("auth__skew_minus5min", "header_timestamp_expired"),
        ("auth__unknown_key_id", "authentication_error"),
        ("markets__limit_over_max", "invalid_parameters"),
        ("orders__cancel_unknown_id", "not_found"),
    ],
)
def test_recorded_error_bodies(name: str, code: str) -> None:
    assert outcomes.problem(sent(name)["status"], recorded(name)).code == code


@needs_recordings
def test_recorded_orders() -> None:
    order = replies.order(recorded("orders__get_after_create"))
    assert (order.order_id[:8], order.client_order_id[:8], order.ticker) == ("2597b999", "4a75a66e", TICKER)
    assert (order.side, order.price_e4, order.remaining_e2, order.filled_e2) == (Side.BID, 100, 100, 0)
    assert (order.status, order.created_ms) == ("resting", 1_781_159_360_866)
    listed, cursor = replies.orders(recorded("portfolio__orders_list"))
    assert len(listed) == len(json.loads(recorded("portfolio__orders_list"))["orders"])
    assert {o.status for o in listed} <= {"resting", "canceled", "executed"}
    assert isinstance(cursor, str)


@needs_recordings
def test_recorded_account() -> None:
    balance = replies.balance(recorded("auth__balance_ok"))
    assert (balance.total_e6, balance.by_shard_e6) == (98_018_600, ((0, 98_018_600),))
    fills, cursor = replies.fills(recorded("fills__after_taker"))
    assert (len(fills), cursor) == (3, "")
    assert [f.fee_e6 for f in fills] == [17_500, 700, 700]
    assert (fills[0].price_e4, fills[0].count_e2, fills[0].side) == (5_200, 100, Side.BID)
    assert (fills[0].time_ms, fills[0].is_taker, fills[0].source) == (1_781_159_370_164, True, "rest")
    ((position,), _) = replies.positions(recorded("portfolio__positions"))
    assert (position.ticker, position.net_e2, position.fees_e6) == (TICKER, 300, 18_900)
    assert replies.settlements(recorded("settlements__end_of_session")) == ([], "")
    limits = listings.account_limits(recorded("account__limits"), recorded("account__endpoint_costs"))
    assert limits == AccountLimits("basic", BucketLimit(200, 200), BucketLimit(100, 100), 10, 2)


@needs_recordings
def test_recorded_book_turns_no_bids_into_asks() -> None:
    raw = json.loads(recorded("orderbook__base"))["orderbook_fp"]
    book = replies.order_book(TICKER, recorded("orderbook__base"))
    assert {level.price_e4 for level in book.bids} == {
        round(float(p) * 10_000) for p, _ in raw["yes_dollars"]
    }
    assert {level.price_e4 for level in book.asks} == {
        10_000 - round(float(p) * 10_000) for p, _ in raw["no_dollars"]
    }


@needs_recordings
def test_recorded_exchange() -> None:
    assert listings.exchange_status(recorded("exchange__status")) == ExchangeStatus(active=True, trading=True)
    assert listings.series_fee_changes(recorded("series__fee_changes")) == []
    traded, _ = markets.trades(recorded("trades__public_recorded"))
    assert len(traded) > 5
    assert all(trade.count_e2 > 0 and 0 < trade.price_e4 < 10_000 for _, trade in traded)


# ── recorded in production ──────────────────────────────────────────────────────────────────────


def recorded_markets() -> Iterator[dict[str, Any]]:
    for path in sorted(DEMO.glob("markets__*.json")):
        if not path.name.endswith(".meta.json"):
            yield from json.loads(path.read_bytes()).get("markets", [])
    for path in sorted(RAW.glob("*.raw.json.gz")):
        yield from markets_in(unzipped(path))
    for name in (
        "events_sports_nested",
        "events_mlb_props_nested",
        "markets_settled",
        "combo_priced_markets",
    ):
        yield from markets_in(unzipped(PROD / f"{name}.json.gz"))


def markets_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every object that is a whole market, wherever it stands."""
    if isinstance(value, dict):
        if "price_ranges" in value and "ticker" in value and "event_ticker" in value:
            yield value
        for inner in value.values():
            yield from markets_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from markets_in(inner)


@needs_recordings
def test_every_recorded_market_is_read() -> None:
    event = markets.EventShape("E", "S", mutually_exclusive=True)
    series = markets.series(b'{"series":{"ticker":"S","fee_type":"quadratic","fee_multiplier":1}}')
    found = 0
    for raw in recorded_markets():
        shapes, _ = markets.markets(dumped({"markets": [raw]}))
        market = markets.market(shapes[0], event, series)
        assert market.ticker == raw["ticker"]
        assert market.status is not MarketStatus.UNKNOWN
        assert market.grid.prices
        assert market.close_ms > market.open_ms > 1_500_000_000_000
        found += 1
    assert found > 500


@needs_recordings
def test_every_recorded_production_fill_and_settlement_is_read() -> None:
    payload = unzipped(PROD / "portfolio_fills_redacted.json.gz")["payload"]
    fills, _ = replies.fills(dumped(payload))
    assert len(fills) == len(payload["fills"]) == 33
    assert sum(f.fee_e6 for f in fills) == sum(
        round(float(f["fee_cost"]) * 1_000_000) for f in payload["fills"]
    )
    payload = unzipped(PROD / "portfolio_settlements_redacted.json.gz")["payload"]
    settled, _ = replies.settlements(dumped(payload))
    assert len(settled) == len(payload["settlements"])
    assert all(s.value_e4 in (0, 10_000) for s in settled)
    # Their fee_cost is what their trades had cost, and was charged with the fills.
    assert [s.fee_e6 for s in settled] == [0] * len(settled)


@needs_recordings
def test_recorded_series_carry_fee_terms() -> None:
    for name, payload in unzipped(PROD / "series_fee_fields.json.gz")["payloads"].items():
        series = markets.series(dumped(payload))
        assert series.ticker == name
        assert series.fee_type.startswith("quadratic")


# ── rules ───────────────────────────────────────────────────────────────────────────────────────

MARKET = {
    "ticker": "KXT-A",
    "event_ticker": "KXT",
    "status": "active",
    "open_time": "2026-06-11T05:39:29Z",
    "close_time": "2026-06-25T16:00:00.5Z",
    "price_ranges": [
        {"start": "0.0000", "end": "0.1000", "step": "0.0010"},
        {"start": "0.1000", "end": "1.0000", "step": "0.0100"},
    ],
    "exchange_index": 3,
    "last_price_dollars": "0.9900",
    "volume_fp": "7.77",
    "result": "",
}
EVENT: dict[str, Any] = {"event_ticker": "KXT", "series_ticker": "KXS", "collateral_return_type": "MECNET"}
SERIES = {"ticker": "KXS", "fee_type": "quadratic_with_maker_fees", "fee_multiplier": 0.5}


def read_market(market: dict[str, Any] | None = None, event: dict[str, Any] | None = None) -> Market:
    return read_whole_market(MARKET | (market or {}), EVENT | (event or {}))


def read_whole_market(market: dict[str, Any], event: dict[str, Any] = EVENT) -> Market:
    shapes, _ = markets.markets(dumped({"markets": [market], "cursor": None}))
    told = markets.event(dumped({"event": event}))
    return markets.market(shapes[0], told, markets.series(dumped({"series": SERIES})))


def test_a_market_is_completed_by_its_event_and_series() -> None:
    market = read_market()
    assert (market.series_ticker, market.exclusive_event, market.exchange_index) == ("KXS", True, 3)
    assert market.fees == FeeTerms("quadratic_with_maker_fees", 500_000)
    assert (market.open_ms, market.close_ms) == (1_781_156_369_000, 1_782_403_200_500)
    assert (market.last_price_e4, market.volume_e2) == (9_900, 777)
    assert market.grid.contains(55) is False
    assert market.grid.contains(50)
    assert market.grid.contains(1_100)
    assert not market.grid.contains(1_110)


def test_an_events_override_beats_the_series_and_null_means_none() -> None:
    over = read_market(event={"fee_type_override": "quadratic", "fee_multiplier_override": 0})
    assert over.fees == FeeTerms("quadratic", 0)
    none = read_market(event={"fee_type_override": None, "fee_multiplier_override": None})
    assert none.fees == FeeTerms("quadratic_with_maker_fees", 500_000)


def test_values_of_tomorrow_are_kept_apart_and_do_not_crash() -> None:
    assert read_market({"status": "hibernating", "new_field": {"a": [1]}}).status is MarketStatus.UNKNOWN
    assert read_market({"exchange_index": None}, {"exchange_index": 2}).exchange_index == 2


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"price_ranges": ...}, "markets[].price_ranges missing"),
        ({"ticker": ...}, "markets[].ticker missing"),
        ({"status": 5}, "markets[].status"),
        ({"ticker": "a b"}, "markets[].ticker"),
        ({"ticker": "x" * 200}, "markets[].ticker"),
        ({"price_ranges": []}, "markets[].price_ranges"),
        ({"price_ranges": [{"start": "0", "end": "1"}]}, "markets[].price_ranges[].step missing"),
        ({"price_ranges": [{"start": "0", "end": "1", "step": "0"}]}, "price_ranges[].step"),
        ({"price_ranges": [{"start": "0", "end": "1", "step": "-0.01"}]}, "price_ranges[].step"),
        ({"price_ranges": [{"start": "0", "end": "9", "step": "1"}]}, "price_ranges[].end"),
        ({"price_ranges": [{"start": "0", "end": "0", "step": "0.01"}]}, "price_ranges"),
        ({"close_time": "tomorrow"}, "markets[].close_time"),
        ({"volume_fp": "NaN"}, "markets[].volume_fp"),
        ({"volume_fp": "-1.00"}, "markets[].volume_fp"),
        ({"last_price_dollars": "1e309"}, "markets[].last_price_dollars"),
        ({"last_price_dollars": 0.5}, "markets[].last_price_dollars"),
    ],
)
def test_a_damaged_market_names_its_field(change: dict[str, Any], named: str) -> None:
    raw = {name: value for name, value in (MARKET | change).items() if value is not ...}
    with pytest.raises(WireError) as caught:
        read_whole_market(raw)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("ladders", "bids", "asks"),
    [
        ({}, (), ()),
        ({"yes_dollars": None, "no_dollars": []}, (), ()),
        (
            {"yes_dollars": [["0.46", "1"], ["0.4700", "3.00"]], "no_dollars": [["0.4800", "3.25"]]},
            (Level(4_600, 100), Level(4_700, 300)),
            (Level(5_200, 325),),
        ),
        ({"yes_dollars": [["0.46", "0.00"]]}, (), ()),
    ],
)
def test_order_books(ladders: object, bids: tuple[Level, ...], asks: tuple[Level, ...]) -> None:
    assert replies.order_book("T", dumped({"orderbook_fp": ladders})) == BookSnapshot("T", bids, asks)
    many = dumped({"orderbooks": [{"ticker": "T", "orderbook_fp": ladders}]})
    assert replies.order_books(many) == [BookSnapshot("T", bids, asks)]


@pytest.mark.parametrize(
    "ladders",
    [
        {"yes_dollars": [["0.46", "1"], ["0.4600", "2"]]},
        {"yes_dollars": [["0.0000", "1"]]},
        {"yes_dollars": [["1.0000", "1"]]},
        {"yes_dollars": [["0.46", "-1"]]},
        {"yes_dollars": [["0.46", 1]]},
        {"yes_dollars": [["0.46"]]},
        {"no_dollars": [[f"0.{n:04d}", "1"] for n in range(1, 10_000)] + [["0.1", "1"], ["0.2", "1"]]},
    ],
)
def test_a_damaged_book_is_refused(ladders: object) -> None:
    with pytest.raises(WireError):
        replies.order_book("T", dumped({"orderbook_fp": ladders}))


def test_a_settlement_pays_what_the_result_says() -> None:
    base: dict[str, Any] = {
        "ticker": "KXT-A",
        "settled_time": "2026-08-17T14:00:00Z",
        "fee_cost": "0.026900",
        "value": None,
        "revenue": 250,
        "yes_count_fp": "2.50",
        "no_count_fp": "0.00",
    }
    rows = [
        base | {"market_result": r, "value": v, "revenue": paid}
        for r, v, paid in [("yes", None, 250), ("no", 0, 0), ("scalar", 37, 92)]
    ]
    paid, _ = replies.settlements(dumped({"settlements": rows, "cursor": ""}))
    yes = Settlement("KXT-A", 10_000, 1_786_975_200_000)
    assert paid == [yes, replace(yes, value_e4=0), replace(yes, value_e4=3_700, fee_e6=5_000)]
    short = base | {"market_result": "no", "yes_count_fp": "0.00", "no_count_fp": "10.00", "revenue": 1_000}
    assert replies.settlements(dumped({"settlements": [short]}))[0] == [replace(yes, value_e4=0)]
    for damaged in ({"market_result": "scalar"}, {"market_result": "scalar", "value": 101}):
        with pytest.raises(WireError, match="value"):
            replies.settlements(dumped({"settlements": [base | damaged]}))


def test_the_side_comes_from_book_side_or_outcome_side_never_from_the_legacy_pair() -> None:
    base = {
        "order_id": "o",
        "trade_id": "t",
        "ticker": "KXT-A",
        "count_fp": "1.00",
        "yes_price_dollars": "0.5200",
        "fee_cost": "0",
        "is_taker": False,
        "created_time": "2026-06-11T06:29:30.164956Z",
        "side": "yes",
        "action": "buy",
    }
    for told, side in (
        ({"book_side": "ask"}, Side.ASK),
        ({"outcome_side": "no"}, Side.ASK),
        ({"book_side": "bid", "outcome_side": "no"}, Side.BID),
    ):
        fills, _ = replies.fills(dumped({"fills": [base | told]}))
        assert fills[0].side is side
    with pytest.raises(WireError, match="book_side"):
        replies.fills(dumped({"fills": [base]}))


def test_a_status_names_the_shards_that_are_paused() -> None:
    shards = [
        {"exchange_index": 0, "exchange_active": True, "trading_active": True},
        {"exchange_index": 2, "exchange_active": True, "trading_active": False},
        {"exchange_index": 3, "exchange_active": False, "trading_active": True},
    ]
    told = {"exchange_active": True, "trading_active": True, "exchange_index_statuses": shards}
    assert listings.exchange_status(dumped(told)).paused_shards == {2, 3}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-06-11T06:29:47Z", 1_781_159_387_000),
        ("2026-06-11T06:29:47.42784Z", 1_781_159_387_427),
        ("2026-06-11T06:29:47.123456789Z", 1_781_159_387_123),
        ("2026-06-11T02:29:47-04:00", 1_781_159_387_000),
    ],
)
def test_times_have_any_number_of_digits(text: str, expected: int) -> None:
    assert listings.user_data_timestamp(dumped({"as_of_time": text})) == expected


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01T00:00:00Z", "9" * 1000])
def test_what_is_not_a_time_is_refused(text: str) -> None:
    with pytest.raises(WireError, match="as_of_time"):
        listings.user_data_timestamp(dumped({"as_of_time": text}))


def test_schedules_incentives_fee_changes_groups_and_queue_places() -> None:
    week = {"start_time": "x", "end_time": "y", "monday": [{"open_time": "08:00", "close_time": "03:00"}]}
    window = {"start_datetime": "2026-11-26T08:00:00Z", "end_datetime": "2026-11-26T10:00:00Z"}
    schedule = listings.schedule(
        dumped({"schedule": {"standard_hours": [week], "maintenance_windows": [window]}})
    )
    assert schedule.sessions == (listings.TradingSession(0, "08:00", "03:00"),)
    assert schedule.maintenance == (listings.MaintenanceWindow(1_795_680_000_000, 1_795_687_200_000),)
    programme = {
        "id": "i-1",
        "market_ticker": "KXT-A",
        "incentive_type": "liquidity",
        "start_date": "2026-11-01T00:00:00Z",
        "end_date": "2026-12-01T00:00:00Z",
        "period_reward": 5_000_000,
        "discount_factor_bps": 5_000,
        "target_size_fp": "300.00",
    }
    (incentive,), cursor = listings.incentives(
        dumped({"incentive_programs": [programme], "next_cursor": "c"})
    )
    assert (incentive.reward_e4, incentive.target_e2, cursor) == (5_000_000, 30_000, "c")
    change = {
        "event_ticker": "KXT",
        "series_ticker": "KXS",
        "fee_type_override": None,
        "fee_multiplier_override": 0.5,
        "scheduled_ts": "2026-12-01T00:00:00Z",
    }
    (told,), _ = listings.event_fee_changes(dumped({"event_fee_changes": [change]}))
    assert told == FeeChange("", "KXT", None, 500_000, 1_796_083_200_000)
    groups = {"order_groups": [{"id": "g", "contracts_limit_fp": "50.00", "exchange_index": 2}]}
    assert listings.order_groups(dumped(groups)) == [listings.OrderGroup("g", 5_000, 2)]
    places = {"queue_positions": [{"order_id": "o", "market_ticker": "T", "queue_position_fp": "12.50"}]}
    assert replies.queue_positions(dumped(places)) == {"o": 1_250}


# ── anything at all ─────────────────────────────────────────────────────────────────────────────

READERS: list[Callable[[bytes], object]] = [
    lambda body: replies.order_book("T", body),
    replies.order_books,
    replies.order,
    replies.orders,
    replies.fills,
    replies.positions,
    replies.settlements,
    replies.balance,
    replies.queue_positions,
    markets.markets,
    markets.events,
    markets.series,
    markets.trades,
    listings.exchange_status,
    listings.schedule,
    listings.user_data_timestamp,
    listings.order_groups,
    listings.incentives,
    listings.series_fee_changes,
    listings.event_fee_changes,
]
KEYS = st.sampled_from(
    [
        "orders",
        "order",
        "fills",
        "markets",
        "cursor",
        "ticker",
        "orderbook_fp",
        "yes_dollars",
        "count_fp",
        "schedule",
    ]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["0.5", "-1", "yes"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(JSON, st.integers(0, 400))
def test_no_body_does_worse_than_a_wire_error(value: object, cut: int) -> None:
    whole = dumped(value)
    for body in (whole, whole[:cut]):
        for read in READERS:
            try:
                read(body)
            except WireError as error:
                assert str(error)  # noqa: PT017  (a body may be readable or not; a reason must be given if not)
