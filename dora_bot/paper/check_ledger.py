"""An independent audit: the trade log's rows against the exchange's own truth. Imports nothing of dora_bot.

Run as a script, with everything it needs in its environment:

* the usual AWS variables, ``LEDGER_TRADE_LOG`` and ``LEDGER_MARKET_CONFIG``: names of the two tables;
* ``LEDGER_ADMIN_URL`` and ``LEDGER_ADMIN_TOKEN``: the paper exchange's admin port;
* ``LEDGER_START_CASH``: dollars in the account before the first fill.

It books every row again, by its own arithmetic in exact fractions, and compares cash, fees, positions, realised
profit and every single fill to $0.000001. It also replays the exchange's journal: the position of each market,
had every resting order been filled, against the caps of its config item. One JSON object on stdout; exit code 1
if anything differs.
"""

import json
import os
import sys
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

import boto3
from botocore.config import Config

Row = Mapping[str, Any]

TOLERANCE = Decimal("0.000001")
_ACCOUNT = "trader"
"""The account whose key the exchange announces, and whose truth it tells unless asked for another."""

_SIGN = {"buy": 1, "sell": -1, "bid": 1, "ask": -1}


@dataclass
class Account:
    """One market: signed YES contracts, what they cost, and the money that moved."""

    net: Fraction = Fraction(0)
    cost: Fraction = Fraction(0)
    flow: Fraction = Fraction(0)
    realised: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)

    def trade(self, signed: Fraction, price: Fraction, fee: Fraction) -> Fraction:
        """Book ``signed`` contracts at ``price``. Returns the profit realised, before fees."""
        self.flow -= signed * price + fee
        self.fees += fee
        closing = Fraction(0)
        if self.net * signed < 0:
            closing = min(abs(signed), abs(self.net)) * (1 if self.net > 0 else -1)
        released = _toward_zero(self.cost * closing / self.net) if closing else Fraction(0)
        gain = closing * price - released
        self.cost += (signed + closing) * price - released
        self.net += signed
        self.realised += gain
        return gain

    @property
    def cash(self) -> Fraction:
        """What the exchange moved: each short contract is a NO contract, which ties up its dollar."""
        return self.flow + min(self.net, Fraction(0))


@dataclass
class Findings:
    """What was recomputed, and every difference found, each as one sentence."""

    accounts: dict[str, Account] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    fills: int = 0
    contracts: Fraction = Fraction(0)

    def compare(self, what: str, ledger: object, exchange: object) -> None:
        if abs(_exact(ledger) - _exact(exchange)) > _exact(TOLERANCE):
            self.differences.append(f"{what}: ledger {_text(ledger)}, exchange {_text(exchange)}")


def book(rows: Iterable[Row]) -> Findings:
    """Book every fill and settlement of the trade log, in the order in which each market's rows were written."""
    found = Findings()
    money = [row for row in rows if row["status"] in {"filled", "settled"}]
    for row in sorted(money, key=lambda r: (r["market_id"], r["position_version"])):
        account = found.accounts.setdefault(row["market_id"], Account())
        size, price, fee = (_exact(row[name]) for name in ("fill_size", "fill_price", "fee"))
        gain = account.trade(_SIGN[row["side"]] * size, price, fee)
        found.compare(f"realised by {row['timestamp#order_id']}", row["pnl_realized"], gain)
        if row["status"] == "filled":
            found.fills += 1
            found.contracts += size
    return found


def audit(found: Findings, rows: Iterable[Row], truth: Mapping[str, Any], start_cash: str) -> None:
    """Compare what was booked with the exchange's truth; differences are added to ``found``."""
    booked = [(f"{row['trade_id']}/{row['order_id']}", row) for row in rows if row["status"] == "filled"]
    ours = dict(booked)
    if len(ours) != len(booked):
        found.differences.append(f"{len(booked) - len(ours)} fills are in the trade log twice")
    theirs = {f"{fill['trade_id']}/{fill['order_id']}": fill for fill in truth["fills"]}
    for key in sorted(ours.keys() ^ theirs.keys()):
        found.differences.append(f"fill {key} is only in the {'trade log' if key in ours else 'exchange'}")
    for key in sorted(ours.keys() & theirs.keys()):
        row, fill = ours[key], theirs[key]
        if (row["market_id"], _SIGN[row["side"]]) != (fill["ticker"], _SIGN[fill["side"]]):
            found.differences.append(f"fill {key}: ledger {row['market_id']} {row['side']}, exchange differs")
        for mine, its in (("fill_price", "price"), ("fill_size", "count"), ("fee", "fee")):
            found.compare(f"fill {key} {its}", row[mine], fill[its])
    positions: Mapping[str, str] = truth["positions"]
    for ticker in sorted(found.accounts.keys() | positions.keys()):
        found.compare(
            f"position {ticker}", found.accounts.get(ticker, Account()).net, positions.get(ticker, "0")
        )
    cash = _exact(start_cash) + sum(account.cash for account in found.accounts.values())
    found.compare("cash", cash, truth["cash"])


# ── worst-case positions over time ──────────────────────────────────────────────────────────────


