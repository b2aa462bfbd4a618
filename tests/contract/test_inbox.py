"""What every `ports.Inbox` promises; the fake of the core's tests and the real one alike."""

import threading
from collections.abc import Callable

import pytest

from dora_bot.events import BookDelta, BookLost, FillSeen
from dora_bot.inbox import ThreadInbox
from dora_bot.models import Fill, Side
from dora_bot.ports import Inbox
from tests.fakes.core import T
from tests.fakes.manual_clock import NOON_MS, ManualClock
from tests.fakes.ports import ListInbox

Make = Callable[[int], Inbox]


@pytest.fixture(params=["fake", "real"])
def make(request: pytest.FixtureRequest) -> Make:
    """An inbox of the given capacity."""
    if request.param == "real":
        return ThreadInbox
    return lambda capacity: ListInbox(ManualClock().sleep, capacity)


def delta(number: int) -> BookDelta:
    return BookDelta(T, True, 4_000, number, NOON_MS)


def fill(number: int) -> FillSeen:
    return FillSeen(Fill(f"t{number}", "o1", T, Side.BID, 4_000, 100, 0, False, NOON_MS))


def test_events_come_out_once_in_the_order_they_went_in(make: Make) -> None:
    inbox = make(100)
    for number in range(5):
        inbox.post(number)
    assert inbox.drain() == [0, 1, 2, 3, 4]
    assert inbox.drain() == []


def test_waiting_ends_at_once_when_something_is_there_and_else_when_the_time_is_over(make: Make) -> None:
    inbox = make(100)
    assert not inbox.wait(0.01)
    inbox.post("x")
    assert inbox.wait(60)
    assert inbox.drain() == ["x"]


def test_an_overflow_loses_the_books_and_never_an_account_event(make: Make) -> None:
    inbox = make(10)
    for number in range(8):
        inbox.post(delta(number))
        if number % 3 == 0:
            inbox.post(fill(number))
    events = inbox.drain()
    assert [e for e in events if isinstance(e, FillSeen)] == [fill(0), fill(3), fill(6)]
    lost = [at for at, e in enumerate(events) if e == BookLost((), "inbox overflow")]
    assert len(lost) == 1
    assert not any(isinstance(e, BookDelta) for e in events[: lost[0]])


def test_an_inbox_full_of_what_may_not_be_lost_does_not_fill_up_with_overflows(make: Make) -> None:
    inbox = make(10)
    for number in range(30):
        inbox.post(fill(number))
    events = inbox.drain()
    assert [e for e in events if isinstance(e, FillSeen)] == [fill(n) for n in range(30)]
    assert sum(isinstance(e, BookLost) for e in events) == 1


def test_a_post_from_another_thread_ends_the_real_wait() -> None:
    inbox = ThreadInbox()
    sender = threading.Timer(0.02, inbox.post, ["x"])
    sender.start()
    assert inbox.wait(10)
    sender.join()
    assert inbox.drain() == ["x"]


def test_nothing_is_lost_between_threads() -> None:
    inbox = ThreadInbox()

    def send(name: int) -> None:
        for number in range(2_000):
            inbox.post((name, number))

    senders = [threading.Thread(target=send, args=[name]) for name in range(3)]
    for sender in senders:
        sender.start()
    got: list[object] = []
    while len(got) < 6_000:
        assert inbox.wait(10)
        got += inbox.drain()
    for sender in senders:
        sender.join()
    for name in range(3):
        assert [e for e in got if isinstance(e, tuple) and e[0] == name] == [(name, n) for n in range(2_000)]
