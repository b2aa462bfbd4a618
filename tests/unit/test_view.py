"""The terminal view: everything is there, nothing is wider than the terminal, any part may be missing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_bot.view import progress_line, render_text


def market(**changes: Any) -> dict[str, Any]:
    return {
        "title": "Will it rain?",
        "status": "active",
        "bid": "0.4300",
        "bid_size": "1200.00",
        "ask": "0.4810",
        "ask_size": "95.50",
        "our_bid": "0.4400",
        "our_bid_size": "10.00",
        "our_ask": "0.4710",
        "our_ask_size": "8.50",
        "queue_bid": "0.00",
        "queue_ask": "1520.00",
        "net": "0.00",
        "unrealised": "-0.350000",
        "fills": 3,
        "last": "0.4500",
        "reason": "",
        **changes,
    }


def status(**changes: Any) -> dict[str, Any]:
    tickers = [f"KXHIGHNY-26NOV20-T{n}0.5" for n in range(6)]
    return {
        "time": "2026-11-20T12:00:03Z",
        "env": "paper",
        "posture": "RUN",
        "halts": [],
        "feed": "ws",
        "pnl": {
            "daily": "-1.234500",
            "realised": "0.800000",
            "unrealised": "-2.030000",
            "unrealised_mid": "-1.990000",
            "fees": "0.020000",
            "exposure": "34.500000",
        },
        "markets": {ticker: market() for ticker in tickers} | {tickers[3]: market(net="-12.50")},
        "fills": [
            {
                "time": f"2026-11-20T12:00:0{n}Z",
                "ticker": tickers[3],
                "side": "bid" if n % 2 else "ask",
                "price": "0.4400",
                "count": "10.00",
                "fee": "0.010000",
            }
            for n in range(10)
        ],
        "budget": {
            "write_tokens": 83,
            "write_capacity": 100,
            "write_per_s": 100,
            "read_per_s": 200,
            "plan": "6 markets x 500 ms need 31 of 100 write tokens/s",
        },
        "ages": {"tick_ms": 12, "book_ms": 40, "config_s": 3.2, "reconcile_s": 20, "journal_depth": 7},
        "counts": {
            "ticks": 120,
            "orders_placed": 30,
            "orders_amended": 44,
            "orders_cancelled": 12,
            "fills": 5,
        },
        "tick_ms": {"p50": 3.1, "p99": 141.2, "max": 203},
        "reaction_ms": {"p50": 2, "p99": 20},
        "dynamodb": {"write_units": 31, "read_units": 10},
        **changes,
    }


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_the_screen_fits_its_terminal(width: int, height: int) -> None:
    lines = render_text(status(), width, height).splitlines()
    assert max(len(line) for line in lines) <= width
    assert len(lines) <= height


def test_eighty_columns_show_every_fact() -> None:
    screen = render_text(status(), 80, 24)
    facts = {
        "posture": "RUN",
        "daily pnl": "-1.23",
        "realised": "+0.80",
        "liquidation value": "-2.03",
        "mid value": "-1.99",
        "fees": "fees 0.02",
        "exposure": "34.50",
        "book": "0.43×1.2k",
        "other side": "0.481×95.5",
        "our bid with its queue": "0.44×10·0",
        "our ask with its queue": "0.471×8.5·1.5k",
        "inventory": "-12.5",
        "fill": "10 @ 0.44",
        "write budget": "83/100",
        "tick time": "p50 3 p99 141 max 203",
        "placed": "+30",
        "cancelled": "-12",
        "journal": "journal 7",
        "capacity": "31 w",
        "clock": "12:00:03",
    }
    missing = [name for name, text in facts.items() if text not in screen]
    assert not missing, screen


def test_the_held_market_comes_first_and_its_name_tells_it_apart() -> None:
    rows = [line for line in render_text(status(), 80, 24).splitlines() if line.startswith("KXHIG")]
    assert rows[0].split()[0].endswith("T30.5")
    assert len({row.split()[0] for row in rows}) == 6


def test_a_halt_is_told_in_words() -> None:
    halt = {"halt_id": "H3", "reason": "daily loss limit", "raised_at": "2026-11-20T12:00:00Z", "by": "risk"}
    screen = render_text(status(posture="HALTED", halts=[halt]), 80, 24)
    assert "HALTED" in screen
    assert "HALT H3: daily loss limit (by risk" in screen


def test_a_bot_that_went_silent_is_shown_as_such() -> None:
    assert "SILENT for 45 s" in render_text(status(), age_s=45.0)
    assert "SILENT" not in render_text(status(), age_s=1.0)


def test_a_market_without_quotes_says_why() -> None:
    quiet = market(our_bid=None, our_ask=None, reason="spread 2c below 3c")
    assert "spread 2c below 3c" in render_text(status(markets={"KXA-B": quiet}), 80, 24)
    assert "spread 2c below 3c" in render_text(status(markets={"KXA-B": quiet}), 120, 40)


def test_markets_that_do_not_fit_are_counted() -> None:
    many = {f"KXMANY-{n:03d}": market() for n in range(50)}
    screen = render_text(status(markets=many), 80, 24)
    shown = sum(line.startswith("KXMANY-") for line in screen.splitlines())
    assert f"{50 - shown} more markets" in screen
    assert 0 < shown < 50
    assert len(screen.splitlines()) <= 24


def test_the_newest_fill_comes_first_whatever_the_order_told() -> None:
    for fills in (status()["fills"], status()["fills"][::-1]):
        lines = render_text(status(fills=fills)).splitlines()
        assert lines[lines.index("last fills") + 1].startswith("12:00:09")


def test_an_unknown_amount_is_not_shown_as_zero() -> None:
    assert "unrealised –" in render_text({"pnl": {"realised": "0"}})


def test_every_key_is_optional() -> None:
    full = status()
    for name in full:
        render_text({key: value for key, value in full.items() if key != name})
    assert "starting: 0 ticks" in progress_line({})
    assert "no fills yet" in render_text({})


def test_the_progress_line_counts_two_sided_markets() -> None:
    markets = {"A": market(), "B": market(our_ask=None)}
    assert "1 markets two-sided" in progress_line(status(markets=markets))


@given(st.decimals(min_value="-99999999", max_value="99999999", places=2), st.integers(0, 10**9))
def test_no_size_breaks_the_layout(net: Any, queue: int) -> None:
    strange = market(net=str(net), queue_bid=str(queue), bid_size=str(queue), unrealised=str(net))
    lines = render_text(status(markets={"KXA-B": strange}), 80, 24).splitlines()
    assert max(len(line) for line in lines) <= 80
