"""Rows as the bot books them: every fill and settlement with the position it led to."""

from dora_bot.accounting import apply_fill, apply_settlement
from dora_bot.models import (
    Fill,
    Level,
    Position,
    Quote,
    Settlement,
    Side,
)
from dora_bot.records import (
    DecisionRow,
    FillRow,
    OrderRow,
    SettlementRow,
)
from tests.fakes.manual_clock import NOON_MS


class Book:
    """Books fills and settlements one after the other; ``positions`` are what they led to."""

    def __init__(self, time_ms: int = NOON_MS) -> None:
        self.positions: dict[str, Position] = {}
        self.time_ms = time_ms
        self.trades = 0

    def fill(
        self,
        side: Side = Side.BID,
        price_e4: int = 4_000,
        count_e2: int = 100,
        *,
        ticker: str = "KXA",
        fee_e6: int = 7,
    ) -> FillRow:
        self.trades += 1
        self.time_ms += 1
        fill = Fill(
            f"t{self.trades}",
            f"o{self.trades}",
            ticker,
            side,
            price_e4,
            count_e2,
            fee_e6,
            False,
            self.time_ms,
            "c1",
        )
        after, realised = apply_fill(self.positions.get(ticker, Position(ticker)), fill)
        self.positions[ticker] = after
        return FillRow(fill, after, realised)

    def settle(self, value_e4: int, *, ticker: str = "KXA", fee_e6: int = 0) -> SettlementRow:
        self.time_ms += 1
        before = self.positions.get(ticker, Position(ticker))
        settlement = Settlement(ticker, value_e4, self.time_ms, fee_e6)
        after, realised = apply_settlement(before, settlement)
        self.positions[ticker] = after
        return SettlementRow(settlement, before.net_e2, after, realised)


def order_row(number: int, status: str = "placed", time_ms: int = NOON_MS) -> OrderRow:
    return OrderRow(f"c{number}", f"o{number}", "KXA", Side.BID, 4_000, 100, status, time_ms)


def decision_row(number: int, ticker: str = "KXA", reason: str = "quoting") -> DecisionRow:
    return DecisionRow(
        ticker,
        NOON_MS + number,
        (Level(4_000, 100),),
        (Level(4_500, 200),),
        -300,
        (Quote(ticker, Side.BID, 4_100, 500), Quote(ticker, Side.ASK, 4_400, 500)),
        2,
        1,
        reason,
    )
