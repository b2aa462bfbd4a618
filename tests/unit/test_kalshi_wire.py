"""Every request, byte for byte. The expected bytes are written by hand from the exchange's documents."""

import pytest

from dora_bot import kalshi_wire as wire
from dora_bot.models import (
    Amend,
    Cancel,
    Place,
    Side,
    TimeInForce,
)

BID = Place("dora-7-1", "KXT-A", Side.BID, 5_600, 1_000, 1_795_176_055_999, 0)
ASK = Place("dora-7-2", "KXT-B", Side.ASK, 715, 25, 1_795_176_055_000, 2, order_group_id="g-1")
IOC = Place(
    "dora-7-3",
    "KXT-A",
    Side.ASK,
    100,
    100,
    1_795_176_055_000,
    0,
    post_only=False,
    time_in_force=TimeInForce.IOC,
    reduce_only=True,
)
AMEND = Amend("dora-7-1", "2597b999-f887", "KXT-A", Side.BID, 5_500, 1_200, 1_795_176_060_000, 3)
CANCEL = Cancel("dora-7-1", "2597b999-f887", "KXT-A", 3)

BID_JSON = (
    b'{"ticker":"KXT-A","client_order_id":"dora-7-1","side":"bid","count":"10.00","price":"0.5600",'
    b'"time_in_force":"good_till_canceled","self_trade_prevention_type":"taker_at_cross","post_only":true,'
    b'"cancel_order_on_pause":true,"subaccount":0,"exchange_index":0,"expiration_time":1795176055}'
)
ASK_JSON = (
    b'{"ticker":"KXT-B","client_order_id":"dora-7-2","side":"ask","count":"0.25","price":"0.0715",'
    b'"time_in_force":"good_till_canceled","self_trade_prevention_type":"taker_at_cross","post_only":true,'
    b'"cancel_order_on_pause":true,"subaccount":0,"exchange_index":2,"expiration_time":1795176055,'
    b'"order_group_id":"g-1"}'
)
IOC_JSON = (
    b'{"ticker":"KXT-A","client_order_id":"dora-7-3","side":"ask","count":"1.00","price":"0.0100",'
    b'"time_in_force":"immediate_or_cancel","self_trade_prevention_type":"taker_at_cross","post_only":false,'
    b'"cancel_order_on_pause":true,"subaccount":0,"exchange_index":0,"reduce_only":true}'
)
ORDERS = "/portfolio/events/orders"

GOLDEN: list[tuple[wire.Request, str, str, bytes]] = [
    (wire.create_order(BID), "POST", ORDERS, BID_JSON),
    (wire.create_order(ASK), "POST", ORDERS, ASK_JSON),
    (wire.create_order(IOC), "POST", ORDERS, IOC_JSON),
    (
        wire.create_orders([BID, ASK]),
        "POST",
        f"{ORDERS}/batched",
        b'{"orders":[' + BID_JSON + b"," + ASK_JSON + b"]}",
    ),
    (
        wire.amend_order(AMEND),
        "POST",
        f"{ORDERS}/2597b999-f887/amend?subaccount=0",
        (
            b'{"ticker":"KXT-A","side":"bid","price":"0.5500","count":"12.00","client_order_id":"dora-7-1",'
            b'"exchange_index":3,"expiration_time":1795176060}'
        ),
    ),
    (
        wire.decrease_order(CANCEL, 250),
        "POST",
        f"{ORDERS}/2597b999-f887/decrease?subaccount=0",
        b'{"reduce_to":"2.50","market_ticker":"KXT-A","exchange_index":3}',
    ),
    (
        wire.cancel_order(CANCEL),
        "DELETE",
        f"{ORDERS}/2597b999-f887?subaccount=0&exchange_index=3&market_ticker=KXT-A",
        b"",
    ),
    (
        wire.cancel_orders([CANCEL, Cancel("c", "o-2", "KXT-B", 0)]),
        "DELETE",
        f"{ORDERS}/batched",
        (
            b'{"orders":[{"order_id":"2597b999-f887","subaccount":0,"exchange_index":3},'
            b'{"order_id":"o-2","subaccount":0,"exchange_index":0}]}'
        ),
    ),
    (wire.cancel_all_orders(), "DELETE", f"{ORDERS}?subaccount=0", b""),
    (
        wire.create_order_group(10_050, 2),
        "POST",
        "/portfolio/order_groups/create",
        b'{"contracts_limit_fp":"100.50","subaccount":0,"exchange_index":2}',
    ),
    (
        wire.limit_order_group("g-1", 5_000, 2),
        "PUT",
        "/portfolio/order_groups/g-1/limit?subaccount=0&exchange_index=2",
        b'{"contracts_limit_fp":"50.00"}',
    ),
    (
        wire.trigger_order_group("g-1", 0),
        "PUT",
        "/portfolio/order_groups/g-1/trigger?subaccount=0&exchange_index=0",
        b"{}",
    ),
    (
        wire.reset_order_group("g-1", 1),
        "PUT",
        "/portfolio/order_groups/g-1/reset?subaccount=0&exchange_index=1",
        b"{}",
    ),
    (
        wire.delete_order_group("g-1", 0),
        "DELETE",
        "/portfolio/order_groups/g-1?subaccount=0&exchange_index=0",
        b"",
    ),
    (wire.get_order_groups(), "GET", "/portfolio/order_groups?subaccount=0", b""),
    (wire.get_order_book("KXT-A"), "GET", "/markets/KXT-A/orderbook?depth=0", b""),
    (
        wire.get_order_books(["KXT-A", "KXT-B"]),
        "GET",
        "/markets/orderbooks?tickers=KXT-A&tickers=KXT-B",
        b"",
    ),
    (
        wire.get_open_orders(),
        "GET",
        "/portfolio/orders?status=resting&limit=1000&subaccount=0",
        b"",
    ),
    (wire.get_order("o-1"), "GET", "/portfolio/orders/o-1", b""),
    (
        wire.get_fills(1_795_176_055_999),
        "GET",
        "/portfolio/fills?min_ts=1795176055&limit=1000&subaccount=0",
        b"",
    ),
    (wire.get_fills(-5), "GET", "/portfolio/fills?min_ts=0&limit=1000&subaccount=0", b""),
    (
        wire.get_positions(),
        "GET",
        "/portfolio/positions?settlement_status=unsettled&limit=1000&subaccount=0",
        b"",
    ),
    (
        wire.get_settlements(1_000),
        "GET",
        "/portfolio/settlements?min_ts=1&limit=1000&subaccount=0",
        b"",
    ),
    (wire.get_balance(), "GET", "/portfolio/balance?subaccount=0", b""),
    (
        wire.get_queue_positions(["KXT-A", "KXT-B"]),
        "GET",
        "/portfolio/orders/queue_positions?market_tickers=KXT-A,KXT-B&subaccount=0",
        b"",
    ),
    (
        wire.get_markets({"series_ticker": "KXT", "status": "open", "tickers": ""}),
        "GET",
        "/markets?limit=1000&series_ticker=KXT&status=open",
        b"",
    ),
    (wire.get_events(["KXT", "KXU"]), "GET", "/events?limit=200&tickers=KXT,KXU", b""),
    (wire.get_event("KXT"), "GET", "/events/KXT?exclude_markets=true", b""),
    (wire.get_series("KXS"), "GET", "/series/KXS", b""),
    (
        wire.get_trades("KXT-A", 2_500),
        "GET",
        "/markets/trades?ticker=KXT-A&min_ts=2&limit=1000",
        b"",
    ),
    (wire.get_incentives(), "GET", "/incentive_programs?status=active&limit=10000", b""),
    (wire.EXCHANGE_STATUS, "GET", "/exchange/status", b""),
    (wire.EXCHANGE_SCHEDULE, "GET", "/exchange/schedule", b""),
    (wire.USER_DATA_TIMESTAMP, "GET", "/exchange/user_data_timestamp", b""),
    (wire.ACCOUNT_LIMITS, "GET", "/account/limits", b""),
    (wire.ENDPOINT_COSTS, "GET", "/account/endpoint_costs", b""),
    (wire.SERIES_FEE_CHANGES, "GET", "/series/fee_changes", b""),
    (wire.EVENT_FEE_CHANGES, "GET", "/events/fee_changes", b""),
]


