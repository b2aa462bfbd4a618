"""Every way a write can be answered, and which of the four outcomes it is (FAULTS section 1)."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from dora_bot import kalshi_outcomes as outcomes
from dora_bot.models import (
    Amend,
    Cancel,
    Outcome,
    OutcomeKind,
    Place,
    Side,
)

PLACE = Place("dora-1", "KXT-A", Side.BID, 5_600, 1_000, 0, 0)
AMEND = Amend("dora-1", "order-1", "KXT-A", Side.BID, 5_500, 1_200, 0, 0)
CANCEL = Cancel("dora-1", "order-1", "KXT-A", 0)

ACCEPTED, REFUSED, UNKNOWN = OutcomeKind.ACCEPTED, OutcomeKind.REFUSED, OutcomeKind.UNKNOWN

CREATED = {
    "order_id": "order-9",
    "client_order_id": "dora-1",
    "fill_count": "1.00",
    "remaining_count": "9.00",
    "average_fill_price": "0.5200",
    "average_fee_paid": "0.0175",
    "ts_ms": 1_781_159_370_164,
}
AMENDED = {
    "order_id": "order-1",
    "client_order_id": "dora-1",
    "remaining_count": None,
    "fill_count": None,
    "ts_ms": 5,
}
CANCELLED = {"order_id": "order-1", "reduced_by": "1.00", "ts_ms": 1_781_159_364_112}


def error(code: str, message: str = "message", details: str | None = None) -> bytes:
    inner = {"code": code, "message": message} | ({"details": details} if details else {})
    return json.dumps({"error": inner}).encode()


Write = tuple[Any, Callable[[Any, int, bytes], Outcome]]
CREATE_WRITE: Write = (PLACE, outcomes.created)
AMEND_WRITE: Write = (AMEND, outcomes.amended)
CANCEL_WRITE: Write = (CANCEL, outcomes.cancelled)
DECREASE_WRITE: Write = (CANCEL, outcomes.decreased)
ALL_WRITES = [CREATE_WRITE, AMEND_WRITE, CANCEL_WRITE, DECREASE_WRITE]


@pytest.mark.parametrize("write", ALL_WRITES)
@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, error("invalid_order", "invalid order", "post only cross"), REFUSED, "invalid_order"),
        (400, b'{"code":"bad_request","message":"bad request","details":"json: x"}', REFUSED, "bad_request"),
        (400, b'{"msg":"Parameter validation failed for X"}', REFUSED, "invalid_parameters"),
        (400, b"<html>", REFUSED, "http_400"),
        (401, error("authentication_error"), REFUSED, "authentication_error"),
        (403, error("forbidden"), REFUSED, "forbidden"),
        (409, error("trading_is_paused"), REFUSED, "trading_is_paused"),
        (409, error("exchange_is_paused"), REFUSED, "exchange_is_paused"),
        (409, error("something_new"), UNKNOWN, "something_new"),
        (409, b"", UNKNOWN, "http_409"),
        (410, error("deprecated_v1_order_endpoint"), REFUSED, "deprecated_v1_order_endpoint"),
        (429, b'{"error":"too many requests"}', REFUSED, "too_many_requests"),
        (302, b"", UNKNOWN, "http_302"),
        (418, b"{}", UNKNOWN, "http_418"),
        (500, error("internal_error"), UNKNOWN, "internal_error"),
        (503, error("service_unavailable"), UNKNOWN, "service_unavailable"),
        (504, b"<html>gateway timeout</html>", UNKNOWN, "http_504"),
        (200, b"", UNKNOWN, "unreadable_reply"),
        (201, b"{}", UNKNOWN, "unreadable_reply"),
        (200, b"[" * 100_000, UNKNOWN, "unreadable_reply"),
        (200, b'{"order_id":', UNKNOWN, "unreadable_reply"),
        (200, b'{"order_id":1e309}', UNKNOWN, "unreadable_reply"),
        (200, b'{"order_id":NaN}', UNKNOWN, "unreadable_reply"),
        (200, b'{"order_id":"\xff"}', UNKNOWN, "unreadable_reply"),
    ],
)
@pytest.mark.fault("F10")
def test_replies_that_mean_the_same_for_every_write(
    write: Write, status: int, body: bytes, kind: OutcomeKind, code: str
) -> None:
    action, read = write
    outcome = read(action, status, body)
    assert (outcome.action, outcome.kind, outcome.code, outcome.exists) == (action, kind, code, False)


def test_an_accepted_create_carries_the_exchanges_numbers() -> None:
    outcome = outcomes.created(PLACE, 201, json.dumps(CREATED | {"a_new_field": [1]}).encode())
    assert outcome == Outcome(
        PLACE, ACCEPTED, order_id="order-9", filled_e2=100, remaining_e2=900, time_ms=1_781_159_370_164
    )


@pytest.mark.parametrize(
    "change",
    [
        {"client_order_id": "dora-2"},
        {"client_order_id": None},
        {"order_id": None},
        {"order_id": "../../x"},
        {"fill_count": None},
        {"fill_count": 1},
        {"fill_count": "-1.00"},
        {"remaining_count": "1e3"},
        {"remaining_count": "0.001"},
        {"ts_ms": "soon"},
    ],
)
def test_a_2xx_that_is_not_about_our_order_or_not_whole_is_unknown(change: dict[str, object]) -> None:
    outcome = outcomes.created(PLACE, 201, json.dumps(CREATED | change).encode())
    assert (outcome.kind, outcome.code) == (UNKNOWN, "unreadable_reply")


@pytest.mark.parametrize(
    ("write", "kind"), [(CREATE_WRITE, REFUSED), (AMEND_WRITE, UNKNOWN), (CANCEL_WRITE, UNKNOWN)]
)
@pytest.mark.fault("F18")
def test_404_proves_something_for_a_create_only(write: Write, kind: OutcomeKind) -> None:
    action, read = write
    assert read(action, 404, error("not_found", "not found")).kind is kind


def test_a_duplicate_client_order_id_means_the_order_exists() -> None:
    outcome = outcomes.created(PLACE, 409, error("order_already_exists"))
    assert (outcome.kind, outcome.exists) == (UNKNOWN, True)


def test_an_amend_may_leave_its_numbers_out() -> None:
    outcome = outcomes.amended(AMEND, 200, json.dumps(AMENDED).encode())
    assert (outcome.kind, outcome.order_id) == (ACCEPTED, "order-1")
    assert (outcome.filled_e2, outcome.remaining_e2) == (None, None)


def test_an_amend_with_numbers() -> None:
    body = json.dumps(AMENDED | {"remaining_count": "8.00", "fill_count": "0.50"}).encode()
    outcome = outcomes.amended(AMEND, 200, body)
    assert (outcome.filled_e2, outcome.remaining_e2) == (50, 800)


@pytest.mark.parametrize(
    "change", [{"order_id": "order-2"}, {"client_order_id": "dora-2"}, {"order_id": None}]
)
@pytest.mark.parametrize(("write", "body"), [(AMEND_WRITE, AMENDED), (CANCEL_WRITE, CANCELLED)])
def test_a_reply_about_another_order_is_unknown(
    write: Write, body: dict[str, object], change: dict[str, object]
) -> None:
    action, read = write
    assert read(action, 200, json.dumps(body | change).encode()).kind is UNKNOWN


def test_a_cancel_tells_what_it_took_away_and_needs_no_client_order_id() -> None:
    outcome = outcomes.cancelled(CANCEL, 200, json.dumps(CANCELLED).encode())
    assert (outcome.kind, outcome.reduced_by_e2) == (ACCEPTED, 100)


def test_a_cancel_that_does_not_say_what_it_took_away_is_unknown() -> None:
    assert outcomes.cancelled(CANCEL, 200, b'{"order_id":"order-1","ts_ms":1}').kind is UNKNOWN


def test_a_decrease_tells_what_remains() -> None:
    outcome = outcomes.decreased(CANCEL, 200, b'{"order_id":"order-1","remaining_count":"8.00","ts_ms":1}')
    assert (outcome.kind, outcome.remaining_e2) == (ACCEPTED, 800)


# ── batches ─────────────────────────────────────────────────────────────────────────────────────

PLACES = [Place(f"dora-{n}", "KXT-A", Side.BID, 5_600, 1_000, 0, 0) for n in range(5)]
CANCELS = [Cancel(f"dora-{n}", f"order-{n}", "KXT-A", 0) for n in range(3)]


def item(number: int, **change: object) -> dict[str, object]:
    return (
        CREATED | {"order_id": f"order-{number}", "client_order_id": f"dora-{number}", "error": None} | change
    )


def failed(number: int, code: str) -> dict[str, object]:
    return {"client_order_id": f"dora-{number}", "error": {"code": code, "message": code}}


def test_batch_items_are_matched_by_client_order_id_in_any_order_and_missing_ones_are_unknown() -> None:
    items = [failed(3, "invalid_price"), item(2), item(0), item(4), item(4), item(99)]
    found = outcomes.batch_created(PLACES, 201, json.dumps({"orders": items}).encode())
    assert [o.action for o in found] == PLACES
    assert [o.kind for o in found] == [ACCEPTED, UNKNOWN, ACCEPTED, REFUSED, UNKNOWN]
    assert [o.order_id for o in found] == ["order-0", "", "order-2", "", ""]
    assert [o.code for o in found] == ["", "item_missing", "", "invalid_price", "item_missing"]


@pytest.mark.parametrize(
    ("code", "kind", "exists"),
    [
        ("insufficient_balance", REFUSED, False),
        ("invalid_order", REFUSED, False),
        ("trading_is_paused", REFUSED, False),
        ("not_found", REFUSED, False),
        ("bad_request", REFUSED, False),
        ("order_already_exists", UNKNOWN, True),
        ("service_unavailable", UNKNOWN, False),
        ("a_code_of_tomorrow", UNKNOWN, False),
        ("", UNKNOWN, False),
    ],
)
def test_the_error_of_a_batch_item(code: str, kind: OutcomeKind, exists: bool) -> None:  # noqa: FBT001  (a table row)
    body = json.dumps({"orders": [failed(0, code)]}).encode()
    (outcome,) = outcomes.batch_created(PLACES[:1], 201, body)
    assert (outcome.kind, outcome.exists) == (kind, exists)


def test_an_unreadable_item_spoils_only_itself() -> None:
    items = [item(0, fill_count="1e309"), item(1)]
    found = outcomes.batch_created(PLACES[:2], 201, json.dumps({"orders": items}).encode())
    assert [o.kind for o in found] == [UNKNOWN, ACCEPTED]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, error("invalid_parameters"), REFUSED),
        (401, error("authentication_error"), REFUSED),
        (429, b'{"error":"too many requests"}', REFUSED),
        (409, error("exchange_is_paused"), REFUSED),
        (409, error("order_already_exists"), UNKNOWN),
        (404, error("not_found"), UNKNOWN),
        (503, b"", UNKNOWN),
        (201, b"[]", UNKNOWN),
        (201, b'{"orders":null}', UNKNOWN),
    ],
)
def test_an_answer_to_the_whole_batch(status: int, body: bytes, kind: OutcomeKind) -> None:
    assert {o.kind for o in outcomes.batch_created(PLACES, status, body)} == {kind}


def test_batch_cancels_are_matched_by_order_id_and_not_found_is_unknown() -> None:
    items = [
        {"order_id": "order-2", "reduced_by": "4.00", "ts_ms": 1, "error": None},
        {"order_id": "order-0", "reduced_by": "0.00", "ts_ms": None, "error": {"code": "not_found"}},
    ]
    found = outcomes.batch_cancelled(CANCELS, 200, json.dumps({"orders": items}).encode())
    assert [o.kind for o in found] == [UNKNOWN, UNKNOWN, ACCEPTED]
    assert [o.code for o in found] == ["not_found", "item_missing", ""]
    assert found[2].reduced_by_e2 == 400
