"""Our realised PnL against the exchange's: what is explained, what is not, and when that is said."""

from dora_bot.models import ExchangePosition, Position
from dora_bot.pnl_check import PnlCheck

T, LATER = "KXA", "KXB"


def ours(realised_e6: int, fees_e6: int, ticker: str = T) -> dict[str, Position]:
    return {ticker: Position(ticker, 100, 0, realised_e6, fees_e6)}


def told(realised_e6: int, fees_e6: int, ticker: str = T) -> list[ExchangePosition]:
    return [ExchangePosition(ticker, 100, realised_e6, fees_e6)]


def test_what_both_book_alike_is_explained_whatever_was_before_our_books() -> None:
    check = PnlCheck()
    check.note(told(5_000_000, 300_000), ours(0, 0), [T], 0)
    assert not check.note(told(5_900_000, 340_000), ours(900_000, 40_000), [T], 3)
    assert check.unexplained_e6 == 0


def test_more_than_a_cent_a_fill_is_said_once_each_time_it_begins() -> None:
    check = PnlCheck()
    check.note([], {}, [], 0)
    assert not check.note(told(20_000, 0), ours(0, 0), [T], 2)
    assert check.unexplained_e6 == 20_000
    assert check.note(told(20_001, 0), ours(0, 0), [T], 2)
    assert not check.note(told(20_001, 0), ours(0, 0), [T], 2)
    assert not check.note(told(0, 0), ours(0, 0), [T], 2)
    assert check.note(told(-30_000, 0), ours(0, 0), [T], 2)


def test_a_market_in_which_contracts_are_on_their_way_is_left_for_the_next_read() -> None:
    check = PnlCheck()
    check.note([], {}, [], 0)
    check.note(told(900_000, 0), ours(0, 0), [], 1)
    assert check.unexplained_e6 == 0


def test_a_market_that_was_settled_and_is_listed_no_more_keeps_what_was_unexplained_in_it() -> None:
    check = PnlCheck()
    check.note([], {}, [], 0)
    check.note(told(70_000, 0), ours(0, 0), [T], 1)
    check.note(told(10_000, 0, LATER), ours(0, 0, LATER), [LATER], 1)
    assert check.unexplained_e6 == 80_000
