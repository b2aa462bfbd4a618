"""The kill path against the paper exchange, whatever part of the exchange does not work."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dora_bot.clock import SystemClock
from dora_bot.config import Settings
from dora_bot.errors import AuthRefused
from dora_bot.exchange_access import connect_transport, load_signer
from dora_bot.http_transport import HttpTransport
from dora_bot.kill import EVERYTHING, HALT, OWN_IDS, STOP, Sweeper
from dora_bot.models import Side
from dora_bot.paper.admin_actions import TRADER
from dora_bot.paper.launch import LaunchOptions
from dora_bot.paper.specs import OrderRequest, OrderStatus, OrderView, Refused
from dora_bot.paper.testing import PaperServer, StaticMarket, StaticWorld
from dora_bot.paper.venue import Venue

A, B = "KXKILL-26NOV20-A", "KXKILL-26NOV20-B"
OURS = "dora-paper-"
Arm = Callable[..., None]


@pytest.fixture
def exchange() -> Iterator[PaperServer]:
    world = StaticWorld([StaticMarket(A), StaticMarket(B, exchange_index=2)])
    with PaperServer(LaunchOptions(profile="fast"), world.install) as server:
        yield server


@pytest.fixture
def transport(exchange: PaperServer) -> Iterator[HttpTransport]:
    here = exchange.here
    settings = Settings.from_environ(
        {
            "DORA_KALSHI_REST_URL": here.rest_url,
            "DORA_KALSHI_WS_URL": here.ws_url,
            "DORA_KALSHI_KEY_ID": here.key_id,
            "DORA_KALSHI_PRIVATE_KEY_PATH": str(here.private_key_path),
        }
    )
    transport = connect_transport(settings, load_signer(settings), SystemClock())
    yield transport
    transport.close()


@pytest.fixture
def arm(exchange: PaperServer) -> Arm:
    def armed(kind: str, op: str = "", when: dict[str, Any] | None = None, **params: Any) -> None:
        request = {"kind": kind, "match": {"op": op} if op else {}, "params": params, "when": when or {}}
        exchange.run(lambda venue: venue.faults.arm(request))

    return armed


@pytest.fixture
def groups(exchange: PaperServer) -> list[str]:
    """An order group of the account on each market's shard."""

    def make(venue: Venue) -> list[str]:
        return [
            venue.engine.create_group(TRADER, 100_000, venue.now_ms(), shard=shard, subaccount=0).group_id
            for shard in (0, 2)
        ]

    return exchange.run(make)


def order(number: int, group_id: str = "", prefix: str = OURS) -> OrderRequest:
    return OrderRequest(
        (A, B)[number % 2],
        Side.BID,
        1_000 + 100 * (number % 20),
        100,
        client_order_id=f"{prefix}1-{number}",
        order_group_id=group_id,
    )


def rest_orders(exchange: PaperServer, count: int, groups: list[str], prefix: str = OURS) -> None:
    """Orders in turn on both shards, each in its shard's group."""

    def act(venue: Venue) -> None:
        for number in range(count):
            group_id = groups[number % 2] if groups else ""
            venue.engine.create(TRADER, order(number, group_id, prefix), venue.now_ms())

    exchange.run(act)


def resting(exchange: PaperServer) -> list[OrderView]:
    return exchange.run(lambda venue: venue.engine.orders(TRADER, status=OrderStatus.RESTING))


def hits(exchange: PaperServer) -> list[int]:
    return exchange.run(lambda venue: [int(fault["hits"]) for fault in venue.faults.bodies()])


def sent(exchange: PaperServer, method: str, path_end: str) -> int:
    entries = exchange.run(lambda venue: list(venue.journal.after(0, limit=100_000)))
    arrived = [e for e in entries if e["kind"] == "arrival" and e["method"] == method]
    return sum(e["path"].partition("?")[0].endswith(path_end) for e in arrived)


def test_a_clean_sweep_cancels_in_batches_and_triggers_nothing(
    exchange: PaperServer, transport: HttpTransport, groups: list[str]
) -> None:
    rest_orders(exchange, 30, groups)
    swept = Sweeper(transport, SystemClock(), OURS).sweep(10, STOP)
    assert (swept.open_orders, swept.verified, swept.account_wide) == (0, True, False)
    assert resting(exchange) == []
    assert sent(exchange, "DELETE", "/batched") == 2
    assert sent(exchange, "PUT", "/trigger") == sent(exchange, "DELETE", "/events/orders") == 0


def test_others_orders_stay_as_long_as_own_ids_do(
    exchange: PaperServer, transport: HttpTransport, groups: list[str]
) -> None:
    rest_orders(exchange, 2, groups)
    rest_orders(exchange, 2, [], prefix="by-hand-")
    swept = Sweeper(transport, SystemClock(), OURS).sweep(10, HALT)
    assert (swept.open_orders, swept.verified, swept.account_wide) == (0, True, False)
    assert {o.client_order_id for o in resting(exchange)} == {"by-hand-1-0", "by-hand-1-1"}


def test_with_no_single_or_batch_cancel_working_the_groups_do_it(
    exchange: PaperServer, transport: HttpTransport, groups: list[str], arm: Arm
) -> None:
    rest_orders(exchange, 6, groups)
    arm("http.status", "cancel", phase="before_apply", code=503)
    arm("http.status", "batch_cancel", phase="before_apply", code=500)
    swept = Sweeper(transport, SystemClock(), OURS).sweep(10, STOP)
    assert (swept.open_orders, swept.verified, swept.account_wide) == (0, True, False)
    assert swept.seconds < 3
    assert min(hits(exchange)) > 0
    assert resting(exchange) == []


