"""`dora cancel-all --leftovers`, which the service manager runs when the bot has ended: only what was its own."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dora_bot.cli import main
from dora_bot.models import Side
from dora_bot.paper.admin_actions import TRADER
from dora_bot.paper.launch import LaunchOptions
from dora_bot.paper.specs import OrderRequest, OrderStatus
from dora_bot.paper.testing import PaperServer, StaticMarket, StaticWorld
from dora_bot.state_dir import StateDir

TICKER = "KXLEFT-26NOV20-A"
Sweep = Callable[[], tuple[dict[str, Any], str]]


@pytest.fixture
def exchange() -> Iterator[PaperServer]:
    world = StaticWorld([StaticMarket(TICKER), StaticMarket("KXLEFT-26NOV20-B", exchange_index=2)])
    with PaperServer(LaunchOptions(profile="fast"), world.install) as server:
        yield server


@pytest.fixture
def state(exchange: PaperServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The state directory of a bot; there is no AWS at all."""
    here, state = exchange.here, tmp_path / "state"
    for name, value in {
        "DORA_KALSHI_REST_URL": here.rest_url,
        "DORA_KALSHI_WS_URL": here.ws_url,
        "DORA_KALSHI_KEY_ID": here.key_id,
        "DORA_KALSHI_PRIVATE_KEY_PATH": here.private_key_path,
        "DORA_TABLE_PREFIX": "left_",
        "DORA_STATE_DIR": str(state),
    }.items():
        monkeypatch.setenv(name, value)
    return state


@pytest.fixture
def sweep(state: Path, capsys: pytest.CaptureFixture[str]) -> Sweep:
    """Run the command. Returns its line, and what it says for people."""
    assert state

    def run() -> tuple[dict[str, Any], str]:
        assert main(["cancel-all", "--leftovers"]) == 0
        said = capsys.readouterr()
        return json.loads(said.out), said.err

    return run


def rest_orders(exchange: PaperServer, *client_order_ids: str) -> None:
    for n, name in enumerate(client_order_ids):
        order = OrderRequest(TICKER, Side.BID, 1_000 + n * 100, 100, client_order_id=name)
        exchange.run(lambda v, order=order: v.engine.create(TRADER, order, v.now_ms()))  # type: ignore[misc]  # mypy cannot type a lambda's default


def left(exchange: PaperServer) -> set[str]:
    resting = exchange.run(lambda v: v.engine.orders(TRADER, status=OrderStatus.RESTING))
    return {order.client_order_id for order in resting}


def lived(state: Path, fence: int) -> None:
    with StateDir.open(state, "paper") as there:
        there.remember_life(f"left-{fence}-")


def test_a_life_that_ended_takes_its_own_and_the_adopted_orders_with_it_and_no_foreign_one(
    exchange: PaperServer, state: Path, sweep: Sweep
) -> None:
    lived(state, 7)
    rest_orders(exchange, "left-7-1", "left-3-9", "by-hand", "leftover-7-1")
    swept, said = sweep()
    assert (swept["open_orders"], swept["verified"], left(exchange)) == (0, True, {"by-hand", "leftover-7-1"})
    assert "0 resting, verified at " in said
    assert said.rstrip().endswith("after 2 reads")


def test_where_another_instance_has_taken_over_only_the_own_life_goes(
    exchange: PaperServer, state: Path, sweep: Sweep
) -> None:
    lived(state, 7)
    rest_orders(exchange, "left-7-1", "left-3-9", "left-8-1")
    assert sweep()[0]["open_orders"] == 0
    assert left(exchange) == {"left-3-9", "left-8-1"}


def test_a_bot_that_runs_looks_after_its_own_orders(exchange: PaperServer, state: Path, sweep: Sweep) -> None:
    lived(state, 7)
    rest_orders(exchange, "left-7-1")
    with StateDir.open(state, "paper"):
        assert "a bot runs there" in sweep()[0]["skipped"]
    assert left(exchange) == {"left-7-1"}
    assert sweep()[0]["open_orders"] == 0
    assert left(exchange) == set()


def test_where_no_bot_has_traded_nothing_is_cancelled(exchange: PaperServer, sweep: Sweep) -> None:
    rest_orders(exchange, "left-7-1")
    assert sweep()[0] == {"skipped": "no bot has traded there"}
    assert left(exchange) == {"left-7-1"}