@pytest.mark.parametrize(
    ("request_", "method", "target", "body"), GOLDEN, ids=[f"{g[1]} {g[2]}" for g in GOLDEN]
)
@pytest.mark.fault("F18")
def test_request_bytes(request_: wire.Request, method: str, target: str, body: bytes) -> None:
    assert (request_.method, request_.target, request_.body) == (method, target, body)


def test_an_amend_without_expiry_keeps_the_old_one_instead_of_clearing_it() -> None:
    endless = Amend("c", "o", "KXT-A", Side.ASK, 100, 100, 0, 0)
    assert b"expiration_time" not in wire.amend_order(endless).body


@pytest.mark.parametrize(
    ("legacy", "side", "yes_price"),
    [
        (("buy", "yes", 3_000), Side.BID, 3_000),
        (("sell", "yes", 3_000), Side.ASK, 3_000),
        (("buy", "no", 3_000), Side.ASK, 7_000),
        (("sell", "no", 3_000), Side.BID, 7_000),
    ],
)
def test_the_four_ways_to_say_an_order_are_two_on_the_yes_leg(
    legacy: tuple[str, str, int], side: Side, yes_price: int
) -> None:
    action, leg, leg_price = legacy
    yes_leg_price = leg_price if leg == "yes" else 10_000 - leg_price
    assert yes_leg_price == yes_price
    assert side.sign == (1 if (action == "buy") == (leg == "yes") else -1)
    body = wire.create_order(Place("c", "T", side, yes_price, 100, 0, 0)).body
    assert f'"side":"{side}"'.encode() in body
    assert f'"price":"0.{yes_price:04d}"'.encode() in body


def test_what_stands_in_a_path_or_query_is_escaped() -> None:
    assert wire.get_order("../é?&").target == "/portfolio/orders/..%2F%C3%A9%3F%26"
    assert wire.get_trades("A&B=C D", 0).target == "/markets/trades?ticker=A%26B%3DC%20D&min_ts=0&limit=1000"


def test_the_next_page_repeats_the_question_with_the_new_cursor_only() -> None:
    second = wire.next_page(wire.get_open_orders(), "EhIK+/=")
    assert second.target == "/portfolio/orders?status=resting&limit=1000&subaccount=0&cursor=EhIK%2B%2F%3D"
    assert (
        wire.next_page(second, "x").target
        == "/portfolio/orders?status=resting&limit=1000&subaccount=0&cursor=x"
    )
