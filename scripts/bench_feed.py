"""Feed throughput, one JSON line a figure: deltas decoded from received bytes and applied to books.

    python scripts/bench_feed.py [--seconds 5]

On recorded tape frames where ../shared is there, else on made ones of the same shape. ``feed_decode_apply`` is
the code alone, in CPU seconds of one core; ``feed_websocket`` the bot's own feed thread on a real WebSocket whose
other end is a child process, in seconds of the clock.
"""

import argparse
import base64
import gc
import gzip
import hashlib
import json
import multiprocessing
import socket
import struct
import sys
import threading
import time
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dora_bot.clock import SystemClock
from dora_bot.events import BookDelta, BookLost, BookSnapshot
from dora_bot.feed_session import BOOK, MARKET_CHANNELS, FeedSession
from dora_bot.market_feed import FeedSettings, MarketFeed
from dora_bot.models import Instant
from dora_bot.order_book import Books
from dora_bot.signing import Signer
from dora_bot.units import ONE_E4, parse_price, price_text

TAPE = Path(__file__).resolve().parents[2] / "shared/data/ws_kxbtc15m/20260513T1333.frames.jsonl.gz"
TICKER = "KXBTC15M-26MAY130945-45"
NOW = Instant(0, 0)
WS_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
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


# ── through a real WebSocket ────────────────────────────────────────────────────────────────────


def yes_priced(frames: list[bytes]) -> list[bytes]:
    """The same frames as the exchange sends them to somebody who asked for YES prices on both sides."""
    found = []
    for frame in map(json.loads, frames):
        msg = frame["msg"]
        if msg.get("side") == "no":
            msg["price_dollars"] = turned_over(msg["price_dollars"])
        if "no_dollars_fp" in msg:
            msg["no_dollars_fp"] = [[turned_over(price), size] for price, size in msg["no_dollars_fp"]]
        found.append(json.dumps(frame).encode())
    return found


def turned_over(price: str) -> str:
    return price_text(ONE_E4 - parse_price(price))


def serve(listener: socket.socket, frames: list[bytes]) -> None:
    """The child process: one upgrade, the subscriptions, then every frame as fast as the other end takes them."""
    connection, _ = listener.accept()
    stream = connection.makefile("rb")
    key = ""
    while (line := stream.readline().decode().strip()) != "":
        name, _, value = line.partition(":")
        key = value.strip() if name.lower() == "sec-websocket-key" else key
    digest = hashlib.sha1(f"{key}{WS_MAGIC}".encode(), usedforsecurity=False).digest()
    accept = base64.b64encode(digest).decode()
    upgrade = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}"
    connection.sendall(f"HTTP/1.1 101 Switching\r\n{upgrade}\r\n\r\n".encode())
    blast = b"".join(map(ws_frame, frames))
    channel, sid = "", 10
    while channel != MARKET_CHANNELS[-1]:
        size = stream.read(2)[1] & 0x7F
        size = struct.unpack("!H", stream.read(2))[0] if size == 126 else size
        mask = stream.read(4)
        payload = bytes(byte ^ mask[n % 4] for n, byte in enumerate(stream.read(size)))
        if payload.startswith(b"{"):
            command = json.loads(payload)
            (channel,), sid = command["params"]["channels"], sid + 1
            msg = {"channel": channel, "sid": 2 if channel == BOOK else sid}
            connection.sendall(
                ws_frame(json.dumps({"type": "subscribed", "id": command["id"], "msg": msg}).encode())
            )
    connection.sendall(blast)
    while stream.read(4096):
        pass


def ws_frame(payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes([0x81, size]) + payload
    return (
        struct.pack("!BBH", 0x81, 126, size) if size < 65_536 else struct.pack("!BBQ", 0x81, 127, size)
    ) + payload


class BookKeepingInbox:
    """Applies book events where the feed posts them, and counts."""

    def __init__(self, expected: int) -> None:
        self.books = Books()
        self.expected = expected
        self.applied = 0
        self.begun = 0.0
        self.finished = 0.0
        self.done = threading.Event()

    def post(self, event: object) -> None:
        if type(event) is BookDelta:
            self.begun = self.begun or time.perf_counter()
            if self.books.apply(event, NOW):
                raise AssertionError("the tape contradicted itself")
            self.applied += 1
            if self.applied == self.expected:
                self.finished = time.perf_counter()
                self.done.set()
        elif isinstance(event, BOOK_EVENTS):
            self.books.apply(event, NOW)

    def drain(self) -> list[object]:
        return []

    def wait(self, seconds: float) -> bool:
        return self.done.wait(seconds)


class NoRest:
    def watch(self, tickers: frozenset[str]) -> None:
        del tickers

    def resync(self, tickers: frozenset[str]) -> None:
        del tickers

    def poll(self, now: Instant) -> list[object]:
        del now
        return []


class TapeClock(SystemClock):
    """A tape is months old; to this clock none of its frames is late."""

    def now(self) -> Instant:
        return Instant(super().now().mono_ms, 0)


def through_websocket(ticker: str, frames: list[bytes]) -> tuple[int, float]:
    """(deltas applied, seconds from the first to the last)."""
    expected = sum(b'"orderbook_delta"' in frame[:60] for frame in frames)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child = multiprocessing.get_context("fork").Process(
            target=serve, args=(listener, frames), daemon=True
        )
        child.start()
        inbox = BookKeepingInbox(expected)
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}/trade-api/ws/v2"
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        feed = MarketFeed(
            FeedSettings(url, frozenset({"127.0.0.1"}), lambda: 0.5),
            Signer("bench", pem),
            TapeClock(),
            inbox,
            NoRest(),
        )
        feed.watch(frozenset({ticker}))
        feed.start()
        if not inbox.done.wait(120):
            raise AssertionError(f"only {inbox.applied} of {expected} deltas came: {feed.counts}")
        feed.stop()
        child.join(5)
    return inbox.applied, inbox.finished - inbox.begun


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    seconds = parser.parse_args().seconds
    ticker, frames = recorded()
    gc.freeze()
    source = TAPE.name if ticker == TICKER else "made"
    repriced = yes_priced(frames)
    rates, total, spent = [], 0, 0.0
    while spent < seconds:
        applied, took = replay(ticker, frames)
        rates.append(applied / took)
        total += applied
        spent += took
    print_figure("feed_decode_apply", total, spent, best=round(max(rates)), source=source)
    applied, took = through_websocket(ticker, repriced)
    print_figure("feed_websocket", applied, took, source=source)
    return 0


def print_figure(name: str, count: int, seconds: float, **more: object) -> None:
    line = {"name": name, "value": round(count / seconds), "unit": "deltas/s", "n": count, **more}
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
