"""Who triggered an order group: the exchange because its limit was matched, our own sweep, or somebody else."""

import pytest

from dora_bot.events import CatalogChanged, FillSeen, GroupsChanged, GroupSeen
from dora_bot.group_watch import GRACE_MS, SWEPT_MS, WINDOW_MS
from dora_bot.models import Fill, Hold, OutcomeKind, Side
from dora_bot.views import ConfigChanged
from tests.fakes.bench import Bench
from tests.fakes.core import config, limits, market, snapshot
from tests.fakes.exchange import Answer

OTHER = "KXOTHER"
REASON = "an order group was triggered by somebody else"
LIMIT_E2 = 1_000


def groups(limit_e2: int = LIMIT_E2) -> GroupsChanged:
    return GroupsChanged(((0, "g0"), (2, "g2")), ((0, limit_e2), (2, limit_e2)))


@pytest.fixture
def bench() -> Bench:
    """Two shards, a market each, ten contracts a side, groups that hold ten in 15 seconds."""
    bench = Bench()
    bench.post(
        CatalogChanged((market(), market(OTHER, exchange_index=2))),
        ConfigChanged((config(), config(market_id=OTHER)), limits()),
        snapshot(ticker=OTHER),
        groups(),
    )
    bench.tick()
    assert len(bench.exchange.resting()) == 4
    return bench


def trigger(bench: Bench, group_id: str = "g0") -> None:
    bench.post(GroupSeen(group_id, "triggered", bench.clock.now().exchange_ms))


