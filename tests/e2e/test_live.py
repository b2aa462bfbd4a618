"""Live trading, all of it but the money: both switches, a ceilings file of root's, a key from Secrets Manager, TLS."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from dora_bot.items import STATE
from dora_bot.models import Side
from dora_bot.paper.testing import StaticMarket
from tests.e2e.rig import Bot, Rig, resting
from tests.fakes.aws import LocalAwsProcess
from tests.fakes.ceilings import LIMITS, write_ceilings
from tests.fakes.loopback_http import LoopbackHttp, reply
from tests.fakes.tls import Authority, TlsDoor

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(os.getuid() != 0, reason="only root can make files of root's and of others"),
]

A = "KXLIVE-26NOV20-A"
SECRET = "dora/live-test"
ITEM = {"max_inventory_yes": 10, "max_inventory_no": 10, "price_min": "0.10", "price_max": "0.90"}


class LiveRig(Rig):
    """A `Rig` whose exchange is reached by TLS and whose key lies in Secrets Manager."""

    authority: Authority
    door: TlsDoor

    def go_live(self, stack: ExitStack, aws_url: str) -> None:
        here = self.server.here
        self.authority = Authority(self.folder)
        port = urlsplit(here.rest_url).port
        assert port is not None
        self.door = stack.enter_context(TlsDoor(self.authority.server(), port))
        secret = {"key_id": here.key_id, "private_key_pem": Path(here.private_key_path).read_text()}
        manager = boto3.client(
            "secretsmanager",
            endpoint_url=aws_url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        manager.create_secret(Name=SECRET, SecretString=json.dumps(secret))
        manager.close()
        del self.environ["DORA_KALSHI_KEY_ID"], self.environ["DORA_KALSHI_PRIVATE_KEY_PATH"]
        self.environ |= {
            "DORA_ENV": "live",
            "DORA_KALSHI_SECRET_ID": SECRET,
            "DORA_CEILINGS_PATH": str(self.ceilings("ceilings")),
            **self.door.addresses(here.rest_url, here.ws_url),
        }

    def ceilings(
        self, name: str, hosts: Mapping[str, list[str]] | None = None, ca_file: Path | None = None
    ) -> Path:
        """A file with the limits, this authority, and this exchange's key (``KEY`` in ``hosts``) unless told otherwise."""
        key_id = self.server.here.key_id
        text = f'{LIMITS}ca_file = "{ca_file or self.authority.ca_file}"\n'
        named = {
            host: [key_id if key == "KEY" else key for key in keys]
            for host, keys in (hosts or {"127.0.0.1": ["KEY"]}).items()
        }
        return write_ceilings(self.folder / f"{name}.toml", text, hosts=named)


@pytest.fixture(scope="module")
def rig(local_aws: LocalAwsProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRig]:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("live")
        rig = stack.enter_context(LiveRig(local_aws.url, "live_e2e_", folder, [StaticMarket(A)]))
        rig.go_live(stack, local_aws.url)
        rig.configure(**ITEM)
        yield rig


def banner(bot: Bot) -> dict[str, Any]:
    (line,) = [line for line in bot.log() if line["message"] == "started"]
    return {name: value for name, value in line.items() if name not in ("timestamp", "location")}


def test_it_starts_quotes_halts_and_stops(rig: LiveRig) -> None:
    bot = rig.start("--live")
    rig.quoting()
    assert rig.run(lambda v: any(e["kind"] == "ws_open" for e in v.journal.after(0)))
    rig.hit(A, Side.ASK, 1)
    rig.until_status("the fill", lambda s: s["counts"]["fills"] == 1, 10.0)
    done = rig.dora("halt", "--reason", "a look")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["open_orders"], rig.run(resting)) == (0, [])
    rig.until_status("HALTED", lambda s: s["posture"] == "HALTED", 5.0)
    rig.resume(told["halt_id"])
    rig.quoting()
    assert bot.stop() == 0, bot.last_words()
    assert not rig.run(resting)
    assert rig.ledger_differences() == []
    heartbeat = next(i for i in rig.db.scan(STATE) if str(i["key"]).startswith("heartbeat"))
    assert heartbeat["ceilings"] == banner(bot)["ceilings"]


def test_its_banner_differs_from_papers_only_where_it_must(rig: LiveRig, local_aws: LocalAwsProcess) -> None:
    folder = rig.folder / "paper"
    folder.mkdir()
    with Rig(local_aws.url, "play_money_", folder, [StaticMarket(A)]) as paper:
        paper.configure(**ITEM)
        bot = paper.start()
        paper.quoting()
        assert bot.stop() == 0
    live, other = banner(rig.bots[0]), banner(bot)
    assert live.keys() == other.keys()
    assert {name for name in live if live[name] != other[name]} == {
        "env",
        "exchange",
        "table_prefix",
        "ceilings",
    }
    assert (live["env"], live["table_prefix"]) == ("live", "live_e2e_")
    assert "sha256 " in live["ceilings"]


