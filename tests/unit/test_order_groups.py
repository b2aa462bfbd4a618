"""The exchange's brake: a group on every quote, what a trigger holds, and how it comes back."""

import pytest

from dora_bot.errors import ExchangeError, ExchangeUnreachable
from dora_bot.events import CatalogChanged, GroupsChanged, GroupSeen
from dora_bot.models import OutcomeKind, Place
from dora_bot.order_groups import COOL_DOWN_MS, OrderGroups
from dora_bot.views import ConfigChanged
from tests.fakes.bench import Bench
from tests.fakes.core import NOW, T, config, later, limits, market, snapshot
from tests.fakes.exchange import Answer
from tests.fakes.manual_clock import ManualClock
from tests.fakes.ports import ListInbox

OTHER = "KXOTHER"
BOTH = GroupsChanged(((0, "g0"), (2, "g2")), ((0, 1_000), (2, 1_000)))


class Calls:
    """Implements `order_groups.GroupCalls`; ``failing`` is raised by the call of that name, once."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str, int]] = []
        self.failing: dict[str, Exception] = {}

    def _call(self, what: str, group_id: str, number: int) -> None:
        if what in self.failing:
            raise self.failing.pop(what)
        self.made.append((what, group_id, number))

    def create_order_group(self, limit_e2: int, exchange_index: int) -> str:
        name = f"g{exchange_index}-{len(self.made)}"
        self._call("create", name, limit_e2)
        return name

    def limit_order_group(self, group_id: str, limit_e2: int, exchange_index: int) -> None:
        self._call("limit", group_id, limit_e2)

    def reset_order_group(self, group_id: str, exchange_index: int) -> None:
        self._call("reset", group_id, exchange_index)

    def delete_order_group(self, group_id: str, exchange_index: int) -> None:
        self._call("delete", group_id, exchange_index)


class Case:
    def __init__(self) -> None:
        self.calls = Calls()
        self.inbox = ListInbox(ManualClock().sleep)
        self.triggered: dict[str, int] = {}
        self.stopped = False
        self.groups = OrderGroups(self.calls, self.inbox, lambda: self.triggered, lambda: self.stopped)

    def keep(self, shards: set[int], limit_e2: int = 1_000, after_ms: int = 0) -> list[object]:
        self.groups.keep(frozenset(shards), limit_e2, later(after_ms))
        return self.inbox.drain()


def test_every_shard_gets_one_group_and_a_new_limit_is_set_in_place() -> None:
    case = Case()
    assert case.keep({0, 2}) == [GroupsChanged(((0, "g0-0"), (2, "g2-1")), ((0, 1_000), (2, 1_000)))]
    assert case.keep({0, 2}) == []
    changed = GroupsChanged(
        ((0, "g0-0"), (2, "g2-1"), (3, "g3-4")), limits_e2=((0, 2_000), (2, 2_000), (3, 2_000))
    )
    assert case.keep({0, 2, 3}, 2_000) == [changed]
    assert [c for c in case.calls.made if c[0] == "limit"] == [
        ("limit", "g0-0", 2_000),
        ("limit", "g2-1", 2_000),
    ]


def test_a_limit_that_could_not_be_set_is_not_told_as_if_it_were_in_force() -> None:
    case = Case()
    case.keep({0})
    case.calls.failing["limit"] = ExchangeUnreachable("down")
    with pytest.raises(ExchangeUnreachable):
        case.keep({0}, 2_000)
    assert case.inbox.drain() == []
    assert case.keep({0}, 2_000) == [GroupsChanged(((0, "g0-0"),), ((0, 2_000),))]


def test_a_shard_whose_group_could_not_be_made_is_told_as_without_one() -> None:
    case = Case()
    case.calls.failing["create"] = ExchangeUnreachable("down")
    with pytest.raises(ExchangeUnreachable):
        case.keep({0})
    assert case.inbox.drain() == [GroupsChanged((), ())]
    assert case.keep({0}) == [GroupsChanged(((0, "g0-0"),), ((0, 1_000),))]


def test_a_triggered_group_is_reset_after_the_cool_down_and_the_tick_is_told() -> None:
    case = Case()
    case.keep({0})
    case.triggered["g0-0"] = NOW.mono_ms
    assert case.keep({0}, after_ms=COOL_DOWN_MS - 1) == []
    case.calls.failing["reset"] = ExchangeUnreachable("down")
    with pytest.raises(ExchangeUnreachable):
        case.keep({0}, after_ms=COOL_DOWN_MS)
    told = case.keep({0}, after_ms=COOL_DOWN_MS)
    assert told == [GroupSeen("g0-0", "reset", later(COOL_DOWN_MS).exchange_ms)]


def test_a_group_triggered_in_a_halt_or_pause_is_reset_by_the_resume_alone_and_then_at_once() -> None:
    case = Case()
    case.keep({0})
    case.triggered["g0-0"] = NOW.mono_ms
    case.stopped = True
    assert case.keep({0}, after_ms=10 * COOL_DOWN_MS) == []
    case.triggered["g0-0"] = later(10 * COOL_DOWN_MS).mono_ms
    assert case.keep({0}, after_ms=20 * COOL_DOWN_MS - 1) == []
    case.stopped = False
    assert [e.kind for e in case.keep({0}, after_ms=20 * COOL_DOWN_MS - 1) if isinstance(e, GroupSeen)] == [
        "reset"
    ]
    case.triggered["g0-0"] = later(30 * COOL_DOWN_MS).mono_ms
    assert case.keep({0}, after_ms=30 * COOL_DOWN_MS + 1) == []


def test_a_group_that_is_gone_is_replaced() -> None:
    case = Case()
    case.keep({0})
    case.triggered["g0-0"] = NOW.mono_ms
    case.calls.failing["reset"] = ExchangeError("404")
    with pytest.raises(ExchangeError):
        case.keep({0}, after_ms=COOL_DOWN_MS)
    assert case.inbox.drain() == [GroupsChanged((), ())]
    assert case.keep({0}) == [GroupsChanged(((0, "g0-1"),), ((0, 1_000),))]


def test_all_are_deleted_at_the_end_once() -> None:
    case = Case()
    case.keep({0, 2})
    case.groups.delete_all()
    case.groups.delete_all()
    assert sorted(c for c in case.calls.made if c[0] == "delete") == [
        ("delete", "g0-0", 0),
        ("delete", "g2-1", 2),
    ]


# ── in the tick ─────────────────────────────────────────────────────────────────────────────────


def on_two_shards() -> Bench:
    bench = Bench()
    bench.post(
        CatalogChanged((market(), market(OTHER, exchange_index=2))),
        ConfigChanged((config(), config(market_id=OTHER)), limits()),
        snapshot(ticker=OTHER),
    )
    return bench


def quoted(bench: Bench) -> dict[str, int]:
    tickers = [o.ticker for o in bench.exchange.resting().values()]
    return {ticker: tickers.count(ticker) for ticker in tickers}


def test_every_quote_carries_the_group_of_its_shard_and_none_is_placed_without() -> None:
    bench = on_two_shards()
    bench.post(GroupsChanged(((0, "g0"),), ((0, 1_000),)))
    bench.tick()
    assert quoted(bench) == {T: 2}
    bench.post(BOTH)
    bench.tick()
    places = [a for a in bench.exchange.sent("place") if isinstance(a, Place)]
    assert [(p.ticker, p.order_group_id) for p in places] == [(T, "g0")] * 2 + [(OTHER, "g2")] * 2


def test_a_trigger_takes_its_shard_out_until_the_reset() -> None:
    bench = on_two_shards()
    bench.post(BOTH)
    bench.tick()
    bench.post(GroupSeen("g0", "triggered", 1), GroupSeen("somebody-elses", "triggered", 1))
    report = bench.tick()
    assert quoted(bench) == {OTHER: 2}
    assert "shard 0 was triggered" in report.decided[T].reason
    assert bench.state.groups.triggered["g0"] == report.view.now.mono_ms
    bench.post(GroupSeen("g0", "reset", 2))
    bench.tick()
    assert quoted(bench) == {T: 2, OTHER: 2}


@pytest.mark.parametrize("code", ["exceeded_order_group_risk_limit", "order_group_not_found"])
def test_a_refusal_tells_of_a_trigger_whose_frame_was_lost(code: str) -> None:
    bench = on_two_shards()
    bench.exchange.answers.append(Answer(OutcomeKind.REFUSED, code=code))
    bench.post(BOTH)
    bench.tick()
    assert set(bench.state.groups.triggered) == {"g0"}
    for _ in range(10):
        bench.tick()
    assert quoted(bench) == {OTHER: 2}
