"""The absolute limits: read whole or not at all, from a file that nobody else could write, and above everything."""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_bot import risk_manager
from dora_bot.ceilings import Ceilings
from dora_bot.ceilings_file import guarded_bytes, read_ceilings
from dora_bot.config import Settings, global_config, market_config
from dora_bot.errors import ConfigError
from dora_bot.models import Place, Side
from dora_bot.units import ONE_E4
from dora_bot.write_budget import Wanted
from tests.fakes.ceilings import LIMITS, write_ceilings
from tests.fakes.core import GLOBAL_ITEM, ITEM, NOW, RUN, config, market, market_view, own, view

NOBODY = 65_534
root_only = pytest.mark.skipif(os.getuid() != 0, reason="only root can make files of root's and of others")


def settings(path: Path | None, env: str = "paper") -> Settings:
    return Settings.from_environ({"DORA_ENV": env, "DORA_CEILINGS_PATH": str(path or "")})


def refusal(path: Path | None, env: str = "paper") -> str:
    with pytest.raises(ConfigError) as caught:
        read_ceilings(settings(path, env))
    return str(caught.value)


# ── the file ────────────────────────────────────────────────────────────────────────────────────


def test_every_limit_is_read_and_the_source_carries_the_hash(tmp_path: Path) -> None:
    path = write_ceilings(tmp_path / "c.toml", hosts={"one.example": ["key-a", "key-b"]})
    read = read_ceilings(settings(path))
    assert read == Ceilings(
        max_contracts_per_market_e2=1_250,
        max_total_exposure_e6=3_000_000_000,
        max_markets=4,
        max_order_contracts_e2=1_000,
        max_order_notional_e6=8_000_000,
        max_orders_per_market=4,
        max_orders=12,
        price_min_e4=500,
        price_max_e4=9_500,
        bankroll_e6=1_000_000_000_000,
        hosts={"one.example": ("key-a", "key-b")},
        source=f"{path} sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}",
    )


def test_without_a_file_paper_has_its_own_and_live_trading_is_refused() -> None:
    assert read_ceilings(settings(None)) == Ceilings()
    assert "DORA_CEILINGS_PATH is required" in refusal(None, "live")


@pytest.mark.parametrize("line", LIMITS.splitlines())
def test_a_missing_limit_is_named_and_has_no_default(line: str, tmp_path: Path) -> None:
    path = write_ceilings(tmp_path / "c.toml", LIMITS.replace(f"{line}\n", ""))
    assert refusal(path) == f"ceilings file {path}: {line.split(maxsplit=1)[0]} is missing"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{LIMITS}max_order = 1", "max_order is not a known attribute"),
        (f'{LIMITS}source = "me"', "source is not a known attribute"),
        (f"{LIMITS}max_orders_e2 = 1", "max_orders_e2 is not a known attribute"),
        (LIMITS.replace("12.5", '"lots"'), "max_contracts_per_market"),
        (LIMITS.replace("12.5", "nan"), "max_contracts_per_market"),
        (LIMITS.replace("12.5", "inf"), "max_contracts_per_market"),
        (LIMITS.replace("12.5", "-1"), "max_contracts_per_market"),
        (LIMITS.replace("12.5", "0.001"), "max_contracts_per_market"),
        (LIMITS.replace("0.95", "0.05"), "price_min must be below price_max"),
        (LIMITS.replace("max_orders = 12", "max_orders = 3"), "max_orders_per_market is above max_orders"),
        (f'{LIMITS}[hosts]\n"https://one.example" = ["k"]', "hosts"),
        (f'{LIMITS}[hosts]\n"one.example" = "k"', "hosts"),
        (f'{LIMITS}ca_file = "/nowhere.pem"', "ca_file: No such file"),
        ("max_markets = [", "Invalid value"),
        ("\ud800", "utf-8"),
        ("#" * 1_000_001, "longer than"),
    ],
)
def test_a_file_that_is_not_understood_whole_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    path.chmod(0o644)
    told = refusal(path)
    assert told.startswith(f"ceilings file {path}: ")
    assert said in told


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.toml") == f"ceilings file {tmp_path}/no.toml: No such file or directory"


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_may_write_is_refused_everywhere(mode: int, tmp_path: Path) -> None:
    path = write_ceilings(tmp_path / "c.toml")
    path.chmod(mode)
    for env in ("paper", "demo", "live"):
        assert "writable by others" in refusal(path, env)


