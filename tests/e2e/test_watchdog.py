"""The dead man's switch against whole bots: what nobody else would cancel is gone within a minute (FAULTS B06, S03, S04).

And what it has stopped stays stopped, also where the bot lives on.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from dora_bot.clock import SystemClock
from dora_bot.config import Settings
from dora_bot.exchange_access import connect_transport, load_signer
from dora_bot.group_watch import SWEPT_MS
from dora_bot.kill import Sweeper
from dora_bot.paper.admin_actions import TRADER
from dora_bot.paper.auth import ApiKey, new_private_key, write_private_key
from dora_bot.paper.testing import StaticMarket
from dora_bot.paper.venue import Venue
from dora_bot.watchdog import Signs, Watchdog
from tests.e2e.conftest import MakeRig
from tests.e2e.gate import Gate
from tests.e2e.rig import Rig, resting

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

A, B = "KXDOG-26NOV20-A", "KXDOG-26NOV20-B"


class Watched:
    """A rig with a watchdog beside it that has a key of its own."""

    def __init__(self, rig: Rig, stack: ExitStack) -> None:
        self.rig = rig
        self.alerts: list[str] = []
        private = new_private_key("ed25519")
        path = rig.folder / "watchdog.pem"
        write_private_key(private, path)
        key = ApiKey("watchdog-key", TRADER, private.public_key())
        rig.run(lambda v: v.keys.add(key))
        environ = {
            **{name: value for name, value in rig.environ.items() if name.startswith("DORA_")},
            "DORA_KALSHI_KEY_ID": key.key_id,
            "DORA_KALSHI_PRIVATE_KEY_PATH": str(path),
        }
        settings, clock = Settings.from_environ(environ), SystemClock()
        transport = connect_transport(settings, load_signer(settings), clock)
        stack.callback(transport.close)
        sweeper = Sweeper(transport, clock, settings.order_prefix)
        self.asked = ""
        self.dog = Watchdog(sweeper, clock, lambda: Signs(halt=self.asked), self.alerts.append)

    def bite(self) -> None:
        """Somebody asks it to: every order goes, and its group is triggered."""
        self.asked, told = "a look at the machine", ""
        give_up = time.monotonic() + 20
        while "0 orders left resting, verified" not in told and time.monotonic() < give_up:
            told = self.dog.step()
            time.sleep(0.1)
        self.asked = ""
        assert "asked to: a look at the machine" in told
        assert set(self.rig.run(triggered).values()) == {True}


def triggered(venue: Venue) -> dict[str, bool]:
    """The account's order groups, and whether they take no orders."""
    return {group.group_id: group.triggered for group in venue.engine.groups(TRADER)}


def halted(rig: Rig) -> str:
    """Wait for the halt that follows a bite. Returns its id."""
    status = rig.until_status("a halt", lambda s: s["posture"] == "HALTED" and s["halts"], 30.0)
    assert [h["reason"] for h in status["halts"]] == ["an order group was triggered by somebody else"]
    assert not rig.run(resting)
    return str(status["halts"][0]["halt_id"])


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_without_the_bot_its_key_or_a_database_the_orders_are_gone_in_a_minute(
    make_rig: MakeRig, stack: ExitStack
) -> None:
    """One bot is killed; another lives on, without its key and its database. Neither's orders expire by themselves."""
    killed, severed = (
        Watched(make_rig([StaticMarket(A), StaticMarket(B, exchange_index=2)]), stack) for _ in range(2)
    )
    database = stack.enter_context(Gate(int(severed.rig.environ["AWS_ENDPOINT_URL"].rsplit(":", 1)[1])))
    severed.rig.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{database.port}"
    both = (killed, severed)
    for watched in both:
        watched.rig.configure()
        watched.rig.start()
    for watched in both:
        watched.rig.quoting()
        watched.rig.arm("eng.expiry", {}, {"ignore": True}, {})

    healthy_until = time.monotonic() + 22
    while time.monotonic() < healthy_until:  # the bots renew, and nobody bites
        assert [watched.dog.step() for watched in both] == ["", ""]
        time.sleep(0.2)

    killed.rig.bot.kill()
    severed.rig.run(lambda v: v.keys.revoke(severed.rig.server.here.key_id))
    database.shut()
    begun, gone = time.monotonic(), dict.fromkeys(both, 0.0)
    assert all(len(watched.rig.run(resting)) == 4 for watched in both)
    while not all(gone.values()) and time.monotonic() - begun < 70:
        for watched in both:
            watched.dog.step()
            if not gone[watched] and not watched.rig.run(resting):
                gone[watched] = time.monotonic() - begun
        time.sleep(0.2)
    for watched in both:
        assert 0 < gone[watched] <= 60, watched.alerts
        assert watched.dog.trips == 1
        assert "the bot is gone" in watched.alerts[0]
        assert "4 cancels sent, 0 orders left resting, verified" in watched.alerts[0]
    assert severed.rig.bot.alive


def test_a_bot_that_lives_does_not_undo_its_bite_until_a_person_resumes(
    make_rig: MakeRig, stack: ExitStack
) -> None:
    watched = Watched(make_rig([StaticMarket(A), StaticMarket(B, exchange_index=2)]), stack)
    rig = watched.rig
    rig.configure()
    rig.start()
    rig.quoting()
    watched.bite()
    halt_id = halted(rig)
    groups = rig.run(triggered)
    assert len(groups) == 2
    assert all(groups.values())
    assert rig.dora("resume", halt_id).returncode == 3
    assert rig.run(triggered) == groups
    assert rig.dora("resume", halt_id, "--confirm").returncode == 0
    rig.quoting(seconds=5.0)
    assert rig.run(triggered) == dict.fromkeys(groups, False)

    time.sleep(SWEPT_MS / 1_000)
    watched.bite()
    halt_id = halted(rig)
    rig.bot.kill()
    rig.start()
    assert halted(rig) == halt_id
    rig.resume(halt_id)
    rig.quoting(seconds=5.0)
    assert rig.bot.stop() == 0
    assert rig.ledger_differences() == []
