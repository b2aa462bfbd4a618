"""What the paper exchange itself can do, one JSON line a figure.

    python scripts/bench_paper.py [--seconds 5]

``paper_ws_deltas``: order book changes made by the engine and sent to one WebSocket client, the exchange in a
process of its own. ``paper_order_round_trip``: a signed create answered, profile ``fast``.
"""

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

import requests
import websocket

from dora_bot.models import Side
from dora_bot.paper.engine import Exchange
from dora_bot.paper.launch import LaunchOptions
from dora_bot.paper.testing import PaperServer, StaticMarket, StaticWorld
from dora_bot.signing import Signer

TICKER = "KXBENCH-1-ONE"
BURST = 200


class Flood(StaticWorld):
    """A still world that changes one level after the other as fast as it is asked to, once it may."""

    def __init__(self, engine: Exchange, now_ms: int, go: Event) -> None:
        super().__init__([StaticMarket(TICKER)])
        self.install(engine, now_ms)
        self._engine = engine
        self._go = go
        self._count = 0

    def next_due_ms(self) -> int:
        return 0 if self._go.is_set() else super().next_due_ms()

    def step(self, now_ms: int) -> None:
        if not self._go.is_set():
            return
        for _ in range(BURST):
            self._count += 1
            self._engine.ladder_delta(TICKER, Side.BID, 1_000 + 100 * (self._count % 30), 100, now_ms)


def serve(pipe: Connection, go: Event) -> None:
    """The exchange's process: tells its address, ends when told."""
    options = LaunchOptions(profile="fast", tier="prestige")
    with PaperServer(options, lambda engine, now_ms: Flood(engine, now_ms, go)) as server:
        here = server.here
        pipe.send((here.rest_url, here.ws_url, here.key_id, Path(here.private_key_path).read_bytes()))
        pipe.recv()


@contextmanager
def exchange() -> Iterator[tuple[str, str, Signer, Event]]:
    """(REST base, WebSocket address, signer, the event that opens the flood)."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    go = context.Event()
    process = context.Process(target=serve, args=(theirs, go), daemon=True)
    process.start()
    try:
        rest_url, ws_url, key_id, pem = ours.recv()
        yield rest_url, ws_url, Signer(key_id, pem), go
    finally:
        ours.send("stop")
        process.join(20)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def deltas(ws_url: str, signer: Signer, go: Event, seconds: float) -> tuple[int, float]:
    """(deltas received, seconds). Bytes are counted, not decoded: the client is not what is measured."""
    headers = [f"{k}: {v}" for k, v in signer.headers("GET", "/trade-api/ws/v2", now_ms()).items()]
    socket = websocket.create_connection(ws_url, timeout=10, header=headers)
    command = {"channels": ["orderbook_delta"], "market_tickers": [TICKER], "use_yes_price": True}
    socket.send(json.dumps({"id": 1, "cmd": "subscribe", "params": command}))
    socket.recv()
    socket.recv()
    raw = socket.sock
    assert raw is not None, "just connected"
    go.set()
    started, count, tail = time.perf_counter(), 0, b""
    while time.perf_counter() - started < seconds:
        chunk = tail + raw.recv(1 << 20)
        count += chunk.count(b'"delta_fp"')
        tail = chunk[-9:]
    took = time.perf_counter() - started
    go.clear()
    raw.close()
    return count, took


def round_trips(rest_url: str, signer: Signer, count: int = 500) -> list[float]:
    """Milliseconds of signed creates over one kept-alive connection, sorted."""
    path = "/trade-api/v2/portfolio/events/orders"
    took = []
    with requests.Session() as session:
        for number in range(count):
            order = {
                "ticker": TICKER,
                "client_order_id": f"bench-{number}",
                "side": "bid",
                "count": "1",
                "price": "0.01",
                "time_in_force": "good_till_canceled",
                "self_trade_prevention_type": "taker_at_cross",
                "exchange_index": 0,
            }
            started = time.perf_counter()
            reply = session.post(
                f"{rest_url}/portfolio/events/orders",
                json=order,
                headers=signer.headers("POST", path, now_ms()),
                timeout=10,
            )
            took.append((time.perf_counter() - started) * 1_000)
            reply.raise_for_status()
    return sorted(took)


def figure(name: str, value: float, unit: str, n: int, **more: float) -> None:
    sys.stdout.write(json.dumps({"name": name, "value": value, "unit": unit, "n": n, **more}) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0)
    seconds = parser.parse_args().seconds
    with exchange() as (rest_url, ws_url, signer, go):
        trips = round_trips(rest_url, signer)
        middle, late = trips[len(trips) // 2], trips[int(len(trips) * 0.99)]
        figure(
            "paper_order_round_trip",
            round(middle, 2),
            "ms",
            len(trips),
            p50=round(middle, 2),
            p99=round(late, 2),
        )
        count, took = deltas(ws_url, signer, go, seconds)
        figure("paper_ws_deltas", round(count / took), "deltas/s", count)


if __name__ == "__main__":
    main()
