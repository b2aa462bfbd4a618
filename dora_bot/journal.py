"""Local and durable: what the bot is about to do, and what waits for DynamoDB.

SQLite in WAL mode. A commit on the tick's thread costs about 20 µs and survives a killed process; the drain
thread's `checkpoint` makes it survive lost power too. The tick writes intents and rows, the drain thread
takes rows away once they are in DynamoDB. Everything here raises `StoreError` when the disk does not take it.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from dora_bot.errors import InvariantViolation, StoreError
from dora_bot.models import (
    Action,
    Amend,
    Cancel,
    Instant,
    Outcome,
    OutcomeKind,
    Place,
)
from dora_bot.records import (
    DecisionRow,
    FillRow,
    OrderRow,
    Row,
    SettlementRow,
)

_ACTIONS: dict[str, type[Action]] = {"place": Place, "amend": Amend, "cancel": Cancel}
_ROWS: dict[str, type[Row]] = {
    "fill": FillRow,
    "settlement": SettlementRow,
    "order": OrderRow,
    "decision": DecisionRow,
}
_NAMES: dict[type, str] = {kind: name for names in (_ACTIONS, _ROWS) for name, kind in names.items()}

_SCHEMA = """
CREATE TABLE IF NOT EXISTS intents (
    kind TEXT, client_order_id TEXT, order_id TEXT, body BLOB NOT NULL, time_ms INTEGER NOT NULL,
    unknown INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (kind, client_order_id, order_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS queue (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS queue_decisions ON queue (seq) WHERE kind = 'decision';
CREATE INDEX IF NOT EXISTS queue_ledger ON queue (seq) WHERE kind != 'decision';
CREATE TABLE IF NOT EXISTS booked (
    trade_id TEXT, order_id TEXT, time_ms INTEGER NOT NULL, PRIMARY KEY (trade_id, order_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS booked_time ON booked (time_ms);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
"""
_SCHEMA_VERSION = 1
_SETTLED = "settled"
_BUSY_S = 2.0

Decoded = TypeVar("Decoded")


@dataclass(frozen=True, slots=True)
class Intent:
    """An action whose end is not known: journalled before it was sent, never settled or settled as unknown."""

    action: Action
    time_ms: int
    unknown: bool


@dataclass(frozen=True, slots=True)
class QueuedRow:
    """A row on its way to DynamoDB; ``seq`` is its place in the order of recording."""

    seq: int
    row: Row


class SqliteJournal:
    """Implements `ports.Journal`. Safe to use from several threads of one process."""

    def __init__(self, path: Path) -> None:
        """Open or create. Raises `StoreError` if the file cannot be written or is not a journal of ours."""
        self._path = path
        self._lock = threading.Lock()
        self._encoder = msgspec.json.Encoder()
        self._connections: list[sqlite3.Connection] = []
        self._refused: list[Row] = []
        try:
            self._db = self._connect()
            self._sync_db = self._connect()
            self._migrate()
        except (sqlite3.Error, StoreError) as error:
            self.close()
            raise StoreError(f"journal {path}: {error}") from error

    def _migrate(self) -> None:
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if version not in (0, _SCHEMA_VERSION):
            raise StoreError(f"it was written by another version of the bot (layout {version})")
        self._db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;")

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        self._connections.append(db)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        # The tick's commit must never be the one that pays for copying the log back: `checkpoint` does.
        db.execute("PRAGMA wal_autocheckpoint = 0")
        return db

    # ── the tick's side: ports.Journal ──────────────────────────────────────────────────────────

    def intend(self, actions: Sequence[Action], now: Instant) -> None:
        rows = [(*_intent_key(action), self._encoder.encode(action), now.exchange_ms) for action in actions]
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO intents (kind, client_order_id, order_id, body, time_ms) VALUES (?,?,?,?,?)",
                rows,
            )

    def settle(self, outcomes: Sequence[Outcome], now: Instant) -> None:  # noqa: ARG002  (the port's signature)
        """May be called again for an action that was unknown, once evidence says how it ended."""
        unknown = [_intent_key(o.action) for o in outcomes if o.kind is OutcomeKind.UNKNOWN]
        ended = [_intent_key(o.action) for o in outcomes if o.kind is not OutcomeKind.UNKNOWN]
        where = "kind = ? AND client_order_id = ? AND order_id = ?"
        with self._transaction() as db:
            db.executemany(f"UPDATE intents SET unknown = 1 WHERE {where}", unknown)  # noqa: S608  (constant text)
            db.executemany(f"DELETE FROM intents WHERE {where}", ended)  # noqa: S608  (constant text)

    def record(self, rows: Sequence[Row]) -> None:
        """All rows or none. Raises `InvariantViolation` if a fill or settlement was booked before.

        What the disk refuses is kept and written before the next rows: a booking left out would be a gap that no
        later one can follow.
        """
        waiting = [*self._refused, *rows]
        queued = [(_NAMES[type(row)], self._encoder.encode(row)) for row in waiting]
        booked = [_booked_key(row) for row in waiting if isinstance(row, FillRow | SettlementRow)]
        try:
            with self._transaction() as db:
                try:
                    db.executemany("INSERT INTO booked VALUES (?,?,?)", booked)
                except sqlite3.IntegrityError as error:
                    raise InvariantViolation(f"booked twice, one of {booked}") from error
                db.executemany("INSERT INTO queue (kind, body) VALUES (?,?)", queued)
        except StoreError:
            self._refused = waiting
            raise
        self._refused = []

    # ── the drain's side ────────────────────────────────────────────────────────────────────────

    def pending(self, limit: int) -> list[QueuedRow]:
        """The oldest fills, settlements and order rows that are not in DynamoDB yet, in recording order."""
        return self._queued("kind != 'decision' ORDER BY seq LIMIT ?", limit)

    def pending_decisions(self, limit: int) -> list[QueuedRow]:
        return self._queued("kind = 'decision' ORDER BY seq LIMIT ?", limit)

    def backlog(self) -> int:
        """How many rows of all kinds wait."""
        return int(self._select("SELECT count(*) FROM queue")[0][0])

    def mark_drained(self, seqs: Sequence[int]) -> None:
        """These rows are in DynamoDB for good."""
        with self._transaction() as db:
            db.executemany("DELETE FROM queue WHERE seq = ?", [(seq,) for seq in seqs])

    def checkpoint(self) -> None:
        """Make all commits so far survive lost power and keep the log short. Blocks no other thread's commits."""
        try:
            self._sync_db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            raise StoreError(f"journal {self._path}: {error}") from error

    def prune(self, booked_before_ms: int, intents_before_ms: int) -> None:
        """Forget old fills, except the newest (the resume position stays), and intents that cannot live any more."""
        with self._transaction() as db:
            newest = "(SELECT max(time_ms) FROM booked)"
            db.execute(f"DELETE FROM booked WHERE time_ms < min(?, {newest})", (booked_before_ms,))  # noqa: S608  (constant text)
            db.execute("DELETE FROM intents WHERE time_ms < ?", (intents_before_ms,))

    # ── recovery ────────────────────────────────────────────────────────────────────────────────

    def unresolved(self) -> list[Intent]:
        """Intents without a known end, oldest first: sent or about to be sent when the process died."""
        found = self._select("SELECT kind, body, time_ms, unknown FROM intents ORDER BY time_ms")
        return [
            Intent(self._decode(body, _ACTIONS[kind]), time_ms, bool(unknown))
            for kind, body, time_ms, unknown in found
        ]

    def booked_fills(self, since_ms: int) -> frozenset[tuple[str, str]]:
        """(trade_id, order_id) of the fills booked from here with an exchange time ≥ ``since_ms``."""
        found = self._select(
            "SELECT trade_id, order_id FROM booked WHERE time_ms >= ? AND trade_id != ?", since_ms, _SETTLED
        )
        return frozenset((trade_id, order_id) for trade_id, order_id in found)

    def last_fill_ms(self) -> int:
        """Exchange time of the newest booked fill, 0 if there is none."""
        found = self._select("SELECT max(time_ms) FROM booked WHERE trade_id != ?", _SETTLED)
        return int(found[0][0] or 0)

    def remember_fence(self, fence: int) -> None:
        """The highest fencing number this state directory ever held; client order ids are made from it."""
        self._keep("fence", str(fence).encode())

    def fence(self) -> int:
        return int(self._fact("fence") or b"0")

    def close(self) -> None:
        for db in self._connections:
            db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ── SQLite ──────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as error:  # policy: roll back, then the caller's
                if self._db.in_transaction:
                    self._db.rollback()
                if isinstance(error, sqlite3.Error):
                    raise StoreError(f"journal {self._path}: {error}") from error
                raise

    def _select(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            with self._lock:
                return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"journal {self._path}: {error}") from error

    def _queued(self, which: str, limit: int) -> list[QueuedRow]:
        found = self._select(f"SELECT seq, kind, body FROM queue WHERE {which}", limit)  # noqa: S608  (constant text)
        return [QueuedRow(seq, self._decode(body, _ROWS[kind])) for seq, kind, body in found]

    def _keep(self, name: str, value: bytes) -> None:
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO facts VALUES (?,?)", (name, value))

    def _fact(self, name: str) -> bytes:
        found = self._select("SELECT value FROM facts WHERE name = ?", name)
        return bytes(found[0][0]) if found else b""

    def _decode(self, body: bytes, kind: type[Decoded]) -> Decoded:
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.DecodeError as error:
            raise StoreError(f"journal {self._path} holds a damaged {kind}: {error}") from error


def _intent_key(action: Action) -> tuple[str, str, str]:
    """One open intent per order and kind: while its outcome is unknown the market takes no second one."""
    order_id = "" if isinstance(action, Place) else action.order_id
    return (_NAMES[type(action)], action.client_order_id, order_id)


def _booked_key(row: FillRow | SettlementRow) -> tuple[str, str, int]:
    if isinstance(row, FillRow):
        return (row.fill.trade_id, row.fill.order_id, row.fill.time_ms)
    return (_SETTLED, row.settlement.ticker, row.settlement.time_ms)
