"""The demo's parts: what goes wrong in it on purpose, and what happens when a child does not start."""

from pathlib import Path

import pytest

from dora_bot.clock import SystemClock
from dora_bot.demo_admin import AdminPort, Disturbances, largest_position
from dora_bot.demo_children import Child, Stopped, child_environment
from dora_bot.demo_report import differences, report_lines
from dora_bot.errors import DoraError, ExchangeUnreachable
from dora_bot.items import fill_item
from dora_bot.ledger import Ledger, fold
from tests.fakes.admin_port import AdminPortFake
from tests.fakes.bookings import Book


def test_a_long_demo_sees_a_pause_and_an_early_determination_of_what_is_held() -> None:
    with AdminPortFake({"positions": {"KXA-1": "0.00", "KXB-1": "-3.00", "KXC-1": "2.00"}}) as port:
        trouble = Disturbances(AdminPort(port.url, port.token), shard=2, seconds=60)
        news = {second: said for second in range(60) if (said := trouble.step(second))}
    assert port.posts == [
        {"action": "pause", "shard": 2, "on": True},
        {"action": "pause", "shard": 2, "on": False},
        {"action": "determine", "ticker": "KXB-1", "result": "yes"},
        {"action": "settle", "ticker": "KXB-1"},
    ]
    assert list(news) == [15, 19, 25, 33]


def test_nothing_is_determined_while_nothing_is_held() -> None:
    with AdminPortFake({"positions": {}}) as port:
        trouble = Disturbances(AdminPort(port.url, port.token), shard=0, seconds=120)
        for second in range(20, 40):
            trouble.step(second)
        port.truth = {"positions": {"KXA-1": "1.00"}}
        assert "KXA-1 is determined early" in trouble.step(41)


def test_a_recorded_market_ends_as_it_was_recorded() -> None:
    with AdminPortFake({"positions": {"KXA-1": "1.00"}}) as port:
        tape = Disturbances(AdminPort(port.url, port.token), shard=0, seconds=60, determine=False)
        assert [second for second in range(60) if tape.step(second)] == [15, 19]


def test_a_short_demo_is_left_in_peace_and_a_cut_one_leaves_no_pause() -> None:
    with AdminPortFake({"positions": {"KXA-1": "1.00"}}) as port:
        short = Disturbances(AdminPort(port.url, port.token), shard=0, seconds=20)
        assert not any(short.step(second) for second in range(20))
        cut = Disturbances(AdminPort(port.url, port.token), shard=0, seconds=60)
        cut.step(15)
        cut.finish()
        cut.finish()
    assert [post["on"] for post in port.posts] == [True, False]


def test_the_admin_port_refuses_a_wrong_token_in_words() -> None:
    with AdminPortFake({}) as port, pytest.raises(ExchangeUnreachable, match="401"):
        AdminPort(port.url, "wrong").truth()


def test_the_largest_position_counts_either_way() -> None:
    assert largest_position({"A": "2.00", "B": "-3.50", "C": "0.00"}) == "B"
    assert largest_position({"A": "0.00"}) == ""


# ── children ────────────────────────────────────────────────────────────────────────────────────


def test_a_child_that_ends_early_is_told_with_its_last_words(tmp_path: Path) -> None:
    child = Child.start("frobnicate", ["frobnicate"], child_environment({}), tmp_path)
    with pytest.raises(DoraError, match=r"dora frobnicate ended with code 2: dora: .*frobnicate"):
        child.first_record(SystemClock(), 30, lambda: False)


def test_waiting_for_a_child_ends_when_asked_to_stop(tmp_path: Path) -> None:
    child = Child.start("local-aws", ["local-aws"], child_environment({}), tmp_path)
    with pytest.raises(Stopped):
        child.first_record(SystemClock(), 30, lambda: True)
    child.end(10)
    assert not child.running


def test_a_child_inherits_nothing_of_the_persons_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DORA_ENV", "DORA_KALSHI_KEY_ID", "AWS_PROFILE", "AWS_ACCESS_KEY_ID"):
        monkeypatch.setenv(name, "mine")
    environ = child_environment({"DORA_ENV": "paper"})
    assert {k: v for k, v in environ.items() if k.startswith(("DORA_", "AWS_"))} == {"DORA_ENV": "paper"}
    assert environ["PATH"]


# ── report ──────────────────────────────────────────────────────────────────────────────────────


def booked() -> Ledger:
    book = Book()
    rows = [
        book.fill(price_e4=4_000, count_e2=1_000, fee_e6=0),
        book.fill(price_e4=5_000, count_e2=200, fee_e6=0),
    ]
    return fold(fill_item(row) for row in rows)


def test_the_ledger_is_held_against_positions_cash_and_fills() -> None:
    true = {"positions": {"KXA": "12.00"}, "cash": "995.0000", "fills": [{}, {}]}
    assert differences(booked(), true, 1_000_000_000) == []
    lies = {"positions": {"KXA": "11.99", "KXB": "1.00"}, "cash": "995.000001", "fills": [{}]}
    found = differences(booked(), lies, 1_000_000_000)
    assert [line.split(":")[0] for line in found] == ["position KXA", "position KXB", "cash", "fills"]


def test_the_report_says_in_words_when_the_books_differ() -> None:
    report = {
        "fills": 2,
        "contracts": "12.00",
        "realised_pnl": "0.000000",
        "unrealised_pnl": "-0.100000",
        "unrealised_mid": "0.000000",
        "fees": "0.000000",
        "orders_placed": 4,
        "orders_amended": 0,
        "orders_cancelled": 2,
        "open_orders_at_end": 0,
        "ledger_equals_exchange": False,
        "max_worst_case_over_cap": 0,
        "ticks": 10,
        "tick_ms": {"p50": 1, "p99": 2, "max": 3},
        "reaction_ms": {},
    }
    assert "DIFFERS" in "\n".join(report_lines(report))
    assert "equals the exchange" in "\n".join(report_lines({**report, "ledger_equals_exchange": True}))
    assert all(len(line) <= 100 for line in report_lines(report))
