"""What the three clients' sessions have in common: where the exchange is, and what they report.

These files run under the foreign clients' own interpreter and import nothing of dora_bot. Each session does
the same with its client's own methods, and prints what that client understood as one line of JSON.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

DEEP_BID, DEEPER_BID = "0.0200", "0.0100"
"""Prices at which a post-only bid rests in any market of the demo world."""

BUY_ANYTHING, SELL_ANYTHING = "0.9900", "0.0100"


@dataclass(frozen=True)
class Where:
    """The first line of `dora paper-exchange`, and the market to trade."""

    rest_url: str
    ws_url: str
    key_id: str
    private_key_path: str
    ticker: str

    @property
    def private_key(self) -> str:
        return Path(self.private_key_path).read_text()


@dataclass
class Report:
    """What a client understood; counts, prices and money as the decimal strings it was given."""

    tickers: list[str] = field(default_factory=list)
    best_yes_bid: str = ""
    best_no_bid: str = ""
    created_remaining: str = ""
    amended_remaining: str = ""
    resting: list[str] = field(default_factory=list)
    duplicate_status: int = 0
    duplicate_code: str = ""
    cancelled_by: str = ""
    gone_status: int = 0
    cash_before: str = ""
    cash_after: str = ""
    fills: list[dict[str, Any]] = field(default_factory=list)
    positions: dict[str, str] = field(default_factory=dict)
    frames: list[str] = field(default_factory=list)


def where() -> Where:
    return Where(**json.loads(sys.argv[1]))


def say(report: Report) -> None:
    print(json.dumps(asdict(report)))  # noqa: T201  (the report is this program's output)


def wait_for_balance() -> None:
    """The balance may be asked once a second, without a burst; no client paces that by itself."""
    time.sleep(1.1)
