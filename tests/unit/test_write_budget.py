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
from dora_bot.write_budget import MAX_AMENDS_A_TICK, SAFE_SHARE, Wanted, Worth, WriteBudget
from tests.fakes.core import NOW, T, later
from tests.fakes.manual_clock import NOON_MS

LIMITS = AccountLimits("basic", BucketLimit(200, 200), BucketLimit(100, 100))


def place(name: str = "p") -> Place:
    return Place(name, T, Side.BID, 4_000, 100, NOON_MS, 0)


def amend(name: str = "a") -> Amend:
    return Amend(name, f"o{name}", T, Side.BID, 4_000, 100, NOON_MS, 0, "reprice")


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


def test_cancels_go_even_when_every_token_is_gone() -> None:
    tokens = budget()
    emptied(tokens)
    cancels = [Wanted(cancel(str(n))) for n in range(100)]
    assert tokens.choose(cancels, NOW) == [w.action for w in cancels]


def test_cancels_come_first_and_are_paid_from_the_same_bucket() -> None:
    wanted = [Wanted(place(str(n))) for n in range(10)] + [Wanted(cancel(str(n))) for n in range(10)]
    chosen = budget().choose(wanted, NOW)
    assert [isinstance(a, Cancel) for a in chosen] == [True] * 10 + [False] * 5


def test_what_is_worth_more_goes_first() -> None:
    wanted = [Wanted(amend(w.name), w) for w in sorted(Worth, reverse=True)]
    chosen = budget().choose(wanted, NOW)
    assert [a.client_order_id for a in chosen] == [w.name for w in sorted(Worth)]


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
    (chosen,) = tokens.choose([Wanted(amend(), Worth.OUTRUN), Wanted(amend("b"), Worth.RENEW)], NOW)
    assert isinstance(chosen, Cancel)
    assert (chosen.client_order_id, chosen.order_id, chosen.ticker) == ("a", "oa", T)


def test_no_more_amends_than_fit_into_the_ticks_calls() -> None:
    rich = AccountLimits("prime", BucketLimit(9_000, 9_000), BucketLimit(9_000, 9_000))
    wanted: list[Wanted] = [Wanted(amend(str(n)), Worth.REPRICE) for n in range(20)] + [Wanted(place())]
    chosen = budget(rich).choose(wanted, NOW)
    assert sum(isinstance(a, Amend) for a in chosen) == MAX_AMENDS_A_TICK
    assert place() in chosen


@pytest.mark.parametrize("code", ["too_many_requests", "http_429"])
def test_after_a_429_nothing_but_cancels_goes_until_the_refill(code: str) -> None:
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
    assert tokens.limit == BucketLimit(20, 20)
    assert len(tokens.choose([Wanted(place("1")), Wanted(place("2"))], NOW)) == 1


MAKERS: list[Callable[[str], Action]] = [place, amend, cancel]
WANTED = st.lists(st.tuples(st.sampled_from(MAKERS), st.sampled_from(Worth)), max_size=30).map(
    lambda drawn: [Wanted(make(str(n)), worth) for n, (make, worth) in enumerate(drawn)]
)


@given(st.lists(st.tuples(st.integers(0, 2_000), WANTED), max_size=8))
def test_the_reserve_is_only_ever_spent_on_cancels(rounds: list[tuple[int, list[Wanted]]]) -> None:
    tokens, now = budget(), NOW
    floor = SAFE_SHARE * LIMITS.write.capacity
    for wait_ms, wanted in rounds:
        now = later(wait_ms, now)
        before = tokens.tokens_left
        chosen: list[Action] = tokens.choose(wanted, now)
        assert [w.action for w in wanted if isinstance(w.action, Cancel)] == [
            a for a in chosen if isinstance(a, Cancel) and "no budget" not in a.reason
        ]
        if any(not isinstance(a, Cancel) for a in chosen):
            withdrawn = sum(isinstance(a, Cancel) and "no budget" in a.reason for a in chosen)
            assert tokens.tokens_left + LIMITS.cancel_cost * withdrawn >= floor
        assert tokens.tokens_left <= min(before + wait_ms / 1_000 * 100, 100)
