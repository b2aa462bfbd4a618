"""The end of a demo: the ledger folded from the trade log, held against the exchange, and audited independently."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from dora_bot.cli_support import note
from dora_bot.clock import SystemClock
from dora_bot.config import Settings
from dora_bot.demo_children import child_environment
from dora_bot.dynamo import Dynamo
from dora_bot.errors import DoraError, StoreError
from dora_bot.exchange_access import connect_client, load_signer
from dora_bot.items import MARKET_CONFIG, TRADE_LOG
from dora_bot.ledger import Ledger, fold
from dora_bot.models import BookView, Level, Position
from dora_bot.units import count_text, money_text, parse_count, parse_money
from dora_bot.valuation import liquidation_e6, mark, middle_e6, settled_mark

CHECKER: Final = Path(__file__).parent / "paper" / "check_ledger.py"
_CHECK_S: Final = 60


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the report is made of: the bot's environment, the exchange's truth, the bot's last words."""

    environ: Mapping[str, str]
    venue: Mapping[str, Any]
    truth: Mapping[str, Any]
    start_cash: str
    status: Mapping[str, Any]
    bot_exit: int


def report(evidence: Evidence, db: Dynamo) -> dict[str, Any]:
    """The object of INTERFACES. ``ledger_equals_exchange`` needs both the ledger and the audit to agree."""
    problems: list[str] = []
    ledger = _ledger(db, problems)
    problems += differences(ledger, evidence.truth, parse_money(evidence.start_cash))
    audited = audit(evidence, db)
    problems += audited["differences"]
    for problem in problems:
        note(f"dora demo: ledger: {problem}")
    total, counts = ledger.total, evidence.status.get("counts") or {}
    liquidation, middle = _unrealised(ledger, evidence)
    return {
        "ticks": counts.get("ticks", 0),
        "orders_placed": counts.get("orders_placed", 0),
        "orders_amended": counts.get("orders_amended", 0),
        "orders_cancelled": counts.get("orders_cancelled", 0),
        "fills": total.fills,
        "contracts": count_text(total.traded_e2),
        "realised_pnl": money_text(total.realised_e6),
        "unrealised_pnl": money_text(liquidation),
        "unrealised_mid": money_text(middle),
        "fees": money_text(total.fees_e6),
        "open_orders_at_end": len(evidence.truth["open_orders"]),
        "ledger_equals_exchange": not problems,
        "max_worst_case_over_cap": _number(audited["max_worst_case_over_cap"]),
        "tick_ms": evidence.status.get("tick_ms") or {},
        "reaction_ms": evidence.status.get("reaction_ms") or {},
        "dynamodb": evidence.status.get("dynamodb") or {},
        "bot_exit": evidence.bot_exit,
    }


def report_lines(found: Mapping[str, Any]) -> list[str]:
    """The report for a person, a line each."""
    equal = (
        "equals the exchange to $0.000001" if found["ledger_equals_exchange"] else "DIFFERS from the exchange"
    )
    tick, reaction = found["tick_ms"], found["reaction_ms"]
    return [
        f"fills           {found['fills']} ({found['contracts']} contracts)",
        f"realised        {found['realised_pnl']}  fees {found['fees']}",
        f"unrealised      {found['unrealised_pnl']} if closed now (at the middle {found['unrealised_mid']})",
        (
            f"orders          {found['orders_placed']} placed, {found['orders_amended']} amended, "
            f"{found['orders_cancelled']} cancelled, {found['open_orders_at_end']} left resting"
        ),
        (
            f"ticks           {found['ticks']}, p50 {tick.get('p50')} p99 {tick.get('p99')} max {tick.get('max')} ms; "
            f"reaction p50 {reaction.get('p50')} p99 {reaction.get('p99')} ms"
        ),
        f"risk            worst case above a cap by {found['max_worst_case_over_cap']} contracts at most",
        f"ledger          {equal}",
    ]