def test_what_is_on_its_way_at_a_halt_cannot_come_to_rest(
    exchange: PaperServer, transport: HttpTransport, groups: list[str]
) -> None:
    rest_orders(exchange, 1, groups)
    assert Sweeper(transport, SystemClock(), OURS).sweep(10, HALT).open_orders == 0
    with pytest.raises(Refused, match="exceeded_order_group_risk_limit"):
        exchange.run(lambda v: v.engine.create(TRADER, order(90, groups[0]), v.now_ms()))


def test_with_cancels_and_triggers_failing_cancel_all_does_it_and_is_noted(
    exchange: PaperServer, transport: HttpTransport, groups: list[str], arm: Arm
) -> None:
    """FAULTS F22."""
    rest_orders(exchange, 6, groups)
    for op in ("cancel", "batch_cancel"):
        arm("http.status", op, phase="before_apply", code=503)
    exchange.run(
        lambda v: v.faults.arm(
            {
                "kind": "http.status",
                "match": {"path": "*/trigger"},
                "params": {"phase": "before_apply", "code": 503},
                "when": {},
            }
        )
    )
    noted: list[int] = []
    swept = Sweeper(transport, SystemClock(), OURS, lambda: noted.append(1)).sweep(20, HALT)
    assert (swept.open_orders, swept.verified, swept.account_wide) == (0, True, True)
    assert 3 <= swept.seconds < 8
    assert min(hits(exchange)) > 0
    assert noted == [1]


def test_own_ids_are_all_that_a_stalled_tick_loses(
    exchange: PaperServer, transport: HttpTransport, groups: list[str], arm: Arm
) -> None:
    rest_orders(exchange, 2, groups)
    for op in ("cancel", "batch_cancel"):
        arm("http.status", op, phase="before_apply", code=503)
    swept = Sweeper(transport, SystemClock(), OURS).sweep(4, OWN_IDS)
    assert (swept.open_orders, swept.verified) == (2, False)
    assert sent(exchange, "PUT", "/trigger") == sent(exchange, "DELETE", "/events/orders") == 0


def test_the_survivor_of_a_cancel_all_is_cancelled_by_itself(
    exchange: PaperServer, transport: HttpTransport, arm: Arm
) -> None:
    """FAULTS F24: the 204 is not trusted."""
    rest_orders(exchange, 5, [], prefix="any-")
    arm("eng.cancel_survivor", "cancel_all", n=2)
    arm("http.status", "batch_cancel", phase="before_apply", code=503)
    swept = Sweeper(transport, SystemClock(), "").sweep(10, EVERYTHING)
    assert (swept.open_orders, swept.verified, swept.account_wide) == (0, True, True)
    assert hits(exchange)[0] == 1
    assert resting(exchange) == []


def test_a_list_older_than_the_cancels_proves_nothing(
    exchange: PaperServer, transport: HttpTransport, groups: list[str], arm: Arm
) -> None:
    """Orders that are not listed yet must not pass for orders that are gone."""
    request = {
        "kind": "read.stale",
        "match": {},
        "params": {"surface": "orders", "lag_ms": 1_500},
        "when": {"until_ms": 5_000},
    }
    exchange.run(lambda v: v.stale.start(v.faults.arm(request)))
    rest_orders(exchange, 3, groups)
    swept = Sweeper(transport, SystemClock(), OURS).sweep(12, STOP)
    assert (swept.open_orders, swept.verified) == (0, True)
    assert swept.seconds > 1.4
    assert resting(exchange) == []


def test_with_most_calls_failing_it_ends_in_half_a_minute(
    exchange: PaperServer, transport: HttpTransport, groups: list[str], arm: Arm
) -> None:
    """FAULTS B01: 429 and 5xx on nine calls of ten."""
    rest_orders(exchange, 8, groups)
    arm("http.status", phase="before_apply", code=503, when={"prob": 0.8})
    arm("http.status", phase="before_apply", code=429, when={"prob": 0.5})
    swept = Sweeper(transport, SystemClock(), OURS).sweep(30, HALT)
    assert (swept.open_orders, swept.verified, resting(exchange)) == (0, True, [])
    assert min(hits(exchange)) > 5


def test_orders_that_cannot_be_listed_are_cancelled_all_the_same(
    exchange: PaperServer, transport: HttpTransport, groups: list[str], arm: Arm
) -> None:
    rest_orders(exchange, 3, groups)
    arm("http.status", "orders", phase="before_apply", code=503, when={"count": 20})
    swept = Sweeper(transport, SystemClock(), OURS).sweep(15, HALT)
    assert (swept.open_orders, swept.verified, swept.account_wide) == (0, True, True)
    assert resting(exchange) == []


def test_a_clock_that_is_off_is_measured_and_the_next_signature_is_right(
    exchange: PaperServer, transport: HttpTransport, groups: list[str]
) -> None:
    rest_orders(exchange, 2, groups)
    exchange.run(
        lambda v: v.faults.arm({"kind": "clock.step", "match": {}, "params": {"ms": 40_000}, "when": {}})
    )
    swept = Sweeper(transport, SystemClock(), OURS).sweep(10, HALT)
    assert (swept.open_orders, resting(exchange)) == (0, [])


def test_a_key_that_is_refused_is_said(exchange: PaperServer, transport: HttpTransport) -> None:
    exchange.run(lambda v: v.keys.revoke(exchange.here.key_id))
    with pytest.raises(AuthRefused):
        Sweeper(transport, SystemClock(), OURS).sweep(10, HALT)
