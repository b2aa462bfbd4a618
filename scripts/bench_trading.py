"""Benchmarks of the whole bot: reaction time, a minute at Basic tier with its stop, tick time with 50 markets.

usage: python -m scripts.bench_trading [reaction] [basic] [ticks]      (default: all)
"""

import json
import random
import sys
from functools import partial
from pathlib import Path

from dora_bot.models import Level, Side, TimeInForce
from dora_bot.paper.admin_actions import OPERATOR
from dora_bot.paper.launch import LaunchOptions
from dora_bot.paper.specs import OrderRequest, OrderStatus
from dora_bot.paper.testing import StaticMarket, StaticWorld
from dora_bot.paper.venue import Venue
from scripts.stack import Stack, percentile, report, resting

MOVES = 200
ANSWER_MS = 60
"""A move without an answer by then is a miss, and counts in the percentiles with the least it can have taken."""
APART_S = 0.5, 0.75
"""Both quotes of a market may be moved twice a second, which are its four writes (FAULTS I06)."""
DEEP = 100_000
HIGH, LOW = (4_700, 5_200), (4_400, 4_900)
"""Two states of a book, (bid, ask), three cents apart; the bot's quotes in one never touch the other."""


def reaction() -> None:
    """Book move applied by the exchange → our order request received by it, on profile ``fast``; misses are counted."""
    world = StaticWorld([StaticMarket("MOVE-1", (Level(HIGH[0], DEEP),), (Level(HIGH[1], DEEP),))])
    rng = random.Random(1)  # noqa: S311  (a repeatable schedule, no secret)
    with Stack(LaunchOptions(profile="fast", tier="premier"), world.install) as stack:
        stack.start_bot()
        stack.wait_until(lambda v: len(resting(v)) == 2, 20)
        took, missed = [], 0
        for number in range(MOVES):
            stack.clock.sleep(rng.uniform(*APART_S))
            moved_at = stack.server.run(partial(_move, to=LOW if number % 2 == 0 else HIGH))
            stack.clock.sleep(ANSWER_MS / 1_000)
            heard = stack.server.run(partial(_first_write, since_ms=moved_at))
            missed += heard is None
            took.append(ANSWER_MS if heard is None else heard - moved_at)
        report(
            "reaction_ms",
            percentile(took, 0.5),
            "ms",
            len(took),
            p50=percentile(took, 0.5),
            p99=percentile(took, 0.99),
            moves=MOVES,
            missed=missed,
        )


def _move(venue: Venue, to: tuple[int, int]) -> int:
    """Replace the house's two orders in one step; returns the exchange's time."""
    now = venue.now_ms()
    for order in venue.engine.orders(OPERATOR, status=OrderStatus.RESTING):
        venue.engine.cancel(OPERATOR, order.order_id, shard=order.exchange_index, now_ms=now)
    for side, price in zip((Side.BID, Side.ASK), to, strict=True):
        venue.engine.create(OPERATOR, OrderRequest("MOVE-1", side, price, DEEP), now)
    return now


def _first_write(venue: Venue, since_ms: int) -> int | None:
    """When the first order request after ``since_ms`` arrived."""
    recent = venue.journal.after(max(venue.journal.last - 400, 0))
    arrived = [int(e["at_ms"]) for e in recent if e["kind"] == "arrival" and e["method"] != "GET"]
    return min((at for at in arrived if at >= since_ms), default=None)


def basic(seconds: float = 60.0) -> None:
    """Five markets at Basic tier on profile ``real``; a taker of 1 against 5-lots every 2 s; then SIGTERM."""
    names = [f"FIVE{n}-1" for n in range(5)]
    world = StaticWorld([StaticMarket(name, (Level(4_500, DEEP),), (Level(5_500, DEEP),)) for name in names])
    rng = random.Random(2)  # noqa: S311  (as above)
    with Stack(LaunchOptions(profile="real", tier="basic"), world.install) as stack:
        stack.start_bot()
        stack.wait_until(lambda v: len(resting(v)) == 10, 20)
        start = stack.clock.now().mono_ms
        first = stack.server.run(lambda v: v.journal.last)
        samples = {name: [0, 0] for name in names}
        next_take = 0.0
        while (elapsed := (stack.clock.now().mono_ms - start) / 1_000) < seconds:
            if elapsed >= next_take:
                next_take += 2.0
                side = rng.choice((Side.BID, Side.ASK))
                stack.server.run(partial(_take, ticker=rng.choice(names), side=side))
            sides = stack.server.run(lambda v: {(o.ticker, o.side) for o in resting(v)})
            for name in names:
                samples[name][1] += 1
                samples[name][0] += {(name, Side.BID), (name, Side.ASK)} <= sides
            stack.clock.sleep(0.02)
        calls = stack.server.run(lambda v: _calls(v, first))
        stack.bot.ask_to_stop()
        asked = stack.clock.now().mono_ms
        stack.wait_until(lambda v: not resting(v), 10)
        gone = (stack.clock.now().mono_ms - asked) / 1_000
        for name, (two_sided, seen) in samples.items():
            report(f"two_sided_share.{name}", 100 * two_sided / seen, "%", seen)
        report("rest_calls_per_s", calls.pop("trading") / seconds, "1/s", int(seconds))
        report("rest_calls_per_s.renewals", calls.pop("renewals") / seconds, "1/s", int(seconds))
        report("rest_calls_per_s.risk_reads", calls.pop("risk") / seconds, "1/s", int(seconds), **calls)
        report("sigterm_to_zero_orders", gone, "s", 1)


