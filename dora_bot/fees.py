"""Trading fees in exact integer arithmetic: what one fill costs, and what a fill is expected to cost.

The model fee of a fill is ``rate · multiplier · C · P · (1 − P)``; its rate comes from the series' ``fee_type``,
never from a table of ours. What is charged differs from the model by rounding: the trade fee is rounded up to
a small step, then the whole balance change is rounded down to the account's precision, and what rounding took
over the fills of one order is given back in whole units of that precision.

The same code charges on the paper exchange and informs the strategies, so that they cannot disagree.
"""

from dataclasses import dataclass
from typing import NamedTuple

from dora_bot.errors import ConfigError
from dora_bot.models import FeeTerms, Side
from dora_bot.units import ONE_E4

DIRECT_PRECISION_E6 = 100
"""Direct members' (API users') balances move in steps of 0.0001 $."""
MEMBER_PRECISION_E6 = 10_000
"""Other members' balances move in whole cents."""

CONTRACT_E2 = 100


class FeeRates(NamedTuple):
    """The factors before C·P·(1 − P), × 10⁴."""

    taker_e4: int
    maker_e4: int


_RATES = {
    "quadratic": FeeRates(700, 0),
    "quadratic_with_maker_fees": FeeRates(700, 175),
    "quadratic_with_combo_maker_fees": FeeRates(700, 350),
}


def fee_rates(terms: FeeTerms) -> FeeRates:
    """The rates of a fee type. Raises `ConfigError` for one this version does not know: do not quote there."""
    rates = _RATES.get(terms.fee_type)
    if rates is None:
        raise ConfigError(f"unknown fee type {terms.fee_type!r}: cannot say what a fill costs")
    return rates


@dataclass(frozen=True, slots=True)
class FeeRounding:
    """How charges are rounded, all in 10⁻⁶ $.

    ``step_e6``: trade fees are rounded up to multiples of it. ``precision_e6``: balances move in multiples of
    it. Once an order's rounding adds up to ``rebate_from_e6``, it is paid back in multiples of
    ``rebate_unit_e6``.
    """

    step_e6: int
    precision_e6: int
    rebate_unit_e6: int
    rebate_from_e6: int

    @classmethod
    def october(cls, precision_e6: int = DIRECT_PRECISION_E6) -> "FeeRounding":
        """The text of October 2026: step 0.000001 $, rebates in multiples of the precision."""
        return cls(1, precision_e6, precision_e6, precision_e6)

    @classmethod
    def august(cls, precision_e6: int = DIRECT_PRECISION_E6) -> "FeeRounding":
        """The text of August 2026: step 0.0001 $, one cent back once *more* than a cent has added up."""
        return cls(100, precision_e6, 10_000, 10_001)


OCTOBER = FeeRounding.october()


class Charge(NamedTuple):
    """One fill's fee in its parts, 10⁻⁶ $; ``net_e6`` is what the exchange reports and takes, never negative."""

    trade_fee_e6: int
    rounding_e6: int
    rebate_e6: int

    @property
    def net_e6(self) -> int:
        return self.trade_fee_e6 + self.rounding_e6 - self.rebate_e6


def trade_fee_e6(
    terms: FeeTerms, price_e4: int, count_e2: int, *, is_taker: bool, step_e6: int = OCTOBER.step_e6
) -> int:
    """The model fee rounded up to ``step_e6``. Symmetric in P and 1 − P. Raises `ConfigError` as `fee_rates`."""
    rates = fee_rates(terms)
    rate_e4 = rates.taker_e4 if is_taker else rates.maker_e4
    exact_e20 = rate_e4 * terms.multiplier_e6 * count_e2 * price_e4 * (ONE_E4 - price_e4)
    return -(-exact_e20 // (10**14 * step_e6)) * step_e6


@dataclass(slots=True)
class OrderFees:
    """The rounding accumulator of one order over its taker and maker fills."""

    rounding: FeeRounding = OCTOBER
    carried_e6: int = 0

    def charge(self, terms: FeeTerms, side: Side, price_e4: int, count_e2: int, *, is_taker: bool) -> Charge:
        """Charge the next fill of the order and remember what rounding took."""
        rule = self.rounding
        trade_fee = trade_fee_e6(terms, price_e4, count_e2, is_taker=is_taker, step_e6=rule.step_e6)
        # A contract's dollar is a multiple of every precision, so opening and closing round alike and the
        # change can be taken on the YES leg.
        change = -side.sign * price_e4 * count_e2 - trade_fee
        rounding = change % rule.precision_e6
        self.carried_e6 += rounding
        rebate = self._rebate(trade_fee + rounding)
        self.carried_e6 -= rebate
        return Charge(trade_fee, rounding, rebate)

    def _rebate(self, charged_e6: int) -> int:
        rule = self.rounding
        if self.carried_e6 < rule.rebate_from_e6:
            return 0
        return min(self.carried_e6, charged_e6) // rule.rebate_unit_e6 * rule.rebate_unit_e6


def fill_fee_e6(
    terms: FeeTerms,
    side: Side,
    price_e4: int,
    count_e2: int,
    *,
    is_taker: bool,
    rounding: FeeRounding = OCTOBER,
) -> int:
    """The net fee of an order filled in one piece, 10⁻⁶ $, rounding included."""
    return OrderFees(rounding).charge(terms, side, price_e4, count_e2, is_taker=is_taker).net_e6


def contract_fee_e6(terms: FeeTerms, price_e4: int, *, is_taker: bool) -> int:
    """What one contract of a large fill costs at this price, 10⁻⁶ $ rounded up: the strategies' cost of a trade."""
    return trade_fee_e6(terms, price_e4, CONTRACT_E2, is_taker=is_taker)
