"""Market data by REST: as a setting, and by itself while the WebSocket is down."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from dora_bot.models import Side
from dora_bot.paper.testing import StaticMarket
from tests.e2e.conftest import MakeRig
from tests.e2e.gate import Gate, behind
from tests.e2e.rig import Rig, arrivals, quotes, until

pytestmark = pytest.mark.process

A, B = "KXREST-26NOV20-A", "KXREST-26NOV20-B"


@pytest.fixture(scope="module")
def rig(make_rig: MakeRig) -> Rig:
    rig = make_rig([StaticMarket(A), StaticMarket(B)])
    rig.configure()
    return rig


@pytest.fixture(scope="module")
def gate(rig: Rig) -> Iterator[Gate]:
    """A door before the exchange's WebSocket."""
    port = int(rig.server.here.ws_url.split(":")[2].split("/")[0])
    with ExitStack() as stack:
        yield stack.enter_context(Gate(port))


def counts(rig: Rig, mark: int) -> tuple[int, int, int, int]:
    """Since ``mark``: ticks begun, reads of books, reads of fills, of these the risk thread's."""
    status = rig.status()["counts"]
    return (
        int(status["ticks"]),
        rig.run(lambda v: arrivals(v, "GET", "/markets/orderbooks", mark)),
        rig.run(lambda v: arrivals(v, "GET", "/portfolio/fills", mark)),
        rig.run(lambda v: arrivals(v, "GET", "/portfolio/positions", mark)),
    )


def test_by_setting_it_quotes_books_and_reads_each_thing_once_a_tick(rig: Rig) -> None:
    rig.start(DORA_FEED="rest")
    rig.quoting()
    (started,) = [line for line in rig.bot.log() if line["action"] == "start"]
    reads = "2 markets x 500 ms: reads 22 of 200 tokens/s (62 without the WebSocket)"
    assert started["plan"].startswith(f"{reads}, orders live 30 s, renewals 3 of 100 write tokens/s")
    assert not rig.run(lambda v: v.sessions)
    mark = rig.run(lambda v: v.journal.last)
    first = rig.until_status("a status", lambda s: s["feed"] == "rest", 5.0)["counts"]["ticks"]
    rig.hit(A, Side.ASK, 2)
    assert rig.fills() == 1
    rig.until_status(
        "the fill, within two ticks of 500 ms and the status's own 500",
        lambda s: s["counts"]["fills"] == 1,
        1.7,
    )
    rig.until_status("ten more ticks", lambda s: s["counts"]["ticks"] >= first + 10, 10.0)
    _, books, fills, risk = counts(rig, mark)
    ticks = (
        rig.until_status("a later status", lambda s: s["counts"]["ticks"] > first, 5.0)["counts"]["ticks"]
        - first
    )
    assert 3 <= books <= ticks + 2
    assert fills - risk <= ticks + 2
    assert rig.bot.stop() == 0
    assert rig.ledger_differences() == []


def test_without_the_socket_it_goes_on_by_rest_and_returns(rig: Rig, gate: Gate) -> None:
    rig.start(DORA_KALSHI_WS_URL=behind(gate, rig.server.here)["DORA_KALSHI_WS_URL"])
    rig.quoting()
    rig.until_status("the socket in use", lambda s: s["feed"] == "ws", 5.0)
    gate.shut()
    rig.until_status("rest in use", lambda s: s["feed"] == "rest", 5.0)
    until("refused reconnects", lambda: gate.refused >= 2, 10.0, rig.bot.last_words)
    # The market moves while the socket is away: only the reads can tell.
    rig.move(B, 4_000, 5_200)
    rig.until("a bid just above the new best", lambda v: quotes(v, B)[0] == 4_100, 5.0)
    rig.quoting(A, B)
    rig.hit(A, Side.BID, 1)
    rig.until_status("the fill booked", lambda s: s["counts"]["fills"] == 1, 3.0)
    gate.open()
    rig.until_status("the socket again", lambda s: s["feed"] == "ws", 15.0)
    rig.quoting(A, B)
    assert rig.bot.alive


def test_with_the_socket_up_no_tick_reads_books_or_fills(rig: Rig) -> None:
    rig.until_status("the socket in use", lambda s: s["feed"] == "ws", 15.0)
    mark = rig.run(lambda v: v.journal.last)
    first = rig.status()["counts"]["ticks"]
    rig.until_status("twelve ticks", lambda s: s["counts"]["ticks"] >= first + 12, 15.0)
    _, books, fills, risk = counts(rig, mark)
    assert books <= 3, "the new connection's books are held against REST until it agrees, and that is all"
    assert fills == pytest.approx(risk, abs=1)
    assert risk >= 1
    assert rig.bot.stop() == 0
    assert rig.ledger_differences() == []
