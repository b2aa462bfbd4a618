"""What is written down: the rows of the trade log and the decision log, before they become DynamoDB items."""

from dataclasses import dataclass

from dora_bot.models import Fill, Level, Position, Quote, Settlement, Side


@dataclass(frozen=True, slots=True)
class FillRow:
    """A booked fill with the position it led to and what it realised (before fees)."""

    fill: Fill
    position: Position
    realised_e6: int


@dataclass(frozen=True, slots=True)
class SettlementRow:
    settlement: Settlement
    net_e2: int
    position: Position
    realised_e6: int


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order was placed, amended, cancelled, executed or refused: for the trade log, not for money."""

    client_order_id: str
    order_id: str
    ticker: str
    side: Side
    price_e4: int
    count_e2: int
    status: str
    time_ms: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """Why the quotes of one market changed, or why there are none; and on what that was decided, so that every order
    can be traced: ``code`` and ``config`` are hashes of the program and of all that was configured, ages in ms.
    """

    ticker: str
    time_ms: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    inventory_e2: int
    quotes: tuple[Quote, ...]
    placed: int
    cancelled: int
    reason: str
    book_version: int = 0
    book_age_ms: int = -1
    """Since the book last changed; -1 for rows of an older version, here and below."""
    account_age_ms: int = -1
    """Since the moment up to which the last reconciled read of the account was complete."""
    config: str = ""
    code: str = ""


Row = FillRow | SettlementRow | OrderRow | DecisionRow
