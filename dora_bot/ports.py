"""What the core asks of the world. Every implementation of a port passes the port's contract suite.

Reads raise `ExchangeError` (or a subclass, each a policy) and never return None for failure.
Writes never raise for what the exchange or the network does: each ends in exactly one `Outcome`.
"""

from collections.abc import Sequence
from typing import Protocol

from dora_bot.events import BookSnapshot, HaltsChanged
from dora_bot.models import (
    AccountLimits,
    Action,
    Amend,
    Balance,
    Cancel,
    ExchangeOrder,
    ExchangePosition,
    ExchangeStatus,
    Fill,
    Hold,
    Instant,
    Market,
    Outcome,
    Place,
    Settlement,
)
from dora_bot.records import Row


class Clock(Protocol):
    def now(self) -> Instant:
        """Both clocks at once; ``exchange_ms`` is already corrected by the measured offset."""

    def sleep(self, seconds: float) -> None: ...


class Exchange(Protocol):
    """The trading calls of one account. Each takes at most 2 s in total."""

    def place_order(self, order: Place) -> Outcome: ...

    def place_orders(self, orders: Sequence[Place]) -> list[Outcome]:
        """One batch; the outcomes are in the order of the arguments. A missing item is UNKNOWN."""

    def amend_order(self, order: Amend) -> Outcome: ...

    def amend_orders(self, orders: Sequence[Amend]) -> list[Outcome]:
        """Side by side over a few kept-alive connections (there is no batch amend)."""

    def cancel_order(self, order: Cancel) -> Outcome: ...

    def cancel_orders(self, orders: Sequence[Cancel]) -> list[Outcome]:
        """In as many batches as it takes, side by side."""

    def cancel_all_orders(self) -> None:
        """Account-wide; blocks new orders for a minute. Raises `ExchangeError` unless the exchange said 204."""

    def get_order_book(self, ticker: str) -> BookSnapshot: ...

    def get_order_books(self, tickers: Sequence[str]) -> list[BookSnapshot]: ...

    def get_open_orders(self) -> list[ExchangeOrder]: ...

    def get_fills(self, since_ms: int) -> list[Fill]:
        """Every fill of the account from ``since_ms`` on, oldest first, all pages, without duplicates."""

    def get_positions(self) -> list[ExchangePosition]: ...

    def get_balance(self) -> Balance: ...


class AccountReader(Exchange, Protocol):
    """What the slow threads read besides; same deadline, own connection."""

    def get_settlements(self, since_ms: int) -> list[Settlement]: ...

    def get_user_data_timestamp(self) -> int:
        """Unix ms up to which the account reads are complete."""

    def get_limits(self) -> AccountLimits: ...

    def get_exchange_status(self) -> ExchangeStatus: ...

    def get_markets(
        self, *, tickers: Sequence[str] = (), series: str = "", event: str = "", status: str = ""
    ) -> list[Market]:
        """Markets with their event's and series' terms filled in (fees, exclusivity), all pages."""

    def get_queue_positions(self, tickers: Sequence[str]) -> dict[str, int]:
        """order_id → contracts ahead of it, in 0.01 contract."""

    def create_order_group(self, limit_e2: int, exchange_index: int) -> str: ...

    def trigger_order_group(self, group_id: str, exchange_index: int) -> None: ...

    def reset_order_group(self, group_id: str, exchange_index: int) -> None: ...


class Inbox(Protocol):
    """The only way into the tick: other threads append, the tick drains. Bounded; overflow loses the books,
    never an account event.
    """

    def post(self, event: object) -> None: ...

    def drain(self) -> list[object]: ...

    def wait(self, seconds: float) -> bool:
        """Sleep until something is there or the time is over; true if something is there."""


class Feed(Protocol):
    """The market data connection; it posts to the inbox from its own thread."""

    def watch(self, tickers: frozenset[str]) -> None:
        """Replace the set of markets that are subscribed; takes effect on the feed's own thread."""

    def resync(self, tickers: frozenset[str]) -> None:
        """These books contradict themselves: fetch new snapshots."""


class Journal(Protocol):
    """Local and durable; the way to DynamoDB is behind it. Raises `StoreError`."""

    def intend(self, actions: Sequence[Action], now: Instant) -> None:
        """Returns only when the intents survive a killed process; called before the first byte is sent."""

    def settle(self, outcomes: Sequence[Outcome], now: Instant) -> None:
        """The intents of these outcomes are resolved, or known to be unknown."""

    def record(self, rows: Sequence[Row]) -> None:
        """Queue rows for the tables; they survive a killed process, order is kept."""


class Gate(Protocol):
    """Asked immediately before each exposure write: lease margin, halt latch, shutdown."""

    def refusal(self, now: Instant) -> str:
        """Why no exposure may be sent right now; empty if it may."""

    def no_quotes(self, now: Instant) -> str:
        """Why nothing may rest either: soon another instance may own the account, or a thread of ours hangs."""


class HaltLatch(Protocol):
    """Halts that outlive the process."""

    def latch(
        self,
        reason: str,
        raised_by: str,
        evidence: str,
        now: Instant,
        *,
        hold: Hold = Hold.HALTED,
        scope: str = "",
    ) -> HaltsChanged:
        """Raise a halt (once per reason while it is in force) and return all that are in force."""


class Telemetry(Protocol):
    def emit(self, report: object) -> None:
        """Take a TickReport; never blocks, never raises."""
