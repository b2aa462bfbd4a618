"""Lives that take half a minute each, because what they wait for does: lived side by side, judged one by one.

Each has an exchange, tables and a state directory of its own; what fails in one is raised by its test.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from dora_bot.items import MARKET_CONFIG
from dora_bot.models import Level, Side
from dora_bot.paper.admin_actions import OPERATOR
from dora_bot.paper.grids import GRIDS, LINEAR_CENT
from dora_bot.paper.specs import MarketSpec, OrderRequest
from dora_bot.paper.testing import StaticMarket
from dora_bot.paper.venue import Venue
from tests.e2e.conftest import MakeRig
from tests.e2e.gate import Gate, behind
from tests.e2e.rig import ITEM, Rig, arrivals, most_live_on_a_side, resting, sides, withdraw

pytestmark = pytest.mark.process

PATIENCE_S = 110.0
A, B, C = TICKERS = [f"KXLONG-26NOV20-{name}" for name in "ABC"]
CREATES = {"method": "POST", "path": "*/batched"}
RECOVERY_S = 45.0
"""A create that was never applied is given up once its signature is 30 s old, and a read proves it."""

TERM_S, OUTAGE_S, RETURN_S = 15.0, 25.0, 10.0
ROLL, BOUNDED = "KXROLL-26NOV20", "KXMANY-26NOV20"
SUCCESSOR_S = 30.0
CANCEL_S = 5.5
"""Five seconds and one tick."""

HOUR_MS = 3_600_000


# ── the database goes away for 25 s ─────────────────────────────────────────────────────────────


def without_the_database(rig: Rig) -> None:
    rig.configure()
    with Gate(int(rig.environ["AWS_ENDPOINT_URL"].rsplit(":", 1)[1])) as gate:
        rig.start(AWS_ENDPOINT_URL=f"http://127.0.0.1:{gate.port}")
        rig.quoting()
        gate.shut()
        dark = time.monotonic()
        rig.hit(A, Side.ASK, 2)
        rig.until_status("the fill booked in the dark", lambda s: s["counts"]["fills"] == 1, 5.0)
        rig.withdrawn(seconds=TERM_S)
        assert gate.refused >= 3
        status = rig.until_status("a lease run out", lambda s: s["ages"]["lease_ms"] < 2_000, 3.0)
        assert (status["posture"], status["halts"]) == ("PAUSED", [])
        while time.monotonic() < dark + OUTAGE_S:
            assert not rig.run(resting)
            assert rig.bot.alive, rig.bot.last_words()
            time.sleep(0.1)
        gate.open()
        rig.quoting(seconds=RETURN_S)
        rig.hit(B, Side.BID, 1)
        assert rig.status()["halts"] == []
        assert rig.bot.stop() == 0
    found = rig.audit()
    assert (found["fills"], found["differences"]) == (2, [])


# ── the exchange fails in every way at once ─────────────────────────────────────────────────────


def lost_replies(rig: Rig) -> None:
    """Two creates are applied and their replies never come: the orders are adopted, none is sent again."""
    mark = rig.run(lambda v: v.journal.last)
    rig.arm("http.drop_reply", CREATES, {"phase": "after_apply"}, {"count": 2})
    assert rig.run(withdraw) == 6
    rig.quoting(seconds=8.0)
    rig.until_status("unknown outcomes", lambda s: s["counts"]["unknown"] >= 1, 3.0)
    rig.disarm()
    rig.until_status("six orders known to the bot", lambda s: len(s["open_orders"]) == 6, 10.0)
    assert rig.run(lambda v: most_live_on_a_side(v, mark)) == 1


def storm(rig: Rig) -> None:
    """One create fails after it was applied, one before, one lands after the bot gave it up; then amends hang, too,
    and a third of all calls is refused, while fills go on.
    """
    rig.arm("http.status", CREATES, {"phase": "after_apply", "code": 503}, {"nth": 1})
    rig.arm("http.status", CREATES, {"phase": "before_apply", "code": 503}, {"nth": 2})
    rig.arm("http.delay", CREATES, {"phase": "before_apply", "ms": 5_000}, {"nth": 3})
    mark = rig.run(lambda v: v.journal.last)
    for number, ticker in enumerate(TICKERS, 1):
        assert rig.run(lambda v, t=ticker: withdraw(v, t)) == 2  # type: ignore[misc]  # a default binds the loop's value
        rig.until("a create", lambda v, n=number: arrivals(v, "POST", "/batched", mark) >= n, 5.0)  # type: ignore[misc]  # as above
    rig.quoting(A, seconds=5.0)
    rig.arm("http.delay", {"path": "*/amend"}, {"phase": "before_apply", "ms": 5_000}, {})
    rig.arm(
        "http.status", {}, {"phase": "before_apply", "code": 429, "error": "too_many_requests"}, {"prob": 0.3}
    )
    rig.move(A, 4_400, 4_900)
    ends = time.monotonic() + 8.0
    while time.monotonic() < ends:
        for ticker, side in rig.run(sides):
            rig.hit(ticker, Side.ASK if side is Side.BID else Side.BID, 1)
        time.sleep(0.5)
    assert min(rig.disarm()) >= 1


def with_faults(rig: Rig) -> None:
    rig.configure(max_inventory_yes=10, max_inventory_no=10)
    rig.start()
    rig.quoting()
    lost_replies(rig)
    storm(rig)
    rig.quoting(seconds=RECOVERY_S)
    assert rig.run(most_live_on_a_side) == 1
    assert rig.status()["halts"] == []
    assert rig.bot.stop() == 0
    assert not rig.run(resting)
    found = rig.audit()
    assert found["fills"] >= 5
    assert found["differences"] == []
    assert float(found["max_worst_case_over_cap"]) == 0


# ── the exchange is away when the bot is to stop ────────────────────────────────────────────────


def stopped_in_the_void(rig: Rig) -> None:
    rig.configure()
    with Gate(int(rig.server.here.rest_url.split(":")[2].split("/")[0])) as gate:
        rig.start(**behind(gate, rig.server.here))
        rig.quoting()
        gate.shut()
        assert rig.bot.stop(seconds=45.0) == 1
        assert "sweep" in {line.get("action") for line in rig.bot.log() if line["message"] == "problem"}
    assert rig.dora("cancel-all").returncode == 0
    assert not rig.run(resting)
    rig.start()
    rig.until_status("a start", lambda s: s["counts"]["ticks"] > 0, 15.0)
    assert rig.status()["halts"] == []  # being unreachable is no reason to stay halted
    assert rig.bot.stop() == 0


# ── templates ───────────────────────────────────────────────────────────────────────────────────


def list_successor(venue: Venue) -> None:
    """A market of the series opens now, and the house quotes it."""
    now_ms, grid = venue.now_ms(), GRIDS[LINEAR_CENT]
    ticker = f"{ROLL}-3"
    spec = MarketSpec(ticker, ROLL, "the next one", grid, LINEAR_CENT, now_ms, now_ms + HOUR_MS)
    venue.engine.add_market(spec, now_ms)
    for side, level in ((Side.BID, Level(4_700, 10_000)), (Side.ASK, Level(5_200, 10_000))):
        venue.engine.create(OPERATOR, OrderRequest(ticker, side, level.price_e4, level.count_e2), now_ms)


def lot_sizes(rig: Rig, ticker: str) -> set[int]:
    return {order.remaining_e2 for order in rig.run(lambda v: resting(v, ticker))}


def rolling(rig: Rig) -> None:
    template = {**ITEM, "market_id": f"series#{ROLL}S"}
    bounded = {**ITEM, "market_id": f"series#{BOUNDED}S", "max_markets": 2}
    rig.db.batch_put(MARKET_CONFIG, [template, bounded, {"market_id": f"{ROLL}-2", "quote_size": 2}])
    rig.start()
    rig.quoting(f"{ROLL}-1", f"{ROLL}-2", f"{BOUNDED}-1", f"{BOUNDED}-2")
    # An own item overrides one attribute of its template.
    assert (lot_sizes(rig, f"{ROLL}-1"), lot_sizes(rig, f"{ROLL}-2")) == ({500}, {200})
    mark = rig.run(lambda v: v.journal.last)
    rig.until("the early second look at the series", lambda v: arrivals(v, "GET", "/markets", mark), 10.0)
    # A successor is listed, and one of three markets closes where the template allows two.
    assert not rig.run(lambda v: resting(v, f"{ROLL}-3") + resting(v, f"{BOUNDED}-3"))
    rig.run(list_successor)
    rig.run(lambda v: v.engine.set_close(f"{BOUNDED}-1", v.now_ms() + 100, v.now_ms()))
    rig.withdrawn(f"{BOUNDED}-1", seconds=7.0)
    rig.quoting(f"{ROLL}-3", f"{BOUNDED}-3", seconds=SUCCESSOR_S)
    assert lot_sizes(rig, f"{ROLL}-3") == {500}
    rig.aws.delete_item(TableName=rig.db.name(MARKET_CONFIG), Key={"market_id": {"S": f"series#{ROLL}S"}})
    rig.withdrawn(f"{ROLL}-1", f"{ROLL}-3", seconds=CANCEL_S)
    assert rig.bot.stop() == 0
    assert not rig.run(resting)


# ── all at once ─────────────────────────────────────────────────────────────────────────────────

STILL = [StaticMarket(ticker) for ticker in TICKERS]
SERIES = [
    StaticMarket(f"{ROLL}-1"),
    StaticMarket(f"{ROLL}-2"),
    *(StaticMarket(f"{BOUNDED}-{n}", close_in_ms=n * HOUR_MS) for n in (3, 1, 2)),
]
LIVES: dict[str, tuple[Callable[[Rig], None], list[StaticMarket]]] = {
    "database": (without_the_database, STILL),
    "faults": (with_faults, STILL),
    "void": (stopped_in_the_void, STILL),
    "series": (rolling, SERIES),
}


@pytest.fixture(scope="module")
def lives(make_rig: MakeRig) -> Iterator[dict[str, Future[None]]]:
    rigs = {name: make_rig(markets) for name, (_, markets) in LIVES.items()}
    with ThreadPoolExecutor(len(LIVES)) as pool:
        yield {name: pool.submit(live, rigs[name]) for name, (live, _) in LIVES.items()}


def test_a_database_that_goes_away_ends_quoting_and_loses_nothing(lives: dict[str, Future[None]]) -> None:
    assert lives["database"].result(PATIENCE_S) is None


def test_an_exchange_with_faults_never_gets_two_orders_on_a_side(lives: dict[str, Future[None]]) -> None:
    assert lives["faults"].result(PATIENCE_S) is None


def test_a_stop_that_cannot_reach_the_exchange_says_so_and_ends(lives: dict[str, Future[None]]) -> None:
    assert lives["void"].result(PATIENCE_S) is None


def test_a_template_quotes_markets_that_open_later_up_to_its_bound(lives: dict[str, Future[None]]) -> None:
    assert lives["series"].result(PATIENCE_S) is None
