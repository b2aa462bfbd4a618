"""When no strategy may quote a market, each time with its reason."""

from dataclasses import replace

import pytest

from dora_bot import strategy
from dora_bot.models import FeeTerms, MarketStatus
from dora_bot.strategy.guards import objection
from dora_bot.views import MarketView, Posture, Stance
from tests.fakes.core import RUN, book, config, market, market_view


def test_a_good_market_meets_no_objection() -> None:
    assert objection(market_view(), RUN) == ""


@pytest.mark.parametrize(
    ("view", "said"),
    [
        (market_view(with_config=config(enabled=False)), "disabled in config"),
        (market_view(of=market(fees=FeeTerms("lunar"))), "unknown fee type 'lunar'"),
        (market_view(frozen="the fate of c1 is unknown"), "the fate of c1 is unknown"),
        (market_view(seen=book(proven=False)), "book is not proven"),
        (market_view(seen=book(None, 5_000)), "book has no bids"),
        (market_view(seen=book(4_000, None)), "book has no asks"),
        (market_view(seen=book(None, None)), "book has no bids"),
        (market_view(seen=book(4_500, 4_500)), "locked or crossed"),
        (market_view(seen=book(4_600, 4_500)), "locked or crossed"),
    ],
)
def test_each_guard_gives_its_reason(view: MarketView, said: str) -> None:
    assert said in objection(view, RUN)
    decision = strategy.quote(view, RUN, view.config)
    assert decision.quotes == ()
    assert said in decision.reason


@pytest.mark.parametrize("status", [s for s in MarketStatus if s is not MarketStatus.ACTIVE])
def test_only_an_active_market_is_quoted(status: MarketStatus) -> None:
    assert str(status) in objection(market_view(of=market(status=status)), RUN)


@pytest.mark.parametrize("posture", [Posture.HALTED, Posture.PAUSED])
def test_a_stance_below_reduce_only_objects_with_all_its_reasons(posture: Posture) -> None:
    said = objection(market_view(), Stance(posture, ("one", "two")))
    assert said == f"{posture.name}: one; two"


def test_the_first_objection_is_the_operators_own() -> None:
    view = replace(market_view(with_config=config(enabled=False)), frozen="f")
    assert objection(view, Stance(Posture.HALTED, ("h",))) == "disabled in config"
