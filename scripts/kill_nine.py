"""Kill the quoting bot with SIGKILL again and again, restart it each time, and audit it against the exchange.

usage: python -m scripts.kill_nine [--times 20] [--seed 1]

Half of the kills wait for a write of the bot's that has arrived at the exchange and is not answered yet, the others
come at a random instant, start-up and drain included. In the end the bot is stopped cleanly and the independent
checker recomputes cash, fees and positions from the trade log. Prints one JSON object; exit 1 if anything differs.
"""

import argparse
import json
import random
import sys
from dataclasses import asdict, dataclass, field

from dora_bot.demo_report import report
from dora_bot.demo_setup import make_tables
from dora_bot.paper.admin_actions import TRADER
from dora_bot.paper.launch import LaunchOptions
from dora_bot.paper.venue import Venue
from scripts.stack import Stack, resting

QUOTING_S = 20.0
LONGEST_LIFE_S = 6.0


@dataclass
class Tally:
    """What the kills hit."""

    kills: int = 0
    with_write_in_flight: int = 0
    with_orders_resting: int = 0
    during_start: int = 0
    during_drain: int = 0
    orders_left: list[int] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)  # noqa: S311  (a repeatable schedule, no secret)
    tally = Tally()
    with Stack(LaunchOptions(markets=6, seed=options.seed, profile="real")) as stack:
        start_cash = stack.server.run(lambda v: str(v.engine.truth(TRADER)["cash"]))
        for number in range(options.times):
            kill_once(stack, rng, tally, number)
        stack.start_bot("--seconds", "15")
        code = stack.bot.process.wait(60)
        found = report(stack.evidence(start_cash, code), make_tables(stack.environ))
    good = found["ledger_equals_exchange"] and found["open_orders_at_end"] == 0 and code == 0
    good = good and tally.with_write_in_flight >= options.times // 2
    print(json.dumps({**asdict(tally), "exit_after": code, **found, "ok": good}))
    return 0 if good else 1


def kill_once(stack: Stack, rng: random.Random, tally: Tally, number: int) -> None:
    """Start, wait for the chosen instant, SIGKILL; note what was under way at the exchange."""
    stack.start_bot()
    kind = ("write", "write", "random", "start", "write", "drain")[number % 6]
    if kind == "start":
        stack.clock.sleep(rng.uniform(0.1, 2.0))
        tally.during_start += 1
    else:
        stack.wait_until(lambda v: bool(resting(v)), QUOTING_S)
        stack.clock.sleep(rng.uniform(0.2, LONGEST_LIFE_S))
    if kind == "drain":
        stack.bot.ask_to_stop()
        stack.clock.sleep(rng.uniform(0.02, 0.5))
        tally.during_drain += 1
    if kind == "write":
        stack.wait_until(write_in_flight, QUOTING_S, every_s=0.002)
    killed_at = stack.server.run(lambda v: v.now_ms())
    stack.bot.process.kill()
    stack.bot.process.wait()
    stack.clock.sleep(0.3)  # a request that was on its way is applied and answered, to nobody
    tally.kills += 1
    tally.with_write_in_flight += stack.server.run(lambda v: write_in_flight(v, killed_at))
    left = stack.server.run(lambda v: len(resting(v)))
    tally.with_orders_resting += left > 0
    tally.orders_left.append(left)


def write_in_flight(venue: Venue, at_ms: int = 1 << 60) -> bool:
    """Had an order request arrived by then that was not answered yet?"""
    waiting: set[int] = set()
    for entry in venue.journal.after(max(venue.journal.last - 600, 0)):
        if int(entry["at_ms"]) > at_ms:
            break
        if entry["kind"] == "arrival" and entry["method"] != "GET":
            waiting.add(int(entry["n"]))
        elif entry["kind"] in ("reply", "dropped"):
            waiting.discard(int(entry["request"]))
    return bool(waiting)


if __name__ == "__main__":
    sys.exit(main())
