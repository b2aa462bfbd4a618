"""The account's cash against the books: what must halt, and what must not."""

from dora_bot.cash_check import PATIENCE_MS, CashCheck
from dora_bot.models import Balance

CASH = 1_000_000_000
EVERY_MS = 5_000


class Case:
    def __init__(self) -> None:
        self.check = CashCheck()
        self.at_ms = 0
        self.read(CASH)
        self.read(CASH)

    def read(self, cash_e6: int, booked_e6: int = 0, times: int = 1) -> str:
        """So many reads, each with a balance of its own; the last one's verdict."""
        found = ""
        for _ in range(times):
            self.at_ms += EVERY_MS
            found = self.check.breach(Balance(cash_e6 // 100 * 100), booked_e6, self.at_ms)
        return found


def minutes(number: float) -> int:
    return round(number * 60_000 / EVERY_MS)


def test_cash_that_nobody_booked_is_a_breach_after_a_minute_with_both_numbers() -> None:
    case = Case()
    assert case.read(CASH + 100, times=PATIENCE_MS // EVERY_MS + 1) == ""
    assert case.check.difference_e6 == 100
    assert case.read(CASH + 100) == "the exchange says 1000.000100, our books say 1000.000000, for 65 s"


def test_a_booking_that_the_exchange_does_not_know_is_one_as_well() -> None:
    case = Case()
    assert case.read(CASH, -2_050_000, minutes(1.2)).startswith(
        "the exchange says 1000.000000, our books say 997.95"
    )


def test_what_is_booked_is_no_difference_to_a_ten_thousandth() -> None:
    case = Case()
    for fill in range(1, 200):
        moved = -(410_000 + 3_017) * fill  # fees have six decimals, balances four
        assert case.read(CASH + moved, moved) == ""
        assert abs(case.check.difference_e6 or 0) < 100


def test_differences_that_come_and_go_with_each_fill_are_none() -> None:
    case = Case()
    moved = 0
    for read in range(minutes(10)):
        early = -410_000 if read % 3 else 0  # the balance knows of the next fill, the books do not yet
        assert case.read(CASH + moved + early, moved) == ""
        moved += early


def test_a_balance_that_was_read_once_counts_once() -> None:
    case = Case()
    old = Balance(CASH)
    for _ in range(minutes(5)):
        case.at_ms += EVERY_MS
        assert case.check.breach(old, -410_000, case.at_ms) == ""


def test_the_beginning_is_what_two_reads_agree_on_not_the_first_one() -> None:
    check = CashCheck()
    check.breach(Balance(CASH - 410_000), 0, 0)  # a fill is in the balance and not in the books
    for at in range(1, minutes(3)):
        assert check.breach(Balance(CASH - 410_000), -410_000, at * EVERY_MS) == ""
    assert check.difference_e6 == 0


def test_accepting_begins_anew_once_for_each_time() -> None:
    case = Case()
    case.check.accept(1_000)
    case.read(CASH + 250_000_000, times=2)
    assert case.read(CASH + 250_000_000, times=minutes(3)) == ""
    case.check.accept(1_000)
    assert case.check.difference_e6 == 0
    assert case.read(CASH, times=minutes(2)) != ""
