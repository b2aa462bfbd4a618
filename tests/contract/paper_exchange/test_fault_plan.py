"""Plans by seed, replay, and the four promises of fault injection as a whole."""

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from dora_bot.models import FeeTerms
from dora_bot.paper.fault_kinds import KINDS, table
from dora_bot.paper.fault_plan import SAMPLES
from dora_bot.paper.launch import LaunchOptions
from dora_bot.paper.request_faults import FLOW, OPERATOR
from dora_bot.paper.testing import PaperServer, StaticMarket, StaticWorld
from dora_bot.paper.venue import TRADER, Venue
from tests.contract.paper_exchange.conftest import Admin
from tests.fakes.signed_client import SignedClient
from tests.fakes.ws_client import WsClient

V2 = "/portfolio/events/orders"
START = 1_800_000_000_000
MARKETS = (
    StaticMarket("KXP-1-ONE"),
    StaticMarket("KXP-1-TWO", fees=FeeTerms("quadratic_with_maker_fees"), exchange_index=2),
)
HARMLESS_TO_ORDER = {
    "http.status": 0.15,
    "http.body": 0.15,
    "rate.deny": 0.05,
    "read.omit": 0.1,
    "ws.gap": 0.05,
    "ws.dup": 0.05,
    "ws.frame": 0.02,
    "eng.fill_on_cancel": 0.3,
    "eng.fill_before_reply": 0.1,
    "eng.amend_other": 0.2,
    "eng.reduced_by_wrong": 0.2,
    "flow.cancel_chaser": 0.2,
}
"""Rates of kinds that do not make wall time part of the result, as a delayed frame would."""


class StandingSigner(SignedClient):
    """Signs with the time at which the exchange's clock stands at the start."""

    def auth_headers(self, method: str, path: str, *, at_ms: int | None = None) -> dict[str, str]:
        return super().auth_headers(method, path, at_ms=START if at_ms is None else at_ms)


class Script:
    """A client that always does the same, whatever it is answered; on the exchange's own, standing clock."""

    def __init__(self, server: PaperServer, seed: int, timeout_s: float = 20.0) -> None:
        here = server.here
        self._timeout_s = timeout_s
        self.admin = Admin(here.admin_url, here.admin_token)
        self.signer = StandingSigner(here.rest_url, here.key_id, here.private_key_path)
        self._base, self._draw = here.rest_url, random.Random(seed)
        self._numbers = itertools.count()
        self._tickers = here.tickers

    def send(self, method: str, path: str, body: object = None) -> Any:
        """The reply's JSON, None where there is none to be had."""
        headers = self._signed(method, path)
        try:
            reply = requests.request(
                method, self._base + path, json=body, headers=headers, timeout=self._timeout_s
            )
            return reply.json() if reply.status_code < 300 and reply.content else None
        except (requests.RequestException, ValueError):
            return None

    def step(self) -> None:
        ticker, side = self._draw.choice(self._tickers), self._draw.choice(("bid", "ask"))
        price = f"0.{self._draw.randint(40, 60)}"
        what = self._draw.random()
        mine = self.admin.truth()["open_orders"]
        if what < 0.5 or not mine:
            self.send("POST", V2, self._order(ticker, side, price))
        elif what < 0.7:
            routed = f"?market_ticker={mine[0]['ticker']}"
            self._cancel(mine[0]["order_id"], routed)
        elif what < 0.85:
            row = mine[-1]
            amend = {"ticker": row["ticker"], "side": row["side"], "price": price, "count": "5"}
            self.send("POST", f"{V2}/{row['order_id']}/amend", amend)
        else:
            self.send("GET", "/portfolio/orders")
        self.admin.call("POST", "/clock", {"advance_ms": 100})

    def _cancel(self, order_id: str, query: str) -> None:
        headers = self._signed("DELETE", f"{V2}/{order_id}")
        with_query = f"{self._base}{V2}/{order_id}{query}"
        try:
            requests.delete(with_query, headers=headers, timeout=self._timeout_s)
        except requests.RequestException:
            return

    def _signed(self, method: str, path: str) -> dict[str, str]:
        now_ms = int(self.admin.truth()["exchange_time"])
        return self.signer.auth_headers(method, "/trade-api/v2" + path, at_ms=now_ms)

    def _order(self, ticker: str, side: str, price: str) -> dict[str, Any]:
        return {
            "ticker": ticker,
            "client_order_id": f"script-{next(self._numbers)}",
            "side": side,
            "count": str(self._draw.randint(1, 9)),
            "price": price,
            "time_in_force": "good_till_canceled",
            "self_trade_prevention_type": "taker_at_cross",
        }


def manual(seed: int = 5, world: StaticWorld | None = None) -> PaperServer:
    options = LaunchOptions(profile="fast", seed=seed, markets=3, manual_clock_ms=START)
    return PaperServer(options, world.install if world else None)


