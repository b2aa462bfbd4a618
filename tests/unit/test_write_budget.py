"""The write budget: cancels never wait, a share is always left for them, the rest goes by worth."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_bot.models import (
    AccountLimits,
    Action,
    Amend,
    BucketLimit,
    Cancel,
    Outcome,
    OutcomeKind,
    Place,
    Side,
)
from dora_bot.write_budget import MAX_AMENDS_A_TICK, SAFE_SHARE, SERVED_MS, Wanted, WriteBudget
from tests.fakes.core import NOW, T, later
from tests.fakes.manual_clock import NOON_MS

LIMITS = AccountLimits("basic", BucketLimit(200, 200), BucketLimit(100, 100))


def place(name: str = "p", ticker: str = T, shard: int = 0) -> Place:
    return Place(name, ticker, Side.BID, 4_000, 100, NOON_MS, shard)


def amend(name: str = "a", ticker: str = T, shard: int = 0) -> Amend:
    return Amend(name, f"o{name}", ticker, Side.BID, 4_000, 100, NOON_MS, shard, "reprice")


def cancel(name: str = "x") -> Cancel:
    return Cancel(name, f"o{name}", T, 0)


def emptied(tokens: WriteBudget, code: str = "too_many_requests") -> None:
    tokens.note(
        [Outcome(place(), OutcomeKind.ACCEPTED), Outcome(place(), OutcomeKind.REFUSED, code=code)], NOW
    )


def budget(limits: AccountLimits = LIMITS) -> WriteBudget:
    return WriteBudget(limits, NOW)


def test_exposure_writes_stop_at_the_share_kept_for_cancels() -> None:
    chosen = budget().choose([Wanted(place(str(n))) for n in range(20)], NOW)
    assert len(chosen) == 7  # 70 of 100 tokens at 10 each


def test_cancels_may_have_the_last_token_and_the_rest_of_them_follow_as_tokens_come_back() -> None:
    tokens, waiting = budget(), [Wanted(cancel(str(n))) for n in range(80)]
    for spent, after_ms in ((50, 0), (12, 250), (13, 500)):
        chosen = tokens.choose(waiting, later(after_ms))
        assert chosen == [w.action for w in waiting[:spent]]
        waiting = waiting[spent:]
        assert tokens.cancels_wait
    assert tokens.choose(waiting, later(1_000)) == [w.action for w in waiting]
    assert not tokens.cancels_wait


def test_after_a_429_cancels_are_paced_by_the_refill_instead_of_being_refused_again() -> None:
    tokens = budget()
    emptied(tokens)
    assert tokens.choose([Wanted(cancel())], later(19)) == []
    assert tokens.choose([Wanted(cancel())], later(20)) == [cancel()]


def test_the_time_of_the_calls_is_no_refill_once_the_reserve_is_touched() -> None:
    """The exchange may have billed them at their end: a cancel sent on tokens that are not there would be refused."""
    tokens, cancels = budget(), [Wanted(cancel(str(n))) for n in range(50)]
    sent = tokens.choose(cancels, NOW)
    tokens.note([Outcome(action, OutcomeKind.ACCEPTED) for action in sent], later(200))
    assert tokens.choose([Wanted(cancel("more"))], later(210)) == []
    assert tokens.choose([Wanted(cancel("more"))], later(220)) == [cancel("more")]


def test_cancels_come_first_and_are_paid_from_the_same_bucket() -> None:
    wanted = [Wanted(place(str(n))) for n in range(10)] + [Wanted(cancel(str(n))) for n in range(10)]
    chosen = budget().choose(wanted, NOW)
    assert [isinstance(a, Cancel) for a in chosen] == [True] * 10 + [False] * 5


def test_what_is_worth_more_goes_first() -> None:
    wanted = [Wanted(amend(str(n)), n) for n in range(5)]
    assert [a.client_order_id for a in budget().choose(wanted, NOW)] == ["4", "3", "2", "1", "0"]


def test_what_cannot_wait_goes_before_what_is_worth_more() -> None:
    chosen = budget().choose([Wanted(amend("rich"), 9_000), Wanted(amend("late"), 1, urgent=True)], NOW)
    assert [a.client_order_id for a in chosen] == ["late", "rich"]


def test_worth_counts_by_the_token_and_costs_are_the_exchanges() -> None:
    dear = AccountLimits("odd", BucketLimit(9, 9), BucketLimit(100, 100), 10, 2, 5, 40)
    chosen = budget(dear).choose([Wanted(amend(), 400), Wanted(place(), 51), Wanted(place("q"), 49)], NOW)
    assert [a.client_order_id for a in chosen] == ["p", "a", "q"]
    assert budget(dear).choose([Wanted(amend("1")), Wanted(amend("2"))], NOW) == [amend("1")]
    assert len(budget(dear).choose([Wanted(place(str(n))) for n in range(20)], NOW)) == 14


def test_a_market_that_waited_long_goes_before_all_others_however_little_it_is_worth() -> None:
    tokens, served = budget(), []
    for tick in range(60):
        rich = [Wanted(place(f"r{tick}.{n}", f"RICH{n}"), 1_000 + n) for n in range(8)]
        chosen = tokens.choose([Wanted(place("poor", "POOR"), 1), *rich], later(500 * tick))
        served += [tick] * (place("poor", "POOR") in chosen)
    assert served == [SERVED_MS // 500]


def test_a_hundred_markets_that_always_want_a_write_are_each_served_within_thirty_seconds() -> None:
    tokens, last = budget(), dict.fromkeys((f"M{n}" for n in range(100)), 0)
    longest = 0
    for at_ms in range(0, 120_000, 500):
        wanted = [Wanted(place(f"{t}.{at_ms}", t), n) for n, t in enumerate(last)]
        served = {action.ticker for action in tokens.choose(wanted, later(at_ms))}
        longest = max([longest, *(at_ms - last[ticker] for ticker in served)])
        last |= dict.fromkeys(served, at_ms)
    assert max(longest, 119_500 - min(last.values())) <= 30_000


def test_each_shard_pays_for_its_amends_and_the_unscoped_bucket_for_every_batch() -> None:
    tokens = budget()
    assert len(tokens.choose([Wanted(place(str(n), shard=2)) for n in range(9)], NOW)) == 7
    assert tokens.choose([Wanted(amend())], NOW) == []
    on_two = [Wanted(amend(str(n), shard=2)) for n in range(8)]
    assert len(tokens.choose(on_two, NOW)) == 7
    refused = Outcome(amend(shard=3), OutcomeKind.REFUSED, code="http_429")
    tokens.note([refused], NOW)
    assert tokens.choose([Wanted(amend(shard=3))], later(399)) == []
    assert tokens.choose([Wanted(amend(shard=1)), Wanted(place())], later(399)) == [amend(shard=1), place()]


def test_tokens_come_back_with_time_and_never_beyond_the_capacity() -> None:
    tokens = budget()
    tokens.choose([Wanted(place(str(n))) for n in range(7)], NOW)
    assert tokens.choose([Wanted(place("early"))], later(50)) == []
    assert tokens.choose([Wanted(place("later"))], later(100)) == [place("later")]
    assert len(tokens.choose([Wanted(place(str(n))) for n in range(20)], later(60_000))) == 7
    assert tokens.tokens_left == 30


def test_a_quote_that_was_outrun_is_withdrawn_when_it_cannot_be_amended() -> None:
    tokens = budget()
    emptied(tokens)
    (chosen,) = tokens.choose([Wanted(amend(), 9, outrun=True), Wanted(amend("b"), 8)], later(20))
    assert isinstance(chosen, Cancel)
    assert (chosen.client_order_id, chosen.order_id, chosen.ticker) == ("a", "oa", T)


def test_no_more_amends_than_fit_into_the_ticks_calls() -> None:
    rich = AccountLimits("prime", BucketLimit(9_000, 9_000), BucketLimit(9_000, 9_000))
    wanted = [*(Wanted(amend(str(n)), 1) for n in range(20)), Wanted(place())]
    chosen = budget(rich).choose(wanted, NOW)
    assert sum(isinstance(a, Amend) for a in chosen) == MAX_AMENDS_A_TICK
    assert place() in chosen


@pytest.mark.parametrize("code", ["too_many_requests", "http_429"])
def test_after_a_429_no_exposure_write_goes_until_the_reserve_is_back(code: str) -> None:
    tokens = budget()
    emptied(tokens, code)
    assert tokens.choose([Wanted(place())], later(399)) == []
    assert tokens.choose([Wanted(place())], later(400)) == [place()]


def test_any_other_end_leaves_the_bucket_as_it_was_counted() -> None:
    tokens = budget()
    emptied(tokens, "post_only_cross")
    assert tokens.tokens_left == 100


def test_a_smaller_tier_takes_effect_at_once() -> None:
    tokens = budget()
    tokens.resize(AccountLimits("small", BucketLimit(10, 10), BucketLimit(20, 20)))
    assert tokens.limits.write == BucketLimit(20, 20)
    assert len(tokens.choose([Wanted(place("1")), Wanted(place("2"))], NOW)) == 1


MAKERS: list[Callable[[str], Action]] = [place, amend, cancel]
WANTED = st.lists(st.tuples(st.sampled_from(MAKERS), st.integers(-9, 9), st.booleans()), max_size=40).map(
    lambda drawn: [Wanted(make(str(n)), worth, outrun) for n, (make, worth, outrun) in enumerate(drawn)]
)


@given(st.lists(st.tuples(st.integers(0, 2_000), WANTED), max_size=8))
def test_the_reserve_is_only_ever_spent_on_cancels(rounds: list[tuple[int, list[Wanted]]]) -> None:
    tokens, now = budget(), NOW
    floor = SAFE_SHARE * LIMITS.write.capacity
    for wait_ms, wanted in rounds:
        now = later(wait_ms, now)
        before = tokens.tokens_left
        chosen: list[Action] = tokens.choose(wanted, now)
        cancels = [w.action for w in wanted if isinstance(w.action, Cancel)]
        sent = [a for a in chosen if isinstance(a, Cancel) and "no budget" not in a.reason]
        assert sent == cancels[: len(sent)]
        assert len(sent) == len(cancels) or tokens.tokens_left < LIMITS.cancel_cost
        assert tokens.tokens_left >= 0
        if any(not isinstance(a, Cancel) for a in chosen):
            withdrawn = sum(isinstance(a, Cancel) and "no budget" in a.reason for a in chosen)
            assert tokens.tokens_left + LIMITS.cancel_cost * withdrawn >= floor
        assert tokens.tokens_left <= min(before + wait_ms / 1_000 * 100, 100)
