"""When no strategy may quote a market at all. Each guard returns its reason, empty if it has no objection."""

from collections.abc import Callable

from dora_bot.errors import ConfigError
from dora_bot.fees import fee_rates
from dora_bot.models import MarketStatus
from dora_bot.views import MarketView, Posture, Stance


def posture(_view: MarketView, stance: Stance) -> str:
    return (
        "" if stance.posture >= Posture.REDUCE_ONLY else f"{stance.posture.name}: {'; '.join(stance.reasons)}"
    )


def disabled(view: MarketView, _stance: Stance) -> str:
    return "" if view.config.enabled else "disabled in config"


def frozen(view: MarketView, _stance: Stance) -> str:
    return view.frozen


def not_active(view: MarketView, _stance: Stance) -> str:
    status = view.market.status
    return "" if status is MarketStatus.ACTIVE else f"market is {status}"


def unproven_book(view: MarketView, _stance: Stance) -> str:
    return "" if view.book.proven else "book is not proven"


def one_sided(view: MarketView, _stance: Stance) -> str:
    bid, ask = view.book.best_bid, view.book.best_ask
    if bid is None or ask is None:
        return "book has no " + ("bids" if bid is None else "asks")
    return "" if bid.price_e4 < ask.price_e4 else "book is locked or crossed"


def unknown_fees(view: MarketView, _stance: Stance) -> str:
    try:
        fee_rates(view.market.fees)
    except ConfigError as error:
        return str(error)
    return ""


GUARDS: tuple[Callable[[MarketView, Stance], str], ...] = (
    disabled,
    posture,
    not_active,
    unknown_fees,
    frozen,
    unproven_book,
    one_sided,
)


def objection(view: MarketView, stance: Stance) -> str:
    """The first guard's reason not to quote, or an empty string."""
    return next((reason for guard in GUARDS if (reason := guard(view, stance))), "")
