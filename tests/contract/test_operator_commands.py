"""The operator's commands against a running paper exchange and the embedded AWS."""

import fcntl
import getpass
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dora_bot.ceilings import Ceilings
from dora_bot.cli import main
from dora_bot.clock import SystemClock
from dora_bot.config import Settings
from dora_bot.config_editor import ConfigEditor
from dora_bot.config_store import GLOBAL_CONFIG
from dora_bot.doctor import examine
from dora_bot.dynamo import Dynamo
from dora_bot.errors import ConfigError
from dora_bot.halts import HaltFile
from dora_bot.items import MARKET_CONFIG, STATE
from dora_bot.lease import Lease
from dora_bot.models import Halt, Hold, Side
from dora_bot.paper.admin_actions import TRADER
from dora_bot.paper.launch import LaunchOptions
from dora_bot.paper.specs import OrderRequest
from dora_bot.paper.testing import PaperServer, StaticMarket, StaticWorld
from dora_bot.state_dir import StateDir
from dora_bot.state_store import StateStore

TICKER = "KXCLI-26NOV20-A"
ITEM = ["enabled=true", "max_inventory_yes=50", "max_inventory_no=50", "min_spread=0.03", "quote_size=10"]


@pytest.fixture(scope="module")
def exchange() -> Iterator[PaperServer]:
    world = StaticWorld([StaticMarket(TICKER), StaticMarket("KXCLI-26NOV20-B", exchange_index=2)])
    with PaperServer(LaunchOptions(profile="fast"), world.install) as server:
        # The tests share it, and the minute after a cancel-all of one must not reach into the next.
        no_tail = {"kind": "eng.cancel_all_tail", "match": {}, "params": {"ms": 0}, "when": {}}
        server.run(lambda venue: venue.faults.arm(no_tail))
        yield server


