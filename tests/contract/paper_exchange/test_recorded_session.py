"""The recorded demo session of June 2026, replayed request for request from an equal state.

Status, code, details, shapes and values must be the recorded ones, after the changes the venue has made
since (FACTS 1): fields added and removed, V1 writes gone, limits raised.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dora_bot.models import Level, Side, TimeInForce
from dora_bot.paper.admin_actions import OPERATOR, TRADER
from dora_bot.paper.launch import LaunchOptions
from dora_bot.paper.rate_limits import TIERS, AccountBuckets
from dora_bot.paper.specs import OrderRequest
from dora_bot.paper.testing import PaperServer, StaticMarket, StaticWorld
from dora_bot.paper.venue import Venue
from tests.fakes.signed_client import Answer, SignedClient

TICKER = "KXWTACHALLENGERMATCH-26JUN11JIMLEP-LEP"

REMOVED = {
    "service",
    "fractional_trading_enabled",
    "response_price_units",
    "liquidity_dollars",
    "resting_orders_count",
}
"""Fields the venue has taken out since June 2026."""

NOT_OURS = {
    "custom_strike",
    "floor_strike",
    "cap_strike",
    "strike_type",
    "occurrence_datetime",
    "primary_participant_key",
    "is_provisional",
    "mve_collection_ticker",
    "mve_selected_legs",
    "title",
    "settlement_value_dollars",
    "settlement_ts",
}
"""Optional metadata that depends on the market."""

ADDED = {
    "exchange_index",
    "settlement_bounds_type",
    "client_order_id",
    "intra_exchange_transfers_active",
    "exchange_index_statuses",
    "title",
    "early_close_condition",
}
"""Fields the venue has added since, or that the recorded object happened to lack."""

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
DECIMAL = re.compile(r"-?\d+\.(\d+)")


def recording(shared: Path, stage: str) -> tuple[dict[str, Any], Any]:
    folder = shared / "data" / "rest_demo_v2_2026"
    meta = json.loads((folder / f"{stage}.meta.json").read_text())
    return meta, json.loads((folder / f"{stage}.json").read_text())


def kind(value: object) -> object:
    """What a leaf is, down to the number of decimals of a numeral."""
    if not isinstance(value, str):
        return "int" if isinstance(value, int) and not isinstance(value, bool) else type(value).__name__
    if UUID.fullmatch(value):
        return "uuid"
    if TIME.fullmatch(value):
        return "time"
    numeral = DECIMAL.fullmatch(value)
    return f"decimal({len(numeral[1])})" if numeral else "text"


def shape(value: object) -> object:
    if isinstance(value, dict):
        return {name: shape(v) for name, v in value.items() if name not in REMOVED | NOT_OURS | ADDED}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return kind(value)


def names(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {name for v in value.values() for name in names(v)}
    return {name for v in value for name in names(v)} if isinstance(value, list) else set()


def prepare(venue: Venue) -> None:
    """$100, two contracts bought at 0.99, a book of 0.47 × 0.52: what the recording started from."""
    now = venue.now_ms()
    engine = venue.engine
    for purse in engine.balance(TRADER):
        keep = 100_000_000 if purse.exchange_index == 0 else 0
        engine.adjust_cash(TRADER, keep - purse.cash_e6, now, shard=purse.exchange_index)
    engine.create(OPERATOR, OrderRequest(TICKER, Side.ASK, 9_900, 200), now)
    for number in range(2):
        request = OrderRequest(
            TICKER, Side.BID, 9_900, 100, TimeInForce.IOC, client_order_id=f"earlier-{number}"
        )
        engine.create(TRADER, request, now)
    engine.create(OPERATOR, OrderRequest(TICKER, Side.ASK, 5_200, 300), now)
    venue.replica.record_money(now)


class Replay:
    """Sends recorded requests, with the ids that our exchange gave out."""

    def __init__(self, shared: Path, server: PaperServer) -> None:
        self.shared = shared
        self.server = server
        here = server.here
        self.client = SignedClient(here.rest_url, here.key_id, here.private_key_path)
        self._ids: dict[str, str] = {}

    def refill(self) -> None:
        """Full buckets: GetBalance has one of its own, without burst."""
        self.server.run(lambda venue: venue.buckets.update(trader=AccountBuckets(TIERS["prestige"])))

    def send(self, stage: str) -> tuple[Answer, int, Any]:
        """Our answer, and the recorded status and body."""
        meta, body = recording(self.shared, stage)
        path = meta["path"].removeprefix("/trade-api/v2")
        for theirs, ours in self._ids.items():
            path = path.replace(theirs, ours)
        headers: dict[str, str] | None = {} if meta["auth"] == "unauthenticated" else None
        answer = self.client.call(meta["method"], path, meta.get("request_body"), headers=headers)
        if isinstance(body, dict) and "order_id" in body and answer.status < 300:
            self._ids[body["order_id"]] = answer.body["order_id"]
        return answer, meta["status"], body


@pytest.fixture(scope="module")
def replay(shared: Path) -> Iterator[Replay]:
    world = StaticWorld([StaticMarket(TICKER, bids=(Level(4_700, 300),), asks=())])
    with PaperServer(LaunchOptions(profile="fast", tier="prestige"), world.install) as server:
        server.run(prepare)
        made = Replay(shared, server)
        yield made
        made.client.close()


VOLATILE = {
    "order_id",
    "user_id",
    "created_time",
    "last_update_time",
    "ts_ms",
    "updated_ts",
    "cursor",
    "ts",
} | {
    "trade_id",
    "fill_id",
    "last_updated_ts",
    "self_trade_prevention_type",
}


def values(value: Any) -> Any:
    """A body without ids, times and fields of another age."""
    if isinstance(value, dict):
        hidden = VOLATILE | REMOVED | ADDED - {"client_order_id"}
        return {name: values(v) for name, v in sorted(value.items()) if name not in hidden}
    return [values(v) for v in value] if isinstance(value, list) else value


def check(replay: Replay, stage: str) -> tuple[Any, Any]:
    answer, status, theirs = replay.send(stage)
    assert answer.status == status, answer.body
    assert shape(answer.body) == shape(theirs)
    assert names(answer.body) - names(theirs) <= ADDED
    return answer.body, theirs


SESSION = (
    "markets__unauth_list",
    "markets__status_open",
    "markets__garbage_cursor",
    "markets__page1",
    "markets__single_filter_lastpage",
    "markets__unauth_single",
    "markets__single",
)


@pytest.mark.parametrize("stage", SESSION)
def test_market_reads_have_the_recorded_shape(replay: Replay, stage: str) -> None:
    check(replay, stage)


PRICES = (
    "status",
    "yes_bid_dollars",
    "yes_ask_dollars",
    "no_bid_dollars",
    "no_ask_dollars",
    "yes_bid_size_fp",
    "yes_ask_size_fp",
    "last_price_dollars",
    "volume_fp",
    "open_interest_fp",
    "price_level_structure",
    "price_ranges",
    "settlement_timer_seconds",
    "notional_value_dollars",
)


def fills_and_orders_have_the_recorded_values(replay: Replay) -> None:
    ours, theirs = check(replay, "fills__after_taker")
    assert values(ours["fills"]) == values(theirs["fills"])
    answer, _, listed = replay.send("portfolio__orders_list")
    assert shape(answer.body) == shape(listed)
    by_client = {order["client_order_id"]: order for order in answer.body["orders"]}
    replayed = [order for order in listed["orders"] if order["client_order_id"] in by_client]
    assert len(replayed) == 2
    for order in replayed:
        assert values(by_client[order["client_order_id"]]) == values(order)


def the_session_ends_as_recorded(replay: Replay) -> None:
    for stage in (
        "cleanup__stp_resting",
        "orders__settlement_seed",
        "cleanup__leftover_0",
        "cleanup__leftover_2",
    ):
        check(replay, stage)
    ours, theirs = check(replay, "settlements__end_of_session")
    assert ours == theirs


def the_balance_is(replay: Replay, cents: int, dollars: str) -> None:
    _, theirs = recording(replay.shared, "auth__balance_ok")
    replay.refill()
    ours = replay.client.get("/portfolio/balance").body
    assert shape(ours) == shape(theirs)
    assert (ours["balance"], ours["balance_dollars"]) == (cents, dollars)


def test_the_whole_session_in_its_order(replay: Replay) -> None:
    the_balance_is(replay, 9_801, "98.0186")
    ours, theirs = check(replay, "markets__single")
    assert {n: ours["market"][n] for n in PRICES} == {n: theirs["market"][n] for n in PRICES}
    for stage in (
        "markets__limit_over_max",
        "orderbook__base",
        "series__fee_changes",
        "orders__create_v2_maker",
        "orders__duplicate_client_order_id",
        "orders__get_after_create",
        "orders__cancel_v2",
    ):
        ours, theirs = check(replay, stage)
        expected = values(theirs)
        if stage == "orders__cancel_v2":
            expected["client_order_id"] = "4a75a66e-ca85-4187-93cd-aac5e01ad982"  # told since June
        assert values(ours) == expected, stage
    # The recorded read after the cancel was stale (360 ms later it still said resting): only the shape holds.
    ours, _ = check(replay, "orders__get_after_cancel")
    assert (ours["order"]["status"], ours["order"]["remaining_count_fp"]) == ("canceled", "0.00")
    for stage in (
        "orders__cancel_already_canceled",
        "orders__cancel_unknown_id",
        "orders__create_v2_taker_ioc",
        "portfolio__positions",
        "orders__insufficient_balance",
        "orders__invalid_price_structure",
        "orders__numeric_field_types",
        "orders__post_only_cross",
        "orders__stp_setup",
        "orders__stp_resting_after",
    ):
        ours, theirs = check(replay, stage)
        assert values(ours) == values(theirs), stage
    fills_and_orders_have_the_recorded_values(replay)
    the_session_ends_as_recorded(replay)
    # 98.0186 less twice 0.52 + 0.0175.
    the_balance_is(replay, 9_694, "96.9436")


def test_a_self_cross_stops_the_taker_with_nothing_filled(replay: Replay) -> None:
    """Recorded in the findings only: 201, fill 0.00, remaining 0.00, the resting order untouched."""
    _, setup = recording(replay.shared, "orders__stp_setup")
    meta, _ = recording(replay.shared, "orders__stp_setup")
    resting = replay.client.post(
        "/portfolio/events/orders", {**meta["request_body"], "client_order_id": "stp-1"}
    )
    crossing = {**meta["request_body"], "client_order_id": "stp-2", "side": "ask", "post_only": False}
    answer = replay.client.post("/portfolio/events/orders", crossing)
    assert (answer.status, answer.body["fill_count"], answer.body["remaining_count"]) == (201, "0.00", "0.00")
    order = replay.client.get(f"/portfolio/orders/{resting.body['order_id']}").body["order"]
    assert (order["status"], order["remaining_count_fp"]) == ("resting", "1.00")
    assert shape(resting.body) == shape(setup)


@pytest.mark.parametrize("stage", ["orders__legacy_create", "orders__legacy_cancel"])
def test_v1_writes_are_gone_since(replay: Replay, stage: str) -> None:
    answer, status, _ = replay.send(stage)
    assert status in (200, 201)
    assert answer.status == 410
    assert answer.body["error"]["code"] == "deprecated_v1_order_endpoint"


@pytest.mark.parametrize(
    ("stage", "back_s"),
    [
        ("auth__skew_minus5s", 5),
        ("auth__skew_plus5s", -5),
        ("auth__skew_minus5min", 300),
        ("auth__skew_plus5min", -300),
        ("auth__bad_signature", 0),
        ("auth__unknown_key_id", 0),
        ("auth__missing_signature_header", 0),
    ],
)
def test_authentication_as_recorded(replay: Replay, shared: Path, stage: str, back_s: int) -> None:
    meta, theirs = recording(shared, stage)
    client = replay.client
    replay.refill()
    now_ms = replay.server.run(lambda venue: venue.now_ms())
    headers = client.auth_headers("GET", meta["path"], at_ms=now_ms - 1_000 * back_s)
    if stage == "auth__bad_signature":
        headers["KALSHI-ACCESS-SIGNATURE"] = client.sign("something else")
    if stage == "auth__unknown_key_id":
        headers["KALSHI-ACCESS-KEY"] = "00000000-0000-0000-0000-000000000000"
    if stage == "auth__missing_signature_header":
        del headers["KALSHI-ACCESS-SIGNATURE"]
    answer = client.call("GET", meta["path"].removeprefix("/trade-api/v2"), headers=headers)
    assert answer.status == meta["status"]
    assert answer.body == theirs if answer.status == 401 else shape(answer.body) == shape(theirs)