def stranger(rig: LiveRig) -> Authority:
    folder = rig.folder / "stranger"
    folder.mkdir(exist_ok=True)
    return Authority(folder)


def poor(rig: LiveRig) -> Path:
    text = LIMITS.replace("1_000_000", "99_999") + f'ca_file = "{rig.authority.ca_file}"'
    return write_ceilings(rig.folder / "poor.toml", text, hosts={"127.0.0.1": [rig.server.here.key_id]})


def open_to_all(rig: LiveRig) -> Path:
    path = rig.ceilings("open")
    path.chmod(0o666)
    return path


DEMO = "external-api.demo.kalshi.co"
REFUSED: dict[str, tuple[Callable[[LiveRig], Path | None], int, str]] = {
    "another authority": (lambda r: r.ceilings("c1", ca_file=stranger(r).ca_file), 4, "certificate"),
    "another host": (lambda r: r.ceilings("c2", {"exchange.example": ["KEY"]}), 2, "allows for 127.0.0.1"),
    "a key of another host": (
        lambda r: r.ceilings("c3", {"127.0.0.1": ["k"], "demo.example": ["KEY"]}),
        2,
        "the API key is not one of those",
    ),
    "a host of the demo venue": (
        lambda r: r.ceilings("c4", {"127.0.0.1": ["KEY"], DEMO: ["KEY"]}),
        2,
        f"names {DEMO}",
    ),
    "less bankroll than cash": (poor, 2, "bankroll"),
    "no ceilings": (lambda _: None, 2, "DORA_CEILINGS_PATH"),
    "ceilings that others may write": (open_to_all, 2, "writable by others"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_whatever_is_not_as_it_must_be_ends_the_start_in_one_line(rig: LiveRig, case: str) -> None:
    make, code, said = REFUSED[case]
    path = make(rig)
    refused(rig, ["--live"], {"DORA_CEILINGS_PATH": str(path or "")}, code, said)
    if case != "less bankroll than cash":  # what the account holds is read at the exchange
        assert b"KALSHI-ACCESS-SIGNATURE" not in rig.door.heard


def refused(rig: LiveRig, flags: list[str], changes: dict[str, str], code: int, said: str) -> None:
    """A start that ends with one line, and wrote nothing to the exchange."""
    rig.door.heard.clear()
    bot = rig.start(*flags, **changes)
    assert bot.process.wait(30) == code, bot.last_words()
    assert len(bot.words()) == 1
    assert said in bot.words()[0]
    assert b"POST /trade-api/v2/portfolio/events/orders" not in rig.door.heard


def test_neither_switch_alone_nor_an_address_without_tls_starts(rig: LiveRig) -> None:
    here = rig.server.here
    refused(rig, [], {}, 2, "say so with `dora run --live` as well")
    refused(
        rig, ["--live"], {"DORA_ENV": "paper", "DORA_TABLE_PREFIX": "play_money_"}, 2, "needs DORA_ENV=live"
    )
    refused(rig, ["--live"], {"DORA_KALSHI_REST_URL": here.rest_url}, 2, "https:// and wss://")
    refused(rig, ["--live"], {"DORA_KALSHI_WS_URL": here.ws_url}, 2, "https:// and wss://")
    assert not rig.door.heard


def test_a_certificate_for_another_name_is_not_believed(rig: LiveRig) -> None:
    port = urlsplit(rig.server.here.rest_url).port
    assert port is not None
    with TlsDoor(rig.authority.server("127.0.0.2"), port) as door:
        here = rig.server.here
        bot = rig.start("--live", **door.addresses(here.rest_url, here.ws_url))
        assert bot.process.wait(30) == 4, bot.last_words()
        assert not door.heard


def test_no_byte_goes_by_a_proxy_or_another_authority_of_the_environment(rig: LiveRig) -> None:
    """S07: the environment can name proxies and certificates; neither sees or vouches for anything signed."""
    other = rig.folder / "elsewhere"
    other.mkdir()
    stranger = Authority(other)
    port = urlsplit(rig.server.here.rest_url).port
    assert port is not None
    here = rig.server.here
    with LoopbackHttp(lambda _request: reply(502)) as proxy, TlsDoor(stranger.server(), port) as door:
        through = {
            name: f"http://127.0.0.1:{proxy.port}"
            for upper in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WSS_PROXY")
            for name in (upper, upper.lower())
        }
        bundles = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "WEBSOCKET_CLIENT_CA_BUNDLE")
        believing = dict.fromkeys(bundles, str(stranger.ca_file))
        keys = rig.folder / "tls-keys"
        environment = {**through, "NO_PROXY": "", "no_proxy": "", "SSLKEYLOGFILE": str(keys)}
        bot = rig.start("--live", **environment, **believing)
        rig.quoting()
        assert bot.stop() == 0, bot.last_words()
        assert proxy.received == []
        assert not keys.exists() or b"SECRET" not in keys.read_bytes()  # a library opens it, and gets no key
        bot = rig.start("--live", **believing, **door.addresses(here.rest_url, here.ws_url))
        assert bot.process.wait(30) == 4, bot.last_words()
        assert not door.heard
