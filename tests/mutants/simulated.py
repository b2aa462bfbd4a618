"""The simulation as a judge of mutants: exit 1 if it breaks an invariant or sees too little. ``python -m`` this."""

import sys

from tests.sim.run import plan, shortfalls, sweep

TICKS = 12_000
SEED = 3


def main() -> int:
    results = [one.result for one in sweep(plan(SEED, TICKS))]
    broken = [violation for result in results for violation in result.violations]
    for violation in broken:
        sys.stdout.write(f"{violation}\n")
    return 1 if broken or shortfalls(results) else 0


if __name__ == "__main__":
    sys.exit(main())