@root_only
def test_in_live_trading_file_and_folders_belong_to_root(tmp_path: Path) -> None:
    path = write_ceilings(tmp_path / "c.toml")
    assert read_ceilings(settings(path, "live")).max_markets == 4
    os.chown(path, NOBODY, NOBODY)
    assert "does not belong to root" in refusal(path, "live")
    assert read_ceilings(settings(path)).max_markets == 4
    os.chown(path, 0, 0)
    os.chown(tmp_path, NOBODY, NOBODY)
    assert f"the folder {tmp_path} does not belong to root" in refusal(path, "live")
    os.chown(tmp_path, 0, 0)
    tmp_path.chmod(0o777)
    assert f"the folder {tmp_path} is writable by others" in refusal(path, "live")


@root_only
def test_a_certificate_file_is_guarded_like_the_limits(tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("x")
    ca_file.chmod(0o666)
    path = write_ceilings(tmp_path / "c.toml", f'{LIMITS}ca_file = "{ca_file}"')
    assert "ca_file is writable by others" in refusal(path, "live")
    ca_file.chmod(0o644)
    os.chown(ca_file, NOBODY, NOBODY)
    assert "ca_file does not belong to root" in refusal(path, "live")


@root_only
def test_the_bots_user_cannot_write_it() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # as /etc is: the file alone must hold
        path = write_ceilings(Path(folder) / "c.toml")
        for attempt in (
            f"echo 'max_markets = 9' >> {path}",
            f"mv {path} {path}.old",
            f"rm {path} </dev/null",
        ):
            run = subprocess.run(
                ["sh", "-c", attempt], user=NOBODY, group=NOBODY, capture_output=True, text=True, check=False
            )
            assert run.returncode != 0
            assert "Permission denied" in run.stderr
        assert read_ceilings(settings(path, "live")).max_markets == 4


@root_only
def test_a_secret_file_is_closed_to_everybody_else(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("secret")
    for mode in (0o640, 0o604, 0o644):
        path.chmod(mode)
        with pytest.raises(ConfigError, match="open to others"):
            guarded_bytes(path, root_only=True, secret=True)
    path.chmod(0o600)
    assert guarded_bytes(path, root_only=True, secret=True) == b"secret"
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(ConfigError, match="does not belong to root"):
        guarded_bytes(path, root_only=True, secret=True)


# ── above the configuration ─────────────────────────────────────────────────────────────────────


def test_an_item_above_a_ceiling_is_refused_by_name() -> None:
    tight = Ceilings(
        max_contracts_per_market_e2=10_000, max_order_contracts_e2=1_000, price_min_e4=100, price_max_e4=9_900
    )
    market_config(ITEM, tight)
    for changes, said in (
        ({"max_inventory_yes": 101}, "max_inventory_yes exceeds the ceiling of 100.00 contracts"),
        ({"max_inventory_no": "100.01"}, "max_inventory_no exceeds"),
        ({"quote_size": 11}, "quote_size exceeds the ceiling of 10.00 contracts an order"),
        ({"price_min": "0.0099"}, "price_min is below the ceilings' 0.0100"),
        ({"price_max": "0.9901"}, "price_max is above the ceilings' 0.9900"),
    ):
        with pytest.raises(ConfigError, match=said):
            market_config({**ITEM, **changes}, tight)
    with pytest.raises(ConfigError, match=r"max_total_exposure exceeds the ceiling of \$999\."):
        global_config(GLOBAL_ITEM, Ceilings(max_total_exposure_e6=999_000_000))


@pytest.mark.parametrize(
    "name", ["max_order_contracts", "max_orders", "hosts", "ca_file", "bankroll", "max_markets"]
)
def test_no_ceiling_can_be_set_in_the_database(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is not a known attribute"):
        global_config({**GLOBAL_ITEM, name: 1}, Ceilings())


# ── above the strategy ──────────────────────────────────────────────────────────────────────────

TIGHT = Ceilings(
    max_order_contracts_e2=700,
    max_order_notional_e6=3_000_000,
    max_orders_per_market=3,
    max_orders=5,
    price_min_e4=1_500,
    price_max_e4=8_500,
)


@given(
    st.lists(
        st.builds(
            lambda n, side, price, size: Place(
                f"n{n}", f"KX{n % 3}", side, price * 100, size, NOW.exchange_ms + 1, 0
            ),
            st.integers(0, 1_000_000),
            st.sampled_from(Side),
            st.integers(1, 99),
            st.integers(1, 1_500),
        ),
        max_size=25,
        unique_by=lambda place: place.client_order_id,
    )
)
def test_whatever_is_asked_for_nothing_outside_the_ceilings_is_approved(asked: list[Place]) -> None:
    loose = config(quote_size=20, max_inventory_yes=1_000, max_inventory_no=1_000)
    one = own(Side.ASK, 9_400, ticker="KX0")
    markets = [
        market_view(*orders, of=market(t), with_config=loose)
        for t, orders in (("KX0", (one,)), ("KX1", ()), ("KX2", ()))
    ]
    verdict = risk_manager.vet([Wanted(p) for p in asked], view(*markets, ceilings=TIGHT), RUN)
    approved = [w.action for w in verdict.approved if isinstance(w.action, Place)]
    assert len(approved) + 1 <= TIGHT.max_orders
    for ticker, resting in (("KX0", 1), ("KX1", 0), ("KX2", 0)):
        assert sum(p.ticker == ticker for p in approved) + resting <= TIGHT.max_orders_per_market
    for place in approved:
        at_risk = place.price_e4 if place.side is Side.BID else ONE_E4 - place.price_e4
        assert TIGHT.price_min_e4 <= place.price_e4 <= TIGHT.price_max_e4
        assert place.count_e2 <= TIGHT.max_order_contracts_e2
        assert at_risk * place.count_e2 <= TIGHT.max_order_notional_e6


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (Place("n", "KX0", Side.BID, 1_400, 100, 1, 0), "price 0.1400 is outside"),
        (Place("n", "KX0", Side.BID, 2_000, 701, 1, 0), "size 7.01 is above"),
        (Place("n", "KX0", Side.BID, 6_000, 501, 1, 0), "$3.006000 in one order"),
        (Place("n", "KX0", Side.ASK, 4_000, 501, 1, 0), "$3.006000 in one order"),
    ],
)
def test_what_is_refused_names_its_ceiling(place: Place, said: str) -> None:
    of = market_view(of=market("KX0"), with_config=config(quote_size=20))
    (refused,) = risk_manager.vet([Wanted(place)], view(of, ceilings=TIGHT), RUN).refused
    assert refused.check == "check_ceilings"
    assert said in refused.reason


def test_what_is_just_at_the_ceilings_is_approved() -> None:
    loose = config(quote_size=20, max_inventory_yes=1_000, max_inventory_no=1_000)
    markets = [market_view(of=market(f"KX{n}"), with_config=loose) for n in range(6)]
    prices = (TIGHT.price_min_e4, TIGHT.price_max_e4, 2_000, 2_100, 2_200, 2_300)
    asked = [
        Wanted(Place(f"n{n}", f"KX{n}", Side.BID, price, 300, NOW.exchange_ms + 1, 0))
        for n, price in enumerate(prices)
    ]
    verdict = risk_manager.vet(asked, view(*markets, ceilings=TIGHT), RUN)
    assert [w.action.client_order_id for w in verdict.approved] == ["n0", "n1", "n2", "n3", "n4"]
    assert [r.action.client_order_id for r in verdict.refused] == ["n5"]
