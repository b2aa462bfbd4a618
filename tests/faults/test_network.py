"""F30, F60: the bot's machine is cut off, in a network namespace of its own; needs root and iproute2."""

import os
import shutil
import subprocess
import sys
import time
from typing import Self

import pytest

from dora_bot.models import Side
from dora_bot.paper.testing import StaticMarket
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import ROOT, Rig, resting
from tests.faults.case import Case

ABLE = shutil.which("ip") is not None and os.geteuid() == 0
pytestmark = [
    pytest.mark.process,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not ABLE, reason="network namespaces need root and iproute2"),
]

A, B = "KXNETW-26NOV20-A", "KXNETW-26NOV20-B"
OUTSIDE, INSIDE = "10.231.0.1", "10.231.0.2"
LIFE_S = 55.0


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Cable:
    """A network namespace at the end of a cable, in which these ports of loopback lead to ours."""

    def __init__(self, ports: list[str]) -> None:
        self.name = f"dora{os.getpid()}"
        self.ports = ports
        self._relays: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        near, far = f"{self.name}o", f"{self.name}i"
        ip("netns", "add", self.name)
        ip("link", "add", near, "type", "veth", "peer", "name", far)
        ip("link", "set", far, "netns", self.name)
        ip("addr", "add", f"{OUTSIDE}/24", "dev", near)
        ip("link", "set", near, "up")
        ip("-n", self.name, "addr", "add", f"{INSIDE}/24", "dev", far)
        for device in (far, "lo"):
            ip("-n", self.name, "link", "set", device, "up")
        self._relay([], OUTSIDE, "127.0.0.1")
        self._relay(["ip", "netns", "exec", self.name], "127.0.0.1", OUTSIDE)
        return self

    def __exit__(self, *_: object) -> None:
        for relay in self._relays:
            relay.kill()
            relay.communicate()
        ip("netns", "del", self.name)

    def cut(self) -> None:
        ip("link", "set", f"{self.name}o", "down")

    def plug(self) -> None:
        ip("link", "set", f"{self.name}o", "up")

    def command(self) -> list[str]:
        """The interpreter's arguments for a bot that runs inside."""
        inside = ["ip", "netns", "exec", self.name, sys.executable, "-m", "dora_bot.cli", "run"]
        return ["-c", f"import os; os.execvp('ip', {inside!r})"]

    def _relay(self, within: list[str], here: str, there: str) -> None:
        relay = subprocess.Popen(
            [*within, sys.executable, "-m", "tests.faults.relay", here, there, *self.ports],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._relays.append(relay)
        assert relay.stdout is not None
        assert relay.stdout.readline() == "ready\n"


def port_of(url: str) -> str:
    return url.split(":")[2].split("/", maxsplit=1)[0]


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    rig = make_rig([StaticMarket(A), StaticMarket(B, exchange_index=2)])
    rig.configure()
    return rig


@pytest.mark.fault("F30", "F60", tier="Y")
def test_a_machine_that_is_cut_off_leaves_no_order_and_comes_back_by_itself(case: Case, rig: Rig) -> None:
    """Guard: `expiration_time` on every order. Connections stay up and are dead in both directions."""
    urls = (rig.environ["DORA_KALSHI_REST_URL"], rig.environ["AWS_ENDPOINT_URL"])
    with Cable([port_of(url) for url in urls]) as cable:
        rig.launch(cable.command(), {})
        rig.quoting(seconds=60.0)
        case.held("both sides of both markets rest", len(rig.run(resting)) == 4)
        cable.cut()
        case.struck("link down")
        begun = time.monotonic()
        rig.hit(A, Side.ASK, 2)
        rig.until_status(
            "the bot knows", lambda s: "RUN" not in str(s["posture"]) or not s["open_orders"], 40.0
        )
        rig.withdrawn(seconds=LIFE_S + 2)
        case.measured("B06", time.monotonic() - begun)
        time.sleep(5.0)
        assert rig.bot.alive, rig.bot.last_words()
        cable.plug()
        back = time.monotonic()
        rig.quoting(seconds=60.0)
        case.measured("L03 feed", time.monotonic() - back)
        rig.until_status("the fill", lambda s: s["positions"].get(A, {}).get("net") == "2.00", 15.0)
        assert rig.status()["halts"] == []
        assert rig.bot.stop() == 0
