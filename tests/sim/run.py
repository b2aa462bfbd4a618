"""Run the simulation: ``python -m tests.sim.run --ticks 100000 --seed 1 [--rate 0.05]`` (``make sim``).

Without a rate the ticks are spread over the sweep of rates and over seeds that follow the given one. A violation is
shrunk to the fewest fault keys that still show it and printed with what led to it; so is a run that saw too little.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.sim.world import Result, World

RATES = (0.0, 0.001, 0.01, 0.05, 0.2)
RUN_TICKS = 2_400
"""One history: longer ones only repeat themselves, and a shrunk one should be short."""

FLOORS = {
    "fills": 200_000,
    "outcome unknown": 3_000,
    "outcome refused": 300,
    "outcome denied_locally": 50,
    "killed": 200,
    "restarts": 500,
    "halts": 50,
    "resumes": 50,
    "calm spells": 200,
    "ledgers compared": 200,
    "books compared": 100_000,
}
"""At least so many per 1e6 ticks of the whole sweep: an empty or frozen run proves nothing."""

FAULT_FLOORS = {
    **dict.fromkeys(
        (
            f"orderbook_delta/{kind}"
            for kind in (
                "drop", "gap", "dup", "reorder", "delay", "ok", "error", "terminal", "overflow", "lie",
                "bad_json", "unknown_type", "missing_side", "negative_size",
            )
        ),
        100,
    ),
    **{f"span/{kind}": 15 for kind in ("half_open", "silence", "mute", "slow", "mirror")},
    **{f"upgrade/{kind}": 30 for kind in ("refuse", "denied", "flap")},
    "omit/hidden": 600,
}  # fmt: skip
"""At least so many of these per 1e6 ticks of the whole sweep."""

PAIRS = 30
"""Different (order state × event) pairs that any sweep must have met."""


def simulate(seed: int, rate: float, ticks: int, replay: frozenset[str] | None = None) -> Result:
    """One history from its beginning. The same arguments give the same digest."""
    with tempfile.TemporaryDirectory(prefix="dora-sim-") as folder:
        return World(seed, rate, Path(folder), replay).run(ticks)


def sweep(seed: int, ticks: int, rates: Sequence[float] = RATES) -> list[Result]:
    """Histories of at most `RUN_TICKS`, every rate in turn; it ends at the first violation."""
    results: list[Result] = []
    left = ticks
    while left > 0:
        number = len(results)
        result = simulate(seed + number, rates[number % len(rates)], min(RUN_TICKS, max(left, 1_000)))
        results.append(result)
        left -= result.ticks
        if result.violations:
            break
    return results


def shrink(result: Result, tries: int = 150) -> tuple[str, ...]:
    """The fewest fault keys found that still break the same invariant (ddmin): a part that is not needed goes."""
    wanted = result.violations[0].invariant

    def fails(keys: Sequence[str]) -> bool:
        again = simulate(result.seed, result.rate, result.ticks + 50, frozenset(keys))
        return any(v.invariant == wanted for v in again.violations)

    keys, parts = list(result.keys), 2
    while len(keys) > 1 and tries > 0:
        size = -(-len(keys) // parts)
        for at in range(0, len(keys), size):
            tries -= 1
            rest = keys[:at] + keys[at + size :]
            if fails(rest):
                keys, parts = rest, max(parts - 1, 2)
                break
            if tries <= 0:
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(keys))
    return tuple(keys)


def total(results: Iterable[Result]) -> tuple[Counter[str], Counter[str], set[tuple[str, str]]]:
    """Counts, faults that struck, and (order state × event) pairs of all runs together."""
    counts: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    pairs: set[tuple[str, str]] = set()
    for result in results:
        counts.update(result.counts)
        faults.update(result.faults)
        pairs |= result.pairs.keys()
    return counts, faults, pairs


def shortfalls(results: Sequence[Result]) -> list[str]:
    """What a sweep saw too little of, by the committed floors."""
    ticks = sum(result.ticks for result in results)
    counts, faults, pairs = total(results)
    found = [
        f"{name}: {seen[name]} in {ticks} ticks, at least {floor * ticks // 1_000_000} wanted"
        for seen, floors in ((counts, FLOORS), (faults, FAULT_FLOORS))
        for name, floor in floors.items()
        if seen[name] < floor * ticks // 1_000_000
    ]
    if len(pairs) < PAIRS:
        found.append(f"{len(pairs)} pairs of order state and event, at least {PAIRS} wanted")
    return found


def describe(result: Result, tries: int = 150) -> str:
    """A failure as it is reported: seed, rate, tick, invariant, shrunk fault keys, the last records."""
    first = result.violations[0]
    keys = shrink(result, tries)
    head = (
        f"seed {result.seed}, rate {result.rate:g}, tick {result.ticks}, {first.at_ms} ms: "
        f"{first.invariant}: {first.text}"
    )
    found = [
        head,
        f"{len(keys)} of {len(result.keys)} fault keys:",
        *keys,
        "the last records:",
        *result.records,
    ]
    return "\n  ".join(found)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make sim", description=__doc__)
    parser.add_argument("--ticks", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, help="one fault rate instead of the sweep")
    options = parser.parse_args(arguments)
    rates = RATES if options.rate is None else (options.rate,)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    begun = time.process_time()
    results = sweep(options.seed, options.ticks, rates)
    took = time.process_time() - begun
    counts, faults, pairs = total(results)
    ticks = sum(result.ticks for result in results)
    report = {
        "commit": commit.stdout.strip(),
        "seed": options.seed,
        "rates": rates,
        "ticks": ticks,
        "virtual_h": round(sum(result.virtual_s for result in results) / 3_600, 1),
        "ticks_per_cpu_s": round(ticks / took),
        **dict(sorted(counts.items())),
        "pairs": len(pairs),
        "faults": dict(sorted(faults.items())),
    }
    sys.stdout.write(json.dumps(report) + "\n")
    broken = [result for result in results if result.violations]
    problems = [describe(result) for result in broken]
    if not broken and options.rate is None:
        problems = shortfalls(results)
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
