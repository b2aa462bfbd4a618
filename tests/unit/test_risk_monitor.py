"""The risk thread, step by step: it reads, it judges, it halts; it cancels by itself only when the tick hangs."""

from dataclasses import replace
from typing import Any

import pytest

from dora_bot.clock_guard import CONFIRM_MS, HALT_MS, WARN_MS
from dora_bot.errors import AuthRefused, ExchangeUnreachable, RateLimited, StoreError
from dora_bot.events import AccountRead, HaltsChanged
from dora_bot.gate import ExposureGate
from dora_bot.models import Hold, Instant, Place, Side
from dora_bot.risk_monitor import (
    BALANCE_MS,
    ENFORCE_MS,
    FILL_OVERLAP_MS,
    HANG_MS,
    READ_MS,
    STALL_MS,
    WIDER,
    RiskMonitor,
)
from dora_bot.views import View
from tests.fakes.core import T, halt, limits, market_view, own, view
from tests.fakes.exchange import FakeExchange
from tests.fakes.manual_clock import NOON_MS, ManualClock
from tests.fakes.ports import ListInbox, MemoryLatch

START_MS = NOON_MS - 3_600_000
KNOWN_MS = NOON_MS - 20 * 3_600_000


class Bench:
    published: View | None

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.exchange = FakeExchange(self.clock)
        self.inbox = ListInbox(self.clock.sleep)
        self.latch = MemoryLatch()
        self.gate = ExposureGate(lambda _now: 15_000)
        self.published = None
        self.clock_offset_ms = 0
        self.cancelled: list[str] = []
        self.problems: list[tuple[str, Exception]] = []
        self.monitor = RiskMonitor(
            reader=self.exchange,
            inbox=self.inbox,
            latch=self.latch,
            halts=self.read_halts,
            gate=self.gate,
            published=lambda: self.published,
            cancel_everything=self.cancelled.append,
            on_problem=lambda where, error: self.problems.append((where, error)),
            own_prefix="b-",
            clock_offset_ms=lambda: self.clock_offset_ms,
            started_ms=START_MS,
            booked_since_ms=KNOWN_MS,
        )
        self.halts_broken = False

    def read_halts(self) -> HaltsChanged:
        if self.halts_broken:
            raise StoreError("halt file cannot be read")
        return self.latch.read()

    def step(self, after_ms: int = 500) -> list[object]:
        """One step later; the events that it posted."""
        now = self.clock.advance(after_ms)
        self.monitor.watch(now)
        self.monitor.cancel_when_wanted()
        self.monitor.read_when_due(now)
        return self.inbox.drain()

    def tick_published(self, **changes: Any) -> None:
        self.published = replace(view(market_view(), **changes), now=self.clock.now())

    def refusal(self) -> str:
        return self.gate.refusal(self.clock.now())


@pytest.fixture
def bench() -> Bench:
    return Bench()


def reads(events: list[object]) -> list[AccountRead]:
    return [e for e in events if isinstance(e, AccountRead)]


# ── the account ─────────────────────────────────────────────────────────────────────────────────


