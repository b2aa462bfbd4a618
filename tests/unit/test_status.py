"""The status: one object from one view, money and counts as strings, readable while the tick goes on."""

import json
from typing import Any

from dora_bot.models import Side
from dora_bot.scoreboard import Scoreboard
from dora_bot.status import Surroundings, status
from tests.fakes.bench import Bench
from tests.fakes.core import T, halt

AROUND = Surroundings(
    "paper", "i-1", "ws", {"write_tokens": 5.0}, {"config_s": 1}, {"rest_calls": 3}, {"o-b-1": 250}
)


def told(bench: Bench, around: Surroundings = AROUND) -> dict[str, Any]:
    scores = Scoreboard()
    for report in bench.beats():
        scores.add(report)
    return status(bench.state.view(bench.clock.now()), scores, around)


def test_it_is_json_and_starts_before_the_first_tick() -> None:
    before = told(Bench())
    assert before["posture"] == "STARTING"
    assert json.loads(json.dumps(before)) == before


def test_a_quoting_bot_tells_its_orders_book_and_queue_place() -> None:
    body = told(Bench().quoting())
    assert body["posture"] == "RUN"
    assert body["open_orders"][0] == {
        "order_id": "o-b-1",
        "client_order_id": "b-1",
        "ticker": T,
        "side": "bid",
        "price": "0.4100",
        "remaining_count": "10.00",
        "state": "resting",
    }
    market = body["markets"][T]
    assert (market["bid"], market["bid_size"], market["ask"]) == ("0.4000", "100.00", "0.5000")
    assert (market["our_bid"], market["our_bid_size"], market["queue_bid"]) == ("0.4100", "10.00", "2.50")
    assert "queue_ask" not in market
    assert market["reason"].startswith("fair 0.4500")
    assert (body["env"], body["instance"], body["feed"], body["time"]) == (
        "paper",
        "i-1",
        "ws",
        "2026-11-20T12:00:00.500Z",
    )


def test_positions_fills_and_money_add_up() -> None:
    bench = Bench().quoting()
    bench.trade(Side.BID, 1_000, fee_e6=1_234)
    bench.tick()
    body = told(bench)
    assert body["positions"][T]["net"] == "10.00"
    assert body["positions"][T]["avg_cost"] == "0.4100"
    (fill,) = body["fills"]
    assert (fill["side"], fill["price"], fill["count"], fill["fee"]) == ("bid", "0.4100", "10.00", "0.001234")
    pnl = {name: float(value) for name, value in body["pnl"].items() if name != "day"}
    assert pnl["fees"] == 0.001234
    assert round(pnl["realised"] + pnl["unrealised"] - pnl["fees"] - pnl["daily"], 6) == 0
    assert pnl["unrealised_mid"] == 0.4
    assert pnl["unrealised"] < pnl["unrealised_mid"]
    assert (body["counts"]["fills"], body["counts"]["contracts"], body["counts"]["rest_calls"]) == (
        1,
        "10.00",
        3,
    )


def test_a_view_whose_tick_is_not_done_is_not_told_with_the_posture_of_the_one_before() -> None:
    bench = Bench()
    bench.latch.halts["H1"] = halt("because")
    bench.post(bench.latch.read())
    scores = Scoreboard()
    scores.add(bench.tick())
    del bench.latch.halts["H1"]
    bench.state.apply(bench.latch.read(), bench.clock.now())
    body = status(bench.state.view(bench.clock.now()), scores, AROUND)
    assert (body["posture"], body["reasons"], body["halts"]) == ("RUN", [], [])


def test_halts_are_told_by_their_id() -> None:
    bench = Bench()
    bench.latch.halts["H1"] = halt("because")
    bench.post(bench.latch.read())
    bench.tick()
    body = told(bench)
    assert body["posture"] == "HALTED"
    assert body["halts"] == [
        {
            "halt_id": "H1",
            "reason": "because",
            "raised_at": "2026-11-20T12:00:00.000Z",
            "by": "test",
            "hold": "HALTED",
            "scope": "",
            "evidence": "",
            "acknowledged": "",
        }
    ]
    assert body["reasons"] == ["H1: because"]


def test_a_market_without_a_book_says_so() -> None:
    bench = Bench()
    bench.state.books.forget(T)
    body = told(bench)
    assert body["markets"] == {}
    bench.tick()
    bench.state.books.forget(T)
    market = told(bench)["markets"][T]
    assert market["proven"] is False
    assert "bid" not in market


def test_a_fill_that_arrives_while_the_status_is_written_does_no_harm() -> None:
    bench = Bench().quoting()
    scores = Scoreboard()
    bench.trade(Side.BID, 100)
    bench.trade(Side.ASK, 100)
    report = bench.tick()
    scores.add(report)

    class Meddling:
        """A fill; being looked at, it plays the tick thread, which adds one more."""

        def __init__(self) -> None:
            self.fill = report.fills[0]

        def __getattr__(self, name: str) -> object:
            scores.last_fills.append(self.fill)
            return getattr(self.fill, name)

    scores.last_fills.append(Meddling())  # type: ignore[arg-type]  # stands for the other thread
    assert len(status(report.view, scores, AROUND)["fills"]) == 3
