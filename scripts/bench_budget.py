"""Benchmark of the write budget's ranking: the same seeded markets, ranked and first come first served, at Basic.

usage: python -m scripts.bench_budget [--pairs 30] [--markets 140] [--seconds 90] [--first 101] [--jobs 2]

``first_come`` serves in the order in which markets began to want a write, and what is not affordable waits.
``first_come_withdrawing`` differs from it in one thing: it too cancels an outrun quote that it cannot amend. Both keep the
safe writes first and their reserve, as the ranked budget does. A fill's loss is against the latent fair value of
its moment, which the simulated world knows. Demand is what a budget without limits spends on the same flow. The seeds begin
at 101, because the ranking was chosen on some of those below.
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from math import sqrt
from statistics import mean, stdev

from dora_bot.models import AccountLimits, Action, Instant
from dora_bot.write_budget import Wanted, WriteBudget
from scripts.budget_world import BudgetWorld
from scripts.stack import report

STUDENT_95 = 2.045
"""Of Student's distribution with 29 degrees of freedom; for more pairs a little too wide."""

Figures = dict[str, float]


class FirstComeWithdrawing(WriteBudget):
    """Those who began to want a write first get it first."""

    def __init__(self, limits: AccountLimits, now: Instant) -> None:
        super().__init__(limits, now)
        self._since: dict[tuple[str, str], int] = {}

    def ranked(self, wanted: Sequence[Wanted], now: Instant) -> list[Wanted]:
        keys = {_quote_of(item) for item in wanted}
        self._since = {key: self._since.get(key, now.mono_ms) for key in keys}
        return sorted(wanted, key=lambda item: self._since[_quote_of(item)])


class FirstCome(FirstComeWithdrawing):
    def choose(self, wanted: Sequence[Wanted], now: Instant) -> list[Action]:
        return super().choose([replace(item, outrun=False) for item in wanted], now)


class Unlimited(WriteBudget):
    """Sends whatever is wanted."""

    def choose(self, wanted: Sequence[Wanted], now: Instant) -> list[Action]:  # noqa: ARG002  (the interface)
        return [item.action for item in wanted]


ARMS: dict[str, tuple[type[WriteBudget], str]] = {
    "ranked": (WriteBudget, "basic"),
    "first_come": (FirstCome, "basic"),
    "first_come_withdrawing": (FirstComeWithdrawing, "basic"),
    "unlimited": (Unlimited, "prestige"),
}


def _quote_of(item: Wanted) -> tuple[str, str]:
    return item.action.ticker, getattr(item.action, "side", "")


def run(job: tuple[int, str, int, int]) -> Figures:
    """One seed with one budget; dollars per 1,000 tokens."""
    seed, arm, markets, seconds = job
    make, tier = ARMS[arm]
    found = BudgetWorld(seed, markets, tier, make).run(seconds)
    return {
        "loss": 1_000 * found.adverse / found.tokens,
        "stale_loss": 1_000 * found.adverse_stale / found.tokens,
        "gain": 1_000 * found.captured / found.tokens,
        "tokens_per_s": found.tokens / seconds,
        "refused_429": found.refused_429,
        "unserved_s": found.unserved_ms / 1_000,
        "quoted": found.quoted / found.sides,
        "fills": len(found.fills),
    }


def compare(name: str, ours: Sequence[Figures], theirs: Sequence[Figures], figure: str) -> None:
    """The paired difference, ours − theirs, with its 95 % interval."""
    differences = [a[figure] - b[figure] for a, b in zip(ours, theirs, strict=True)]
    half = STUDENT_95 * stdev(differences) / sqrt(len(differences))
    middle = mean(differences)
    report(
        name,
        middle,
        "$/1000 tokens",
        len(differences),
        low=round(middle - half, 3),
        high=round(middle + half, 3),
        ours=round(mean(a[figure] for a in ours), 3),
        theirs=round(mean(b[figure] for b in theirs), 3),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--markets", type=int, default=140)
    parser.add_argument("--seconds", type=int, default=90)
    parser.add_argument("--first", type=int, default=101)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    seeds = range(args.first, args.first + args.pairs)
    limited = [arm for arm in ARMS if arm != "unlimited"]
    jobs = [(seed, arm, args.markets, args.seconds) for seed in seeds for arm in limited]
    jobs += [(seed, "unlimited", args.markets, args.seconds) for seed in seeds[:3]]
    with ProcessPoolExecutor(args.jobs) as pool:
        done = dict(zip(jobs, pool.map(run, jobs), strict=True))
    arms = {arm: [found for job, found in done.items() if job[1] == arm] for arm in ARMS}
    demand = mean(f["tokens_per_s"] for f in arms["unlimited"])
    report("budget_demand", demand, "tokens/s", len(arms["unlimited"]), budget=100)
    for arm, found in arms.items():
        report(f"budget_{arm}_429", sum(f["refused_429"] for f in found), "calls", len(found))
        report(f"budget_{arm}_unserved", max(f["unserved_s"] for f in found), "s", len(found))
        means = {figure: round(mean(f[figure] for f in found), 3) for figure in found[0]}
        report(f"budget_{arm}", means["tokens_per_s"], "tokens/s", len(found), **means)
    for other in ("first_come", "first_come_withdrawing"):
        for figure in ("loss", "stale_loss", "gain"):
            compare(f"budget_{figure}_ranked_less_{other}", arms["ranked"], arms[other], figure)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