def elapse(bench: Bench, milliseconds: int, *, reads: bool = True) -> None:
    """Ticks on the beat, a read of the account with every tenth."""
    for number in range(milliseconds // 500):
        if reads and number % 10 == 9:
            bench.post(bench.read_account())
        bench.tick()


def halts(bench: Bench) -> list[str]:
    return [h.reason for h in bench.latch.read().halts]


def may_be_reset(bench: Bench) -> set[str]:
    return set(bench.state.groups.settled)


def test_a_trigger_that_no_fill_explains_is_a_halt_of_everything_after_the_grace(bench: Bench) -> None:
    bench.trade(Side.BID, LIMIT_E2 - 1)
    trigger(bench)
    elapse(bench, GRACE_MS)
    assert halts(bench) == []
    assert may_be_reset(bench) == set()
    elapse(bench, 5_000)
    assert halts(bench) == [REASON]
    (halt,) = bench.latch.read().halts
    assert halt.hold is Hold.HALTED
    assert halt.evidence == "shard 0: 9.99 contracts matched where 10.00 within 15 s would have triggered it"
    assert bench.exchange.resting() == {}
    assert may_be_reset(bench) == {"g0"}  # under the halt, see order_groups


def test_once_a_person_has_resumed_it_is_not_judged_again(bench: Bench) -> None:
    trigger(bench)
    elapse(bench, GRACE_MS + 5_000)
    bench.resume("H1")
    elapse(bench, 30_000)
    assert halts(bench) == []
    bench.post(GroupSeen("g0", "reset", bench.clock.now().exchange_ms))
    elapse(bench, 30_000)
    assert halts(bench) == []
    assert len(bench.exchange.resting()) == 4


def test_a_trigger_after_the_limit_was_matched_is_the_exchanges_and_rests_its_shard_only(
    bench: Bench,
) -> None:
    bench.trade(Side.BID, LIMIT_E2 - 400)
    elapse(bench, WINDOW_MS - 1_000)
    bench.trade(Side.ASK, 400)
    trigger(bench)
    elapse(bench, GRACE_MS + 5_000)
    assert halts(bench) == []
    assert may_be_reset(bench) == {"g0"}
    assert {o.ticker for o in bench.exchange.resting().values()} == {OTHER}


def test_what_was_matched_over_more_than_the_window_explains_nothing(bench: Bench) -> None:
    bench.trade(Side.BID, LIMIT_E2 - 400)
    elapse(bench, WINDOW_MS + 2_000)
    bench.trade(Side.ASK, 400)
    trigger(bench)
    elapse(bench, GRACE_MS + 5_000)
    assert halts(bench) == [REASON]


def test_a_fill_that_is_heard_of_late_still_explains_it(bench: Bench) -> None:
    order = bench.exchange.own(Side.BID)
    late = bench.exchange.trade(order.order_id, LIMIT_E2)
    trigger(bench)
    elapse(bench, GRACE_MS - 1_000, reads=False)
    bench.post(FillSeen(late))
    elapse(bench, 10_000)
    assert halts(bench) == []


def test_it_is_judged_by_no_account_that_was_read_before_it(bench: Bench) -> None:
    late = bench.exchange.trade(bench.exchange.own(Side.BID).order_id, LIMIT_E2)
    trigger(bench)
    elapse(bench, 3 * GRACE_MS, reads=False)
    assert halts(bench) == []
    assert may_be_reset(bench) == set()
    assert late in bench.read_account().fills
    elapse(bench, 5_000)
    assert halts(bench) == []
    assert may_be_reset(bench) == {"g0"}


def test_fills_of_others_and_of_another_shard_explain_nothing(bench: Bench) -> None:
    bench.exchange.trade(bench.exchange.own(Side.BID, OTHER).order_id, LIMIT_E2)
    now_ms = bench.clock.now().exchange_ms
    bench.post(
        FillSeen(
            Fill("by-hand", "o-hand", "KXA", Side.BID, 4_000, LIMIT_E2, 0, is_taker=True, time_ms=now_ms)
        )
    )
    trigger(bench)
    elapse(bench, GRACE_MS + 5_000)
    assert halts(bench) == [REASON]


def test_the_group_of_another_program_is_its_own_affair(bench: Bench) -> None:
    trigger(bench, "somebody-elses")
    elapse(bench, GRACE_MS + 5_000)
    assert halts(bench) == []


@pytest.mark.parametrize(("before_e2", "after_e2"), [(LIMIT_E2, 5_000), (5_000, LIMIT_E2)])
def test_a_limit_that_changes_around_the_trigger_explains_it_by_the_lower_one(
    bench: Bench, before_e2: int, after_e2: int
) -> None:
    bench.post(groups(before_e2))
    bench.trade(Side.BID, LIMIT_E2)
    trigger(bench)
    bench.tick()
    bench.post(groups(after_e2))
    elapse(bench, GRACE_MS + 5_000)
    assert halts(bench) == []


@pytest.mark.parametrize("hold", [Hold.HALTED, Hold.PAUSED])
def test_a_trigger_while_everything_is_stopped_is_our_own_sweep(bench: Bench, hold: Hold) -> None:
    held = bench.hold(hold)
    bench.tick()
    trigger(bench)
    elapse(bench, 2_000)
    bench.resume(held)
    elapse(bench, GRACE_MS + 5_000)
    assert halts(bench) == []


def test_a_sweep_that_still_runs_at_the_resume_is_ours_but_not_for_long(bench: Bench) -> None:
    held = bench.hold(Hold.HALTED)
    bench.tick()
    bench.resume(held)
    elapse(bench, SWEPT_MS - 500)
    trigger(bench)
    elapse(bench, GRACE_MS + 5_000)
    assert halts(bench) == []
    trigger(bench, "g2")
    elapse(bench, GRACE_MS + 5_000)
    assert halts(bench) == [REASON]


def test_the_sweep_of_a_stop_is_ours(bench: Bench) -> None:
    bench.bot.stopping = "SIGTERM"
    trigger(bench)
    elapse(bench, GRACE_MS + 5_000)
    assert halts(bench) == []


def refuse_next(bench: Bench) -> None:
    """The trigger's frame is lost: the next order is refused for it."""
    answer = Answer(OutcomeKind.REFUSED, code="exceeded_order_group_risk_limit")
    pending = [answer]

    def before(what: str) -> None:
        if what == "place" and pending:
            bench.exchange.answers.append(pending.pop())

    bench.exchange.before_write = before


def test_a_trigger_that_only_a_refusal_tells_of_is_judged_too(bench: Bench) -> None:
    bench.post(groups(LIMIT_E2 + 1))
    refuse_next(bench)
    bench.trade(Side.BID, LIMIT_E2)
    elapse(bench, GRACE_MS + 5_000)
    assert halts(bench) == [REASON]


def test_a_refusal_is_explained_by_what_was_matched_since_an_order_was_last_taken(bench: Bench) -> None:
    bench.gate.reason = "nothing leaves for a while"
    elapse(bench, 2 * WINDOW_MS)
    bench.trade(Side.BID, LIMIT_E2)
    elapse(bench, 2 * WINDOW_MS)
    refuse_next(bench)
    bench.gate.reason = ""
    elapse(bench, GRACE_MS + 5_000)
    assert halts(bench) == []
    assert may_be_reset(bench) == {"g0"}


def test_a_refusal_after_a_stop_tells_of_the_sweep_whose_frame_was_lost(bench: Bench) -> None:
    held = bench.hold(Hold.HALTED)
    elapse(bench, 2_000)
    bench.gate.reason = "the gate learns of the resume a little later"
    bench.resume(held)
    elapse(bench, 2_000)
    refuse_next(bench)
    bench.gate.reason = ""
    elapse(bench, GRACE_MS + 5_000)
    assert halts(bench) == []
