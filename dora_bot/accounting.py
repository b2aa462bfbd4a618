"""What a fill or a settlement does to a position: average cost, exact to the micro-dollar.

A position is signed YES contracts. ``cost_e6`` is what the open contracts were bought for (a short's cost is
negative: what was received for the YES it sold). Closing a part releases the same part of the cost, rounded
toward zero; the rounding stays in the open cost, so `cash_e6` is always the exact cash flow.
"""

from dataclasses import replace

from dora_bot.models import (
    Fill,
    Position,
    Settlement,
)
from dora_bot.units import ONE_E4


def apply_fill(position: Position, fill: Fill) -> tuple[Position, int]:
    """The position after the fill, and what the fill realised before fees, in 10⁻⁶ $."""
    change = fill.side.sign * fill.count_e2
    moved, realised = _trade(position, change, fill.price_e4)
    return replace(moved, fees_e6=position.fees_e6 + fill.fee_e6, version=position.version + 1), realised


def apply_settlement(position: Position, settlement: Settlement) -> tuple[Position, int]:
    """The market paid out: the whole position is closed at the settlement value."""
    moved, realised = _trade(position, -position.net_e2, settlement.value_e4)
    fees = position.fees_e6 + settlement.fee_e6
    return replace(moved, fees_e6=fees, version=position.version + 1), realised


def _trade(position: Position, change_e2: int, price_e4: int) -> tuple[Position, int]:
    net, cost = position.net_e2, position.cost_e6
    opposing = net * change_e2 < 0
    closing = min(abs(change_e2), abs(net)) if opposing else 0
    sign = 1 if change_e2 > 0 else -1
    # int(a / b) would be a float: // on magnitudes truncates toward zero exactly.
    released = abs(cost) * closing // abs(net) * (1 if cost > 0 else -1) if closing else 0
    proceeds = -sign * closing * price_e4
    realised = proceeds - released
    opened = sign * (abs(change_e2) - closing) * price_e4
    moved = replace(
        position,
        net_e2=net + change_e2,
        cost_e6=cost - released + opened,
        realised_e6=position.realised_e6 + realised,
    )
    return moved, realised


def cash_e6(position: Position) -> int:
    """Cash that went through the account for this market: negative while money is tied up.

    A short contract is a NO contract: it also ties up the dollar that its holder may have to pay.
    """
    return position.realised_e6 - position.cost_e6 - position.fees_e6 + min(position.net_e2, 0) * ONE_E4


def average_cost_e4(position: Position) -> int:
    """What one open contract cost on its own leg (YES price for longs, NO price for shorts), rounded down."""
    if position.net_e2 == 0:
        return 0
    if position.net_e2 > 0:
        return position.cost_e6 // position.net_e2
    return (position.cost_e6 - position.net_e2 * ONE_E4) // -position.net_e2


def unrealised_e6(position: Position, price_e4: int) -> int:
    """The open contracts marked at a YES price, before any fee of closing them."""
    return position.net_e2 * price_e4 - position.cost_e6
