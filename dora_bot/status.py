"""The bot's belief as the JSON object of `dora status`: dollars and contracts as strings, times in UTC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dora_bot import __version__, risk_manager
from dora_bot.accounting import average_cost_e4, unrealised_e6
from dora_bot.items import timestamp
from dora_bot.models import (
    Fill,
    Halt,
    Level,
    Side,
)
from dora_bot.own_orders import OwnOrder
from dora_bot.scoreboard import Scoreboard, percentile
from dora_bot.units import count_text, money_text, price_text
from dora_bot.views import MarketView, Stance, View


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the status tells besides the view: who we are, and what the slow threads measured."""

    env: str
    instance: str
    feed: str
    budget: Mapping[str, Any] = field(default_factory=dict)
    ages: Mapping[str, Any] = field(default_factory=dict)
    calls: Mapping[str, int] = field(default_factory=dict)
    queue: Mapping[str, int] = field(default_factory=dict)
    dynamodb: Mapping[str, float] = field(default_factory=dict)
    cash: Mapping[str, Any] = field(default_factory=dict)


def status(view: View, scores: Scoreboard, around: Surroundings) -> dict[str, Any]:
    """One consistent object: everything in it comes from the same view."""
    orders = [o for m in view.markets.values() for o in m.orders if o.live] + list(view.stray_orders)
    stance = _stance(view, scores)
    return {
        "time": timestamp(view.now.exchange_ms),
        "env": around.env,
        "instance": around.instance,
        "version": __version__,
        "posture": stance.posture.name if stance else "STARTING",
        "reasons": list(stance.reasons) if stance else [],
        "halts": [halt_json(h) for h in view.halts],
        "feed": around.feed,
        "open_orders": [_order(o) for o in orders if o.order_id],
        "positions": {t: _position(m) for t, m in view.markets.items() if m.position.net_e2},
        "pnl": _pnl(view),
        "markets": {t: _market(m, scores, around.queue) for t, m in view.markets.items()},
        "fills": [_fill(f) for f in reversed(list(scores.last_fills))],
        "budget": dict(around.budget),
        "ages": dict(around.ages),
        "counts": _counts(scores, around.calls),
        "tick_ms": _spread(scores.tick_ms),
        "reaction_ms": _spread(scores.reaction_ms),
        "dynamodb": dict(around.dynamodb),
        "cash": dict(around.cash),
    }


def _stance(view: View, scores: Scoreboard) -> Stance | None:
    """The tick's, if it has come that far with this view; until then what the view itself demands."""
    if scores.last is None:
        return None
    return scores.last.stance if scores.last.view is view else risk_manager.stance(view)


def end_lines(told: Mapping[str, Any], reason: str, resting: str) -> list[str]:
    """What `dora run` reports when it has stopped, a line each; ``resting`` as the exchange told it last."""
    counts, pnl = told["counts"], told["pnl"]
    return [
        f"stopped         {reason}",
        f"fills           {counts['fills']} ({counts['contracts']} contracts)",
        f"today           {pnl['daily']}",
        f"realised        {pnl['realised']}  fees {pnl['fees']}",
        f"unrealised      {pnl['unrealised']} if closed now",
        (
            f"orders          {counts['orders_placed']} placed, {counts['orders_amended']} amended, "
            f"{counts['orders_cancelled']} cancelled, {resting} left resting"
        ),
    ]


def halt_json(halt: Halt) -> dict[str, str]:
    return {
        "halt_id": halt.halt_id,
        "reason": halt.reason,
        "raised_at": timestamp(halt.raised_ms),
        "by": halt.raised_by,
        "hold": halt.hold,
        "scope": halt.scope,
        "evidence": halt.evidence,
        "acknowledged": halt.acknowledged,
    }


def _pnl(view: View) -> dict[str, str]:
    realised = sum(p.realised_e6 for p in view.positions.values())
    fees = sum(p.fees_e6 for p in view.positions.values())
    unrealised = view.equity_e6 - realised + fees
    middle = sum(_middle(m) for m in view.markets.values())
    return {
        "day": view.day.date,
        "realised": money_text(realised),
        "unrealised": money_text(unrealised),
        "unrealised_mid": money_text(middle),
        "fees": money_text(fees),
        "daily": money_text(view.daily_pnl_e6),
        "exposure": money_text(view.exposure_e6),
        "drawdown": money_text(view.peak.equity_e6 - view.equity_e6 if view.peak else 0),
    }


def _middle(market: MarketView) -> int:
    bid, ask = market.book.best_bid, market.book.best_ask
    if bid is None or ask is None or not market.position.net_e2:
        return market.unrealised_e6
    return (unrealised_e6(market.position, bid.price_e4) + unrealised_e6(market.position, ask.price_e4)) // 2


def _order(order: OwnOrder) -> dict[str, str]:
    return {
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
        "ticker": order.ticker,
        "side": order.side,
        "price": price_text(order.price_e4),
        "remaining_count": count_text(order.remaining_e2),
        "state": order.state,
    }


def _position(market: MarketView) -> dict[str, str]:
    return {
        "net": count_text(market.position.net_e2),
        "avg_cost": price_text(average_cost_e4(market.position)),
        "worst_case_loss": money_text(market.worst_loss_e6),
    }


def _market(market: MarketView, scores: Scoreboard, queue: Mapping[str, int]) -> dict[str, Any]:
    ours = {
        side: next((o for o in market.orders if o.side is side and o.live and o.order_id), None)
        for side in Side
    }
    told: dict[str, Any] = {
        "title": market.market.title,
        "status": market.market.status,
        "proven": market.book.proven,
        "net": count_text(market.position.net_e2),
        "unrealised": money_text(market.unrealised_e6),
        "last": price_text(market.market.last_price_e4),
        "reason": scores.reasons.get(market.ticker, ""),
    }
    for side, level in ((Side.BID, market.book.best_bid), (Side.ASK, market.book.best_ask)):
        told |= _level(str(side), level)
        order = ours[side]
        if order is not None:
            told[f"our_{side}"] = price_text(order.price_e4)
            told[f"our_{side}_size"] = count_text(order.remaining_e2)
            if order.order_id in queue:
                told[f"queue_{side}"] = count_text(queue[order.order_id])
    return told


def _level(name: str, level: Level | None) -> dict[str, str]:
    if level is None:
        return {}
    return {name: price_text(level.price_e4), f"{name}_size": count_text(level.count_e2)}


def _fill(fill: Fill) -> dict[str, str]:
    return {
        "time": timestamp(fill.time_ms),
        "ticker": fill.ticker,
        "side": fill.side,
        "price": price_text(fill.price_e4),
        "count": count_text(fill.count_e2),
        "fee": money_text(fill.fee_e6),
    }


def _counts(scores: Scoreboard, calls: Mapping[str, int]) -> dict[str, Any]:
    return {
        "ticks": scores.ticks,
        "orders_placed": scores.placed,
        "orders_amended": scores.amended,
        "orders_cancelled": scores.cancelled,
        "renewals": scores.renewals,
        "refused": scores.refused,
        "unknown": scores.unknown,
        "fills": scores.fills,
        "contracts": count_text(scores.contracts_e2),
        "foreign_orders": scores.foreign,
        **calls,
    }


def _spread(values: Sequence[int]) -> dict[str, int]:
    seen = list(values)
    return {"p50": percentile(seen, 0.5), "p99": percentile(seen, 0.99), "max": max(seen, default=0)}