def _take(venue: Venue, ticker: str, side: Side) -> None:
    price = 9_900 if side is Side.BID else 100
    order = OrderRequest(ticker, side, price, 100, time_in_force=TimeInForce.IOC)
    venue.engine.create(OPERATOR, order, venue.now_ms())


RISK_PATHS = (
    "/user_data_timestamp",
    "/portfolio/orders",
    "/portfolio/fills",
    "/portfolio/positions",
    "/portfolio/settlements",
    "/portfolio/balance",
)


def _calls(venue: Venue, after: int) -> dict[str, int]:
    """Requests since a journal number: the risk thread's reads, expiry-only amends, and everything else."""
    found = {"trading": 0, "renewals": 0, "risk": 0}
    bodies: dict[str, tuple[str, str]] = {}
    for entry in venue.journal.after(after, 1 << 30):
        if entry["kind"] != "arrival":
            continue
        path = str(entry["path"])
        if entry["method"] == "GET" and path.endswith(RISK_PATHS):
            found["risk"] += 1
        elif path.endswith("/amend") and _is_renewal(path, str(entry["body"]), bodies):
            found["renewals"] += 1
        else:
            found["trading"] += 1
            kind = f"{entry['method']} {path.rsplit('/', 1)[-1] if entry['method'] == 'GET' else 'orders'}"
            found[kind] = found.get(kind, 0) + 1
    return found


def _is_renewal(path: str, body: str, seen: dict[str, tuple[str, str]]) -> bool:
    """Does the amend repeat the price of the amend before it (or is it the first, of a quote as created)?"""
    told = json.loads(body)
    now = (told["price"], told["count"])
    same = seen.get(path, now) == now
    seen[path] = now
    return same


def ticks(markets: int = 50, seconds: float = 60.0) -> None:
    """Tick time with 50 synthetic markets, the exchange on the other core."""
    for profile, bound in (("fast", 50), ("real", 450)):
        with Stack(LaunchOptions(markets=markets, profile=profile, tier="premier")) as stack:
            stack.start_bot()
            stack.wait_until(lambda v: len(resting(v)) >= markets // 2, 30)
            stack.clock.sleep(seconds)
            status = stack.status()
            rss = _rss_mb(stack.bot.process.pid)
            spread = status["tick_ms"]
            lines = stack.bot.out.read_text().splitlines()
            report(
                f"tick_ms.{profile}",
                spread["p99"],
                "ms",
                status["counts"]["ticks"],
                p50=spread["p50"],
                p99=spread["p99"],
                max=spread["max"],
                bound=bound,
                overruns_in_a_row=_overruns(lines),
            )
            report(f"rss.{profile}", rss, "MB", 1, markets=markets, threads=_threads(stack.bot.process.pid))
            report(f"book_reads_by_rest.{profile}", stack.server.run(_book_reads), "calls", int(seconds))


def _overruns(lines: list[str]) -> int:
    """The longest row of ticks that took more than the beat of 500 ms."""
    longest = row = 0
    for line in lines:
        row = row + 1 if json.loads(line)["took_ms"] > 500 else 0
        longest = max(longest, row)
    return longest


def _book_reads(venue: Venue) -> int:
    entries = venue.journal.after(0, 1 << 30)
    return sum(e["kind"] == "arrival" and "orderbook" in str(e["path"]) for e in entries)


def _rss_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def _threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


if __name__ == "__main__":
    SCENARIOS = {"reaction": reaction, "basic": basic, "ticks": ticks}
    for chosen in sys.argv[1:] or SCENARIOS:
        SCENARIOS[chosen]()
