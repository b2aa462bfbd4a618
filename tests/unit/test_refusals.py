"""A market that is refused rests: a second, then half a minute after five in a row or for want of cash."""

import pytest

from dora_bot.models import Cancel, Outcome, OutcomeKind, Place, Side
from dora_bot.refusals import COOL_MS, FREEZE_AFTER, FREEZE_MS, PAUSE_MS, WRITES, Refusals
from tests.fakes.core import NOW, T, later
from tests.fakes.manual_clock import NOON_MS

PLACE = Place("c1", T, Side.BID, 4_000, 100, NOON_MS, 0)


def outcome(kind: OutcomeKind = OutcomeKind.REFUSED, code: str = "invalid_order") -> Outcome:
    return Outcome(PLACE, kind, code=code)


def rest_after(*outcomes: Outcome) -> int:
    """How long the market rests after these, in ms."""
    refusals = Refusals()
    for one in outcomes:
        refusals.note(one, NOW)
    return next(ms for ms in (0, COOL_MS, PAUSE_MS, FREEZE_MS, 1 << 40) if not refusals.resting(T, later(ms)))


def test_one_refusal_rests_the_market_for_a_second() -> None:
    assert rest_after(outcome()) == COOL_MS
    refusals = Refusals()
    refusals.note(outcome(), NOW)
    assert "invalid_order" in refusals.resting(T, later(COOL_MS - 1))
    assert refusals.resting("KXB", NOW) == ""


def test_five_in_a_row_freeze_it_for_half_a_minute() -> None:
    assert rest_after(*[outcome()] * (FREEZE_AFTER - 1)) == COOL_MS
    assert rest_after(*[outcome()] * FREEZE_AFTER) == FREEZE_MS


def test_an_accepted_write_begins_the_count_anew() -> None:
    four = [outcome()] * (FREEZE_AFTER - 1)
    assert rest_after(*four, outcome(OutcomeKind.ACCEPTED), *four) == COOL_MS


@pytest.mark.parametrize("code", ["insufficient_balance", "available_balance_too_low"])
def test_want_of_cash_freezes_it_at_once(code: str) -> None:
    assert rest_after(outcome(code=code)) == FREEZE_MS


@pytest.mark.parametrize("code", ["trading_is_paused", "exchange_is_paused"])
def test_a_pause_is_waited_out_without_a_storm(code: str) -> None:
    assert rest_after(outcome(code=code)) == PAUSE_MS


@pytest.mark.parametrize("kind", [OutcomeKind.UNKNOWN, OutcomeKind.DENIED_LOCALLY])
def test_what_was_not_refused_counts_for_nothing(kind: OutcomeKind) -> None:
    assert rest_after(outcome(kind)) == 0


def test_cancels_neither_count_nor_begin_the_count_anew() -> None:
    withdrawn = Cancel("c1", "o1", T, 0)
    refused, taken = (Outcome(withdrawn, kind) for kind in (OutcomeKind.REFUSED, OutcomeKind.ACCEPTED))
    assert rest_after(refused) == 0
    assert rest_after(*[outcome()] * (FREEZE_AFTER - 1), taken, outcome()) == FREEZE_MS


SEEN = Outcome(PLACE, OutcomeKind.REFUSED, code="invalid_order", detail="invalid order: post only cross")
"""As the exchange answers; the other form is in its list of codes."""


@pytest.mark.parametrize("crossed", [SEEN, outcome(code="post_only_cross")])
def test_a_side_that_crosses_three_times_rests_until_the_first_is_a_minute_ago(crossed: Outcome) -> None:
    refusals = Refusals()
    for at_ms in (0, 20_000):
        refusals.note(crossed, later(at_ms))
        assert refusals.resting(T, later(at_ms + COOL_MS)) == ""
    refusals.note(crossed, later(30_000))
    assert refusals.resting(T, later(59_999))
    assert refusals.resting(T, later(60_000)) == ""
    refusals.note(crossed, later(61_000))
    assert refusals.resting(T, later(79_999))


def test_a_market_takes_four_writes_a_second_and_waits_while_a_tick_could_write_one_more() -> None:
    refusals = Refusals()
    sent: list[int] = []
    for at_ms in range(0, 5_000, 50):
        if not refusals.resting(T, later(at_ms)):
            for _ in (Side.BID, Side.ASK):
                refusals.note(outcome(OutcomeKind.ACCEPTED), later(at_ms))
                sent.append(at_ms)
    assert len(sent) == 20
    assert all(last - first >= 1_000 for first, last in zip(sent, sent[4:], strict=False))
    assert refusals.resting("KXB", later(5_000)) == ""


def test_what_never_left_takes_no_market_its_turn() -> None:
    refusals = Refusals()
    for _ in range(2 * WRITES):
        refusals.note(outcome(OutcomeKind.DENIED_LOCALLY), NOW)
        refusals.note(Outcome(Cancel("c1", "o1", T, 0), OutcomeKind.ACCEPTED), NOW)
    assert refusals.resting(T, NOW) == ""
