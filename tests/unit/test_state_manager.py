"""The bot's belief: every fill booked once from whatever source, every order counted until evidence, one frozen view."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_bot.events import (
    BookDelta,
    BookLost,
    CatalogChanged,
    FeedDown,
    FeedUp,
    FillSeen,
    GroupSeen,
    HaltsChanged,
    LifecycleSeen,
    OrderSeen,
    PublicTrade,
    StatusChanged,
    TickerSeen,
)
from dora_bot.models import (
    Action,
    Amend,
    Cancel,
    ExchangeOrder,
    ExchangeStatus,
    Fill,
    Hold,
    Level,
    MarketStatus,
    Outcome,
    OutcomeKind,
    Place,
    Position,
    PriceGrid,
    Settlement,
    Side,
)
from dora_bot.order_store import TOMBSTONE_MS
from dora_bot.own_orders import OrderState
from dora_bot.records import FillRow, OrderRow, Row, SettlementRow
from dora_bot.state_manager import CLOSE_MARGIN_MS, Restored, StateManager
from dora_bot.valuation import Day
from dora_bot.views import ConfigChanged, MarketView
from tests.fakes.core import NOW, T, config, halt, later, limits, market, own, snapshot
from tests.fakes.manual_clock import NOON_MS

PLACE = Place("b-1", T, Side.BID, 4_100, 1_000, NOON_MS + 50_000, 0)
CANCEL = Cancel("b-1", "o1", T, 0)


def manager(**restored: object) -> StateManager:
    """A state that knows one market with a proven book, like after a start."""
    plain = Restored({}, frozenset(), day=Day("2026-11-20", 0))
    state = StateManager("b-", replace(plain, **restored))  # type: ignore[arg-type]  # built by name
    feed(state, CatalogChanged((market(),)), ConfigChanged((config(),), limits()), FeedUp(1), snapshot())
    return state


def feed(state: StateManager, *events: object) -> None:
    for event in events:
        state.apply(event, NOW)


def seen(state: StateManager, at_ms: int = 0) -> MarketView:
    return state.view(later(at_ms)).markets[T]


def accepted(action: Action, **numbers: int) -> Outcome:
    return Outcome(action, OutcomeKind.ACCEPTED, "o1", **numbers)  # type: ignore[arg-type]  # built by name


def placed(state: StateManager, place: Place = PLACE) -> None:
    state.reserve([place], NOW)
    state.settle([accepted(place, filled_e2=0, remaining_e2=place.count_e2)], NOW)


def fill(number: int = 1, count_e2: int = 400, **changes: object) -> Fill:
    plain = Fill(f"t{number}", "o1", T, Side.BID, 4_100, count_e2, 7, False, NOON_MS + number, "b-1")
    return replace(plain, **changes)  # type: ignore[arg-type]  # built by name


def told(remaining_e2: int, filled_e2: int, status: str = "resting") -> ExchangeOrder:
    return ExchangeOrder("o1", "b-1", T, Side.BID, 4_100, remaining_e2, filled_e2, status)


def settled_late(state: StateManager, outcome: Outcome) -> bool:
    """As the tick takes it in; false if it says nothing new."""
    if is_news := state.orders.awaits(outcome):
        state.settle([outcome], NOW)
    return is_news


def rows(state: StateManager, kind: type[Row]) -> list[Row]:
    return [row for row in state.take_rows() if isinstance(row, kind)]


# ── fills ───────────────────────────────────────────────────────────────────────────────────────


def test_a_fill_moves_the_position_and_leaves_the_worst_case_where_it_was() -> None:
    state = manager()
    placed(state)
    assert seen(state).long_worst_e2 == 1_000
    feed(state, FillSeen(fill()))
    view = seen(state)
    assert (view.position.net_e2, view.long_worst_e2, view.short_worst_e2) == (400, 1_000, 400)
    assert view.orders[0].remaining_e2 == 600


def test_a_full_fill_ends_a_create_in_doubt_but_not_an_amend_that_may_have_grown_the_order() -> None:
    state = manager()
    state.reserve([PLACE], NOW)
    feed(state, FillSeen(fill(count_e2=1_000)))
    assert not state.orders.live()
    for kind in (None, OutcomeKind.UNKNOWN):  # a tick that failed in the call leaves the order in flight
        state = manager()
        placed(state)
        amend = Amend("b-1", "o1", T, Side.BID, 4_100, 1_600, NOON_MS + 60_000, 0)
        state.reserve([amend], NOW)
        if kind is not None:
            state.settle([Outcome(amend, kind)], NOW)
        feed(state, FillSeen(fill(count_e2=1_000)))
        assert [order.exposed_e2 for order in state.orders.live()] == [600]


def test_a_fill_is_booked_once_from_whatever_source_and_however_often() -> None:
    state = manager()
    placed(state)
    for source in ("ws", "ws", "rest", "reconnect"):
        feed(state, FillSeen(fill(source=source)))
    assert seen(state).position.net_e2 == 400
    assert state.fills_booked == 1
    assert len(rows(state, FillRow)) == 1


def test_one_trade_that_met_two_of_our_orders_is_two_fills() -> None:
    state = manager()
    feed(state, FillSeen(fill()), FillSeen(fill(order_id="o2", client_order_id="")))
    assert seen(state).position.net_e2 == 800


def test_a_fill_booked_before_the_restart_is_not_booked_again() -> None:
    state = manager(fill_keys=frozenset({("t1", "o1")}), positions={T: Position(T, 400, 1_640_000)})
    feed(state, FillSeen(fill()))
    assert seen(state).position.net_e2 == 400


def test_a_fill_before_the_reply_of_its_create_finds_its_order_by_our_own_id() -> None:
    state = manager()
    state.reserve([PLACE], NOW)
    feed(state, FillSeen(fill()))
    assert (seen(state).position.net_e2, seen(state).long_worst_e2) == (400, 1_000)
    state.settle([accepted(PLACE, filled_e2=400, remaining_e2=600)], NOW)
    assert (seen(state).position.net_e2, seen(state).long_worst_e2) == (400, 1_000)
    assert seen(state).orders[0].remaining_e2 == 600


def test_a_fill_that_names_only_the_exchanges_id_is_matched_once_that_id_is_known() -> None:
    state = manager()
    state.reserve([PLACE], NOW)
    feed(state, FillSeen(fill(client_order_id="")))
    assert seen(state).position.net_e2 == 400
    state.settle([accepted(PLACE, filled_e2=400, remaining_e2=600)], NOW)
    assert (seen(state).orders[0].remaining_e2, seen(state).long_worst_e2) == (600, 1_000)


def test_a_fill_of_an_order_nobody_knows_still_moves_the_position() -> None:
    state = manager()
    feed(state, FillSeen(fill(order_id="foreign", client_order_id="theirs")))
    assert seen(state).position.net_e2 == 400
    assert seen(state).orders == ()


def test_an_order_that_filled_completely_is_done_and_frees_its_side() -> None:
    state = manager()
    placed(state)
    feed(state, FillSeen(fill(1, 400)), FillSeen(fill(2, 600)))
    view = seen(state)
    assert (view.orders, view.position.net_e2, view.long_worst_e2) == ((), 1_000, 1_000)
    (last,) = [row for row in rows(state, OrderRow) if isinstance(row, OrderRow) and row.status != "placed"]
    assert isinstance(last, OrderRow)
    assert last.status == "executed"


def test_h2_a_fill_older_than_the_evidence_of_the_end_is_booked_and_revives_nothing() -> None:
    state = manager()
    placed(state)
    feed(state, OrderSeen(told(0, 0, "canceled"), "UserCancel"))
    assert seen(state).orders == ()
    feed(state, FillSeen(fill()), OrderSeen(told(600, 400)))
    view = seen(state)
    assert (view.orders, view.position.net_e2, view.long_worst_e2) == ((), 400, 400)


def test_a_fill_90_seconds_after_the_cancel_lands_on_the_tombstone() -> None:
    state = manager()
    placed(state)
    state.reserve([CANCEL], NOW)
    state.settle([accepted(CANCEL, reduced_by_e2=1_000)], NOW)
    state.orders.bury(later(90_000))
    feed(state, FillSeen(fill(client_order_id="")))
    (row,) = rows(state, FillRow)
    assert isinstance(row, FillRow)
    assert row.fill.client_order_id == "b-1"
    assert seen(state).position.net_e2 == 400


def test_tombstones_are_kept_ten_minutes_and_longer_while_a_fill_is_owed() -> None:
    state = manager()
    placed(state)
    feed(state, OrderSeen(told(0, 300, "canceled")))
    state.orders.bury(later(TOMBSTONE_MS + 1))
    assert seen(state).long_worst_e2 == 300
    feed(state, FillSeen(fill(1, 300)))
    state.orders.bury(later(TOMBSTONE_MS))
    assert state.orders.find("b-1", "o1") is not None
    state.orders.bury(later(TOMBSTONE_MS + 1))
    assert state.orders.find("b-1", "o1") is None


def test_what_a_cancel_did_not_take_away_counts_until_its_fill_arrives() -> None:
    state = manager()
    placed(state)
    state.reserve([CANCEL], NOW)
    state.settle([accepted(CANCEL, reduced_by_e2=600)], NOW)
    assert (seen(state).position.net_e2, seen(state).long_worst_e2) == (0, 400)
    feed(state, FillSeen(fill()))
    assert (seen(state).position.net_e2, seen(state).long_worst_e2) == (400, 400)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_fill_frame_and_reply_lead_to_the_same_state_in_every_order(order: Sequence[int]) -> None:
    state = manager()
    state.reserve([PLACE], NOW)
    steps = [
        lambda: feed(state, FillSeen(fill())),
        lambda: feed(state, OrderSeen(told(600, 400))),
        lambda: state.settle([accepted(PLACE, filled_e2=400, remaining_e2=600)], NOW),
    ]
    for step in order:
        steps[step]()
        assert seen(state).long_worst_e2 == 1_000
    view = seen(state)
    assert (view.position.net_e2, view.orders[0].remaining_e2, view.short_worst_e2) == (400, 600, 400)
    assert view.orders[0].state is OrderState.RESTING


# ── any course of events ────────────────────────────────────────────────────────────────────────


class World:
    """One bid on an exchange that applies writes, loses replies and tells fills and frames late and out of order."""

    def __init__(self) -> None:
        self.state = manager()
        self.place(1_000)
        self.total, self.filled, self.open = 1_000, 0, True
        self.late: list[object] = []
        self.trades = 0

    def place(self, count_e2: int) -> None:
        placed(self.state, replace(PLACE, count_e2=count_e2))

    def trade(self, count_e2: int) -> None:
        count_e2 = min(count_e2, self.total - self.filled)
        if not self.open or count_e2 == 0:
            return
        self.filled += count_e2
        self.trades += 1
        self.open = self.filled < self.total
        self.late += [FillSeen(fill(self.trades, count_e2)), self.frame()]

    def frame(self) -> OrderSeen:
        left = self.total - self.filled if self.open else 0
        status = "resting" if self.open else "executed" if self.filled >= self.total else "canceled"
        return OrderSeen(told(left, self.filled, status))

    def write(self, action: Amend | Cancel, kind: OutcomeKind, *, applied: bool) -> None:
        order = self.state.orders.find("b-1", "o1")
        if order is None or order.state is not OrderState.RESTING:
            return
        before = self.total - self.filled
        self.state.reserve([action], NOW)
        works = self.open and (applied or kind is OutcomeKind.ACCEPTED)
        kind = OutcomeKind.UNKNOWN if kind is OutcomeKind.ACCEPTED and not works else kind
        if works and isinstance(action, Cancel):
            self.open = False
        elif works and isinstance(action, Amend):
            self.total = max(action.total_e2, self.filled)
            self.open = self.filled < self.total
        if works:
            self.late.append(self.frame())
        reply = Outcome(action, kind, "o1")
        if kind is OutcomeKind.ACCEPTED:
            numbers = {"reduced_by_e2": before} if isinstance(action, Cancel) else {}
            left = self.total - self.filled
            numbers |= {} if isinstance(action, Cancel) else {"filled_e2": self.filled, "remaining_e2": left}
            reply = accepted(action, **numbers)
        self.state.settle([reply], NOW)

    def check(self) -> None:
        """Never less than what the exchange may still make of it."""
        could_be = self.filled + (self.total - self.filled if self.open else 0)
        assert seen(self.state).long_worst_e2 >= could_be


KINDS = st.sampled_from(OutcomeKind)
STEPS = st.one_of(
    st.tuples(st.just("trade"), st.integers(1, 700)),
    st.tuples(st.just("amend"), st.integers(1, 2_000), KINDS, st.booleans()),
    st.tuples(st.just("cancel"), KINDS, st.booleans()),
    st.tuples(st.just("tell"), st.integers(0, 10)),
)


@given(st.lists(STEPS, max_size=12))
def test_the_worst_case_never_falls_below_what_the_exchange_may_hold(steps: list[tuple[object, ...]]) -> None:
    world = World()
    for step in steps:
        match step:
            case ("trade", int(count)):
                world.trade(count)
            case ("amend", int(total), OutcomeKind() as kind, bool(applied)):
                refused = kind in (OutcomeKind.REFUSED, OutcomeKind.DENIED_LOCALLY)
                amend = Amend("b-1", "o1", T, Side.BID, 4_200, total, NOON_MS + 60_000, 0)
                world.write(amend, kind, applied=applied and not refused)
            case ("cancel", OutcomeKind() as kind, bool(applied)):
                refused = kind in (OutcomeKind.REFUSED, OutcomeKind.DENIED_LOCALLY)
                world.write(CANCEL, kind, applied=applied and not refused)
            case ("tell", int(which)) if world.late:
                feed(world.state, world.late.pop(which % len(world.late)))
        world.check()
    for event in world.late:
        feed(world.state, event)
        world.check()
    assert seen(world.state).position.net_e2 == world.filled


# ── orders ──────────────────────────────────────────────────────────────────────────────────────


def test_an_order_in_flight_or_in_doubt_holds_its_market_and_no_other() -> None:
    state = manager()
    feed(
        state, CatalogChanged((market("KXB"),)), ConfigChanged((config(), config(market_id="KXB")), limits())
    )
    state.reserve([PLACE], NOW)
    assert "b-1" in seen(state).on_hold
    state.settle([Outcome(PLACE, OutcomeKind.UNKNOWN, code="timeout")], NOW)
    assert "b-1" in seen(state).on_hold
    assert state.view(NOW).markets["KXB"].on_hold == ""
    feed(state, OrderSeen(told(1_000, 0)))
    assert seen(state).on_hold == ""


def test_an_answer_that_comes_late_ends_the_doubt_and_is_nothing_once_something_else_did() -> None:
    state = manager()
    state.reserve([PLACE], NOW)
    state.settle([Outcome(PLACE, OutcomeKind.UNKNOWN, code="late")], NOW)
    assert seen(state).on_hold
    assert not settled_late(state, Outcome(PLACE, OutcomeKind.UNKNOWN, code="timeout"))
    late = accepted(PLACE, filled_e2=0, remaining_e2=PLACE.count_e2)
    assert settled_late(state, late)
    assert not seen(state).on_hold
    assert [outcome.action for outcome in state.take_resolved()] == [PLACE]
    assert not settled_late(state, late)


def test_the_late_answer_of_a_cancel_that_was_repeated_meanwhile_is_evidence_if_it_worked() -> None:
    state = manager()
    placed(state)
    first = Cancel("b-1", "o1", T, 0, "not wished")
    for cancel in (first, replace(first, reason="cancel repeated")):
        state.reserve([cancel], NOW)
        state.settle([Outcome(cancel, OutcomeKind.UNKNOWN, code="late")], NOW)
    assert not settled_late(state, Outcome(first, OutcomeKind.REFUSED, code="x"))
    assert settled_late(state, accepted(first, reduced_by_e2=PLACE.count_e2))
    assert not state.orders.live()


def test_a_refused_write_cools_the_market_down() -> None:
    state = manager()
    state.reserve([PLACE], NOW)
    state.settle([Outcome(PLACE, OutcomeKind.REFUSED, code="post_only_cross")], NOW)
    assert "post_only_cross" in seen(state).on_hold
    assert seen(state, 1_000).on_hold == ""


def test_the_life_of_an_order_is_logged_without_the_renewals() -> None:
    state = manager()
    placed(state)
    amend = Amend("b-1", "o1", T, Side.BID, 4_200, 1_200, NOON_MS + 60_000, 0, "reprice")
    renewal = replace(amend, reason="renew")
    for action in (amend, renewal):
        state.reserve([action], NOW)
        state.settle([accepted(action, remaining_e2=1_200)], NOW)
    state.reserve([CANCEL], NOW)
    state.settle([accepted(CANCEL, reduced_by_e2=1_200)], NOW)
    logged = [(row.status, row.price_e4) for row in state.take_rows() if isinstance(row, OrderRow)]
    assert logged == [("placed", 4_100), ("amended", 4_200), ("cancelled", 4_200)]
    assert state.take_rows() == []


def test_a_refused_create_is_logged_as_refused() -> None:
    state = manager()
    state.reserve([PLACE], NOW)
    state.settle([Outcome(PLACE, OutcomeKind.REFUSED, code="c")], NOW)
    assert [row.status for row in state.take_rows() if isinstance(row, OrderRow)] == ["refused"]


def test_orders_of_others_are_told_from_ours_by_the_prefix() -> None:
    state = manager()
    assert state.orders.is_ours(replace(told(1, 0), client_order_id="b-77"))
    assert not state.orders.is_ours(replace(told(1, 0), client_order_id="web"))
    assert state.orders.find("web", "x") is None


def test_an_order_restored_in_doubt_counts_from_the_first_view_on() -> None:
    doubtful = own(state=OrderState.UNKNOWN, client_order_id="b-1", order_id="")
    assert seen(manager(orders=(doubtful,))).long_worst_e2 == 1_000


# ── books ───────────────────────────────────────────────────────────────────────────────────────


def test_only_a_markets_own_orders_rest_in_it() -> None:
    state = manager()
    placed(state)
    assert [state.has_resting(ticker) for ticker in (f"A{T}", T, f"Z{T}")] == [False, True, False]


def test_our_own_resting_size_is_not_in_the_book_that_is_priced_on() -> None:
    state = manager()
    placed(state)
    feed(state, BookDelta(T, True, 4_100, 1_000, NOON_MS + 1))
    best = seen(state).book.best_bid
    assert best is not None
    assert best.price_e4 == 4_000
    feed(state, BookDelta(T, True, 4_100, 500, NOON_MS + 2))
    best = seen(state).book.best_bid
    assert best is not None
    assert (best.price_e4, best.count_e2) == (4_100, 500)


@pytest.mark.parametrize("event", [BookLost((T,), "gap"), BookLost((), "overflow"), FeedDown("reset")])
def test_a_lost_book_is_unproven_until_the_next_snapshot(event: object) -> None:
    state = manager()
    assert seen(state).book.proven
    feed(state, event)
    assert not seen(state).book.proven
    feed(state, BookDelta(T, True, 4_200, 100, NOON_MS + 5))
    assert not seen(state).book.proven
    feed(state, snapshot())
    assert seen(state).book.proven


def test_a_book_that_contradicts_itself_asks_for_a_snapshot_once() -> None:
    state = manager()
    feed(state, BookDelta(T, True, 4_000, -20_000, NOON_MS + 1))
    assert not seen(state).book.proven
    assert state.take_doubted() == {T: "a level fell below zero"}
    assert state.take_doubted() == {}


# ── what the slow threads tell ──────────────────────────────────────────────────────────────────


def test_status_halts_config_and_feed_are_in_the_view() -> None:
    state = manager()
    status = ExchangeStatus(active=True, trading=False)
    feed(state, StatusChanged(status), HaltsChanged((halt(),)), FeedDown("x"))
    view = state.view(NOW)
    assert (view.status, view.halts, view.feed_up) == (status, (halt(),), False)
    assert view.global_config == limits()


@pytest.mark.parametrize("scope", [T, "event#EVT"])
def test_a_pause_of_a_market_or_its_event_freezes_it_and_reducing_only_does_not(scope: str) -> None:
    state = manager()
    feed(state, HaltsChanged((halt("flatten", hold=Hold.PAUSED, scope=scope),)))
    assert (seen(state).frozen, seen(state).reduce_only) == ("H1: flatten", "")
    feed(state, HaltsChanged((halt("loss", hold=Hold.REDUCE_ONLY, scope=scope),)))
    assert (seen(state).frozen, seen(state).reduce_only) == ("", "H1: loss")
    feed(state, HaltsChanged((halt("elsewhere", hold=Hold.PAUSED, scope="KXB"),)))
    assert (seen(state).frozen, seen(state).reduce_only) == ("", "")


def test_a_paused_shard_freezes_its_markets_only() -> None:
    state = manager()
    feed(state, StatusChanged(ExchangeStatus(active=True, trading=True, paused_shards=frozenset({1}))))
    assert seen(state).frozen == ""
    feed(state, CatalogChanged((market(exchange_index=1),)))
    assert seen(state).frozen == "shard 1 is paused"


def test_nothing_is_quoted_in_the_last_minute_before_the_close() -> None:
    state = manager()
    feed(state, CatalogChanged((market(close_ms=NOON_MS + CLOSE_MARGIN_MS),)))
    assert seen(state).frozen == ""
    assert seen(state, 1).frozen == "the market is about to close"


@pytest.mark.fault("F67", "F68")
def test_a_lifecycle_frame_changes_status_close_time_grid_and_result() -> None:
    state = manager()
    feed(state, LifecycleSeen(T, "deactivated"))
    assert seen(state).market.status is MarketStatus.INACTIVE
    grid = PriceGrid.linear(10)
    feed(state, LifecycleSeen(T, "activated", close_ms=5, grid=grid))
    assert (seen(state).market.status, seen(state).market.close_ms, seen(state).market.grid) == (
        MarketStatus.ACTIVE,
        5,
        grid,
    )
    feed(state, LifecycleSeen(T, "determined", result="yes"))
    assert (seen(state).market.status, seen(state).market.result) == (MarketStatus.DETERMINED, "yes")
    feed(state, LifecycleSeen("KXUNKNOWN", "determined"), LifecycleSeen(T, "something new"))
    assert seen(state).market.status is MarketStatus.DETERMINED


def test_frames_that_only_confirm_change_nothing() -> None:
    state = manager()
    before = seen(state)
    feed(state, PublicTrade(T, 4_100, 5, Side.BID, NOON_MS), GroupSeen("g", "triggered", NOON_MS))
    assert seen(state) == before


def test_the_ticker_keeps_the_last_price_and_a_fresh_catalog_does_not_forget_it() -> None:
    state = manager()
    feed(state, TickerSeen(T, 4_000, 5_000, 4_600, 700, NOON_MS), CatalogChanged((market(),)))
    assert seen(state).market.last_price_e4 == 4_600
    feed(state, TickerSeen("KXUNKNOWN", 1, 2, 3, 4, NOON_MS))


def test_a_market_deleted_from_the_config_counts_as_disabled_while_something_is_held() -> None:
    state = manager()
    placed(state)
    seen(state)
    feed(state, ConfigChanged((), limits()))
    view = state.view(NOW)
    assert view.markets[T].config.enabled is False
    assert view.markets[T].orders
    assert view.stray_orders == ()
    feed(state, OrderSeen(told(0, 0, "canceled")))
    assert T not in state.view(NOW).markets


def test_a_new_connection_leaves_no_book_of_the_old_one_proven() -> None:
    state = manager()
    assert seen(state).book.proven
    feed(state, FeedUp(2))
    assert not seen(state).book.proven


def test_a_book_read_by_rest_before_the_connection_came_back_replaces_nothing() -> None:
    """Found by the simulation: the read took three seconds, and its book came behind newer changes."""
    state = manager()
    told = seen(state).book
    polled = replace(snapshot(), bids=(Level(1_000, 100),), sid=0, audit=False)
    feed(state, polled)
    assert seen(state).book == told
    feed(state, FeedDown("lost"), polled)
    assert seen(state).book.best_bid == Level(1_000, 100)


def test_a_position_without_a_config_item_is_still_shown_and_counted() -> None:
    held = Position("KXB", 1_000, 4_200_000)
    state = manager(positions={"KXB": held})
    feed(state, CatalogChanged((market("KXB"),)))
    view = state.view(NOW)
    assert (view.markets["KXB"].config.enabled, view.exposure_e6) == (False, 4_200_000)


def test_live_orders_of_a_market_without_metadata_or_config_are_strays() -> None:
    stray = own(client_order_id="b-9", ticker="KXGONE")
    (found,) = manager(orders=(stray,)).view(NOW).stray_orders
    assert found.client_order_id == "b-9"


# ── money in the view ───────────────────────────────────────────────────────────────────────────


def test_daily_pnl_moves_by_fills_fees_and_marks() -> None:
    state = manager()
    state.view(NOW)
    feed(state, FillSeen(fill(1, 1_000, fee_e6=0)))
    view = state.view(NOW)
    taker_fee = 168_000  # 7 % · 10 · 0.40 · 0.60
    assert view.daily_pnl_e6 == 1_000 * (4_000 - 4_100) - taker_fee
    feed(state, snapshot(3_000, 4_000))
    assert state.view(NOW).daily_pnl_e6 == 1_000 * (3_000 - 4_100) - 147_000
    feed(state, BookLost((T,), "gap"))
    assert state.view(NOW).daily_pnl_e6 == 1_000 * (3_000 - 4_100) - 147_000


def test_the_new_day_starts_from_the_equity_at_midnight() -> None:
    state = manager()
    feed(state, FillSeen(fill(1, 1_000)))
    lost = state.view(NOW).daily_pnl_e6
    assert lost < 0
    tomorrow = state.view(later(12 * 3_600_000))
    assert (tomorrow.day.date, tomorrow.daily_pnl_e6) == ("2026-11-21", 0)
    assert tomorrow.equity_e6 == lost


def test_what_was_lost_today_before_anybody_looked_is_the_days_and_what_was_held_at_midnight_is_not() -> None:
    state = manager(day=Day())
    feed(state, FillSeen(replace(fill(1, 1_000), time_ms=NOON_MS - 86_400_000)))
    today = fill(2, 1_000)
    feed(state, FillSeen(today), snapshot(3_000, 4_000))
    assert state.view(NOW).daily_pnl_e6 == 1_000 * (3_000 - 4_100) - today.fee_e6
    feed(state, FillSeen(fill(3, 500)))
    before = state.view(NOW)
    feed(state, snapshot(2_000, 4_000))
    after = state.view(NOW)
    assert after.daily_pnl_e6 - before.daily_pnl_e6 == after.equity_e6 - before.equity_e6 < 0


def test_what_was_won_and_lost_today_in_a_market_that_is_not_known_counts_as_it_came() -> None:
    state = manager(day=Day())
    bought = replace(fill(1, 1_000), ticker="KXGONE", client_order_id="", order_id="by-hand", fee_e6=1)
    sold = replace(bought, trade_id="t-sold", side=Side.ASK, price_e4=1_100)
    feed(state, FillSeen(bought), FillSeen(sold))
    assert state.view(NOW).daily_pnl_e6 == 1_000 * (1_100 - 4_100) - 2


def test_fills_of_today_from_an_earlier_life_count_where_it_is_not_known_what_the_day_began_with() -> None:
    state = manager(
        day=Day(), positions={T: Position(T, 1_000, 4_100_000)}, today=(replace(fill(1, 1_000), fee_e6=0),)
    )
    feed(state, snapshot(3_000, 4_000))
    assert state.view(NOW).daily_pnl_e6 == 1_000 * (3_000 - 4_100)


def test_a_restart_goes_on_with_the_days_own_start() -> None:
    state = manager(day=Day("2026-11-20", 3_000_000), positions={T: Position(T, realised_e6=1_000_000)})
    assert state.view(NOW).daily_pnl_e6 == -2_000_000


def test_a_settlement_is_booked_once_and_only_where_something_is_held() -> None:
    state = manager(positions={T: Position(T, 1_000, 4_100_000)})
    assert not state.book_settlement(Settlement("KXB", 10_000, NOON_MS))
    assert state.book_settlement(Settlement(T, 10_000, NOON_MS, 5))
    assert not state.book_settlement(Settlement(T, 10_000, NOON_MS, 5))
    (row,) = rows(state, SettlementRow)
    assert isinstance(row, SettlementRow)
    assert (row.net_e2, row.realised_e6, row.position.net_e2) == (1_000, 5_900_000, 0)


def test_a_determined_market_is_valued_at_its_result() -> None:
    state = manager(positions={T: Position(T, 1_000, 4_100_000)})
    feed(state, LifecycleSeen(T, "determined", result="no"))
    assert seen(state).unrealised_e6 == -4_100_000


def test_the_view_is_frozen_against_what_happens_later() -> None:
    state = manager()
    before = state.view(NOW)
    feed(state, FillSeen(fill()))
    assert before.positions.get(T) is None
    assert state.view(NOW).positions[T].net_e2 == 400


def test_an_event_of_an_unknown_kind_is_a_programming_error() -> None:
    with pytest.raises(KeyError):
        manager().apply(object(), NOW)
