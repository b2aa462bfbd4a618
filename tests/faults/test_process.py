"""F59, F60, F61: the process is told to stop, is killed, stands still."""

import signal
import time
from collections.abc import Iterator

import pytest

from dora_bot.models import Side
from dora_bot.paper.testing import StaticMarket
from dora_bot.paper.venue import Venue
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import Rig, resting, until
from tests.faults.case import Case

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]

TICKERS = [f"KXPROC-26NOV20-{name}" for name in "ABCDE"]
A = TICKERS[0]
ORDERS = 10
LIFE_S = 55.0


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> Rig:
    rig = make_rig([StaticMarket(t, exchange_index=n % 2) for n, t in enumerate(TICKERS)])
    rig.configure()
    return rig


@pytest.fixture(autouse=True)
def quoted(rig: Rig, case: Case) -> Iterator[None]:
    """Each test has a bot of its own with 10 resting orders."""
    rig.start()
    rig.quoting(seconds=60.0)
    case.held("10 orders rest", len(rig.run(resting)) == ORDERS)
    yield
    rig.end_bots()
    for halt in rig.status().get("halts", []):
        rig.resume(str(halt["halt_id"]))


def ids(venue: Venue) -> set[str]:
    return {order.client_order_id for order in resting(venue)}


def told_ids(rig: Rig) -> set[str]:
    return {str(order["client_order_id"]) for order in rig.status()["open_orders"]}


def zero_for(rig: Rig, seconds: float) -> None:
    """Nothing comes to rest for so long."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        assert not rig.run(resting)
        time.sleep(0.05)


@pytest.mark.fault("F59")
@pytest.mark.fault("F59", tier="Y")
def test_a_stop_with_a_batch_create_under_way_leaves_nothing_that_lands_later(case: Case, rig: Rig) -> None:
    """Guard: the stop deletes the bot's order groups, which refuses whatever of theirs is still under way."""
    held = case.arm("http.hold_request", {"op": "batch_create"}, {"ms": 4_000}, {"count": 1})
    for order in rig.run(resting)[:4]:
        rig.run(lambda v, order=order: v.engine.operator_cancel(order.order_id, v.now_ms()))  # type: ignore[misc]  # mypy cannot type a lambda's default
    case.until_hit(held, 10.0)
    rig.bot.process.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    code = rig.bot.process.wait(30)
    ended = rig.run(lambda v: v.journal.last)
    told = next(line for line in rig.bot.log() if line["message"] == "stopped")
    rig.withdrawn(seconds=max(10.0 - (time.monotonic() - begun), 0.5))
    case.measured("B05 faults", time.monotonic() - begun)
    zero_for(rig, 5.0)
    batch = next(r for r in case.history().requests if "http.hold_request" in r.struck)
    case.held("the batch reached the engine after the process had ended", batch.applied_n > ended)
    assert code == 0, rig.bot.last_words()
    assert str(told["orders"]).startswith("0 resting, verified at ")


@pytest.mark.fault("F60")
def test_a_bot_that_was_killed_and_comes_back_takes_its_orders_over(case: Case, rig: Rig) -> None:
    """Guard: the start gate adopts by client order id; without it there would be two orders on a side."""
    rig.bot.process.kill()
    case.struck("SIGKILL")
    rig.bot.process.wait()
    rig.hit(A, Side.ASK, 2)
    time.sleep(2.0)
    rig.start()
    begun = time.monotonic()
    rig.quoting(seconds=60.0)
    rig.until_status(
        "the fill of the dead time", lambda s: s["positions"].get(A, {}).get("net") == "2.00", 30.0
    )
    case.measured("L03 restart", time.monotonic() - begun)
    rig.until_status("ten orders of its own", lambda s: len(s["open_orders"]) == ORDERS, 30.0)
    until("the exchange and the bot know the same orders", lambda: rig.run(ids) == told_ids(rig), 5.0)
    rig.bot.process.send_signal(signal.SIGTERM)
    told = time.monotonic()
    rig.withdrawn(seconds=5.0)
    case.measured("B05 clean", time.monotonic() - told)
    assert rig.bot.stop() == 0


@pytest.mark.fault("F60")
def test_the_orders_of_a_bot_that_never_comes_back_end_by_themselves(case: Case, rig: Rig) -> None:
    """Guard: `expiration_time` on every order. After a minute a new bot starts with nothing, and quotes."""
    rig.bot.process.kill()
    case.struck("SIGKILL")
    killed = time.monotonic()
    rig.withdrawn(seconds=LIFE_S + 2)
    case.measured("B06", time.monotonic() - killed)
    case.measured("B13", time.monotonic() - killed)
    time.sleep(max(60 - (time.monotonic() - killed), 0))
    rig.start()
    begun = time.monotonic()
    rig.quoting(seconds=60.0)
    case.measured("L03 restart", time.monotonic() - begun)
    assert rig.status()["halts"] == []
    assert rig.bot.stop() == 0


@pytest.mark.fault("F61")
@pytest.mark.fault("F61", tier="Y")
def test_a_process_that_stood_still_sends_nothing_that_it_decided_before(case: Case, rig: Rig) -> None:
    """Guard: proofs of books run on the monotonic clock, and late beats are skipped. Nobody is taken for hung either."""
    before = rig.until_status("ticks", lambda s: s["counts"]["ticks"], 10.0)["counts"]["ticks"]
    begun = time.monotonic()
    rig.bot.process.send_signal(signal.SIGSTOP)
    case.struck("SIGSTOP")
    for ticker in TICKERS:
        rig.move(ticker, 2_700, 3_200)
    time.sleep(20)
    mark = rig.run(lambda v: v.journal.last)
    rig.bot.process.send_signal(signal.SIGCONT)
    awake = time.monotonic()
    rig.quoting(seconds=30.0)
    case.measured("L03 feed", time.monotonic() - awake)
    after = rig.until_status("ticks", lambda s: s["counts"]["ticks"] > before + 2, 10.0)["counts"]["ticks"]
    per_second = (after - before) / (time.monotonic() - begun - 20)
    assert per_second < 8, "missed beats were caught up"
    prices = [
        (item["side"], float(item["price"]))
        for request in case.history(mark).requests
        if request.is_exposure
        for item in request.items
    ]
    assert prices
    assert all(price <= 0.32 if side == "bid" else price >= 0.27 for side, price in prices), prices
    assert rig.status()["halts"] == []
    assert rig.bot.stop() == 0
