"""Feed throughput, one JSON line a figure: deltas decoded from received bytes and applied to books.

    python scripts/bench_feed.py [--seconds 5]

On recorded tape frames where ../shared is there, else on made ones of the same shape. CPU seconds of one core, no socket.
"""

import argparse
import gc
import gzip
import json
import sys
import time
from pathlib import Path

import msgspec

from dora_bot.events import BookDelta, BookLost, BookSnapshot
from dora_bot.feed_session import BOOK, FeedSession
from dora_bot.models import Instant
from dora_bot.order_book import Books

TAPE = Path(__file__).resolve().parents[2] / "shared/data/ws_kxbtc15m/20260513T1333.frames.jsonl.gz"
TICKER = "KXBTC15M-26MAY130945-45"
NOW = Instant(0, 0)
BOOK_EVENTS = (BookSnapshot, BookLost)


class Line(msgspec.Struct):
    """One line of a tape; ``frame`` is kept as the bytes that came over the wire."""

    conn: int
    frame: msgspec.Raw


def recorded() -> tuple[str, list[bytes]]:
    """The first connection's book frames of one tape, or made ones."""
    if not TAPE.exists():
        return "MADE-UP", made()
    decoder = msgspec.json.Decoder(Line)
    with gzip.open(TAPE) as file:
        frames = [bytes(line.frame) for line in map(decoder.decode, file) if line.conn == 1]
    return TICKER, [frame for frame in frames if b'"orderbook_' in frame[:40]]


def made(count: int = 50_000) -> list[bytes]:
    """A snapshot and ``count`` deltas that add and take away on a hundred levels."""
    book = {"market_ticker": "MADE-UP", "yes_dollars_fp": [["0.0100", "1.00"]]}
    frames = [json.dumps({"type": "orderbook_snapshot", "sid": 2, "seq": 1, "msg": book}).encode()]
    for n in range(count):
        msg = {
            "market_ticker": "MADE-UP",
            "market_id": "00000000-0000-0000-0000-000000000000",
            "price_dollars": f"0.{n // 2 % 50:02d}10",
            "delta_fp": f"{'-' if n % 2 else ''}{n // 2 % 997 + 1}.00",
            "side": "yes",
            "ts": "2026-05-13T13:33:13.232911Z",
            "ts_ms": 1778679193232 + n,
        }
        frames.append(json.dumps({"type": "orderbook_delta", "sid": 2, "seq": n + 2, "msg": msg}).encode())
    return frames


def replay(ticker: str, frames: list[bytes]) -> tuple[int, float]:
    """One pass through a fresh session and fresh books: (deltas applied, seconds)."""
    session, books = FeedSession(yes_priced=False), Books()
    session.opened([ticker], 0)
    commands = [json.loads(command) for command in session.commands()]
    asked = next(c["id"] for c in commands if c["params"].get("channels") == [BOOK])
    session.receive(
        json.dumps({"type": "subscribed", "id": asked, "msg": {"channel": BOOK, "sid": 2}}).encode(), 0
    )
    applied = 0
    begun = time.process_time()
    for frame in frames:
        for event in session.receive(frame, 0):
            if type(event) is BookDelta:
                applied += 1
            elif not isinstance(event, BOOK_EVENTS):
                continue
            if books.apply(event, NOW):
                raise AssertionError("the tape contradicted itself")
    return applied, time.process_time() - begun


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    seconds = parser.parse_args().seconds
    ticker, frames = recorded()
    gc.freeze()
    rates, total, spent = [], 0, 0.0
    while spent < seconds:
        applied, took = replay(ticker, frames)
        rates.append(applied / took)
        total += applied
        spent += took
    figure = {
        "name": "feed_decode_apply",
        "value": round(total / spent),
        "unit": "deltas/s",
        "n": total,
        "best": round(max(rates)),
        "source": TAPE.name if ticker == TICKER else "made",
    }
    print(json.dumps(figure))
    return 0


if __name__ == "__main__":
    sys.exit(main())