def test_the_account_is_read_every_five_seconds_and_told_to_the_tick(bench: Bench) -> None:
    told = [len(reads(bench.step())) for _ in range(21)]
    assert sum(told) == 3
    assert [at for at, n in enumerate(told) if n] == [0, READ_MS // 500, 2 * READ_MS // 500]


def test_a_read_is_as_of_a_moment_asked_for_before_everything_else(bench: Bench) -> None:
    bench.exchange.lag_ms = 700
    bench.exchange.place_orders([Place("b-1", T, Side.BID, 4_000, 100, NOON_MS, 0)])
    bench.exchange.trade("o-b-1", 40)
    (read,) = reads(bench.step())
    assert read.as_of_ms == bench.clock.now().exchange_ms - 700
    assert bench.exchange.reads[0] == "timestamp"
    assert [o.remaining_e2 for o in read.orders] == [60]
    assert [f.count_e2 for f in read.fills] == [40]
    assert [(p.ticker, p.net_e2) for p in read.positions] == [(T, 40)]
    assert read.balance.total_e6 > 0


def test_the_first_read_goes_back_to_the_last_known_fill_and_later_ones_overlap(bench: Bench) -> None:
    (first,) = reads(bench.step())
    bench.tick_published()
    (second,) = reads(bench.step(READ_MS))
    assert first.fills_since_ms == START_MS
    assert second.fills_since_ms <= first.as_of_ms - FILL_OVERLAP_MS


def test_while_a_fill_is_missing_reads_go_further_back_each_time_but_never_to_what_could_be_booked_twice(
    bench: Bench,
) -> None:
    bench.step()
    bench.tick_published(disputed={T: "we believe 1, the exchange says 2"})
    back_ms = []
    for _ in range(8):
        bench.tick_published(disputed={T: "we believe 1, the exchange says 2"})
        before_ms = bench.monitor.last_as_of_ms
        (read,) = reads(bench.step(READ_MS))
        assert read.fills_since_ms >= KNOWN_MS
        back_ms.append(before_ms - read.fills_since_ms)
    assert back_ms[:5] == [FILL_OVERLAP_MS * WIDER**n for n in range(1, 6)]
    assert back_ms[5] > back_ms[4]
    assert back_ms[6] == FILL_OVERLAP_MS
    bench.tick_published()
    (read,) = reads(bench.step(READ_MS))
    assert read.fills_since_ms >= bench.clock.now().exchange_ms - FILL_OVERLAP_MS - READ_MS


def test_fills_made_since_the_last_read_are_in_the_next_one_even_after_a_long_hang(bench: Bench) -> None:
    bench.exchange.place_orders([Place("b-1", T, Side.BID, 4_000, 100, NOON_MS, 0)])
    bench.tick_published()
    bench.step()
    bench.exchange.trade("o-b-1", 40)
    bench.exchange.failing["orders"] = ExchangeUnreachable("no answer")
    for _ in range(60):
        bench.tick_published()
        assert reads(bench.step(READ_MS)) == []
    bench.exchange.failing.clear()
    (read,) = reads(bench.step(READ_MS))
    assert [f.count_e2 for f in read.fills] == [40]


def test_the_balance_is_read_within_its_own_rate(bench: Bench) -> None:
    for _ in range(4):
        bench.monitor.read_account(bench.clock.now())
    assert bench.exchange.reads.count("balance") == 1
    bench.monitor.read_account(bench.clock.advance(BALANCE_MS))
    assert bench.exchange.reads.count("balance") == 2


def test_a_balance_that_is_rate_limited_costs_no_read_of_the_account(bench: Bench) -> None:
    known = bench.monitor.read_account(bench.clock.now()).balance
    bench.exchange.failing["balance"] = RateLimited("429")
    (read,) = reads(bench.step(READ_MS))
    assert read.balance == known
    assert [where for where, _ in bench.problems] == ["balance"]


def test_without_any_balance_there_is_no_read(bench: Bench) -> None:
    bench.exchange.failing["balance"] = RateLimited("429")
    with pytest.raises(RateLimited):
        bench.monitor.read_account(bench.clock.now())


def test_an_exchange_that_does_not_answer_is_told_and_asked_again(bench: Bench) -> None:
    bench.exchange.failing["fills"] = ExchangeUnreachable("no answer")
    assert reads(bench.step()) == []
    assert [where for where, _ in bench.problems] == ["account"]
    assert bench.latch.read().halts == ()
    bench.exchange.failing.clear()
    assert len(reads(bench.step(READ_MS))) == 1


def test_a_key_refused_three_times_in_a_row_halts(bench: Bench) -> None:
    bench.exchange.failing["orders"] = AuthRefused("401")
    bench.step(READ_MS)
    bench.step(READ_MS)
    bench.exchange.failing.clear()
    bench.step(READ_MS)
    bench.exchange.failing["orders"] = AuthRefused("401")
    for _ in range(2):
        bench.step(READ_MS)
    assert bench.latch.read().halts == ()
    bench.step(READ_MS)
    assert [h.reason for h in bench.latch.read().halts] == ["the exchange refuses the key"]
    assert "halted" in bench.refusal()


@pytest.mark.parametrize(("policy", "left"), [("cancel", {"b-1"}), ("respect", {"b-1", "by-hand"})])
def test_foreign_orders_are_cancelled_only_where_the_config_says_so(
    bench: Bench, policy: str, left: set[str]
) -> None:
    orders = [Place(name, T, Side.BID, 4_000, 100, NOON_MS, 0) for name in ("b-1", "by-hand")]
    bench.exchange.place_orders(orders)
    bench.tick_published(global_config=limits(foreign_orders=policy))
    bench.step()
    assert {o.client_order_id for o in bench.exchange.resting().values()} == left
    assert [where for where, _ in bench.problems] == (["foreign orders"] if policy == "cancel" else [])


# ── halts and judgement ─────────────────────────────────────────────────────────────────────────


def test_a_halt_from_the_shell_closes_the_gate_and_reaches_the_tick_once(bench: Bench) -> None:
    bench.latch.latch("by hand", "operator", "", bench.clock.now())
    first, second = bench.step(), bench.step()
    assert [e for e in first if isinstance(e, HaltsChanged)] == [bench.latch.read()]
    assert not [e for e in second if isinstance(e, HaltsChanged)]
    assert bench.refusal() == "halted: by hand"
    bench.latch.resume("H1", "operator", bench.clock.now())
    assert HaltsChanged((), bench.latch.resumed_ms) in bench.step()
    assert bench.refusal() == ""


def test_a_halt_of_the_tick_that_was_lifted_unseen_is_lifted_in_the_tick_as_well(bench: Bench) -> None:
    bench.monitor.read_due_ms = 1 << 60
    bench.tick_published(halts=(halt(),))
    assert bench.step() == [HaltsChanged(())]
    bench.tick_published()
    assert bench.step() == []


def test_a_loss_in_the_published_view_halts_without_the_tick(bench: Bench) -> None:
    bench.tick_published(daily_pnl_e6=-50_000_001)
    events = bench.step()
    assert [h.reason for h in bench.latch.read().halts] == ["daily loss limit"]
    assert bench.latch.read() in events
    assert bench.refusal() == "halted: daily loss limit"
    assert bench.cancelled == []


def test_a_tick_that_is_silent_for_three_seconds_and_a_beat_is_frozen_and_its_orders_cancelled(
    bench: Bench,
) -> None:
    bench.tick_published()
    bench.step(STALL_MS + 500)
    assert (bench.cancelled, bench.refusal()) == ([], "")
    bench.step(1)
    assert bench.cancelled == ["tick loop stalled"]
    assert bench.refusal() == "the tick has not answered for 3501 ms"
    bench.step()
    assert len(bench.cancelled) == 2
    bench.tick_published()
    bench.step()
    assert (bench.refusal(), bench.latch.read().halts) == ("", ())


def test_a_halt_lifted_before_this_life_is_told_though_none_is_in_force(bench: Bench) -> None:
    bench.latch.resumed_ms = NOON_MS - 1
    assert HaltsChanged((), NOON_MS - 1) in bench.step()
    assert bench.gate.halts.resumed_ms == NOON_MS - 1


def test_a_silence_that_no_call_explains_is_a_halt(bench: Bench) -> None:
    bench.tick_published()
    for _ in range(2 + HANG_MS // 500):
        bench.step(500)
        assert bench.latch.read().halts == ()
    bench.step(500)
    assert [h.reason for h in bench.latch.read().halts] == ["the tick loop does not answer"]


def test_a_process_that_stood_still_as_a_whole_is_frozen_and_not_halted(bench: Bench) -> None:
    bench.tick_published()
    bench.step()
    bench.step(60_000)
    assert bench.cancelled == ["tick loop stalled"]
    assert bench.refusal().startswith("the tick has not answered")
    bench.tick_published()
    bench.step()
    assert (bench.refusal(), bench.latch.read().halts) == ("", ())


def test_a_stop_that_takes_long_is_not_taken_for_a_hang(bench: Bench) -> None:
    bench.tick_published()
    bench.gate.stopping = True
    bench.step(60_000)
    assert (bench.cancelled, bench.latch.read().halts) == ([], ())


def test_a_cancel_that_fails_while_the_tick_hangs_is_tried_again(bench: Bench) -> None:
    def unreachable(_why: str) -> None:
        raise ExchangeUnreachable("open orders could not be read")

    bench.tick_published()
    bench.monitor.cancel_everything = unreachable
    bench.step(60_000)
    bench.monitor.cancel_everything = bench.cancelled.append
    bench.step()
    assert bench.cancelled == ["tick loop stalled"]
    assert "cancel" in [where for where, _ in bench.problems]


def test_a_halt_under_which_the_tick_gets_nothing_cancelled_is_carried_out_here(bench: Bench) -> None:
    """FAULTS F22: the tick's own cancels fail, and the kill path has other ways."""
    bench.latch.latch("by hand", "operator", "", bench.clock.now())
    for _ in range(ENFORCE_MS // 500):
        bench.published = replace(view(market_view(own())), now=bench.clock.now())
        bench.step()
    assert bench.cancelled == []
    bench.published = replace(view(market_view(own())), now=bench.clock.now())
    bench.step()
    assert bench.cancelled == ["halted, and orders rest"]
    bench.published = replace(view(market_view()), now=bench.clock.now())
    for _ in range(10):
        bench.tick_published(halts=bench.latch.read().halts)
        bench.step()
    assert len(bench.cancelled) == 1


def test_a_pause_is_left_to_the_tick(bench: Bench) -> None:
    bench.latch.latch("lunch", "operator", "", bench.clock.now(), hold=Hold.PAUSED)
    for _ in range(10):
        bench.published = replace(view(market_view(own())), now=bench.clock.now())
        bench.step()
    assert bench.cancelled == []


def test_a_slow_beat_is_not_taken_for_a_hang(bench: Bench) -> None:
    bench.tick_published(global_config=limits(loop_interval_ms=60_000))
    bench.step(60_000)
    assert bench.cancelled == []


def test_before_the_first_tick_there_is_nothing_to_judge(bench: Bench) -> None:
    bench.step(60_000)
    assert (bench.cancelled, bench.latch.read().halts) == ([], ())


def test_halts_that_cannot_be_read_close_the_gate(bench: Bench) -> None:
    bench.halts_broken = True
    bench.step()
    assert "halts cannot be read" in bench.refusal()


def test_an_account_read_is_never_posted_before_the_halts_it_came_with(bench: Bench) -> None:
    bench.latch.halts["H9"] = halt("x", "H9")
    events = bench.step()
    assert [type(e) for e in events] == [HaltsChanged, AccountRead]


def test_it_only_reads_and_never_trades(bench: Bench) -> None:
    bench.tick_published(daily_pnl_e6=-(10**9))
    for _ in range(10):
        bench.step(READ_MS)
    assert bench.exchange.calls == []


def test_the_reads_age_is_known(bench: Bench) -> None:
    bench.step()
    now: Instant = bench.clock.now()
    assert (bench.monitor.last_read_ms, bench.monitor.reads) == (now.mono_ms, 1)


# ── the clock ───────────────────────────────────────────────────────────────────────────────────


def test_a_clock_two_seconds_off_is_told_once_and_eight_seconds_off_for_three_is_a_halt(bench: Bench) -> None:
    bench.clock_offset_ms = -WARN_MS
    for _ in range(4):
        bench.step()
    assert [where for where, _ in bench.problems] == ["clock"]
    assert "2.0 s ahead of the exchange's" in str(bench.problems[0][1])
    bench.clock_offset_ms = HALT_MS - 1
    for _ in range(20):
        bench.step()
    bench.clock_offset_ms = HALT_MS
    for _ in range(CONFIRM_MS // 500):
        bench.step()
    assert bench.latch.read().halts == ()
    bench.step()
    (latched,) = bench.latch.read().halts
    assert (latched.reason, latched.evidence) == (
        "the machine's clock is wrong",
        "this machine's clock is 8.0 s behind the exchange's",
    )


def test_one_reply_with_a_wrong_date_is_no_halt(bench: Bench) -> None:
    for offset_ms in (0, 60_000, 0, -60_000) * 5:
        bench.clock_offset_ms = offset_ms
        bench.step()
    assert bench.latch.read().halts == ()


def test_signatures_that_stay_too_late_halt_under_their_own_name(bench: Bench) -> None:
    bench.exchange.failing["orders"] = AuthRefused("GET /x: 401 header_timestamp_expired: ")
    for _ in range(3):
        bench.step(READ_MS)
    assert [h.reason for h in bench.latch.read().halts] == ["signatures reach the exchange too late"]