def run_script(steps: int, plan: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(the journal as bytes would have it, the plan as it was carried out) of a synthetic world."""
    with manual() as server:
        script = Script(server, seed=3)
        assert script.admin.call("POST", "/plan", plan)[0] == 200
        ws = WsClient(server.here.ws_url, script.signer)
        ws.subscribe("orderbook_delta", "user_orders", "fill", tickers=server.here.tickers[:2])
        for _ in range(steps):
            script.step()
        done = script.admin.call("GET", "/plan")[1]
        journal = json.dumps(script.admin.journal())
        ws.close()
        assert '"dropped": true' in journal or "ws.gap" not in plan.get("rates", {})
        return journal, done


# ── 1: determinism and replay ───────────────────────────────────────────────────────────────────


def test_the_same_seed_and_the_same_client_give_the_same_journal_byte_for_byte() -> None:
    plan = {"seed": 11, "rates": HARMLESS_TO_ORDER}
    first, done = run_script(25, plan)
    second, again = run_script(25, plan)
    assert len(done["keys"]) >= 5
    assert done == again
    assert first == second
    assert run_script(10, {**plan, "seed": 12})[1]["keys"] != run_script(10, plan)[1]["keys"]


def test_a_replay_strikes_the_same_keys_and_one_less_moves_no_other() -> None:
    plan = {"seed": 11, "rates": {"http.status": 0.3}}
    whole, done = run_script(15, plan)
    keys = done["keys"]
    assert len(keys) >= 4
    replayed, again = run_script(15, {"seed": 11, "replay": keys})
    assert (again["keys"], again["params"]) == (keys, done["params"])
    assert replayed == whole
    _, fewer = run_script(15, {"seed": 11, "replay": keys[:-1]})
    assert fewer["keys"] == keys[:-1]


# ── plans at the wire ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
def still() -> Iterator[PaperServer]:
    with PaperServer(LaunchOptions(profile="fast", tier="prestige"), StaticWorld(MARKETS).install) as running:
        yield running


@pytest.fixture
def still_admin(still: PaperServer) -> Admin:
    return Admin(still.here.admin_url, still.here.admin_token)


def test_a_plan_strikes_at_its_rate_until_it_ends(still: PaperServer, still_admin: Admin) -> None:
    client = SignedClient(still.here.rest_url, still.here.key_id, still.here.private_key_path)
    still_admin.call("POST", "/plan", {"seed": 1, "rates": {"http.status": 0.3}, "duration_s": 600})

    def failures() -> int:
        statuses = []
        for _ in range(60):
            url, headers = client.base + "/exchange/status", client.auth_headers("GET", "/x")
            statuses.append(requests.get(url, headers=headers, timeout=5).status_code)
        return len([status for status in statuses if status >= 500])

    assert 8 < failures() < 30
    shown = still_admin.call("GET", "/plan")[1]
    assert shown["keys"][0].startswith("status/")
    assert shown["keys"][0].endswith("/http.status")
    still_admin.call("POST", "/clock", {"offset_ms": 600_001})
    assert failures() == 0
    client.close()


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ({}, "seed"),
        ({"seed": 1, "profile": "gentle"}, "profile is one of"),
        ({"seed": 1, "rates": {"mkt.pause": 0.1}}, "one by one"),
        ({"seed": 1, "rates": {"http.nothing": 0.1}}, "not a kind"),
        ({"seed": 1, "rates": {"http.status": None}}, "chances"),
        ({"seed": 1, "rates": [0.1]}, "chances"),
        ({"seed": 1, "replay": "all"}, "list of keys"),
        ({"seed": 1, "colour": "red"}, "a plan is"),
    ],
)
def test_a_bad_plan_is_refused(still_admin: Admin, plan: dict[str, Any], says: str) -> None:
    status, reply = still_admin.call("POST", "/plan", plan)
    assert status == 400
    assert says in reply["error"]
    assert still_admin.call("GET", "/plan")[1] == {"keys": []}


def test_a_rate_may_stand_for_a_family(still_admin: Admin) -> None:
    rates = {"*": 0.001, "ws.*": 0.0, "ws.gap": 0.2}
    plan = still_admin.call("POST", "/plan", {"seed": 1, "rates": rates})[1]
    assert set(plan["rates"]) == set(SAMPLES)
    assert (plan["rates"]["http.delay"], plan["rates"]["ws.dup"], plan["rates"]["ws.gap"]) == (0.001, 0, 0.2)


def test_disarming_everything_ends_the_plan(still_admin: Admin) -> None:
    still_admin.call("POST", "/plan", {"seed": 1, "profile": "brutal"})
    still_admin.disarm()
    assert still_admin.call("GET", "/plan")[1] == {"keys": []}


# ── chains, windows, conditions, barriers ───────────────────────────────────────────────────────


def test_when_chains_windows_and_conditions(still: PaperServer, still_admin: Admin) -> None:
    client = SignedClient(still.here.rest_url, still.here.key_id, still.here.private_key_path)
    status = {"match": {"op": "status"}, "params": {"code": 500}}

    def failed() -> bool:
        return client.get("/exchange/status").status == 500

    first = still_admin.arm("http.delay", match={"op": "fills"}, params={"ms": 0})
    still_admin.arm("http.status", **status, when={"after_fault": first})
    assert not failed()
    client.get("/portfolio/fills")
    assert failed()
    still_admin.disarm()
    still_admin.arm("http.status", **status, when={"from_ms": 10_000, "until_ms": 20_000})
    seen = [failed()]
    for _ in range(2):
        still_admin.call("POST", "/clock", {"offset_ms": 10_000})
        seen.append(failed())
    assert seen == [False, True, False]
    still_admin.disarm()
    still_admin.arm("http.status", **status, when={"while": "position@KXP-1-ONE<=-1 && fills>=1"})
    assert not failed()
    foreign = {"ticker": "KXP-1-ONE", "side": "ask", "price": "0.47", "count": "1"}
    still_admin.arm("acct.foreign", params={"what": "fill", **foreign})
    assert failed()
    client.close()


@pytest.mark.parametrize(
    "condition",
    ["open_orders@KXP-1-ONE==0", "cash>=100000", "groups==0 && connections==0", "requests<1", "hits!=1"],
)
def test_barriers_know_the_truth(still_admin: Admin, condition: str) -> None:
    assert still_admin.call("POST", "/barrier", {"condition": condition, "timeout_ms": 100})[0] == 200


@pytest.mark.parametrize(
    "when",
    [{"while": "weather==good"}, {"after_fault": "f99"}, {"nth": 0}, {"prob": "often"}, {"on": 1}],
)
def test_a_bad_when_is_refused(still_admin: Admin, when: dict[str, Any]) -> None:
    assert still_admin.call("POST", "/faults", {"kind": "ws.gap", "when": when})[0] == 400
    assert still_admin.call("GET", "/faults")[1] == {"faults": []}


# ── 3: truth stays consistent ───────────────────────────────────────────────────────────────────


def imbalance(venue: Venue) -> dict[str, Any]:
    """What must be zero or equal whatever happened: contracts by market, and all money there is."""
    accounts = (TRADER, OPERATOR, FLOW, "")
    held = {name: {p.ticker: p for p in venue.engine.positions(name)} for name in accounts}
    tickers = [market.spec.ticker for market in venue.engine.markets()]
    nets = {t: sum(held[name][t].net_e2 for name in accounts if t in held[name]) for t in tickers}
    cash = sum(purse.cash_e6 for name in accounts for purse in venue.engine.balance(name))
    fees = sum(p.fees_e6 for name in accounts for p in held[name].values())
    pairs = sum(max(p.net_e2, 0) for name in accounts for p in held[name].values())
    mine = {f.ticker: 0 for f in venue.engine.fills(TRADER)}
    for fill in venue.engine.fills(TRADER):
        mine[fill.ticker] += fill.side.sign * fill.count_e2
    return {
        "nets": nets,
        "money": cash + fees + pairs * 10_000,
        "fills": {t: net for t, net in mine.items() if held[TRADER][t].net_e2 != net},
        "crossed": [t for t in tickers if _crossed(venue, t)],
    }


def _crossed(venue: Venue, ticker: str) -> bool:
    book = venue.engine.book(ticker)
    return bool(book.bids and book.asks and book.bids[0].price_e4 >= book.asks[0].price_e4)


def test_no_storm_of_faults_makes_truth_inconsistent() -> None:
    with manual(world=StaticWorld(MARKETS)) as server:
        script = Script(server, seed=8, timeout_s=0.3)
        before = server.run(imbalance)
        kinds = {kind: 0.15 for kind in SAMPLES if kind not in ("http.delay", "http.hold_request")}
        script.admin.call("POST", "/plan", {"seed": 21, "rates": kinds})
        script.admin.arm("flow.taker", params={"rate": 3.0, "size": 2})
        script.admin.arm("flow.informed", params={"rate": 0.5})
        script.admin.arm("mkt.pause", params={"on": True, "shard": 2}, when={"from_ms": 3_000})
        script.admin.arm("mkt.pause", params={"on": False, "shard": 2}, when={"from_ms": 5_000})
        for _ in range(60):
            script.step()
        after = server.run(imbalance)
        assert script.admin.call("GET", "/plan")[1]["keys"]
        assert script.admin.truth()["fills"]
        assert set(after["nets"].values()) == {0}
        assert after["money"] == before["money"]
        assert after["fills"] == {}
        assert after["crossed"] == []


# ── 2 and the documentation ─────────────────────────────────────────────────────────────────────


def test_every_kind_has_a_test_at_the_wire() -> None:
    texts = [path.read_text() for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)]
    missing = [kind for kind in KINDS if not any(f'"{kind}"' in text for text in texts)]
    assert missing == []


def test_the_documentation_has_the_registry() -> None:
    docs = Path(__file__).resolve().parents[3] / "docs" / "paper-exchange.md"
    assert table() in docs.read_text(), "paste dora_bot.paper.fault_kinds.table() into docs/paper-exchange.md"