@pytest.fixture
def environment(db: Dynamo, exchange: PaperServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Everything set up right; returns the state directory."""
    here = exchange.here
    values = {
        "DORA_KALSHI_REST_URL": here.rest_url,
        "DORA_KALSHI_WS_URL": here.ws_url,
        "DORA_KALSHI_KEY_ID": here.key_id,
        "DORA_KALSHI_PRIVATE_KEY_PATH": here.private_key_path,
        "DORA_TABLE_PREFIX": db.prefix,
        "DORA_STATE_DIR": str(tmp_path / "state"),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "state"


Ran = tuple[int, list[dict[str, Any]], list[str]]
Dora = Callable[..., Ran]


@pytest.fixture
def dora(environment: Path, capsys: pytest.CaptureFixture[str]) -> Dora:
    """Run a command; returns its exit code, its records and what it told the person."""
    assert environment

    def run(*arguments: str) -> Ran:
        code = main(arguments)
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return code, [json.loads(line) for line in told.out.splitlines()], told.err.splitlines()

    return run


def rest_orders(exchange: PaperServer, count: int, prefix: str) -> None:
    """Orders of the account, spread over both shards."""
    for number in range(count):
        ticker = (TICKER, "KXCLI-26NOV20-B")[number % 2]
        request = OrderRequest(
            ticker, Side.BID, 1_000 + 100 * number, 100, client_order_id=f"{prefix}{time.monotonic_ns()}"
        )
        exchange.run(lambda venue, r=request: venue.engine.create(TRADER, r, venue.now_ms()))  # type: ignore[misc]  # a default binds the loop's value


def open_orders(exchange: PaperServer) -> int:
    return exchange.run(lambda venue: len(venue.engine.truth(TRADER)["open_orders"]))


# ── tables ──────────────────────────────────────────────────────────────────────────────────────


def test_tables_are_created_once_and_checked(dora: Dora, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DORA_TABLE_PREFIX", "fresh_")
    code, _, told = dora("tables", "check")
    assert (code, told) == (2, ["dora: table fresh_market_config is missing: run `dora tables create`"])
    code, records, _ = dora("tables", "create")
    assert (code, [record["status"] for record in records]) == (0, ["created"] * 4)
    code, records, _ = dora("tables", "create")
    assert (code, [record["status"] for record in records]) == (0, ["exists"] * 4)
    code, records, _ = dora("tables", "check")
    assert (code, {record["status"] for record in records}) == (0, {"ok"})


@pytest.mark.parametrize("command", [["run"], ["status"], ["config", "show"]])
def test_missing_tables_are_code_2_and_the_remedy(
    command: list[str], dora: Dora, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DORA_TABLE_PREFIX", "nowhere_")
    code, _, told = dora(*command)
    assert code == 2
    assert "dora tables create" in told[-1]


# ── config ──────────────────────────────────────────────────────────────────────────────────────


def test_an_item_is_made_changed_shown_and_its_history_told(dora: Dora, db: Dynamo) -> None:
    code, records, told = dora("config", "set", TICKER, *ITEM, "--yes")
    assert (code, records[0]["min_spread"], records[0]["version"]) == (0, "0.03", "1")
    assert f"{TICKER}: quote_size: absent → 10  (more risk)" in told
    stored = db.get(MARKET_CONFIG, {"market_id": TICKER})
    assert (stored["enabled"], stored["min_spread"]) == (True, Decimal("0.03"))

    code, records, told = dora("config", "set", TICKER, "min_spread=0.05")
    assert (code, records[0]["version"], told) == (0, "2", [f"{TICKER}: min_spread: 0.03 → 0.05"])
    assert records[0]["updated_at"].endswith("Z")

    code, records, _ = dora("config", "show")
    assert [record.get("key", record.get("market_id")) for record in records] == [GLOBAL_CONFIG, TICKER]
    assert dora("config", "history", "NOPE")[0] == 2
    code, records, _ = dora("config", "history", TICKER)
    assert [record["version"] for record in records] == ["1", "2"]
    assert records[1]["changes"] == {"min_spread": ["0.03", "0.05"]}


def test_more_risk_needs_a_yes_where_nobody_can_be_asked(dora: Dora, db: Dynamo) -> None:
    dora("config", "set", TICKER, *ITEM, "--yes")
    code, records, told = dora("config", "set", TICKER, "quote_size=20")
    assert (code, records) == (2, [])
    assert "--yes" in told[-1]
    assert db.get(MARKET_CONFIG, {"market_id": TICKER})["quote_size"] == 10


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("quote_size=-5", "quote_size"),
        ("min_spread=NaN", "min_spread"),
        ("quote_size=1000", "quote_size is larger"),
        ("max_inventory_yes=5000", "ceiling"),
        ("strategy=martingale", "strategy"),
        ("min_spred=0.05", "min_spred"),
    ],
)
def test_a_bad_value_is_named_and_nothing_is_written(word: str, named: str, dora: Dora, db: Dynamo) -> None:
    dora("config", "set", TICKER, *ITEM, "--yes")
    before = db.get(MARKET_CONFIG, {"market_id": TICKER})
    code, records, told = dora("config", "set", TICKER, word, "--yes")
    assert (code, records, len(told)) == (2, [], 1)
    assert named in told[0]
    assert db.get(MARKET_CONFIG, {"market_id": TICKER}) == before


def test_two_editors_do_not_overwrite_each_other(dora: Dora, db: Dynamo) -> None:
    dora("config", "set", TICKER, *ITEM, "--yes")
    editor = ConfigEditor(db, Ceilings())
    mine = editor.propose(TICKER, {"min_spread": Decimal("0.05")})
    db.update(MARKET_CONFIG, {"market_id": TICKER}, {"min_spread": Decimal("0.09")})  # as the console does
    with pytest.raises(ConfigError, match="somebody else"):
        editor.apply(mine, "me", 1_795_000_000_000)
    assert db.get(MARKET_CONFIG, {"market_id": TICKER})["min_spread"] == Decimal("0.09")
    assert len(editor.history(TICKER)) == 1

    other = editor.propose(TICKER, {"quote_size": Decimal(5)})
    db.update(MARKET_CONFIG, {"market_id": TICKER}, {"status": "applied"})  # the bot's answer is no conflict
    assert editor.apply(other, "me", 1_795_000_000_000)["status"] == "applied"


def test_an_item_for_a_market_that_does_not_exist_is_refused(dora: Dora, db: Dynamo) -> None:
    code, _, told = dora("config", "set", "KXNOSUCH-1", *ITEM, "--yes")
    assert code == 2
    assert "KXNOSUCH-1 is unknown" in told[-1]
    assert not db.get(MARKET_CONFIG, {"market_id": "KXNOSUCH-1"})


def test_a_market_inherits_from_its_series_and_says_so(dora: Dora) -> None:
    dora("config", "set", "series#KXCLI", *ITEM, "--yes")
    code, _, _ = dora("config", "set", TICKER, "min_spread=0.07", "--yes")
    assert code == 0
    _, (shown,), _ = dora("config", "show", TICKER)
    assert (shown["min_spread"], shown["quote_size"]) == ("0.07", "10")
    assert shown["inherited_from"]["quote_size"] == "series#KXCLI"
    assert "min_spread" not in shown["inherited_from"]


def test_the_global_item_is_edited_by_its_own_rules(dora: Dora, db: Dynamo) -> None:
    code, _, told = dora("config", "set", "global", "max_daily_loss=50")
    assert (code, told) == (0, ["global: max_daily_loss: 100 → 50"])
    assert db.get(STATE, {"key": GLOBAL_CONFIG})["max_daily_loss"] == 50
    code, _, told = dora("config", "set", "global", "max_total_exposure=1000000", "--yes")
    assert code == 2
    assert "ceiling" in told[-1]
    code, records, _ = dora("config", "history", "global")
    assert records[0]["changes"] == {"max_daily_loss": ["100", "50"]}


# ── stopping ────────────────────────────────────────────────────────────────────────────────────


def test_cancel_all_leaves_nothing_on_any_shard_and_is_noted_for_the_minute_it_goes_on(
    dora: Dora, exchange: PaperServer, environment: Path
) -> None:
    rest_orders(exchange, 4, "foreign-")
    code, (record,), _ = dora("cancel-all")
    assert (code, record["open_orders"], open_orders(exchange)) == (0, 0, 0)
    assert record["seconds"] < 10
    now_ms = int(time.time() * 1_000)
    told = HaltFile(environment / "halts.jsonl").read()
    assert "goes on cancelling" in told.tail(now_ms)
    assert (told.tail(now_ms + 61_000), told.halts) == ("", ())


def test_a_halt_is_latched_told_and_cancels_only_what_is_ours(
    dora: Dora, exchange: PaperServer, db: Dynamo, environment: Path
) -> None:
    prefix = Settings.from_environ(os.environ).order_prefix
    rest_orders(exchange, 3, prefix)
    rest_orders(exchange, 1, "somebody-else-")
    code, (record,), _ = dora("halt", "--reason", "news")
    assert (code, record["open_orders"], record["halt_id"], open_orders(exchange)) == (0, 0, "H1", 1)
    assert [halt.reason for halt in HaltFile(environment / "halts.jsonl").read().halts] == ["news"]
    assert [halt.halt_id for halt in StateStore(db).risk_state().halts] == ["H1"]

    resumed(dora, "H1")
    assert not HaltFile(environment / "halts.jsonl").read().halts
    assert not StateStore(db).risk_state().halts
    dora("cancel-all")


def resumed(dora: Dora, halt_id: str) -> None:
    """A halt's two steps."""
    assert dora("resume", halt_id)[0] == 3
    assert dora("resume", halt_id, "--confirm")[0] == 0


def test_a_halt_ends_only_after_somebody_saw_it_and_then_confirmed(
    dora: Dora, db: Dynamo, environment: Path
) -> None:
    HaltFile(environment / "halts.jsonl").latch("daily loss limit", "tick", "-50.01", SystemClock().now())
    code, records, told = dora("resume", "H1", "--confirm")
    assert (code, records) == (2, [])
    assert "nobody has acknowledged H1" in told[-1]

    code, (record,), told = dora("resume", "H1")
    assert (code, record["resumed"], record["halts"]) == (3, "", ["H1"])
    assert (record["halt"]["reason"], record["halt"]["evidence"]) == ("daily loss limit", "-50.01")
    assert any("H1 halts everything: daily loss limit; by tick at 20" in line for line in told)
    assert "dora resume H1 --confirm" in told[-1]
    (kept,) = StateStore(db).risk_state().halts
    assert kept.acknowledged.startswith(f"{getpass.getuser()} at 20")
    assert HaltFile(environment / "halts.jsonl").read().halts == (kept,)

    code, (record,), told = dora("resume", "H1", "--confirm")
    assert (code, record, told) == (0, {"resumed": "H1", "halts": []}, [])
    assert not StateStore(db).risk_state().halts
    assert dora("resume", "H1", "--confirm")[0] == 2


def test_a_halt_set_by_hand_stays_lifted(dora: Dora, db: Dynamo, environment: Path) -> None:
    """It has no time of its own in the table: a bot that looks there again must not find it."""
    store, file = StateStore(db), HaltFile(environment / "halts.jsonl")
    db.update(STATE, {"key": "risk_state"}, {"trading_halted": True})
    assert file.take(store.risk_state().halts, SystemClock().now()).halted
    assert dora("resume", "H1")[0] == 3
    db.update(STATE, {"key": "risk_state"}, {"trading_halted": True, "halts": []})  # as the console left it
    assert dora("resume", "H1", "--confirm")[0] == 0
    assert store.risk_state().halts == ()
    assert not file.take(store.risk_state().halts, SystemClock().now()).halts


def test_the_table_says_halted_until_the_halt_is_over_here(dora: Dora, db: Dynamo, environment: Path) -> None:
    """Else a bot that looks in between writes it back, over whatever was set by hand after that."""
    HaltFile(environment / "halts.jsonl").latch("daily loss limit", "tick", "-50.01", SystemClock().now())
    assert dora("resume", "H1")[0] == 3
    db.update(STATE, {"key": "risk_state"}, {"trading_halted": False, "halts": []})
    with (environment / "halts.jsonl").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the disk takes no end of it
        assert dora("resume", "H1", "--confirm")[0] == 1
    assert db.get(STATE, {"key": "risk_state"})["trading_halted"] is True
    assert dora("resume", "H1", "--confirm")[0] == 0
    assert db.get(STATE, {"key": "risk_state"})["trading_halted"] is False


def test_a_halt_that_the_disk_refuses_sweeps_tells_the_database_and_fails(
    dora: Dora, exchange: PaperServer, db: Dynamo, environment: Path
) -> None:
    rest_orders(exchange, 2, Settings.from_environ(os.environ).order_prefix)
    (environment / "halts.jsonl").mkdir(parents=True)
    code, records, told = dora("halt", "--reason", "news")
    assert (code, records, open_orders(exchange)) == (1, [], 0)
    assert "the halt is not latched here" in told[-1]
    assert [halt.reason for halt in StateStore(db).risk_state().halts] == ["news"]


def test_a_halt_where_no_bot_has_run_says_so_and_keeps_what_is_in_force_elsewhere(
    dora: Dora, db: Dynamo, environment: Path
) -> None:
    StateStore(db).set_halts([Halt("H1", "daily loss limit", 1_800_000_000_000, "risk")])
    code, _, told = dora("halt", "--reason", "news")
    assert code == 0
    assert any(f"no bot has run with DORA_STATE_DIR={environment}" in line for line in told)
    assert {halt.reason for halt in StateStore(db).risk_state().halts} == {"daily loss limit", "news"}
    with StateDir.open(environment, "paper"):
        told = dora("halt", "--reason", "news")[2]
    assert not any("no bot has run" in line for line in told)
    for name in ("H1", "H2"):
        resumed(dora, name)
    assert not StateStore(db).risk_state().halts


def test_a_pause_cancels_and_reducing_only_does_not_and_both_end_by_their_ids(
    dora: Dora, exchange: PaperServer, db: Dynamo, environment: Path
) -> None:
    rest_orders(exchange, 2, Settings.from_environ(os.environ).order_prefix)
    code, (record,), _ = dora("reduce-only", "KXA", "--reason", "news")
    assert (code, record) == (0, {"halt_id": "H1", "scope": "KXA"})
    assert open_orders(exchange) == 2
    code, (record,), _ = dora("pause", "--reason", "news")
    assert (code, record["open_orders"], record["halt_id"], open_orders(exchange)) == (0, 0, "H2", 0)
    in_force = HaltFile(environment / "halts.jsonl").read()
    assert [(h.reason, h.hold, h.scope) for h in in_force.halts] == [
        ("reduce only in KXA: news", Hold.REDUCE_ONLY, "KXA"),
        ("paused: news", Hold.PAUSED, ""),
    ]
    assert StateStore(db).risk_state().halts == in_force.halts
    assert dora("resume", "H2")[1] == [{"resumed": "H2", "halts": ["H1"]}]
    assert dora("resume", "H1")[0] == 0


def test_flatten_asks_pauses_and_closes(dora: Dora, exchange: PaperServer, environment: Path) -> None:
    bought = OrderRequest(TICKER, Side.BID, 5_200, 500, client_order_id="by-hand")
    exchange.run(lambda venue: venue.engine.create(TRADER, bought, venue.now_ms()))
    code, records, told = dora("flatten")
    assert (code, records) == (2, [])
    assert told == [f"dora: {TICKER}: 5.00 contracts will be closed", told[-1]]
    assert dora("flatten", "--within", "far", "--yes")[0] == 2
    assert not HaltFile(environment / "halts.jsonl").read().halts

    code, (market, total), _ = dora("flatten", "--yes")
    assert market == {"ticker": TICKER, "before": "5.00", "left": "0.00", "reason": ""}
    assert (code, total["flat"], total["open_orders"]) == (0, True, 0)
    assert [h.hold for h in HaltFile(environment / "halts.jsonl").read().halts] == [Hold.PAUSED]
    assert dora("resume", total["halt_id"])[0] == 0


def test_a_halt_needs_no_database(
    dora: Dora,
    exchange: PaperServer,
    environment: Path,
    monkeypatch: pytest.MonkeyPatch,
    free_port: Callable[[], int],
) -> None:
    rest_orders(exchange, 2, Settings.from_environ(os.environ).order_prefix)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    code, (record,), told = dora("halt", "--reason", "database down")
    assert (code, record["open_orders"], open_orders(exchange)) == (0, 0, 0)
    assert HaltFile(environment / "halts.jsonl").read().halts
    assert any("DynamoDB does not know" in line for line in told)


def test_a_wrong_key_is_code_4(dora: Dora, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DORA_KALSHI_KEY_ID", "00000000-0000-0000-0000-000000000000")
    code, _, told = dora("cancel-all")
    assert code == 4
    assert "401" in told[-1]


def test_a_lease_in_other_hands_is_code_5_and_no_order_is_sent(
    dora: Dora, db: Dynamo, exchange: PaperServer
) -> None:
    clock, stop = SystemClock(), threading.Event()
    lease = Lease(db, "paper", "somebody-else")
    assert lease.acquire(clock.now())

    def hold() -> None:
        while not stop.wait(0.5):
            lease.step(clock.now())

    holder = threading.Thread(target=hold)
    holder.start()
    before = exchange.run(lambda venue: venue.journal.last)
    try:
        code, _, told = dora("run", "--seconds", "1")
    finally:
        stop.set()
        holder.join()
    assert code == 5, told
    assert "is held by" in told[-1]
    assert not exchange.run(lambda v: [e for e in v.journal.after(before) if e.get("method") == "POST"])


# ── looking ─────────────────────────────────────────────────────────────────────────────────────


def test_without_a_bot_the_status_comes_from_dynamodb(dora: Dora, db: Dynamo) -> None:
    held = {
        "yes_qty": Decimal(0),
        "no_qty": Decimal("3.5"),
        "avg_cost_yes": Decimal(0),
        "avg_cost_no": Decimal("0.6"),
    }
    db.put(STATE, {"key": "positions", "positions": {TICKER: held}, "updated_at": "2026-11-20T12:00:00.000Z"})
    code, (found,), _ = dora("status", "--json")
    assert (code, found["posture"]) == (0, "STOPPED")
    assert found["positions"] == {
        TICKER: {"net": "-3.50", "avg_cost": "0.6000", "worst_case_loss": "2.100000"}
    }


def test_the_last_status_of_a_dead_bot_is_not_taken_for_its_present(dora: Dora, environment: Path) -> None:
    last = {
        "time": "2026-11-20T12:00:00.000Z",
        "posture": "RUN",
        "reasons": [],
        "halts": [],
        "open_orders": [{}],
    }
    with StateDir.open(environment, "paper") as state_dir:
        state_dir.publish_status(json.dumps(last).encode())
        assert dora("status", "--json")[1] == [last]
        drill = HaltFile(environment / "halts.jsonl").latch("drill", "operator", "", SystemClock().now())
        (found,) = dora("status", "--json")[1]
        assert (found["posture"], [halt["reason"] for halt in found["halts"]]) == ("RUN", ["drill"])
        HaltFile(environment / "halts.jsonl").resume(drill.halts[0].halt_id, "operator", SystemClock().now())
    (found,) = dora("status", "--json")[1]
    assert (found["posture"], found["open_orders"]) == ("STOPPED", [{}])
    assert found["reasons"] == ["no bot runs: orders and quotes are as of 2026-11-20T12:00:00.000Z"]
    HaltFile(environment / "halts.jsonl").latch("daily loss limit", "risk", "", SystemClock().now())
    (found,) = dora("status", "--json")[1]
    assert (found["posture"], [halt["reason"] for halt in found["halts"]]) == ("HALTED", ["daily loss limit"])


def test_doctor_finds_nothing_wrong_and_sends_no_order(dora: Dora, exchange: PaperServer) -> None:
    dora("config", "set", TICKER, *ITEM, "--yes")
    before = exchange.run(lambda venue: venue.journal.last)
    code, records, _ = dora("doctor")
    assert [record for record in records if not record["ok"]] == []
    assert code == 0
    assert {record["check"] for record in records} >= {
        "keys",
        "exchange",
        "clock",
        "auth",
        "limits",
        "tables",
        "feed",
    }
    sent = exchange.run(
        lambda venue: [e for e in venue.journal.after(before) if e.get("method") not in (None, "GET")]
    )
    assert [entry for entry in sent if entry["path"].endswith("/orders")] == []


def findings() -> dict[str, str]:
    """What doctor finds wrong, by check."""
    return {f.check: f.detail for f in examine(Settings.from_environ(os.environ)) if not f.ok}


def test_doctor_names_each_thing_that_is_wrong(
    environment: Path, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int], exchange: PaperServer
) -> None:
    assert environment
    with monkeypatch.context() as patch:
        patch.setenv("DORA_TABLE_PREFIX", "nowhere_")
        found = findings()
        assert "dora tables create" in found["tables"]
        assert found["global_config"].startswith("not tried")
    with monkeypatch.context() as patch:
        patch.setenv("DORA_KALSHI_KEY_ID", "00000000-0000-0000-0000-000000000000")
        assert "check that the key id belongs" in findings()["auth"]
    with monkeypatch.context() as patch:
        patch.setenv("DORA_KALSHI_REST_URL", f"http://127.0.0.1:{free_port()}/trade-api/v2")
        found = findings()
        assert "start the exchange" in found["exchange"]
        assert found["auth"].startswith("not tried")
    with monkeypatch.context() as patch:
        patch.setenv("DORA_KALSHI_WS_URL", f"ws://127.0.0.1:{free_port()}/trade-api/ws/v2")
        assert list(findings()) == ["market_config", "feed"]


def test_doctor_fails_with_code_1(dora: Dora) -> None:
    code, records, told = dora("doctor")
    assert code == 1
    assert [record["check"] for record in records if not record["ok"]] == ["market_config"]
    assert told == ["dora: 1 checks failed; each detail says what to do"]
