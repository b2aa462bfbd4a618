"""The exchange and its members at their worst moment: fills in between, survivors, ghosts, wrong replies."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.contract.paper_exchange.conftest import Admin
from tests.fakes.signed_client import SignedClient
from tests.fakes.ws_client import WsClient

V2 = "/portfolio/events/orders"
ONE, SHARD = "KXA-1-ONE", "KXC-1-SHARD"
_numbers = itertools.count()


def order(**changes: Any) -> dict[str, Any]:
    return {
        "ticker": ONE,
        "client_order_id": f"eng-{next(_numbers)}",
        "side": "bid",
        "count": "2",
        "price": "0.01",
        "time_in_force": "good_till_canceled",
        "self_trade_prevention_type": "taker_at_cross",
        **changes,
    }


def place(client: SignedClient, **changes: Any) -> str:
    answer = client.post(V2, order(**changes))
    assert answer.status == 201, answer
    return str(answer.body["order_id"])


def open_ids(admin: Admin) -> list[str]:
    return [row["order_id"] for row in admin.truth()["open_orders"]]


@pytest.fixture(autouse=True)
def clean(admin: Admin, client: SignedClient) -> Iterator[None]:
    yield
    admin.disarm()
    for row in admin.truth()["open_orders"]:
        admin.act("cancel_order", order_id=row["order_id"])


def test_filled_while_the_cancel_was_on_its_way(admin: Admin, client: SignedClient) -> None:
    made, fills = place(client), len(admin.truth()["fills"])
    admin.arm("eng.fill_on_cancel", params={"share": 1.0})
    assert client.delete(f"{V2}/{made}").status == 404
    assert len(admin.truth()["fills"]) == fills + 1


def test_partly_filled_while_the_cancel_was_on_its_way(admin: Admin, client: SignedClient) -> None:
    made = place(client)
    admin.arm("eng.fill_on_cancel", params={"share": 0.5})
    answer = client.delete(f"{V2}/{made}")
    assert (answer.status, answer.body["reduced_by"]) == (200, "1.00")


def test_partly_filled_while_the_amend_was_on_its_way(admin: Admin, client: SignedClient) -> None:
    made = place(client)
    admin.arm("eng.fill_on_amend", params={"share": 0.5})
    answer = client.post(f"{V2}/{made}/amend", {"ticker": ONE, "side": "bid", "price": "0.02", "count": "2"})
    assert (answer.status, answer.body["fill_count"], answer.body["remaining_count"]) == (200, "1.00", "1.00")
    assert admin.truth()["open_orders"][0]["remaining_count"] == "1.00"


def test_filled_before_the_reply(admin: Admin, client: SignedClient) -> None:
    admin.arm("eng.fill_before_reply", params={"share": 0.5}, match={"op": "create"})
    answer = client.post(V2, order())
    assert (answer.status, answer.body["remaining_count"]) == (201, "2.00")
    assert admin.truth()["open_orders"][0]["remaining_count"] == "1.00"


def test_a_cancel_all_leaves_survivors(admin: Admin, client: SignedClient) -> None:
    made = [place(client) for _ in range(3)]
    admin.arm("eng.cancel_survivor", params={"n": 1}, when={"count": 1})
    admin.arm("eng.cancel_all_tail", params={"ms": 0})
    assert client.delete(V2).status == 204
    assert open_ids(admin) == made[2:]
    assert client.delete(V2).status == 204
    assert open_ids(admin) == []


def test_a_cancel_all_reaches_some_shards_only(admin: Admin, client: SignedClient) -> None:
    here, there = place(client), place(client, ticker=SHARD)
    admin.arm("eng.cancel_all_partial", params={"shards": [0]})
    admin.arm("eng.cancel_all_tail", params={"ms": 0})
    assert client.delete(V2).status == 204
    assert open_ids(admin) == [there]
    assert here not in open_ids(admin)


def test_the_tail_of_a_cancel_all_is_as_long_as_told(admin: Admin, client: SignedClient) -> None:
    admin.arm("eng.cancel_all_tail", params={"ms": 1_000})
    client.delete(V2)
    ends = int(admin.truth()["exchange_time"]) + 1_000
    place(client)
    over = {"condition": f"open_orders==0 && now_ms>{ends}", "timeout_ms": 5_000}
    assert admin.call("POST", "/barrier", over)[0] == 200
    late = place(client)
    now = int(admin.truth()["exchange_time"])
    admin.call("POST", "/barrier", {"condition": f"now_ms>{now + 700}"})
    assert open_ids(admin) == [late]


def test_a_post_only_order_is_refused_and_told_of_later(
    admin: Admin, client: SignedClient, connect: Callable[[], WsClient]
) -> None:
    ws = connect()
    ws.subscribe("user_orders")
    admin.arm("eng.post_only_ghost", params={"ms": 1_000}, when={"count": 1})
    sent = order(post_only=True)
    answer = client.post(V2, sent)
    assert (answer.status, answer.body["error"]["details"]) == (400, "post only cross")
    after = order()
    client.post(V2, after)
    frames = ws.frames(2)
    assert [f["msg"]["client_order_id"] for f in frames] == [
        after["client_order_id"],
        sent["client_order_id"],
    ]
    assert (frames[1]["msg"]["status"], frames[1]["msg"]["last_update_reason"]) == (
        "canceled",
        "PostOnlyCrossCancel",
    )


def test_a_batch_gets_through_in_part_and_its_reply_is_lost(admin: Admin, client: SignedClient) -> None:
    items = [order(), order(), order()]
    admin.arm("eng.batch_part", params={"n": 2}, when={"count": 2})
    answer = client.post(f"{V2}/batched", {"orders": items})
    told = [row["client_order_id"] for row in answer.body["orders"]]
    truth = [row["client_order_id"] for row in admin.truth()["open_orders"]]
    assert told == truth == [item["client_order_id"] for item in items[:2]]
    admin.arm("http.drop_reply", params={"phase": "after_apply", "how": "reset"}, when={"count": 1})
    with pytest.raises(requests.ConnectionError):
        client.post(f"{V2}/batched", {"orders": [order(), order(), order()]})
    assert len(open_ids(admin)) == 4


def test_a_reply_describes_another_order(admin: Admin, client: SignedClient) -> None:
    mine, other = place(client), place(client)
    admin.arm("eng.amend_other")
    answer = client.post(f"{V2}/{mine}/amend", {"ticker": ONE, "side": "bid", "price": "0.02", "count": "2"})
    assert (answer.status, answer.body["order_id"]) == (200, other)
    assert {row["order_id"]: row["price"] for row in admin.truth()["open_orders"]} == {
        mine: "0.0200",
        other: "0.0100",
    }


def test_reduced_by_is_wrong(admin: Admin, client: SignedClient) -> None:
    made = place(client)
    admin.arm("eng.reduced_by_wrong", params={"share": 0.5})
    assert client.delete(f"{V2}/{made}").body["reduced_by"] == "1.00"
    assert open_ids(admin) == []


@pytest.mark.parametrize("params", [{"late_ms": 100_000}, {"ignore": True}])
def test_expiries_are_late_until_disarmed(admin: Admin, client: SignedClient, params: dict[str, Any]) -> None:
    expires = int(admin.truth()["exchange_time"]) // 1_000 + 2
    made = place(client, expiration_time=expires)
    admin.arm("eng.expiry", params=params)
    admin.call("POST", "/clock", {"offset_ms": 5_000})
    assert open_ids(admin) == [made]
    admin.disarm()
    if "ignore" in params:
        assert admin.call("POST", "/barrier", {"condition": "open_orders==0", "timeout_ms": 3_000})[0] == 200
    admin.call("POST", "/clock", {"offset_ms": -5_000})


def group(client: SignedClient) -> str:
    return str(client.post("/portfolio/order_groups/create", {"contracts_limit": 100}).body["order_group_id"])


def test_a_group_triggers_by_itself(admin: Admin, client: SignedClient) -> None:
    made = group(client)
    place(client, order_group_id=made)
    admin.arm("eng.group_trigger", params={"group_id": made})
    assert open_ids(admin) == []
    assert admin.truth()["groups"][made]["triggered"] is True


def test_a_group_refuses_and_its_frames_are_lost(
    admin: Admin, client: SignedClient, connect: Callable[[], WsClient]
) -> None:
    ws = connect()
    ws.subscribe("order_group_updates")
    admin.arm("eng.group_mute", when={"count": 1})
    admin.arm("eng.group_refuse", params={"code": "order_group_not_found", "status": 404})
    made = group(client)
    answer = client.post(V2, order(order_group_id=made))
    assert (answer.status, answer.body["error"]["code"]) == (404, "order_group_not_found")
    second = group(client)
    frame = ws.frame()
    assert (frame["msg"]["order_group_id"], frame["seq"]) == (second, 1)
