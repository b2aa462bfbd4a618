"""Candlesticks folded from the trade tape.

The venue also records quotes per period; the paper exchange keeps no history of quotes, so the quote
columns show the book of now, which is right for the latest period only.
"""

from collections.abc import Sequence

from dora_bot.models import Level
from dora_bot.paper.specs import MarketView, TradeView
from dora_bot.paper.wire import Json
from dora_bot.units import ONE_E4, count_text, price_text

_MAX_CANDLES = 10_000


def _flat(price_e4: int) -> Json:
    text = price_text(price_e4)
    return {f"{name}_dollars": text for name in ("open", "low", "high", "close")}


def _prices(trades: Sequence[TradeView], previous_e4: int) -> Json:
    """The price columns of one period; null where nothing traded."""
    names = ("open", "low", "high", "close", "mean", "min", "max")
    body: Json = dict.fromkeys((f"{name}_dollars" for name in names), None)
    body["previous_dollars"] = price_text(previous_e4) if previous_e4 else None
    if trades:
        prices = [trade.price_e4 for trade in trades]
        volume = sum(trade.count_e2 for trade in trades)
        mean = sum(trade.price_e4 * trade.count_e2 for trade in trades) // volume
        values = (prices[0], min(prices), max(prices), prices[-1], mean, min(prices), max(prices))
        body |= {f"{name}_dollars": price_text(value) for name, value in zip(names, values, strict=True)}
    return body


def candlesticks(
    market: MarketView, trades: Sequence[TradeView], start_s: int, end_s: int, period_min: int
) -> list[Json]:
    """One candle for each period that ends in (start, end] and in which something traded, oldest first."""
    width_ms = period_min * 60_000
    periods: dict[int, list[TradeView]] = {}
    for trade in trades:
        end_ms = (trade.time_ms // width_ms + 1) * width_ms
        if start_s * 1_000 < end_ms <= end_s * 1_000 + width_ms:
            periods.setdefault(end_ms, []).append(trade)
    bid = market.best_bid if market.best_bid.count_e2 else Level(0, 0)
    ask = market.best_ask if market.best_ask.count_e2 else Level(ONE_E4, 0)
    candles = []
    previous_e4 = 0
    for end_ms, members in list(periods.items())[:_MAX_CANDLES]:
        candles.append(
            {
                "end_period_ts": end_ms // 1_000,
                "yes_bid": _flat(bid.price_e4),
                "yes_ask": _flat(ask.price_e4),
                "price": _prices(members, previous_e4),
                "volume_fp": count_text(sum(trade.count_e2 for trade in members)),
                "open_interest_fp": count_text(market.open_interest_e2),
            }
        )
        previous_e4 = members[-1].price_e4
    return candles
