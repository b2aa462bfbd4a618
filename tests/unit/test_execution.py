"""From actions to the wire: cancels first and always, exposure only when durable, in time and past the gate."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dora_bot.execution import BATCH, Executor
from dora_bot.models import Action, Amend, Cancel, Outcome, OutcomeKind, Place, Side
from tests.fakes.core import T
from tests.fakes.exchange import LOST, FakeExchange
from tests.fakes.manual_clock import NOON_MS, ManualClock
from tests.fakes.ports import MemoryJournal, ScriptedGate


class Bench:
    def __init__(self, *, latency_ms: int = 0) -> None:
        self.clock = ManualClock()
        self.exchange = FakeExchange(self.clock, latency_ms)
        self.journal = MemoryJournal()
        self.gate = ScriptedGate()
        self.executor = Executor(self.exchange, self.journal, self.gate, self.clock)

    def run(self, *actions: Action) -> list[Outcome]:
        return self.executor.run(actions, self.clock.now())

    def resting(self, name: str) -> None:
        self.exchange.place_orders([place(name)])
        self.exchange.calls.clear()


def place(name: str = "p") -> Place:
    return Place(name, T, Side.BID, 4_000, 100, NOON_MS + 50_000, 0)


def amend(name: str) -> Amend:
    return Amend(name, f"o-{name}", T, Side.BID, 4_100, 100, NOON_MS + 60_000, 0)


def cancel(name: str) -> Cancel:
    return Cancel(name, f"o-{name}", T, 0)


def kinds(outcomes: list[Outcome]) -> dict[str, OutcomeKind]:
    return {o.action.client_order_id: o.kind for o in outcomes}


def test_nothing_to_do_asks_nobody() -> None:
    bench = Bench()
    assert bench.run() == []
    assert (bench.journal.log, bench.exchange.calls, bench.gate.asked) == ([], [], 0)


def test_cancels_leave_first_then_amends_then_creates() -> None:
    bench = Bench()
    bench.resting("a")
    bench.resting("x")
    outcomes = bench.run(place(), amend("a"), cancel("x"))
    assert [what for what, _ in bench.exchange.calls] == ["cancel", "amend", "place"]
    assert kinds(outcomes) == dict.fromkeys(("p", "a", "x"), OutcomeKind.ACCEPTED)


def test_intents_are_durable_before_the_first_byte_and_settled_after_the_last() -> None:
    bench = Bench()
    seen: list[int] = []
    bench.exchange.before_write = lambda _what: seen.append(len(bench.journal.log))
    bench.run(place("1"), place("2"))
    assert seen == [1]
    assert [what for what, _ in bench.journal.log] == ["intend", "settle"]
    assert bench.journal.unresolved() == []


def test_without_a_durable_intent_cancels_go_and_exposure_is_denied_locally() -> None:
    bench = Bench()
    bench.resting("x")
    bench.journal.broken.add("intend")
    outcomes = bench.run(place(), cancel("x"))
    assert kinds(outcomes) == {"x": OutcomeKind.ACCEPTED, "p": OutcomeKind.DENIED_LOCALLY}
    assert "disk full" in outcomes[1].detail
    assert bench.exchange.sent("place") == []


def test_a_closed_gate_denies_exposure_and_lets_cancels_through() -> None:
    bench = Bench()
    bench.resting("a")
    bench.resting("x")
    bench.gate.reason = "halted: x"
    outcomes = bench.run(place(), amend("a"), cancel("x"))
    assert kinds(outcomes) == {
        "x": OutcomeKind.ACCEPTED,
        "a": OutcomeKind.DENIED_LOCALLY,
        "p": OutcomeKind.DENIED_LOCALLY,
    }
    assert all(o.detail == "halted: x" for o in outcomes[1:])


def test_the_gate_is_asked_again_before_each_batch_of_creates() -> None:
    bench = Bench()
    bench.gate.reasons = deque(["", "", "the lease has only 900 ms left"])
    outcomes = bench.run(*(place(str(n)) for n in range(BATCH + 5)))
    assert len(bench.exchange.sent("place")) == BATCH
    assert [o.kind for o in outcomes].count(OutcomeKind.DENIED_LOCALLY) == 5


def test_an_amend_without_a_known_end_holds_back_the_creates_of_its_market_at_once() -> None:
    bench = Bench()
    bench.resting("a")
    bench.exchange.answers.append(LOST)
    other = replace(place("q"), ticker="KXB")
    outcomes = bench.run(amend("a"), place(), other)
    assert kinds(outcomes) == {
        "a": OutcomeKind.UNKNOWN,
        "p": OutcomeKind.DENIED_LOCALLY,
        "q": OutcomeKind.ACCEPTED,
    }
    assert bench.exchange.sent("place") == [other]


def test_no_exposure_write_starts_later_than_300_ms_into_a_tick() -> None:
    bench = Bench(latency_ms=301)
    bench.resting("x")
    outcomes = bench.run(cancel("x"), place())
    assert kinds(outcomes) == {"x": OutcomeKind.ACCEPTED, "p": OutcomeKind.DENIED_LOCALLY}
    assert "ms into the tick" in outcomes[1].detail
    bench = Bench(latency_ms=300)
    bench.resting("x")
    assert kinds(bench.run(cancel("x"), place()))["p"] is OutcomeKind.ACCEPTED


def test_creates_go_in_batches_that_fit_the_bucket_and_cancels_all_at_once() -> None:
    bench = Bench()
    names = [str(n) for n in range(BATCH * 2 + 1)]
    bench.run(*(place(name) for name in names))
    assert [len(actions) for _, actions in bench.exchange.calls] == [BATCH, BATCH, 1]
    bench.exchange.calls.clear()
    bench.run(*(cancel(name) for name in names))
    assert [len(actions) for _, actions in bench.exchange.calls] == [len(names)]


MAKERS: dict[str, Callable[[str], Action]] = {"p": place, "a": amend, "x": cancel}
NAMES = st.lists(st.tuples(st.sampled_from("pax"), st.booleans()), max_size=12)


@given(
    wanted=NAMES,
    durable=st.booleans(),
    gate=st.sampled_from(["", "closed"]),
    latency_ms=st.sampled_from([0, 120, 400]),
)
def test_every_action_ends_in_exactly_one_outcome(
    *, wanted: list[tuple[str, bool]], durable: bool, gate: str, latency_ms: int
) -> None:
    bench = Bench(latency_ms=latency_ms)
    if not durable:
        bench.journal.broken.add("intend")
    bench.gate.reason = gate
    actions = [MAKERS[kind](f"{kind}{n}") for n, (kind, _) in enumerate(wanted)]
    outcomes = bench.run(*actions)
    assert sorted(o.action.client_order_id for o in outcomes) == sorted(a.client_order_id for a in actions)
    assert bench.exchange.sent("cancel") == [a for a in actions if isinstance(a, Cancel)]
    if gate or not durable:
        assert bench.exchange.sent("place") == bench.exchange.sent("amend") == []
