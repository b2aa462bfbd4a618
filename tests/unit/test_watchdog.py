"""The dead man's switch: whom it hits, and above all whom it does not."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from dora_bot.errors import StoreError
from dora_bot.http_transport import Call, Failure, Reply
from dora_bot.kill import Sweeper
from dora_bot.watchdog import BLIND_MS, CARRY_OUT_MS, EVERY_MS, STALE_MS, Signs, Watchdog
from tests.fakes.manual_clock import ManualClock


class Account:
    """An account behind the transport: its orders by id with the time of their last update; it obeys cancels."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.orders: dict[str, int] = {}
        self.calls: list[Call] = []
        self.down = False
        self.paused = False
        self.ahead_ms = 0

    def now_ms(self) -> int:
        """By the exchange's own clock."""
        return self.clock.now().exchange_ms + self.ahead_ms

    def renew(self) -> None:
        self.orders = dict.fromkeys(self.orders or ("o1", "o2"), self.now_ms())

    def call_all(self, calls: Sequence[Call]) -> list[Reply | Failure]:
        self.calls += calls
        return [self._answer(call) for call in calls]

    def _answer(self, call: Call) -> Reply | Failure:
        if self.down:
            return Failure(sent=True, code="timeout", detail="", took_ms=0)
        if call.method == "GET":
            return self._ok(self._told(call))
        if self.paused:
            return Reply(409, b'{"error":{"code":"exchange_is_paused"}}', 1, self.clock.now().mono_ms)
        ids = [item["order_id"] for item in json.loads(call.body or b"{}").get("orders", [])]
        for order_id in ids:
            self.orders.pop(order_id, None)
        return self._ok({"orders": [{"order_id": order_id, "error": None} for order_id in ids]})

    def _told(self, call: Call) -> object:
        if "user_data_timestamp" in call.target:
            return {"as_of_time": stamp(self.now_ms())}
        rows = [
            {
                "order_id": order_id,
                "client_order_id": f"dora-{order_id}",
                "ticker": "KX",
                "exchange_index": 0,
                "order_group_id": "g1",
                "last_update_time": stamp(updated_ms),
            }
            for order_id, updated_ms in self.orders.items()
        ]
        return {"orders": rows, "cursor": ""}

    def _ok(self, body: object) -> Reply:
        return Reply(200, json.dumps(body).encode(), 1, self.clock.now().mono_ms)

    def writes(self) -> list[str]:
        return [f"{c.method} {c.target.partition('?')[0]}" for c in self.calls if c.method != "GET"]


def stamp(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1_000, UTC).isoformat().replace("+00:00", "Z")


class Case:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.account = Account(self.clock)
        self.account.renew()
        self.signs = Signs()
        self.signs_down = False
        self.alerts: list[str] = []
        self.alerts_down = False
        sweeper = Sweeper(self.account, self.clock, "dora-")
        self.dog = Watchdog(sweeper, self.clock, self.read_signs, self.take_alert)

    def read_signs(self) -> Signs:
        if self.signs_down:
            raise StoreError("no heartbeat can be read")
        return self.signs

    def take_alert(self, text: str) -> None:
        if self.alerts_down:
            raise StoreError("the sink does not answer")
        self.alerts.append(text)

    def beat(self) -> None:
        self.signs = Signs(heartbeat_ms=self.clock.now().exchange_ms)

    def watch(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1_000)
            self.dog.step()


@pytest.fixture
def case() -> Case:
    return Case()