@dataclass
class Exposure:
    """One market at one moment: position, and by order what rests (positive: bids)."""

    net: Fraction = Fraction(0)
    resting: dict[str, Fraction] = field(default_factory=dict)

    def worst(self) -> tuple[Fraction, Fraction]:
        """Contracts long if every bid fills, contracts short if every ask fills."""
        bids = sum((size for size in self.resting.values() if size > 0), Fraction(0))
        asks = sum((size for size in self.resting.values() if size < 0), Fraction(0))
        return self.net + bids, -(self.net + asks)


def worst_over_cap(journal: Iterable[Row], caps: Mapping[str, tuple[Fraction, Fraction]]) -> Fraction:
    """By how many contracts a market's worst case ever exceeded its cap; 0 if never.

    ``journal`` holds the exchange's ``account`` entries: each is one consistent cut of what changed. A market
    that no cap names must not be traded, so its whole position counts.
    """
    markets: dict[str, Exposure] = {}
    over = Fraction(0)
    for entry in journal:
        for ticker in _apply(markets, entry):
            long, short = markets[ticker].worst()
            cap_long, cap_short = caps.get(ticker, (Fraction(0), Fraction(0)))
            over = max(over, long - cap_long, short - cap_short)
    return over


def _apply(markets: dict[str, Exposure], entry: Row) -> set[str]:
    """Take one entry in; returns the tickers it touched."""
    touched = set(entry["positions"])
    for ticker, net in entry["positions"].items():
        markets.setdefault(ticker, Exposure()).net = _exact(net)
    for order_id, order in entry["orders"].items():
        market = markets.setdefault(order["ticker"], Exposure())
        rests = order["status"] == "resting"
        market.resting[order_id] = _SIGN[order["side"]] * _exact(order["remaining_count"]) * rests
        touched.add(order["ticker"])
    return touched


def caps_of(items: Iterable[Row], tickers: Iterable[str]) -> dict[str, tuple[Fraction, Fraction]]:
    """Each ticker's (long, short) cap in contracts: its own item over its event's over its series' template."""
    by_id = {item["market_id"]: item for item in items}
    found = {}
    for ticker in tickers:
        event, series = ticker.rpartition("-")[0], ticker.partition("-")[0]
        merged = {
            **by_id.get(f"series#{series}", {}),
            **by_id.get(f"event#{event}", {}),
            **by_id.get(ticker, {}),
        }
        if merged:
            found[ticker] = (_exact(merged["max_inventory_yes"]), _exact(merged["max_inventory_no"]))
    return found


# ── numbers, AWS and HTTP ───────────────────────────────────────────────────────────────────────


def _exact(value: object) -> Fraction:
    return value if isinstance(value, Fraction) else Fraction(Decimal(str(value)))


def _toward_zero(value: Fraction) -> Fraction:
    """The published rule: cost released by a partial close is cut to a whole $0.000001."""
    return Fraction(int(value * 1_000_000), 1_000_000)


def _text(value: object) -> str:
    return f"{float(_exact(value)):.6f}"


def _scan(table: str) -> list[Row]:
    database = boto3.resource("dynamodb", config=Config(retries={"total_max_attempts": 3}))
    pages = database.meta.client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return [item for page in pages for item in page["Items"]]


def _admin(path: str) -> Any:
    url, token = os.environ["LEDGER_ADMIN_URL"].rstrip("/"), os.environ["LEDGER_ADMIN_TOKEN"]
    request = urllib.request.Request(url + path, headers={"Authorization": f"Bearer {token}"})  # noqa: S310  (loopback)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as reply:
        return json.load(reply)


def _journal() -> Iterable[Row]:
    """What the journal still holds of the account, oldest first."""
    after = 0
    while entries := _admin(f"/admin/v1/journal?after={after}")["entries"]:
        yield from (entry for entry in entries if entry["kind"] == "account" and entry["account"] == _ACCOUNT)
        after = entries[-1]["n"]


def main() -> int:
    rows = _scan(os.environ["LEDGER_TRADE_LOG"])
    truth = _admin("/admin/v1/truth")
    found = book(rows)
    audit(found, rows, truth, os.environ["LEDGER_START_CASH"])
    journal = list(_journal())
    tickers = {order["ticker"] for entry in journal for order in entry["orders"].values()}
    over = worst_over_cap(journal, caps_of(_scan(os.environ["LEDGER_MARKET_CONFIG"]), tickers))
    total = found.accounts.values()
    result = {
        "ledger_equals_exchange": not found.differences,
        "differences": found.differences,
        "fills": found.fills,
        "contracts": f"{float(found.contracts):.2f}",
        "realised_pnl": _text(sum((account.realised for account in total), Fraction(0))),
        "fees": _text(sum((account.fees for account in total), Fraction(0))),
        "open_orders": len(truth["open_orders"]),
        "max_worst_case_over_cap": f"{float(over):.2f}",
    }
    sys.stdout.write(json.dumps(result) + "\n")
    return 1 if found.differences else 0


if __name__ == "__main__":
    sys.exit(main())
