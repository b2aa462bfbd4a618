"""The last question before each exposure write: each of its refusals in its own words."""

import pytest

from dora_bot.events import HaltsChanged
from dora_bot.gate import CALL_MS, ExposureGate
from dora_bot.models import Hold, Instant
from tests.fakes.core import NOW, halt, later


def gate(margin_ms: int = 15_000, *, observe: bool = False) -> ExposureGate:
    return ExposureGate(lambda _now: margin_ms, observe=observe)


def test_an_open_gate_says_nothing() -> None:
    assert gate().refusal(NOW) == ""


def test_halts_and_pauses_close_it_and_reducing_or_one_market_is_left_to_the_veto() -> None:
    closed = gate()
    closed.halts = HaltsChanged((halt("daily loss limit"),))
    assert closed.refusal(NOW) == "halted: daily loss limit"
    closed.halts = HaltsChanged((halt("lunch", hold=Hold.PAUSED),))
    assert closed.refusal(NOW) == "paused: lunch"
    closed.halts = HaltsChanged((halt("a", hold=Hold.REDUCE_ONLY), halt("b", scope="KX")))
    assert closed.refusal(NOW) == ""


def test_the_minute_after_a_cancel_all_closes_it() -> None:
    closed = gate()
    closed.halts = HaltsChanged((), emptied_ms=NOW.exchange_ms)
    assert closed.refusal(NOW) == "a cancel-all goes on cancelling new orders for 60 s"
    assert closed.refusal(later(59_999))
    assert closed.refusal(later(60_000)) == ""
    closed.halts = HaltsChanged((), emptied_ms=later(1_000).exchange_ms)
    assert closed.refusal(NOW) == ""


def test_stopping_and_observing_close_it_for_good() -> None:
    closed = gate()
    closed.stopping = True
    assert closed.refusal(NOW) == "stopping"
    assert gate(observe=True).refusal(NOW) == "observing only"


@pytest.mark.parametrize(("margin_ms", "open_"), [(CALL_MS, True), (CALL_MS - 1, False), (-5_000, False)])
def test_the_lease_must_outlast_the_longest_call(*, margin_ms: int, open_: bool) -> None:
    assert (gate(margin_ms).refusal(NOW) == "") is open_


def test_the_margin_is_asked_for_at_the_moment_of_the_write() -> None:
    asked: list[Instant] = []

    def margin(now: Instant) -> int:
        asked.append(now)
        return 0

    assert "0 ms left" in ExposureGate(margin).refusal(later(77))
    assert asked == [later(77)]


def test_only_the_lease_takes_back_what_rests() -> None:
    closed = gate(observe=True)
    closed.stopping = True
    closed.halts = HaltsChanged((halt(),))
    assert closed.no_quotes(NOW) == ""
    assert gate(CALL_MS - 1).no_quotes(NOW) == "the lease has only 1999 ms left"
