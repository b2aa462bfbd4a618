"""One machine: its clock, its disk, its line to DynamoDB, and the bot's process on it, started again after each end.

A killed process leaves on the disk what it committed. A machine that lost power keeps what was synced: the journal's
log is cut somewhere behind its last checkpoint, as SQLite's own recovery may find it. DynamoDB keeps what was applied.
"""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, ReadTimeoutError

from dora_bot.dynamo import Wire
from dora_bot.models import Instant
from tests.sim.clocks import MachineClock
from tests.sim.kernel import Process
from tests.sim.life import Life
from tests.sim.stores import SimLatch
from tests.sim.tables import FAULTS, STALE_MS, Call, client_error, timed_out

if TYPE_CHECKING:
    from tests.sim.world import World

OUTAGE_MS = 15_000
DOWN_MS = (2_000, 2_000, 5_000, 12_000, 61_000)
"""How long a process that ended stays away."""

CLOCK_MS = 45_000
CLOCK_WEIGHT = 0.5
CLOCK_OFF_MS = 45_000
DRIFT_PPM = 33_000
"""Two seconds a minute (FAULTS F65)."""

RETRIED = frozenset({"ThrottlingException", "InternalServerError"})


class Host:
    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.folder = world.folder / name
        self.folder.mkdir()
        # The instance's name is part of what is told; production draws it.
        (self.folder / "instance").write_text(name)
        self.machine = MachineClock(world.kernel)
        self.latch = SimLatch(self.folder / "halts.jsonl")
        self.line = Line(self)
        self.stays_down = False
        self.clock_is_wrong = False
        self.lives = 0
        self.life: Life | None = None

    def set_clock(self) -> None:
        """Now and then a daemon or a person sets the machine's wall clock wrong, for a while."""
        world, place = self.world, f"clock/{self.name}.{self.world.kernel.now_ms}"
        kind = world.faults.strike(place, ("ahead", "behind", "fast", "slow"), CLOCK_WEIGHT)
        off_ms = int(CLOCK_OFF_MS * world.faults.share(f"{place}/ms"))
        wrong = {
            "ahead": (off_ms, 0),
            "behind": (-off_ms, 0),
            "fast": (0, DRIFT_PPM),
            "slow": (0, -DRIFT_PPM),
        }
        if kind:
            self.machine.set(*wrong[kind])
        elif self.clock_is_wrong:
            self.machine.set(0)
        self.clock_is_wrong = bool(kind)
        world.kernel.at(world.kernel.now_ms + CLOCK_MS, self.set_clock)

    @property
    def process(self) -> Process | None:
        return self.life.process if self.life else None

    def operator_now(self) -> Instant:
        """What the clock of a person at this machine shows."""
        return Instant(self.machine.mono_ms(), self.machine.wall_ms())

    def start(self) -> None:
        if self.life is not None or self.stays_down or self.world.over:
            return
        self.lives += 1
        self.life = Life(self, self.lives)
        self.world.on_start(self.life)
        name = f"{self.name}-{self.lives}"
        self.world.kernel.spawn(name, self.life.run, self.life.process)

    def on_end(self, life: Life, why: str) -> None:
        """The main thread of the process has ended, by itself or killed."""
        world, place = self.world, f"{self.name}-{life.number}"
        world.judge.durable.on_end(life)
        if why == "killed" and world.faults.strike(f"power/{place}", ("lost",), 3.0):
            self._lose_power(life, world.faults.share(f"power/{place}/cut"))
        else:
            life.die()
        world.kernel.kill(life.process)
        self.life = None
        world.on_end(life, why)
        down_ms = DOWN_MS[int(world.faults.share(f"down/{place}") * len(DOWN_MS))]
        if why.startswith("LeaseLost"):
            down_ms = DOWN_MS[0]  # a standby is started again at once
        world.kernel.at(world.kernel.now_ms + down_ms, self.start)

    def _lose_power(self, life: Life, share: float) -> None:
        """Keep of the journal's log what was synced, and of the rest as much as the disk happened to write."""
        files = [self.folder / f"journal.sqlite{end}" for end in ("", "-wal", "-shm")]
        journal, log, _ = files
        if not log.exists():
            life.die()
            return
        kept, waiting = journal.read_bytes(), log.read_bytes()
        head, size = life.synced
        least = (
            size if waiting.startswith(head) else 0
        )  # else the log was begun anew since, and all of it is unsynced
        life.die()
        for file in files:
            file.unlink(missing_ok=True)
        journal.write_bytes(kept)
        log.write_bytes(waiting[: least + int((len(waiting) - least) * share)])


class Line:
    """The way to DynamoDB: every attempt of a call takes time and can fail, alone or with all others of some seconds."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.down = ""
        """The fault that every call meets, empty for none."""
        self._outages: dict[int, str] = {}

    def call(self, operation: str, act: Call, attempts: int, patience_ms: int) -> Wire:
        world = self._host.world
        world.on_port(self._host, f"ddb.{operation}")
        name = f"{self._host.name}.{operation}"
        place = f"ddb/{name}/n={world.number(name)}"
        for attempt in range(attempts):
            try:
                return self._attempt(f"{place}.{attempt}", act, patience_ms)
            except (ClientError, ReadTimeoutError) as error:
                code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
                if attempt == attempts - 1 or (code and code not in RETRIED):
                    raise
        raise AssertionError("there is at least one attempt")

    def _attempt(self, place: str, act: Call, patience_ms: int) -> Wire:
        kernel, faults = self._host.world.kernel, self._host.world.faults
        kind = self.down or self._outage() or faults.strike(place, FAULTS, 0.5)
        kernel.sleep_until(kernel.now_ms + 3 + int(10 * faults.share(place)))
        if kind == "throttle":
            raise client_error("ThrottlingException")
        if kind == "error_before":
            raise client_error("InternalServerError")
        if kind != "hang_before":
            reply = act()
            if not kind:
                return reply
        if kind == "error_after":
            raise client_error("InternalServerError")
        kernel.sleep_until(kernel.now_ms + patience_ms)
        raise timed_out()

    def _outage(self) -> str:
        world = self._host.world
        span = world.kernel.now_ms // OUTAGE_MS
        if not world.faults.armed:
            return ""
        if span not in self._outages:
            place = f"ddb-outage/{self._host.name}.{span}"
            self._outages[span] = world.faults.strike(place, ("throttle", "error_before", "hang_before"), 0.5)
        return self._outages[span]

    def stale_ms(self) -> int:
        """How old the next eventually consistent read is."""
        world = self._host.world
        name = f"{self._host.name}.stale"
        stale = world.faults.strike(f"ddb-stale/{name}/n={world.number(name)}", ("read",))
        return STALE_MS if stale else 0