# ── whom it hits ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("heartbeat", [True, False])
def test_the_orders_of_a_bot_that_is_gone_are_cancelled_within_a_minute(
    case: Case, *, heartbeat: bool
) -> None:
    if heartbeat:
        case.beat()
    case.watch(STALE_MS // 1_000)
    assert (case.dog.trips, len(case.account.orders)) == (0, 2)
    case.watch(2 * EVERY_MS // 1_000 + 1)
    assert (case.dog.trips, case.account.orders) == (1, {})
    assert case.account.writes() == [
        "DELETE /portfolio/events/orders/batched",
        "PUT /portfolio/order_groups/g1/trigger",
    ]
    assert len(case.alerts) == 1
    assert "the bot is gone: no order updated for 3" in case.alerts[0]
    assert "0 orders left resting, verified" in case.alerts[0]
    case.watch(300)
    assert (case.dog.trips, len(case.alerts)) == (1, 1)


def test_a_bot_that_says_it_ended_has_ten_seconds_to_carry_it_out(case: Case) -> None:
    def watched(seconds: int) -> None:
        for _ in range(seconds):
            case.account.renew()
            case.signs = Signs(case.clock.now().exchange_ms, ended="halted: daily loss limit")
            case.watch(1)

    watched(CARRY_OUT_MS // 1_000 - 1)
    assert case.dog.trips == 0
    watched(EVERY_MS // 1_000 + 1)
    assert case.dog.trips >= 1
    assert "has ended (halted: daily loss limit)" in case.alerts[0]


def test_a_halt_that_is_asked_for_is_carried_out_at_once_and_for_as_long_as_it_is_asked_for(
    case: Case,
) -> None:
    case.beat()
    case.signs = case.signs._replace(halt="one tap by anna")
    case.watch(1)
    assert (case.dog.trips, case.account.orders) == (1, {})
    case.account.renew()
    case.watch(EVERY_MS // 1_000)
    assert case.account.orders == {}
    assert all("asked to: one tap by anna" in text for text in case.alerts)


def test_what_could_not_be_cancelled_is_tried_again_until_it_is(case: Case) -> None:
    case.account.paused = True
    case.watch(60)
    assert case.dog.trips >= 1
    assert len(case.account.orders) == 2
    assert "2 orders left resting, not verified" in case.alerts[0]
    case.account.paused = False
    case.watch(2)
    assert case.account.orders == {}
    assert "0 orders left resting, verified" in case.alerts[-1]


def test_an_alert_that_cannot_be_told_stops_nothing_and_is_told_later(case: Case) -> None:
    case.alerts_down = True
    case.watch(60)
    assert (case.account.orders, case.alerts) == ({}, [])
    case.alerts_down = False
    case.watch(1)
    assert len(case.alerts) == 1


# ── whom it does not hit ────────────────────────────────────────────────────────────────────────


def test_a_healthy_bot_is_left_alone_for_a_day_of_quiet_books(case: Case) -> None:
    """Each order is renewed now and then, nothing else happens; the heartbeat's store is down half the time."""
    for second in range(0, 86_400, 5):
        case.clock.advance(5_000)
        case.signs_down = second % 7_200 >= 3_600
        if second % 20 == 0:
            case.account.orders["o1" if second % 40 else "o2"] = case.clock.now().exchange_ms
        case.beat()
        assert case.dog.step() == ""
    assert (case.dog.trips, case.account.writes(), case.alerts) == (0, [], [])


def test_a_fresh_heartbeat_alone_is_life(case: Case) -> None:
    """As in a pause of the exchange, in which orders cannot be amended."""
    for _ in range(600):
        case.beat()
        case.watch(1)
    assert (case.dog.trips, case.alerts) == (0, [])


def test_without_orders_there_is_nothing_to_do_whoever_is_gone(case: Case) -> None:
    case.account.orders.clear()
    case.watch(3_600)
    assert (case.dog.trips, case.account.writes(), case.alerts) == (0, [], [])


def test_reads_that_fail_decide_nothing_and_are_told_after_a_minute(case: Case) -> None:
    case.account.down = True
    case.watch(BLIND_MS // 1_000 - 1)
    case.account.down = False
    case.account.renew()
    case.watch(EVERY_MS // 1_000)
    assert (case.dog.trips, case.alerts) == (0, [])
    case.account.down = True
    case.watch(3 * BLIND_MS // 1_000)
    assert case.dog.trips == 0
    assert len(case.alerts) == 1
    assert "could not be read" in case.alerts[0]


def test_one_look_decides_nothing(case: Case) -> None:
    case.clock.advance(STALE_MS + 1)
    assert case.dog.step() == ""
    case.account.renew()
    case.watch(EVERY_MS // 1_000)
    assert case.dog.trips == 0


def test_the_clock_of_its_own_machine_makes_nobody_old(case: Case) -> None:
    """FAULTS F65: only the exchange's own times are compared."""
    case.account.ahead_ms = -3_600_000
    for _ in range(10):
        case.account.renew()
        case.watch(15)
    assert case.dog.trips == 0
