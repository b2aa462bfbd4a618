"""What every `ports.Exchange` promises: the fake of the core's tests, and the bot's own client on the paper exchange."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from dora_bot.clock import SystemClock
from dora_bot.exchange_client import KalshiClient
from dora_bot.models import Amend, Cancel, OutcomeKind, Place, Side
from dora_bot.paper.launch import LaunchOptions
from dora_bot.paper.testing import PaperServer, StaticMarket, StaticWorld
from dora_bot.ports import AccountReader, Clock
from dora_bot.signing import Signer
from tests.fakes.clients import local_client
from tests.fakes.exchange import FakeExchange
from tests.fakes.manual_clock import ManualClock

ACCEPTED, UNKNOWN = OutcomeKind.ACCEPTED, OutcomeKind.UNKNOWN
T = "KXA-1-A"
NUMBERS = count(1)


class Account:
    """An exchange with the clock its orders expire by."""

    def __init__(self, exchange: AccountReader, clock: Clock) -> None:
        self.exchange = exchange
        self.clock = clock

    @property
    def expiry_ms(self) -> int:
        return self.clock.now().exchange_ms + 30_000

    def place(self, side: Side = Side.BID, price_e4: int = 4_500, count_e2: int = 250) -> Place:
        return Place(f"c-{next(NUMBERS)}", T, side, price_e4, count_e2, self.expiry_ms, 0)

    def amend(self, place: Place, order_id: str, price_e4: int, total_e2: int) -> Amend:
        return Amend(
            place.client_order_id, order_id, T, place.side, price_e4, total_e2, self.expiry_ms, 0, "reprice"
        )


@pytest.fixture(scope="module")
def client() -> Iterator[tuple[KalshiClient, Clock]]:
    options = LaunchOptions(profile="fast", tier="prestige")
    with PaperServer(options, StaticWorld((StaticMarket(T),)).install) as paper:
        clock = SystemClock()
        signer = Signer.from_file(paper.here.key_id, Path(paper.here.private_key_path))
        client = local_client(paper.here.rest_url, signer, clock)
        yield client, clock
        client.close()


@pytest.fixture(params=["fake", "real"])
def account(request: pytest.FixtureRequest) -> Account:
    if request.param == "fake":
        clock = ManualClock()
        return Account(FakeExchange(clock), clock)
    return Account(*request.getfixturevalue("client"))


def of(place: Place, order_id: str) -> Cancel:
    return Cancel(place.client_order_id, order_id, T, 0)


def test_an_accepted_create_names_its_id_and_what_rests_and_is_listed(account: Account) -> None:
    place = account.place()
    made = account.exchange.place_order(place)
    assert (made.action, made.kind, made.filled_e2, made.remaining_e2) == (place, ACCEPTED, 0, 250)
    (listed,) = account.exchange.get_open_orders()
    assert (listed.order_id, listed.client_order_id, listed.ticker) == (
        made.order_id,
        place.client_order_id,
        T,
    )
    assert (listed.side, listed.price_e4, listed.remaining_e2, listed.status) == (
        Side.BID,
        4_500,
        250,
        "resting",
    )
    account.exchange.cancel_order(of(place, made.order_id))


def test_a_client_order_id_is_spent_for_ever(account: Account) -> None:
    place = account.place()
    made = account.exchange.place_order(place)
    again = account.exchange.place_order(place)
    assert (again.kind, again.exists) == (UNKNOWN, True)
    account.exchange.cancel_order(of(place, made.order_id))
    assert account.exchange.place_order(place).exists
    assert account.exchange.get_open_orders() == []


def test_an_amend_moves_the_order_and_keeps_its_id(account: Account) -> None:
    place = account.place()
    made = account.exchange.place_order(place)
    amend = account.amend(place, made.order_id, 4_600, 400)
    (moved,) = account.exchange.amend_orders([amend])
    assert (moved.action, moved.kind, moved.order_id, moved.remaining_e2) == (
        amend,
        ACCEPTED,
        made.order_id,
        400,
    )
    (listed,) = account.exchange.get_open_orders()
    assert (listed.price_e4, listed.remaining_e2) == (4_600, 400)
    account.exchange.cancel_order(of(place, made.order_id))


def test_a_cancel_says_what_it_took_away_and_a_second_one_proves_nothing(account: Account) -> None:
    place = account.place()
    made = account.exchange.place_order(place)
    gone = account.exchange.cancel_order(of(place, made.order_id))
    assert (gone.kind, gone.reduced_by_e2) == (ACCEPTED, 250)
    assert account.exchange.cancel_order(of(place, made.order_id)).kind is UNKNOWN
    late = account.amend(place, made.order_id, 4_600, 400)
    assert account.exchange.amend_order(late).kind is not ACCEPTED
    assert account.exchange.get_open_orders() == []


def test_a_batch_has_one_outcome_for_each_in_the_order_of_the_arguments(account: Account) -> None:
    places = [account.place(), account.place(Side.ASK, 5_300), account.place(price_e4=4_400)]
    made = account.exchange.place_orders(places)
    assert [o.action for o in made] == places
    assert {o.kind for o in made} == {ACCEPTED}
    cancels = [of(place, o.order_id) for place, o in zip(places, made, strict=True)]
    gone = account.exchange.cancel_orders([Cancel("c-0", "no-such-order", T, 0), *reversed(cancels)])
    assert [o.action.client_order_id for o in gone] == ["c-0", *(p.client_order_id for p in reversed(places))]
    assert [o.kind for o in gone] == [UNKNOWN, ACCEPTED, ACCEPTED, ACCEPTED]


def test_without_a_trade_there_are_no_fills_and_no_positions(account: Account) -> None:
    assert account.exchange.get_fills(0) == []
    assert [p for p in account.exchange.get_positions() if p.net_e2] == []
    assert account.exchange.get_settlements(0) == []
    assert account.exchange.get_balance().total_e6 > 0


def test_cancel_all_leaves_nothing(account: Account) -> None:
    account.exchange.place_orders([account.place(), account.place(Side.ASK, 5_300)])
    account.exchange.cancel_all_orders()
    assert account.exchange.get_open_orders() == []
