"""Reads that lie behind, leave out, page wrongly or misstate their date, while truth goes on."""

import itertools
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.contract.paper_exchange.conftest import Admin
from tests.fakes.signed_client import SignedClient

V2 = "/portfolio/events/orders"
ONE = "KXA-1-ONE"
_numbers = itertools.count()


def place(client: SignedClient, **changes: Any) -> str:
    body = {
        "ticker": ONE,
        "client_order_id": f"read-{next(_numbers)}",
        "side": "bid",
        "count": "1",
        "price": "0.01",
        "time_in_force": "good_till_canceled",
        "self_trade_prevention_type": "taker_at_cross",
        **changes,
    }
    answer = client.post(V2, body)
    assert answer.status == 201, answer
    return str(answer.body["order_id"])


def listed(client: SignedClient, **query: object) -> list[str]:
    return [
        row["order_id"] for row in client.get("/portfolio/orders", status="resting", **query).body["orders"]
    ]


def as_of_ms(client: SignedClient) -> int:
    text = client.get("/exchange/user_data_timestamp").body["as_of_time"]
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


@pytest.fixture(autouse=True)
def clean(admin: Admin, client: SignedClient) -> Iterator[None]:
    yield
    admin.disarm()
    for order in listed(client):
        client.delete(f"{V2}/{order}")


@pytest.mark.parametrize("dated", [True, False])
def test_a_frozen_surface_shows_the_past_and_dates_it_unless_told_not_to(
    admin: Admin, client: SignedClient, *, dated: bool
) -> None:
    before = place(client)
    armed_ms = int(admin.truth()["exchange_time"])
    admin.arm("read.stale", params={"surface": "orders", "freeze": True, "dated": dated})
    after = place(client)
    assert listed(client) == [before]
    assert client.get(f"/portfolio/orders/{after}").status == 200  # another surface
    admin.act("cash", amount="0")  # time moves on
    assert admin.call("POST", "/barrier", {"condition": f"now_ms>{armed_ms + 20}"})[0] == 200
    assert (as_of_ms(client) <= armed_ms + 20) is dated
    admin.disarm()
    assert listed(client) == [after, before]


def test_a_lagging_surface_catches_up(admin: Admin, client: SignedClient) -> None:
    admin.arm("read.stale", params={"surface": "positions", "lag_ms": 1_500})
    fills = len(admin.truth()["fills"])
    place(client, price="0.99", time_in_force="immediate_or_cancel")
    assert len(admin.truth()["fills"]) == fills + 1
    assert len(client.get("/portfolio/fills").body["fills"]) == fills + 1
    held = float(admin.truth()["positions"][ONE])

    def shown() -> float:
        rows = client.get("/portfolio/positions").body["market_positions"]
        return sum(float(row["position_fp"]) for row in rows if row["ticker"] == ONE)

    assert shown() == held - 1
    due = int(admin.truth()["exchange_time"]) + 1_600
    admin.call("POST", "/barrier", {"condition": f"now_ms>{due}"})
    assert shown() == held


def test_an_old_book(admin: Admin, client: SignedClient) -> None:
    path = f"/markets/{ONE}/orderbook"
    before = client.get(path).body
    admin.arm("read.stale", params={"surface": "book", "freeze": True}, match={"ticker": ONE})
    place(client)
    assert client.get(path).body == before
    admin.disarm()
    assert client.get(path).body != before


def test_a_lagging_book_catches_up(admin: Admin, client: SignedClient) -> None:
    path = f"/markets/{ONE}/orderbook"
    before = client.get(path).body
    admin.arm("read.stale", params={"surface": "book", "lag_ms": 1_500})
    place(client)
    assert client.get(path).body == before
    due = int(admin.truth()["exchange_time"]) + 1_600
    admin.call("POST", "/barrier", {"condition": f"now_ms>{due}"})
    assert client.get(path).body != before


def test_rows_are_left_out(admin: Admin, client: SignedClient) -> None:
    first, second, third = (place(client) for _ in range(3))
    assert listed(client) == [third, second, first]
    for params, left in (
        ({"newest": 1}, [second, first]),
        ({"ids": [second]}, [third, first]),
        ({"all": True}, []),
    ):
        admin.arm("read.omit", params={"surface": "orders", **params})
        assert listed(client) == left
        admin.disarm()
    admin.arm("read.omit", params={"surface": "order"}, match={"order_id": second})
    assert client.get(f"/portfolio/orders/{second}").status == 404
    assert client.get(f"/portfolio/orders/{first}").status == 200


def pages(client: SignedClient, size: int, most: int = 6) -> list[list[str]]:
    found: list[list[str]] = []
    cursor = ""
    while len(found) < most:
        query = {"limit": size, "status": "resting", **({"cursor": cursor} if cursor else {})}
        body = client.get("/portfolio/orders", **query).body
        found.append([row["order_id"] for row in body["orders"]])
        cursor = body["cursor"]
        if not cursor:
            break
    return found


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("loop", [[3, 2], [3, 2], [3, 2], [3, 2], [3, 2], [3, 2]]),
        ("garbage", [[3, 2], [3, 2], [3, 2], [3, 2], [3, 2], [3, 2]]),
        ("shift", [[3, 2], [0]]),
        ("duplicate", [[3, 3, 2], [1, 1, 0]]),
        ("cut", [[3], [2], [1], [0]]),
    ],
)
def test_paging_goes_wrong(admin: Admin, client: SignedClient, how: str, expected: list[list[int]]) -> None:
    placed = [place(client) for _ in range(4)]
    assert pages(client, 2) == [[placed[3], placed[2]], [placed[1], placed[0]]]
    admin.arm("read.page", params={"surface": "orders", "how": how})
    assert pages(client, 2) == [[placed[n] for n in page] for page in expected]


def test_the_date_of_the_data_can_lie(admin: Admin, client: SignedClient) -> None:
    admin.arm("read.as_of", params={"offset_ms": -60_000})
    assert as_of_ms(client) <= int(admin.truth()["exchange_time"]) - 60_000
