"""What must outlive a process, and who may write: judged on the journal's file, the halt file and the tables themselves."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from dora_bot.accounting import cash_e6
from dora_bot.halts import HaltFile
from dora_bot.items import STATE, TRADE_LOG
from dora_bot.lease import TERM_MS
from dora_bot.ledger import booking_of, is_booking
from dora_bot.models import Amend, Fill, Place, Position
from dora_bot.state_store import StateStore
from tests.sim.stores import TICKERS
from tests.sim.tables import PREFIX, SimDynamo, TableClient, Tables

if TYPE_CHECKING:
    from tests.sim.life import Life

CALL_MS = 2_000
"""The longest that a call lasts: so long the lease must hold on when one begins."""

LEASE = {"key": "lease#paper"}
STATE_TABLE = PREFIX + STATE.suffix
TRADES = PREFIX + TRADE_LOG.suffix


class Durable:
    def __init__(self, tables: Tables, broken: Callable[[str, str], None]) -> None:
        self._tables = tables
        self._broken = broken
        self._journals: dict[Path, sqlite3.Connection] = {}
        self._store = StateStore(SimDynamo(TableClient(tables, lambda _, act: act(), lambda: 0)))

    # ── a process begins and ends ───────────────────────────────────────────────────────────────

    def on_start(self, life: "Life") -> None:
        """Nothing that was in force or booked may be gone when the next process looks (I22, I36)."""
        host = life.host
        in_force = {halt.halt_id for halt in HaltFile(host.folder / "halts.jsonl").read().halts}
        if lost := host.latch.halts.keys() - in_force:
            self._broken("I36", f"the halts {sorted(lost)} of {host.name} are gone")

    def on_end(self, life: "Life") -> None:
        journal = self._journals.pop(life.host.folder, None)
        if journal is not None:
            journal.close()

    # ── exposure writes ─────────────────────────────────────────────────────────────────────────

    def on_exposure(self, life: "Life", action: Place | Amend, now_ms: int) -> None:
        """At the moment the first byte leaves: its intent is on the disk (I12), and the lease is ours (I34)."""
        if not self._intended(life.host.folder, action):
            self._broken("I12", f"{action.client_order_id} left before its intent was durable")
        lease = self._tables.get(STATE_TABLE, LEASE)
        if lease.get("owner") != life.host.name:
            self._broken(
                "I34", f"{life.host.name} sends while {lease.get('owner') or 'nobody'} has the lease"
            )
        left_ms = self._tables.written_ms(STATE_TABLE, LEASE) + TERM_MS - now_ms
        if left_ms < CALL_MS:
            self._broken("I34", f"{life.host.name} sends while its lease holds on for {left_ms} ms only")

    def _intended(self, folder: Path, action: Place | Amend) -> bool:
        if folder not in self._journals:
            self._journals[folder] = sqlite3.connect(folder / "journal.sqlite", isolation_level=None)
        kind = type(action).__name__.lower()
        query = "SELECT 1 FROM intents WHERE kind = ? AND client_order_id = ?"
        with closing(self._journals[folder].execute(query, (kind, action.client_order_id))) as found:
            return found.fetchone() is not None

    # ── when nothing moves ──────────────────────────────────────────────────────────────────────

    def check_books(self, fills: set[tuple[str, str]], positions: dict[str, Position], cash: int) -> None:
        """Everything was drained: the trade log holds each fill once, and the positions follow from it (I13, B10, I20)."""
        bookings = [booking_of(row) for row in self._tables.items[TRADES].values() if is_booking(row)]
        booked = [booking.event.key for booking in bookings if isinstance(booking.event, Fill)]
        if len(booked) != len(set(booked)):
            self._broken("I13", "a fill is in the trade log twice")
        if differing := sorted(set(booked) ^ fills)[:3]:
            self._broken("I13", f"fills in the trade log and made differ: {differing}")
        stored = self._store.positions()
        for ticker in TICKERS:
            net = stored.get(ticker, Position(ticker)).net_e2
            if net != positions[ticker].net_e2:
                self._broken("B10", f"{ticker}: {net} stored, {positions[ticker].net_e2} held")
        if (told := sum(cash_e6(position) for position in stored.values())) != cash:
            self._broken("I20", f"cash moved by {cash}, stored are {told}")

    def check_day(self, lives: Sequence["Life"]) -> None:
        """The day began with nothing gained or lost, whatever has died since (I36)."""
        for life in lives:
            view = life.runtime.parts.bot.published if life.runtime else None
            if view is not None and view.day.start_equity_e6:
                self._broken("I36", f"{life.host.name} counts the day from {view.day.start_equity_e6}")
