"""Canary secrets in a bot that is driven into every kind of trouble: none of them, in no disguise, in any sink (B41).

The same lives serve for two more proofs: every fill can be traced to its decision, and a key can be rotated.
"""

import json
import random
import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest

from dora_bot.code_version import code_version
from dora_bot.items import DECISION_LOG, TABLES, TRADE_LOG, Item
from dora_bot.models import Side
from dora_bot.paper.admin_actions import TRADER
from dora_bot.paper.auth import ApiKey, new_private_key, write_private_key
from dora_bot.paper.testing import StaticMarket
from tests.e2e.rig import Rig, resting, withdraw
from tests.fakes.aws import LocalAwsProcess
from tests.fakes.canaries import disguises, leaks
from tests.fakes.tls import TlsDoor

pytestmark = pytest.mark.process

A, B = "KXCANARY-26NOV20-A", "KXCANARY-26NOV20-B"
SECRET_ID = "dora/canary-test"
AWS_SECRET = "canaryAWS/secretACCESSkey+0123456789abcd"
HITS = 100
CLOCK_DOUBT = timedelta(milliseconds=600)
"""A decision is stamped by the bot's estimate of the exchange's clock, half a second rough at first; an order by the clock."""


class CanaryRig(Rig):
    """A `Rig` whose key lies in Secrets Manager and whose calls are listened to."""

    tap: TlsDoor

    def plant(self, stack: ExitStack, aws_url: str) -> None:
        here = self.server.here
        port = urlsplit(here.rest_url).port
        assert port is not None
        self.tap = stack.enter_context(TlsDoor(None, port))
        self.manager = boto3.client(
            "secretsmanager",
            endpoint_url=aws_url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        stack.callback(self.manager.close)
        self.keys: dict[str, str] = {here.key_id: Path(here.private_key_path).read_text()}
        self.manager.create_secret(Name=SECRET_ID, SecretString=self.secret(here.key_id))
        del self.environ["DORA_KALSHI_KEY_ID"], self.environ["DORA_KALSHI_PRIVATE_KEY_PATH"]
        self.environ |= {
            "DORA_KALSHI_SECRET_ID": SECRET_ID,
            "AWS_SECRET_ACCESS_KEY": AWS_SECRET,
            **self.tap.addresses(here.rest_url, here.ws_url),
        }

    def secret(self, key_id: str) -> str:
        return json.dumps({"key_id": key_id, "private_key_pem": self.keys[key_id]})

    def secrets(self) -> dict[str, set[str]]:
        """Everything that must never be seen: by name the values, as planted or as heard on the wire."""
        pems = [line for pem in self.keys.values() for line in pem.splitlines() if "-----" not in line]
        signatures = re.findall(rb"(?i)KALSHI-ACCESS-SIGNATURE: ([^\r\n]+)", bytes(self.tap.heard))
        assert len(signatures) > 10
        return {
            # The first line of every key is the same, and the last may be shorter than a beginning and an end.
            "private key": {line for line in pems[1:] if len(line) > 24},
            "key id": set(self.keys),
            "AWS secret": {AWS_SECRET},
            "admin token": {self.server.here.admin_token},
            "signature": {s.decode() for s in random.Random(1).sample(signatures, min(len(signatures), 100))},
        }

    def sinks(self) -> dict[str, bytes]:
        """Everything that a bot and its operator's commands wrote: files, output, every item of every table."""
        kept = [self.folder / "state", *self.folder.glob("bot-*")]
        files = [path for place in kept for path in (place.rglob("*") if place.is_dir() else [place])]
        found = {str(path.relative_to(self.folder)): path.read_bytes() for path in files if path.is_file()}
        for table in TABLES:
            found[self.db.name(table)] = json.dumps(list(self.db.scan(table)), default=str).encode()
        return found


@pytest.fixture(scope="module")
def rig(local_aws: LocalAwsProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CanaryRig]:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("canary")
        markets = [StaticMarket(A), StaticMarket(B, exchange_index=2)]
        rig = stack.enter_context(CanaryRig(local_aws.url, "canary_e2e_", folder, markets))
        rig.plant(stack, local_aws.url)
        rig.configure()
        yield rig


def commanded(rig: CanaryRig, *arguments: str, **environ: str) -> None:
    """Run a command of the operator's, whatever comes of it, and keep what it said among the sinks."""
    done = rig.dora(*arguments, **environ)
    name = f"bot-{'-'.join(arguments)[:40].replace('/', '_')}-{len(list(rig.folder.glob('bot-*')))}.said"
    (rig.folder / name).write_text(f"{done.stdout}\n{done.stderr}")


def test_the_process_itself_shows_no_key(rig: CanaryRig) -> None:
    """S09: not in its environment, not in its arguments, and no core file may be written."""
    bot = rig.start()
    rig.quoting()
    proc = Path(f"/proc/{bot.process.pid}")
    sinks = {name: (proc / name).read_bytes() for name in ("environ", "cmdline")}
    assert SECRET_ID.encode() in sinks["environ"]
    known = rig.secrets()
    assert leaks({name: known[name] for name in ("private key", "key id", "signature")}, sinks) == []
    limits = (proc / "limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits), limits


def test_every_fill_is_traced_to_its_decision(rig: CanaryRig) -> None:
    """S20: order, decision, what it was decided on, how old that was, the configuration and the program."""
    for number in range(HITS):
        ticker, side = (A, B)[number // 2 % 2], (Side.BID, Side.ASK)[number % 2]
        rig.until(
            "an order to hit",
            lambda v, t=ticker, s=side: any(o.side is not s for o in resting(v, t)),  # type: ignore[misc]  # mypy cannot type a lambda's default
            20.0,
        )
        rig.hit(ticker, side, 1)
    rig.until_status("all fills", lambda s: s["counts"]["fills"] >= HITS, 20.0)
    assert rig.bot.stop() == 0, rig.bot.last_words()
    assert rig.ledger_differences() == []
    rows = list(rig.db.scan(TRADE_LOG))
    fills = [row for row in rows if "trade_id" in row]
    assert len(fills) == HITS
    decisions = unfolded(rig)
    assert [fill for fill in fills if not traced(fill, rows, decisions)] == [], (decisions[:2], rows[:4])


def unfolded(rig: CanaryRig) -> list[Item]:
    """The decision log with one item a decision again."""
    found: list[Item] = []
    for item in rig.db.scan(DECISION_LOG):
        columns = {name: values for name, values in item.items() if isinstance(values, list)}
        found += [
            {"market_id": item["market_id"], **{name: values[n] for name, values in columns.items()}}
            for n in range(len(item["timestamps"]))
        ]
    return sorted(found, key=lambda decision: str(decision["timestamps"]))


def traced(fill: Item, rows: list[Item], decisions: list[Item]) -> bool:
    """Is there an order of the fill, and a decision before it that wished for just that order?"""
    order_id = str(fill["timestamp#order_id"]).split("#")[1]
    orders = [row for row in rows if row.get("order_id") == order_id and "trade_id" not in row]
    return any(is_of(decision, order) for order in orders for decision in decisions)


def moment(stamp: object) -> datetime:
    return datetime.fromisoformat(str(stamp).split("#")[0])


def is_of(decision: Item, order: Item) -> bool:
    side = {"buy": "bid", "sell": "ask"}[str(order["side"])]
    wished = {(s, Decimal(price)) for s, price, _ in json.loads(str(decision["target_quotes"]))}
    return (
        decision["market_id"] == order["market_id"]
        and moment(decision["timestamps"]) <= moment(order["timestamp#order_id"]) + CLOCK_DOUBT
        and (side, order["price"]) in wished
        and decision["book_version"] > 0
        and decision["book_age_ms"] >= 0
        and 0 <= decision["account_age_ms"] < 30_000
        and len(str(decision["config"])) == 16
        and decision["code"] == code_version()
    )


def test_a_revoked_key_halts_and_a_new_one_trades_on(rig: CanaryRig) -> None:
    """S23: the key is rotated while the bot runs; the halt is lifted by a person, the start uses the new key."""
    bot = rig.start()
    rig.quoting()
    old = rig.server.here.key_id
    private, new = new_private_key("ed25519"), "canary-key-0123456789-rotated"
    path = rig.folder / "rotated.pem"
    write_private_key(private, path)
    rig.keys[new] = path.read_text()
    rig.run(lambda v: v.keys.add(ApiKey(new, TRADER, private.public_key())))
    rig.run(lambda v: v.keys.revoke(old))
    status = rig.until_status("a halt", lambda s: s["halts"], 30.0)
    assert "refuses" in status["halts"][0]["reason"]
    rig.manager.put_secret_value(SecretId=SECRET_ID, SecretString=rig.secret(new))
    commanded(rig, "halt", "--reason", "the key was rotated")
    assert not rig.run(resting)
    assert bot.stop(seconds=60.0) != 0
    for halt in rig.status()["halts"]:
        rig.resume(str(halt["halt_id"]))
    rig.start()
    rig.quoting()
    assert rig.bot.stop() == 0, rig.bot.last_words()


def test_it_lives_through_refusals_damaged_replies_and_lost_ones(rig: CanaryRig) -> None:
    """The first of three: what it says of them is searched below."""
    rig.start("--json")
    rig.quoting()
    rig.arm("http.body", {"op": "create"}, {"how": "garbage"}, {"every": 3})
    rig.arm("http.status", {"method": "GET"}, {"code": 503, "shape": "html"}, {"every": 11})
    rig.arm("http.status", {"op": "amend"}, {"code": 401, "shape": "nested"}, {"nth": 2})
    rig.arm("http.drop_reply", {"op": "cancel"}, {"how": "reset"}, {"every": 4})
    rig.run(withdraw)
    rig.until_status("ticks in trouble", lambda s: s["counts"]["ticks"] > 30, 40.0)
    commanded(rig, "doctor")
    rig.bot.stop(seconds=60.0)
    assert sum(rig.disarm()) > 3


def test_operators_are_told_what_is_wrong_with_a_key(rig: CanaryRig) -> None:
    """The second: keys that are none, or another's, with the stack of each error."""
    wrong = rig.folder / "wrong.pem"
    write_private_key(new_private_key("rsa"), wrong)
    rig.keys["wrong-key-id-0123456789"] = wrong.read_text()
    for secret in (rig.secret("wrong-key-id-0123456789"), wrong.read_text()):
        rig.manager.put_secret_value(SecretId=SECRET_ID, SecretString=secret)
        commanded(rig, "--debug", "run", "--seconds", "1")
    commanded(rig, "doctor")
    commanded(rig, "status", "--json")
    said = [path.read_text() for path in rig.folder.glob("bot-*.said")]
    assert any("Traceback" in text for text in said)
    assert any("401" in text for text in said)


def test_nothing_that_was_written_holds_a_secret(rig: CanaryRig) -> None:
    """The third (S10): every file, all output and every item of every table."""
    sinks = rig.sinks()
    assert {"state/bot.log", "state/journal.sqlite", "state/halts.jsonl", "state/status.json"} <= sinks.keys()
    assert len(sinks) > 15
    assert leaks(rig.secrets(), sinks) == []


@pytest.mark.parametrize("how", disguises("the secret of the test, 0123456789"))
def test_the_search_finds_every_disguise(how: str) -> None:
    secret = "the secret of the test, 0123456789"
    sink = b"log line \xff " + disguises(secret)[how] + b" and more"
    assert any(found.endswith(f"as {how}") for found in leaks({"s": [secret]}, {"log": sink}))
    assert leaks({"s": [secret]}, {"log": b"log line"}) == []
