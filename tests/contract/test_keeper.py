"""The keeper over real tables: edits reach the tick and are answered, metadata stays fresh, a failing job stops no other."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from dora_bot.ceilings import Ceilings
from dora_bot.config_store import ConfigStore
from dora_bot.dynamo import Dynamo
from dora_bot.errors import ConfigError, ExchangeUnreachable
from dora_bot.events import BookSnapshot, CatalogChanged, FeeChange, FeesAnnounced, StatusChanged
from dora_bot.items import MARKET_CONFIG, STATE
from dora_bot.keeper import (
    BOOKS_MS,
    CATALOG_MS,
    CHECK_MS,
    CONFIG_MS,
    FEES_MS,
    PAUSED_MS,
    QUEUE_MS,
    SCAN_MS,
    STATUS_MS,
    WRONG_MS,
    Keeper,
)
from dora_bot.models import ExchangeStatus, MarketStatus
from dora_bot.views import ConfigChanged
from tests.fakes.core import GLOBAL_ITEM, ITEM, market
from tests.fakes.exchange import FakeExchange
from tests.fakes.manual_clock import ManualClock
from tests.fakes.ports import FakeFeed, ListInbox


class Bench:
    def __init__(self, db: Dynamo) -> None:
        self.db = db
        self.clock = ManualClock()
        self.exchange = FakeExchange(self.clock)
        self.exchange.markets = {t: market(t) for t in ("KXA", "KXB", "KXHELD")}
        self.feed = FakeFeed()
        self.inbox = ListInbox(self.clock.sleep)
        self.problems: list[tuple[str, Exception]] = []
        self.held: frozenset[str] = frozenset()
        self.unchecked: frozenset[str] = frozenset()
        self.fee_changes: list[FeeChange] = []
        self.keeper = Keeper(
            clock=self.clock,
            reader=self.exchange,
            store=ConfigStore(db),
            feed=self.feed,
            inbox=self.inbox,
            ceilings=Ceilings(),
            limits=self.exchange.get_limits(),
            on_problem=lambda where, error: self.problems.append((where, error)),
            held=lambda: self.held,
            unchecked=lambda: self.unchecked,
            fee_changes=lambda: self.fee_changes,
        )
        self.edit_global()

    def edit(self, market_id: str = "KXA", **changes: Any) -> None:
        """As the console does it: the whole item is put again; an attribute given as None is deleted."""
        item = {"market_id": market_id, **(self.item(market_id) or dict(ITEM)), **changes}
        kept = {name: value for name, value in item.items() if value is not None}
        self.db.put(MARKET_CONFIG, {**kept, "market_id": market_id})

    def edit_global(self, **changes: Any) -> None:
        self.db.put(STATE, {**GLOBAL_ITEM, **changes})

    def item(self, market_id: str = "KXA") -> dict[str, Any]:
        return dict(self.db.get(MARKET_CONFIG, {"market_id": market_id}) or {})

    def start(self) -> list[object]:
        self.keeper.start(self.clock.now())
        return self.inbox.drain()

    def step(self, after_ms: int = CONFIG_MS) -> list[object]:
        self.keeper.step(self.clock.advance(after_ms))
        return self.inbox.drain()


@pytest.fixture
def bench(db: Dynamo) -> Iterator[Bench]:
    bench = Bench(db)
    bench.edit()
    yield bench
    assert bench.exchange.calls == []


def configs(events: list[object]) -> list[dict[str, int]]:
    """The spread of each market, for each change of the configuration that was told."""
    changes = [e for e in events if isinstance(e, ConfigChanged)]
    return [{c.market_id: c.min_spread_e4 for c in change.markets} for change in changes]


def outdated(events: list[object]) -> list[set[str]]:
    """The markets whose configuration is too old, for each change of the configuration that was told."""
    return [set(e.outdated) for e in events if isinstance(e, ConfigChanged)]


def test_the_start_tells_everything_before_anything_can_be_quoted(bench: Bench) -> None:
    events = bench.start()
    assert configs(events) == [{"KXA": 400}]
    kinds = [type(e) for e in events]
    assert kinds.index(CatalogChanged) < kinds.index(ConfigChanged)
    assert StatusChanged in kinds
    assert bench.feed.watched == {"KXA"}
    assert bench.keeper.limits == bench.exchange.limits


def test_an_edit_is_in_force_and_answered_at_the_next_read(bench: Bench) -> None:
    bench.start()
    bench.edit(min_spread=Decimal("0.07"))
    assert configs(bench.step()) == [{"KXA": 700}]
    answered = bench.item()
    assert answered["status"] == "applied"
    assert answered["applied_at"].startswith("2026-11-20T12:00:0")


def test_without_an_edit_nothing_is_told_or_written(bench: Bench) -> None:
    bench.start()
    written = bench.db.meter.write_units
    for _ in range(5):
        assert configs(bench.step()) == []
    assert bench.db.meter.write_units == written


def test_a_bad_edit_keeps_the_last_good_value_and_is_answered_once(bench: Bench) -> None:
    bench.start()
    bench.edit(min_spread="wide")
    assert configs(bench.step()) == []
    first = bench.item()
    assert first["status"].startswith("rejected: market KXA: min_spread")
    assert first["min_spread"] == "wide"
    bench.step()
    assert bench.item() == first
    bench.edit(min_spread=" 0.05 ")
    assert configs(bench.step()) == [{"KXA": 500}]
    assert bench.item()["status"] == "applied"


def test_an_item_that_stays_wrong_for_ten_minutes_only_reduces_until_it_is_right(bench: Bench) -> None:
    bench.start()
    bench.edit(min_spread="wide")
    assert outdated(bench.step()) == []
    assert outdated(bench.step(WRONG_MS - CONFIG_MS)) == []
    assert outdated(bench.step(CONFIG_MS)) == [{"KXA"}]
    bench.edit(min_spread=Decimal("0.05"))
    assert outdated(bench.step()) == [set()]


def test_a_wrong_global_item_lets_every_market_reduce_only(bench: Bench) -> None:
    bench.start()
    bench.edit_global(max_daily_loss=Decimal(-1))
    assert outdated(bench.step()) == []
    assert outdated(bench.step(WRONG_MS)) == [{"KXA"}]


def test_a_deleted_attribute_is_answered_and_a_deleted_item_is_disabled(bench: Bench) -> None:
    bench.start()
    bench.edit(quote_size=None)
    assert configs(bench.step()) == []
    assert bench.item()["status"] == "rejected: market KXA: quote_size is missing"
    bench.db.client.delete_item(TableName=bench.db.name(MARKET_CONFIG), Key={"market_id": {"S": "KXA"}})
    assert configs(bench.step()) == [{}]
    assert bench.item() == {}


def test_two_edits_between_two_reads_are_answered_as_the_last_one(bench: Bench) -> None:
    bench.start()
    bench.edit(min_spread="wrong")
    bench.edit(min_spread=Decimal("0.09"))
    assert configs(bench.step()) == [{"KXA": 900}]
    assert bench.item()["status"] == "applied"


def test_a_new_item_is_found_by_the_scan_of_the_minute(bench: Bench) -> None:
    bench.start()
    bench.edit("KXB")
    assert configs(bench.step()) == []
    assert configs(bench.step(SCAN_MS)) == [{"KXA": 400, "KXB": 400}]
    assert bench.feed.watched == {"KXA", "KXB"}


def test_a_market_nobody_knows_is_answered_and_taken_as_soon_as_it_exists(bench: Bench) -> None:
    bench.edit("KXNEW")
    bench.start()
    assert "unknown to the exchange" in bench.item("KXNEW")["status"]
    bench.exchange.markets["KXNEW"] = market("KXNEW")
    assert configs(bench.step()) == [{"KXA": 400, "KXNEW": 400}]
    assert bench.item("KXNEW")["status"] == "applied"


def test_a_template_takes_in_markets_that_open_later(bench: Bench) -> None:
    bench.exchange.markets = {"KXA": market("KXA", series_ticker="OLD")}
    bench.edit("series#SER")
    assert configs(bench.start()) == [{"KXA": 400}]
    bench.exchange.markets["KXB"] = market("KXB")
    bench.step(CATALOG_MS)
    assert configs(bench.step()) == [{"KXA": 400, "KXB": 400}]


def test_a_global_edit_is_told_and_a_bad_one_refused(bench: Bench) -> None:
    bench.start()
    bench.edit_global(max_daily_loss=Decimal(20))
    (change,) = [e for e in bench.step() if isinstance(e, ConfigChanged)]
    assert change.global_config is not None
    assert change.global_config.max_daily_loss_e6 == 20_000_000
    bench.edit_global(max_daily_loss=Decimal(-1))
    assert configs(bench.step()) == []
    assert bench.db.get(STATE, {"key": "global_config"})["status"].startswith("rejected")


def test_a_deleted_global_item_keeps_its_last_value_and_stops_no_edit_of_a_market(bench: Bench) -> None:
    bench.start()
    bench.db.client.delete_item(TableName=bench.db.name(STATE), Key={"key": {"S": "global_config"}})
    bench.edit(enabled=False)
    (change,) = [e for e in bench.step() if isinstance(e, ConfigChanged)]
    assert [c.enabled for c in change.markets] == [False]
    assert change.global_config is not None
    assert bench.item()["status"] == "applied"
    assert "global_config is missing" in str(bench.problems[0][1])


def test_without_a_global_item_nothing_starts(bench: Bench) -> None:
    bench.db.client.delete_item(TableName=bench.db.name(STATE), Key={"key": {"S": "global_config"}})
    with pytest.raises(ConfigError, match="dora tables create"):
        bench.start()


def test_what_we_hold_stays_known_and_watched_whatever_the_config_says(bench: Bench) -> None:
    bench.held = frozenset({"KXHELD"})
    events = bench.start()
    assert bench.feed.watched == {"KXA", "KXHELD"}
    (catalog, *_) = [e for e in events if isinstance(e, CatalogChanged)]
    assert {m.ticker for m in catalog.markets} == {"KXA", "KXHELD"}


def test_an_exchange_that_does_not_answer_stops_no_config_edit(bench: Bench) -> None:
    bench.start()
    bench.exchange.failing = {
        what: ExchangeUnreachable("no answer") for what in ("markets", "status", "queue")
    }
    bench.edit(enabled=False)
    (change,) = [e for e in bench.step(CATALOG_MS) if isinstance(e, ConfigChanged)]
    assert [c.enabled for c in change.markets] == [False]
    assert {where for where, _ in bench.problems} == {"catalog", "status", "queue"}
    failed = {job.name for job in bench.keeper.jobs if job.error}
    assert failed == {"catalog", "status", "queue"}
    bench.exchange.failing = {}
    bench.step(CATALOG_MS)
    assert not [job.name for job in bench.keeper.jobs if job.error]


def test_an_exchange_that_does_not_answer_ends_the_start(bench: Bench) -> None:
    bench.exchange.failing = {"status": ExchangeUnreachable("no answer")}
    with pytest.raises(ExchangeUnreachable):
        bench.start()


def test_an_edit_need_not_wait_until_all_slow_calls_have_ended(bench: Bench) -> None:
    """Each of the others may take two seconds; the item is read again before the last of them begins."""
    bench.edit(enabled=True)
    bench.start()
    seen: list[bool] = []

    def slow() -> frozenset[str]:
        seen.append(bench.keeper.resolution.configs["KXA"].enabled)
        return frozenset()

    def slow_fees() -> list[FeeChange]:
        bench.edit(enabled=False)
        bench.clock.advance(CONFIG_MS)
        return []

    bench.keeper.fee_changes, bench.keeper.unchecked = slow_fees, slow
    bench.step()
    assert seen == [False]


def test_a_pause_of_the_exchange_is_told_within_seconds(bench: Bench) -> None:
    bench.start()
    paused = ExchangeStatus(active=True, trading=False)
    bench.exchange.status = paused
    assert StatusChanged(paused) in bench.step(STATUS_MS)


def test_a_pause_is_looked_at_half_as_often(bench: Bench) -> None:
    bench.start()
    bench.exchange.status = ExchangeStatus(active=True, trading=False)
    bench.step(STATUS_MS)
    assert not any(isinstance(e, StatusChanged) for e in bench.step(PAUSED_MS - 1))
    bench.exchange.status = ExchangeStatus(active=True, trading=True)
    assert StatusChanged(bench.exchange.status) in bench.step(1)
    assert any(isinstance(e, StatusChanged) for e in bench.step(STATUS_MS))


def test_books_that_rest_has_not_agreed_with_are_read_until_it_does(bench: Bench) -> None:
    bench.start()
    bench.step(BOOKS_MS)
    audits = [e for e in bench.step() if isinstance(e, BookSnapshot)]
    assert audits == []
    bench.unchecked = frozenset({"KXB"})
    for _ in range(2):
        audits = [e for e in bench.step(CHECK_MS) if isinstance(e, BookSnapshot)]
        assert [(book.ticker, book.audit, book.sid) for book in audits] == [("KXB", True, 0)]


def test_known_items_are_read_without_a_scan(bench: Bench) -> None:
    bench.start()
    before = bench.db.meter.read_units
    bench.step()
    assert bench.db.meter.read_units - before <= 3


def test_queue_places_are_kept_for_the_status(bench: Bench) -> None:
    bench.exchange.queue = {"o1": 500}
    bench.start()
    bench.step(QUEUE_MS)
    assert bench.keeper.queue == {"o1": 500}


def test_a_market_whose_metadata_is_damaged_becomes_unknown_and_hides_no_other(bench: Bench) -> None:
    bench.edit("KXA")
    bench.edit("KXB")
    bench.start()
    bench.exchange.damaged = {"KXB"}
    (told,) = [e for e in bench.step(CATALOG_MS) if isinstance(e, CatalogChanged)]
    assert {m.ticker: m.status for m in told.markets} == {
        "KXA": MarketStatus.ACTIVE,
        "KXB": MarketStatus.UNKNOWN,
    }
    ((where, error),) = bench.problems
    assert (where, str(error)) == ("catalog", "KXB: markets[].price_ranges missing")


def test_a_change_of_fees_to_come_is_told_once_to_people_and_to_the_tick(bench: Bench) -> None:
    now_ms = bench.clock.now().exchange_ms
    ours = FeeChange("SER", "", "quadratic_with_maker_fees", 500_000, now_ms + 2 * FEES_MS)
    cleared = FeeChange("", "EVT", None, None, now_ms + 2 * FEES_MS)
    past = FeeChange("SER", "", "quadratic", 1_000_000, now_ms - 1)
    bench.fee_changes = [ours, cleared, past, FeeChange("KXNOTOURS", "", "quadratic", 1, now_ms + FEES_MS)]
    bench.start()
    told = [e for e in bench.step() if isinstance(e, FeesAnnounced)]
    assert told == [FeesAnnounced((ours, cleared))]
    assert bench.keeper.announced == (ours, cleared)
    words = [str(error) for where, error in bench.problems if where == "fees"]
    assert words == [
        "the fees of SER change at 2026-11-20T12:20:00.000Z to quadratic_with_maker_fees x 0.500000",
        "the fees of EVT change at 2026-11-20T12:20:00.000Z to those of its series",
    ]
    bench.step(FEES_MS)
    assert len([where for where, _ in bench.problems if where == "fees"]) == 2


def test_the_catalog_says_as_of_when_its_terms_are(bench: Bench) -> None:
    (told,) = [e for e in bench.start() if isinstance(e, CatalogChanged)]
    assert told.as_of_ms == bench.clock.now().exchange_ms
