"""By what arrived, up to when each market's book was known to be right (FAULTS section 1): counted here, never asked."""

from collections.abc import Container

from dora_bot.paper.ws_frames import Frame
from tests.sim.stores import TICKERS

SNAPSHOT = "orderbook_snapshot"
TERMINAL = (b'"code":10', b'"code":25')


class Proof:
    """Of one process. Times are virtual ms."""

    def __init__(self, now_ms: int) -> None:
        self.last_ms = dict.fromkeys(TICKERS, now_ms)
        """Of the markets whose book is not proven: up to when it was."""
        self.noticed_ms = dict(self.last_ms)
        """Since when that was to be seen."""
        self._seen: dict[int, int] = {}

    def proven_ms(self, ticker: str, evidence_ms: int) -> int:
        """Up to when the book was proven, on a line that was last heard at ``evidence_ms``."""
        return self.last_ms.get(ticker, evidence_ms)

    def opened(self) -> None:
        """A connection begins: its numbers are its own, and what it has not told is not known."""
        self._seen = {}

    def lost(self, evidence_ms: int, now_ms: int) -> None:
        """The connection has ended, or the books' subscription."""
        for ticker in TICKERS:
            if ticker not in self.last_ms:
                self.last_ms[ticker], self.noticed_ms[ticker] = evidence_ms, now_ms

    def read(self, ticker: str, now_ms: int) -> None:
        """A REST read of the book stands in while there is no connection; it is proof of its moment."""
        self.last_ms[ticker] = now_ms
        self.noticed_ms.pop(ticker, None)

    def frame(self, made: Frame, books: Container[int], now_ms: int) -> None:
        """``books``: the sids of the books' subscriptions."""
        if made.sid not in books:
            return
        before = self._seen.get(made.sid, made.seq)
        self._seen[made.sid] = made.seq
        if made.seq not in (before, before + 1) or (made.type == "error" and _ends(made)):
            self.lost(now_ms, now_ms)
        if made.type == SNAPSHOT:
            self.last_ms.pop(made.ticker, None)
            self.noticed_ms.pop(made.ticker, None)


def _ends(made: Frame) -> bool:
    return any(code in made.body for code in TERMINAL)
