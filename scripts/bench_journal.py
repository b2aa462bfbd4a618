"""What the tick pays for durability, one JSON line a figure, while another thread drains the same journal.

    python scripts/bench_journal.py [--ticks 2000]

Milliseconds a call: 4 intents before the first byte, their outcomes, then a fill, two order rows and a decision.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from dora_bot.accounting import apply_fill
from dora_bot.journal import SqliteJournal
from dora_bot.models import (
    Fill,
    Instant,
    Level,
    Outcome,
    OutcomeKind,
    Place,
    Position,
    Quote,
    Side,
)
from dora_bot.records import (
    DecisionRow,
    FillRow,
    OrderRow,
    Row,
)

TICKER = "KXBENCH-26NOV20-T1"
NOW = Instant(0, 1_795_176_000_000)


def rows_of(number: int, position: Position) -> tuple[list[Row], Position]:
    fill = Fill(f"t{number}", f"o{number}", TICKER, Side.BID, 4_700, 100, 30, False, NOW.exchange_ms + number)
    after, realised = apply_fill(position, fill)
    orders = [
        OrderRow(f"c{number}", f"o{number}", TICKER, Side.BID, 4_700, 100, status, fill.time_ms)
        for status in ("placed", "filled")
    ]
    levels = (Level(4_700, 500), Level(4_600, 500), Level(4_500, 500))
    quotes = (Quote(TICKER, Side.BID, 4_700, 500), Quote(TICKER, Side.ASK, 4_900, 500))
    decision = DecisionRow(
        TICKER, fill.time_ms, levels, levels, after.net_e2, quotes, 1, 1, "quoting both sides"
    )
    return [FillRow(fill, after, realised), *orders, decision], after


def timed(call: Callable[[], None], into: list[float]) -> None:
    began = time.perf_counter()
    call()
    into.append((time.perf_counter() - began) * 1_000)


def drain(journal: SqliteJournal, stop: threading.Event) -> None:
    """As the drain thread does: read, mark, checkpoint; without DynamoDB in between it is only busier."""
    while not stop.wait(0.05):
        for waiting in (journal.pending(100), journal.pending_decisions(2_000)):
            journal.mark_drained([queued.seq for queued in waiting])
        journal.checkpoint()


def measure(ticks: int, folder: Path) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {"intend": [], "settle": [], "record": []}
    stop, position = threading.Event(), Position(TICKER)
    with SqliteJournal(folder / "journal.sqlite") as journal:
        thread = threading.Thread(target=drain, args=(journal, stop))
        thread.start()
        for number in range(ticks):
            places = [
                Place(f"c{number}-{k}", TICKER, Side.BID, 4_700, 100, NOW.exchange_ms, 0) for k in range(4)
            ]
            outcomes = [Outcome(place, OutcomeKind.ACCEPTED, order_id="o") for place in places]
            rows, position = rows_of(number, position)
            timed(partial(journal.intend, places, NOW), took["intend"])
            timed(partial(journal.settle, outcomes, NOW), took["settle"])
            timed(partial(journal.record, rows), took["record"])
            time.sleep(0.002)
        stop.set()
        thread.join()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=2_000)
    ticks = parser.parse_args().ticks
    with tempfile.TemporaryDirectory() as folder:
        for name, values in measure(ticks, Path(folder)).items():
            values.sort()
            p50, p99 = values[len(values) // 2], values[len(values) * 99 // 100]
            figure = {
                "name": f"journal_{name}",
                "value": round(p99, 3),
                "unit": "ms",
                "n": len(values),
                "p50": round(p50, 3),
                "p99": round(p99, 3),
            }
            sys.stdout.write(json.dumps(figure) + "\n")


if __name__ == "__main__":
    main()
