"""Let the bot trade for a long while and look at what it holds: memory, threads, descriptors, log (FAULTS B18).

usage: python -m scripts.soak [--minutes 30] [--markets 48] [--seed 1]

48 synthetic markets make 8 times the events of the 6 of the demo. The bot is watched from outside, in /proc, every
5 s (each minute shown on stderr); after a third of the time (at most 10 minutes) its memory may grow by 20 MB more, and
threads and descriptors by 2. Then it is stopped. Prints one JSON object; exit 1 if a limit was passed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dora_bot.paper.launch import LaunchOptions
from scripts.stack import Stack, resting

EVERY_S = 5.0
WARM_UP_S = 600.0
GROWTH_MB, SPREAD = 20.0, 2
LOG_MB_A_DAY = 200.0
START_S = 60.0
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process holds: resident memory in MB, threads, open descriptors."""

    rss_mb: float
    threads: int
    descriptors: int


def sample(pid: int) -> Sample:
    """Raises `OSError` if there is no such process."""
    root = Path(f"/proc/{pid}")
    told = (root / "status").read_text(encoding="ascii")
    rss_kb = int(told.split("VmRSS:")[1].split()[0])
    return Sample(
        round(rss_kb / 1024, 1), len(list((root / "task").iterdir())), len(list((root / "fd").iterdir()))
    )


def breaches(samples: Sequence[Sample], log_mb_a_day: float) -> list[str]:
    """Which limits the samples after the warm-up pass; the first one is what the others are held against."""
    found = []
    growth = max(s.rss_mb for s in samples) - samples[0].rss_mb
    if growth > GROWTH_MB:
        found.append(f"memory grew by {growth:.1f} MB")
    for name in ("threads", "descriptors"):
        counts = [int(getattr(s, name)) for s in samples]
        if max(counts) - counts[0] > SPREAD:
            found.append(f"{name} grew from {counts[0]} to {max(counts)}")
    if log_mb_a_day > LOG_MB_A_DAY:
        found.append(f"the log takes {log_mb_a_day:.0f} MB a day")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--markets", type=int, default=48)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    seconds = options.minutes * 60
    launch = LaunchOptions(markets=options.markets, seed=options.seed, tier="premier")
    with Stack(launch) as stack:
        stack.start_bot()
        stack.wait_until(lambda v: len(resting(v)) >= options.markets // 2, START_S)
        warm_up_s = min(seconds / 3, WARM_UP_S)
        stack.clock.sleep(warm_up_s)
        samples = watch(stack, seconds - warm_up_s)
        status, events = stack.status(), stack.server.run(lambda v: v.journal.last)
        log_mb_a_day = stack.bot.err.stat().st_size / 1e6 / seconds * DAY_S
        code = stack.bot.end(60.0)
        left = stack.server.run(lambda v: len(resting(v)))
    broken = breaches(samples, log_mb_a_day)
    if code or left:
        broken.append(f"exit {code}, {left} orders left")
    told = {
        "minutes": options.minutes,
        "markets": options.markets,
        "seed": options.seed,
        "warm_up_minutes": round(warm_up_s / 60, 1),
        "after_warm_up": asdict(samples[0]),
        "worst": asdict(Sample(*(max(getattr(s, n) for s in samples) for n in Sample.__slots__))),
        "last": asdict(samples[-1]),
        "log_mb_a_day": round(log_mb_a_day, 1),
        "exchange_events_per_s": round(events / seconds, 1),
        "counts": status["counts"],
        "tick_ms": status["tick_ms"],
        "halts": status["halts"],
        "broken": broken,
    }
    print(json.dumps(told))
    return 1 if broken else 0


def watch(stack: Stack, seconds: float) -> list[Sample]:
    """A sample every few seconds. Raises `RuntimeError` if the bot ends meanwhile."""
    ends = stack.clock.now().mono_ms + seconds * 1_000
    samples: list[Sample] = []
    while stack.clock.now().mono_ms < ends or not samples:
        if not stack.bot.running:
            raise RuntimeError(f"the bot ended: {stack.bot.last_words()}")
        samples.append(sample(stack.bot.process.pid))
        if len(samples) % round(60 / EVERY_S) == 1:
            print(json.dumps(asdict(samples[-1])), file=sys.stderr, flush=True)
        stack.clock.sleep(EVERY_S)
    return samples


if __name__ == "__main__":
    sys.exit(main())
