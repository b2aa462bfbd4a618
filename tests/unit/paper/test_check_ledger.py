"""The independent audit: silent on a true ledger, loud on any altered row, and blind to nothing over a cap."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import dora_bot.paper.check_ledger as checker
from dora_bot.accounting import cash_e6
from dora_bot.dynamo import Dynamo
from dora_bot.items import MARKET_CONFIG, TRADE_LOG, fill_item, settlement_item
from dora_bot.models import Side
from dora_bot.records import FillRow, SettlementRow
from dora_bot.units import count_text, money_text, price_text
from tests.fakes.admin_port import AdminPortFake
from tests.fakes.bookings import Book

SCRIPT = Path(checker.__file__)
Rows = list[FillRow | SettlementRow]


def history() -> tuple[Book, Rows]:
    """Longs, shorts, a flip through zero, a cost that does not divide, a settlement."""
    book = Book()
    rows: Rows = [
        book.fill(Side.BID, 4_000, 1_000),
        book.fill(Side.BID, 4_333, 700, fee_e6=1_234),
        book.fill(Side.ASK, 4_811, 333),
        book.fill(Side.ASK, 5_200, 2_000),
        book.fill(Side.BID, 5_100, 100),
        book.fill(Side.ASK, 3_000, 500, ticker="KXB"),
        book.settle(10_000, ticker="KXB"),
        book.fill(Side.BID, 900, 50, ticker="KXC"),
    ]
    return book, rows


def items_of(rows: Rows) -> list[dict[str, Any]]:
    return [fill_item(row) if isinstance(row, FillRow) else settlement_item(row) for row in rows]


def truth_of(book: Book, rows: Rows) -> dict[str, Any]:
    cash = 1_000_000_000 + sum(cash_e6(position) for position in book.positions.values())
    return {
        "open_orders": [],
        "positions": {p.ticker: count_text(p.net_e2) for p in book.positions.values() if p.net_e2},
        "cash": money_text(cash),
        "fills": [
            {
                "trade_id": row.fill.trade_id,
                "order_id": row.fill.order_id,
                "ticker": row.fill.ticker,
                "side": row.fill.side.value,
                "price": price_text(row.fill.price_e4),
                "count": count_text(row.fill.count_e2),
                "fee": money_text(row.fill.fee_e6),
            }
            for row in rows
            if isinstance(row, FillRow)
        ],
    }


def audited(items: list[dict[str, Any]], truth: dict[str, Any]) -> list[str]:
    found = checker.book(items)
    checker.audit(found, items, truth, "1000")
    return found.differences


def test_a_true_ledger_has_no_differences() -> None:
    book, rows = history()
    found = checker.book(items_of(rows))
    checker.audit(found, items_of(rows), truth_of(book, rows), "1000")
    assert found.differences == []
    assert found.fills == 7
    realised = sum(position.realised_e6 for position in book.positions.values())
    assert sum(a.realised for a in found.accounts.values()) == Fraction(realised, 1_000_000)


def bumped(name: str, amount: str) -> Callable[[dict[str, Any]], None]:
    def corrupt(item: dict[str, Any]) -> None:
        item[name] += Decimal(amount)

    return corrupt


def other_side(item: dict[str, Any]) -> None:
    item["side"] = {"buy": "sell", "sell": "buy"}[item["side"]]


def other_market(item: dict[str, Any]) -> None:
    item["market_id"] = "KXZ"


@pytest.mark.parametrize("row", range(8))
@pytest.mark.parametrize(
    "corrupt",
    [
        bumped("fill_price", "0.0001"),
        bumped("fill_size", "0.01"),
        bumped("fee", "0.000002"),
        bumped("pnl_realized", "0.000002"),
        other_side,
        other_market,
    ],
    ids=["price", "size", "fee", "pnl", "side", "market"],
)
def test_any_altered_row_is_found(row: int, corrupt: Callable[[dict[str, Any]], None]) -> None:
    book, rows = history()
    items = items_of(rows)
    corrupt(items[row])
    assert audited(items, truth_of(book, rows))


@pytest.mark.parametrize("row", range(8))
def test_a_missing_or_doubled_row_is_found(row: int) -> None:
    book, rows = history()
    items = items_of(rows)
    assert audited(items[:row] + items[row + 1 :], truth_of(book, rows))
    doubled = {**items[row], "position_version": items[row]["position_version"] + 1}
    assert audited([*items, doubled], truth_of(book, rows))


# ── worst case over cap ─────────────────────────────────────────────────────────────────────────


def entry(number: int, net: str | None = None, **orders: tuple[str, str, str]) -> dict[str, Any]:
    """One journal entry for KXA; an order is (side, remaining, status)."""
    return {
        "n": number,
        "kind": "account",
        "account": "trader",
        "positions": {} if net is None else {"KXA": net},
        "orders": {
            name: {"ticker": "KXA", "side": side, "remaining_count": size, "status": status}
            for name, (side, size, status) in orders.items()
        },
    }


CAPS = {"KXA": (Fraction(20), Fraction(10))}


def test_a_position_plus_its_resting_orders_within_the_cap_is_no_breach() -> None:
    journal = [
        entry(1, a=("bid", "10.00", "resting"), b=("ask", "10.00", "resting")),
        entry(2, net="10.00", a=("bid", "0.00", "executed")),
        entry(3, c=("bid", "10.00", "resting")),
        entry(4, net="-10.00", b=("ask", "0.00", "executed"), c=("bid", "10.00", "canceled")),
    ]
    assert checker.worst_over_cap(journal, CAPS) == 0


def test_the_worst_moment_counts_even_if_it_passed() -> None:
    journal = [
        entry(1, net="15.00"),
        entry(2, a=("bid", "10.00", "resting")),
        entry(3, a=("bid", "10.00", "canceled")),
    ]
    assert checker.worst_over_cap(journal, CAPS) == 5


def test_a_short_has_its_own_cap_and_a_market_without_one_has_none() -> None:
    assert checker.worst_over_cap([entry(1, a=("ask", "12.00", "resting"))], CAPS) == 2
    assert checker.worst_over_cap([entry(1, a=("ask", "12.00", "resting"))], {}) == 12


def test_caps_are_inherited_from_templates() -> None:
    items = [
        {"market_id": "series#KXA", "max_inventory_yes": Decimal(5), "max_inventory_no": Decimal(6)},
        {"market_id": "KXA-B-C", "max_inventory_yes": Decimal(7)},
    ]
    assert checker.caps_of(items, ["KXA-B-C", "KXA-B-D", "KXZ-1"]) == {
        "KXA-B-C": (Fraction(7), Fraction(6)),
        "KXA-B-D": (Fraction(5), Fraction(6)),
    }


# ── as a program ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def ledger(db: Dynamo) -> Iterator[tuple[Dynamo, AdminPortFake]]:
    book, rows = history()
    db.batch_put(TRADE_LOG, items_of(rows))
    caps = {"max_inventory_yes": Decimal(20), "max_inventory_no": Decimal(10)}
    db.batch_put(MARKET_CONFIG, [{"market_id": "KXA", **caps}])
    journal = [entry(n, a=("bid", f"{n}.00", "resting")) for n in range(1, 24)]
    with AdminPortFake(truth_of(book, rows), journal) as admin:
        yield db, admin


def run_checker(db: Dynamo, admin: AdminPortFake, aws_url: str) -> subprocess.CompletedProcess[str]:
    environ = {
        **os.environ,
        "AWS_ENDPOINT_URL": aws_url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "LEDGER_TRADE_LOG": db.name(TRADE_LOG),
        "LEDGER_MARKET_CONFIG": db.name(MARKET_CONFIG),
        "LEDGER_ADMIN_URL": admin.url,
        "LEDGER_ADMIN_TOKEN": admin.token,
        "LEDGER_START_CASH": "1000.00",
    }
    return subprocess.run(
        [sys.executable, "-I", str(SCRIPT)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_program_passes_a_true_ledger_and_reports_the_cap(
    ledger: tuple[Dynamo, AdminPortFake], aws_environment: str
) -> None:
    done = run_checker(*ledger, aws_environment)
    found = json.loads(done.stdout)
    assert (done.returncode, found["differences"]) == (0, [])
    assert (found["fills"], found["contracts"]) == (7, "46.83")
    assert found["max_worst_case_over_cap"] == "3.00"  # the 23rd entry rests 23 contracts under a cap of 20


def test_one_corrupted_row_fails_the_program(
    ledger: tuple[Dynamo, AdminPortFake], aws_environment: str
) -> None:
    db, _ = ledger
    row = next(db.scan(TRADE_LOG))
    db.put(TRADE_LOG, {**row, "fee": row["fee"] + Decimal("0.000002")})
    done = run_checker(*ledger, aws_environment)
    assert done.returncode == 1
    assert json.loads(done.stdout)["ledger_equals_exchange"] is False


def test_it_shares_no_code_with_the_bot() -> None:
    listing = subprocess.run(
        [
            sys.executable,
            "-I",
            "-c",
            f"import runpy, sys; runpy.run_path({str(SCRIPT)!r}); print(*sys.modules)",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert not [name for name in listing.stdout.split() if name.split(".")[0] == "dora_bot"]
