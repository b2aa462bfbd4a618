"""Our own world on tape: what the recorder writes, the reader reads back, and playing it gives the same books."""

import json
from pathlib import Path

import pytest

from dora_bot.models import MarketStatus
from dora_bot.paper.engine import Exchange
from dora_bot.paper.recording import Change, Listed, Lost, Summary, Whole, load_recording
from dora_bot.paper.specs import BookCut
from dora_bot.paper.synthetic import SyntheticWorld
from dora_bot.paper.tape_recorder import TapeRecorder
from dora_bot.paper.tape_world import TapeWorld
from dora_bot.paper.world import SHIPPED_TAPE

START_MS = 1_767_225_600_000


def record(path: Path, *, seconds: int) -> tuple[list[BookCut], dict[str, int]]:
    """Record six synthetic markets; returns the last books and the contracts traded by market."""
    exchange = Exchange(3)
    world = SyntheticWorld(exchange, markets=6, seed=3, now_ms=START_MS)
    exchange.drain_events()
    recorder = TapeRecorder(exchange)
    lines = list(recorder.start(world.tickers, START_MS))
    while world.next_due_ms() <= START_MS + seconds * 1_000:
        now_ms = world.next_due_ms()
        world.step(now_ms)
        lines += recorder.take(exchange.drain_events(), now_ms)
    path.write_text("".join(line + "\n" for line in lines))
    books = [exchange.book(ticker) for ticker in world.tickers]
    return books, {ticker: exchange.market(ticker).volume_e2 for ticker in world.tickers}


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    return tmp_path / "own.frames.jsonl"


def test_a_played_recording_ends_with_the_books_that_were_recorded(tape: Path) -> None:
    books, _ = record(tape, seconds=90)
    exchange = Exchange(1)
    world = TapeWorld(exchange, [load_recording(tape)], start_ms=START_MS, speed=1.0)
    while world.next_due_ms() <= START_MS + 90_000:
        world.step(world.next_due_ms())
    for book in books:
        played = exchange.book(book.ticker)
        assert (played.bids, played.asks) == (book.bids, book.asks)


def test_most_of_what_traded_is_found_again_and_never_more(tape: Path) -> None:
    _, volumes = record(tape, seconds=240)
    found = dict.fromkeys(volumes, 0)
    for step in load_recording(tape).steps:
        if isinstance(step, Change):
            found[step.ticker] += step.traded_e2
    assert all(found[ticker] <= volumes[ticker] for ticker in volumes)
    assert sum(found.values()) > 0.7 * sum(volumes.values())


def test_recording_twice_gives_the_same_text(tape: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.frames.jsonl"
    record(tape, seconds=30)
    record(again, seconds=30)
    assert tape.read_text() == again.read_text()


def test_lines_have_the_keys_of_recorded_ones(tape: Path) -> None:
    record(tape, seconds=30)
    by_type = {}
    for text in tape.read_text().splitlines():
        line = json.loads(text)
        assert set(line) == {"recv_ms", "conn", "frame"}
        by_type[line["frame"]["type"]] = line["frame"]
    assert set(by_type) == {"_market", "_connected", "orderbook_snapshot", "orderbook_delta", "ticker"}
    delta = by_type["orderbook_delta"]
    assert set(delta) == {"type", "sid", "seq", "msg"}
    assert set(delta["msg"]) == {
        *("market_ticker", "market_id", "price_dollars", "delta_fp", "side", "ts", "ts_ms")
    }


def test_the_shipped_tape_is_small_sound_and_knows_its_results() -> None:
    recording = load_recording(SHIPPED_TAPE)
    listed = {step.ticker for step in recording.steps if isinstance(step, Listed)}
    assert SHIPPED_TAPE.stat().st_size < 300_000
    assert len(listed) >= 6
    assert listed == set(recording.results)
    assert set(recording.results.values()) <= {"yes", "no"}
    kinds = {type(step) for step in recording.steps}
    assert kinds == {Listed, Whole, Change, Summary}, "its own recording has no gap"
    assert Lost not in kinds


def test_the_shipped_tape_rolls_into_a_successor() -> None:
    exchange = Exchange(1)
    world = TapeWorld(exchange, [load_recording(SHIPPED_TAPE)], start_ms=START_MS, speed=4.0)
    first = world.tickers
    while world.next_due_ms() <= START_MS + 230_000:
        exchange.advance(world.next_due_ms())
        world.step(world.next_due_ms())
    assert set(world.tickers) - set(first)
    assert all(exchange.market(ticker).status is MarketStatus.ACTIVE for ticker in world.tickers)