def differences(ledger: Ledger, truth: Mapping[str, Any], start_cash_e6: int) -> list[str]:
    """Where the ledger and the exchange disagree on positions, cash or the number of fills."""
    found = []
    held: Mapping[str, str] = truth["positions"]
    for ticker in sorted(ledger.positions.keys() | held.keys()):
        ours = ledger.positions.get(ticker, Position(ticker)).net_e2
        theirs = parse_count(held.get(ticker, "0.00"))
        if ours != theirs:
            found.append(f"position {ticker}: ledger {count_text(ours)}, exchange {count_text(theirs)}")
    cash_e6, exchange_e6 = start_cash_e6 + ledger.cash_e6, parse_money(truth["cash"])
    if cash_e6 != exchange_e6:
        found.append(f"cash: ledger {money_text(cash_e6)}, exchange {money_text(exchange_e6)}")
    if ledger.total.fills != len(truth["fills"]):
        found.append(f"fills: ledger {ledger.total.fills}, exchange {len(truth['fills'])}")
    return found


def audit(evidence: Evidence, db: Dynamo) -> dict[str, Any]:
    """Run the checker, a program of its own that shares no code with the bot. Raises `DoraError` if it cannot run."""
    environ = child_environment(
        {
            **{name: value for name, value in evidence.environ.items() if name.startswith("AWS_")},
            "AWS_DEFAULT_REGION": evidence.environ["AWS_REGION"],
            "LEDGER_TRADE_LOG": db.name(TRADE_LOG),
            "LEDGER_MARKET_CONFIG": db.name(MARKET_CONFIG),
            "LEDGER_ADMIN_URL": evidence.venue["admin_url"],
            "LEDGER_ADMIN_TOKEN": evidence.venue["admin_token"],
            "LEDGER_START_CASH": evidence.start_cash,
        }
    )
    # -I: not even by accident does it see the bot's package beside it.
    done = subprocess.run(  # noqa: S603  (our own interpreter and script, no shell)
        [sys.executable, "-I", str(CHECKER)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=_CHECK_S,
        check=False,
    )
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise DoraError(f"the ledger checker failed: {last[0]}") from error
    return found


def _ledger(db: Dynamo, problems: list[str]) -> Ledger:
    try:
        return fold(db.scan(TRADE_LOG))
    except StoreError as error:
        problems.append(str(error))
        return Ledger()


def _unrealised(ledger: Ledger, evidence: Evidence) -> tuple[int, int]:
    """What closing every position now would bring beyond its cost, and the same at the middle of the books.

    A position that only the ledger knows is a difference, not something that could be closed.
    """
    real = evidence.truth["positions"]
    held = {
        ticker: position
        for ticker, position in ledger.positions.items()
        if position.net_e2 and ticker in real
    }
    if not held:
        return 0, 0
    settings, clock = Settings.from_environ(evidence.environ), SystemClock()
    client = connect_client(settings, load_signer(settings), clock)
    try:
        markets = {market.ticker: market for market in client.get_markets(tickers=sorted(held))}
        books = {book.ticker: book for book in client.get_order_books(sorted(held))}
    finally:
        client.close()
    liquidation = middle = 0
    for ticker, position in held.items():
        book = books[ticker]
        view = BookView(_best_first(book.bids, -1), _best_first(book.asks, 1), proven=True)
        worth = settled_mark(markets[ticker]) or mark(view, None)
        liquidation += liquidation_e6(position, worth, markets[ticker].fees)
        middle += middle_e6(position, worth)
    return liquidation, middle


def _best_first(levels: tuple[Level, ...], sign: int) -> tuple[Level, ...]:
    return tuple(sorted(levels, key=lambda level: sign * level.price_e4))


def _number(text: str) -> int | float:
    """0 stays the integer 0, so that a reader may compare it with anything."""
    value = Decimal(text)
    return int(value) if value == value.to_integral_value() else float(value)
