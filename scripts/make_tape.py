"""Make the tape that ships with the project: a quarter of an hour of our own synthetic world, as a client records it.

Deterministic: the same code and seed write the same bytes. Usage: ``scripts/make_tape.py [OUT_DIR]``.
"""

import gzip
import json
import sys
from pathlib import Path

from dora_bot.paper.engine import Exchange
from dora_bot.paper.events import EngineEvent, LifecycleEvent, LifecycleKind
from dora_bot.paper.synthetic import SyntheticWorld
from dora_bot.paper.tape_recorder import TapeRecorder

START_MS = 1_783_000_000_000
LENGTH_MS = 16 * 60_000
VERDICTS_MS = 90 * 60_000
SEED = 11
MARKETS = 6
NAME = "synthetic.frames.jsonl.gz"


def record() -> tuple[list[str], dict[str, str]]:
    """The lines of the tape and the results of its markets."""
    exchange = Exchange(SEED)
    world = SyntheticWorld(exchange, markets=MARKETS, seed=SEED, now_ms=START_MS)
    exchange.drain_events()
    recorder = TapeRecorder(exchange)
    lines = list(recorder.start(world.tickers, START_MS))
    results: dict[str, str] = {}
    followed = set(world.tickers)
    now_ms = START_MS
    while now_ms < START_MS + VERDICTS_MS:
        now_ms = world.next_due_ms()
        exchange.advance(now_ms)
        world.step(now_ms)
        events = exchange.drain_events()
        results |= _verdicts(events)
        if now_ms < START_MS + LENGTH_MS:
            lines += recorder.take(events, now_ms)
            for ticker in world.tickers:
                if ticker not in followed:
                    followed.add(ticker)
                    lines += recorder.follow(ticker, now_ms)
    return lines, {ticker: results[ticker] for ticker in sorted(followed)}


def _verdicts(events: list[EngineEvent]) -> dict[str, str]:
    return {
        event.ticker: event.detail.result
        for event in events
        if isinstance(event, LifecycleEvent)
        and event.kind is LifecycleKind.DETERMINED
        and event.detail.result is not None
    }


def main() -> None:
    out_dir = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("dora_bot/paper/tapes")
    out_dir.mkdir(parents=True, exist_ok=True)
    lines, results = record()
    text = "".join(line + "\n" for line in lines).encode()
    (out_dir / NAME).write_bytes(gzip.compress(text, 9, mtime=0))
    (out_dir / "settlements.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({"tape": str(out_dir / NAME), "frames": len(lines), "results": results}))


if __name__ == "__main__":
    main()
