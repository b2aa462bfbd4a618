"""Three foreign Kalshi clients trade on the paper exchange unchanged, and understand what it says.

Each runs as a program of its own (`clients/`) under the interpreter that `make conformance` prepares. What it
understood is compared with the exchange's own truth: books are read right way up, a sale of what is not held
is a short position, and cash moves by price, count and fee to the last digit.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
DORA = Path(sys.executable).with_name("dora")
SNAPSHOTS = {"orderbook_snapshot", "OrderbookSnapshotMessage"}

Json = dict[str, Any]


@contextmanager
def paper_exchange(*options: str) -> Iterator[Json]:
    """A fresh exchange, fast so that only its behaviour is tested; yields its first line."""
    command = [
        str(DORA),
        "paper-exchange",
        "--compat",
        "--profile",
        "fast",
        "--tier",
        "premier",
        "--seed",
        "1",
        *options,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def get(url: str, token: str = "") -> Json:
    reply = requests.get(url, headers={"Authorization": f"Bearer {token}"} if token else {}, timeout=10)
    reply.raise_for_status()
    body: Json = reply.json()
    return body


def tradable(where: Json, shard: Callable[[int], bool]) -> str:
    """An open market with both sides in its book, on a shard as wanted."""
    for market in get(f"{where['rest_url']}/markets?status=open")["markets"]:
        book = get(f"{where['rest_url']}/markets/{market['ticker']}/orderbook")["orderbook_fp"]
        if shard(int(market["exchange_index"])) and book["yes_dollars"] and book["no_dollars"]:
            return str(market["ticker"])
    raise AssertionError("the demo world has no such market")


def run_client(name: str, where: Json, ticker: str) -> Json:
    """What the client's session reports. Its own traceback is the failure's message."""
    argument = {key: where[key] for key in ("rest_url", "ws_url", "key_id", "private_key_path")} | {
        "ticker": ticker
    }
    run = subprocess.run(
        [os.environ["CONFORMANCE_PYTHON"], "-m", f"tests.conformance.clients.{name}", json.dumps(argument)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    report: Json = json.loads(run.stdout.splitlines()[-1])
    return report


def expected_cash_change(fills: list[Json]) -> Decimal:
    """Bought one, sold two: YES costs its price, the second sale is a NO at one minus it, a pair returns a dollar."""
    change, held = Decimal(0), Decimal(0)
    for fill in sorted(fills, key=lambda fill: str(fill["time"])):
        price, count = Decimal(fill["price"]), Decimal(fill["count"])
        if fill["side"] == "bid":
            change -= price * count
            held += count
        else:
            paired = min(count, max(held, Decimal(0)))
            change += price * paired - (1 - price) * (count - paired)
            held -= count
        change -= Decimal(fill["fee"])
    return change


@pytest.mark.parametrize(
    ("name", "shard", "digit"),
    [
        ("official", lambda shard: shard == 0, "0.0001"),
        ("official", lambda shard: shard > 0, "0.0001"),
        ("independent", lambda shard: shard == 0, "0.0001"),
        ("threaded", lambda shard: shard == 0, "0.01"),
    ],
    ids=["official", "official-other-shard", "independent", "threaded"],
)
def test_a_foreign_client_trades_unchanged(name: str, shard: Callable[[int], bool], digit: str) -> None:
    """``digit`` is the last digit of the balance that the client shows; the exchange cuts the rest off."""
    with paper_exchange() as where:
        ticker = tradable(where, shard)
        report = run_client(name, where, ticker)
        truth = get(f"{where['admin_url']}/admin/v1/truth", where["admin_token"])

    assert set(report["tickers"]) <= set(where["tickers"])
    assert ticker in report["tickers"]
    assert 0 < Decimal(report["best_yes_bid"]) < 1 - Decimal(report["best_no_bid"]) < 1

    assert Decimal(report["created_remaining"]) == 1
    assert Decimal(report["amended_remaining"]) == 2
    assert len(report["resting"]) == 1
    assert report["duplicate_status"] == 409
    assert "order_already_exists" in report["duplicate_code"]
    assert Decimal(report["cancelled_by"]) == 2
    assert report["gone_status"] == 404
    assert truth["open_orders"] == []

    as_understood = {
        fill["trade_id"]: (Decimal(fill["count"]), Decimal(fill["price"]), Decimal(fill["fee"]))
        for fill in report["fills"]
    }
    as_it_was = {
        fill["trade_id"]: (Decimal(fill["count"]), Decimal(fill["price"]), Decimal(fill["fee"]))
        for fill in truth["fills"]
    }
    assert as_understood == as_it_was
    assert sum(count for count, _, _ in as_it_was.values()) == 3
    assert Decimal(report["positions"][ticker]) == Decimal(truth["positions"][ticker]) == -1
    cash = Decimal(truth["cash"])
    assert cash - Decimal(report["cash_before"]) == expected_cash_change(truth["fills"])
    assert Decimal(report["cash_after"]) == cash.quantize(Decimal(digit), ROUND_DOWN)
    if report["frames"]:
        assert report["frames"][0] in SNAPSHOTS
        assert not SNAPSHOTS & set(report["frames"][1:])
