"""The watchdog beside the bot: production's own, on a machine of its own with a key, a line and a clock of its own.

It has no heartbeat to look at: what it knows of the bot's life are its orders.
"""

from typing import TYPE_CHECKING, cast

from dora_bot.http_transport import HttpTransport
from dora_bot.kill import Sweeper
from dora_bot.watchdog import Signs, Watchdog
from tests.sim.client import Network
from tests.sim.clocks import MachineClock, SimClock
from tests.sim.kernel import Process
from tests.sim.transport import SimTransport

if TYPE_CHECKING:
    from tests.sim.world import World

PREFIX = "dora-paper-"
STEP_MS = 1_000


class Dog:
    def __init__(self, world: "World") -> None:
        kernel, judge = world.kernel, world.judge
        self.process = Process()
        self._kernel = kernel
        network = Network(
            kernel,
            world.venue,
            world.faults,
            lambda _flight: None,
            lambda _outcome: None,
            lambda _port: None,
            counts=world.counts,
        )
        clock = SimClock(kernel, MachineClock(kernel))
        network.clock = clock
        transport = cast("HttpTransport", SimTransport(network, "dog"))
        self.watchdog = Watchdog(
            Sweeper(transport, clock, PREFIX), clock, Signs, lambda told: judge.note("dog", told)
        )
        kernel.spawn("dog", self._live, self.process)

    @property
    def trips(self) -> int:
        return self.watchdog.trips

    def _live(self) -> None:
        while True:
            self.watchdog.step()
            self._kernel.sleep_until(self._kernel.now_ms + STEP_MS)
