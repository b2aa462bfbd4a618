"""Two instances: one trades, the other waits without an order and takes over when the first is gone (MISSION B5)."""

import socket
import time

import pytest

from dora_bot.items import STATE
from dora_bot.paper.testing import StaticMarket
from tests.e2e.conftest import MakeRig
from tests.e2e.rig import until

pytestmark = pytest.mark.process

A = "KXSTANDBY-26NOV20-A"


def test_a_second_instance_stands_by_takes_over_in_twenty_seconds_and_stops_clean(make_rig: MakeRig) -> None:
    rig = make_rig([StaticMarket(A)])
    rig.configure()
    first = rig.start()
    rig.quoting()
    elsewhere = {"DORA_STATE_DIR": str(rig.folder / "standby")}
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(rig.folder / "notify"))
    waiting = rig.start("--standby", **elsewhere, NOTIFY_SOCKET=str(rig.folder / "notify"))
    until("standing by", lambda: [e for e in waiting.log() if e.get("action") == "standby"], 15.0)

    def holder() -> str:
        return str(rig.db.get(STATE, {"key": "lease#paper"})["owner"])

    owner = holder()
    time.sleep(6.0)  # the holder renews meanwhile, and is seen to
    assert (first.alive, waiting.alive, holder()) == (True, True, owner)
    told = {notify.recv(1_000) for _ in range(3)}
    assert told == {b"EXTEND_TIMEOUT_USEC=90000000\nSTATUS=standing by"}
    notify.close()
    first.kill()
    killed = time.monotonic()
    until("another holder", lambda: holder() != owner, 20.0, waiting.last_words)
    assert time.monotonic() - killed < 20
    mark = rig.run(lambda v: v.journal.last)
    rig.until("a write of the heir", lambda v: "order_groups/create" in str(v.journal.after(mark)), 20.0)
    rig.quoting()
    assert waiting.stop() == 0

    third = rig.start("--standby", **elsewhere)  # nobody holds the lease: it trades at once
    rig.quoting()
    fourth = rig.start("--standby", DORA_STATE_DIR=str(rig.folder / "fourth"))
    until("standing by", lambda: [e for e in fourth.log() if e.get("action") == "standby"], 15.0)
    time.sleep(2.0)
    assert fourth.stop() == 0  # it only stood by
    assert third.stop() == 0
    assert rig.ledger_differences() == []
