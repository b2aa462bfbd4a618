"""Starting and stopping the paper exchange: ports, keys, accounts, the world, and the announcement line."""

import asyncio
import contextlib
import json
import secrets
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from dora_bot.errors import ConfigError, Usage
from dora_bot.paper.admin import AdminServer
from dora_bot.paper.admin_actions import OPERATOR, TRADER
from dora_bot.paper.auth import ApiKey, new_key_id, new_private_key, write_private_key
from dora_bot.paper.engine import Exchange
from dora_bot.paper.exchange_clock import ExchangeClock
from dora_bot.paper.front_door import FrontDoor
from dora_bot.paper.rate_limits import SHARDS, TIERS
from dora_bot.paper.request_faults import FLOW
from dora_bot.paper.self_acting_faults import SelfActingFaults
from dora_bot.paper.server import PREFIX, WS_PATH, TradingServer
from dora_bot.paper.venue import Venue, VenueOptions
from dora_bot.paper.world import World, build_world

_HOST = "127.0.0.1"
_CASH_PER_SHARD_E6 = 25_000_000_000
_MAX_IDLE_S = 0.05
"""The longest the engine goes without `advance`: how late an expiry may be noticed."""

WorldBuilder = Callable[[Exchange, int], World]
"""Sets markets up on an exchange at a time (Unix ms) and returns who trades there."""


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """The options of ``dora paper-exchange``. Port 0 = a free one; ``state_dir`` None = a private temporary one."""

    port: int = 0
    admin_port: int = 0
    markets: int = 6
    seed: int = 1
    tapes: tuple[Path, ...] = ()
    speed: float = 1.0
    tier: str = "basic"
    profile: str = "real"
    compat: bool = False
    admin: bool = True
    state_dir: Path | None = None
    key_type: str = "rsa"
    manual_clock_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a client needs to know; `line` is the first line of the program's output."""

    rest_url: str
    ws_url: str
    key_id: str
    private_key_path: str
    admin_url: str
    admin_token: str
    tickers: tuple[str, ...]

    def line(self) -> str:
        return json.dumps({name: getattr(self, name) for name in self.__slots__})


class PaperExchange:
    """One exchange with its two ports, on the running event loop."""

    def __init__(self, options: LaunchOptions, state_dir: Path, build: WorldBuilder | None = None) -> None:
        """Raises `Usage` or `ConfigError` for options that make no sense."""
        if options.tier not in TIERS:
            raise Usage(f"unknown tier {options.tier!r}; there are: {', '.join(TIERS)}")
        self._options = options
        self._state_dir = state_dir
        engine = Exchange(options.seed)
        clock = ExchangeClock(manual_ms=options.manual_clock_ms)
        self.venue = Venue(
            engine, clock, VenueOptions(options.tier, options.profile, options.seed, options.compat)
        )
        engine.open_account(OPERATOR, house=True)
        engine.open_account(FLOW, house=True)
        self.venue.open_account(TRADER, dict.fromkeys(SHARDS, _CASH_PER_SHARD_E6))
        self.world = (build or self._build_world)(engine, clock.now_ms())
        self.venue.publish()
        self._token = secrets.token_urlsafe(24)
        self._runners: list[web.AppRunner] = []
        self._doors: list[FrontDoor] = []
        self._self_acting: SelfActingFaults | None = None
        self.venue.turn = self._turn
        self._driver: asyncio.Task[None] | None = None

    def _build_world(self, engine: Exchange, now_ms: int) -> World:
        options = self._options
        return build_world(
            engine,
            markets=options.markets,
            seed=options.seed,
            now_ms=now_ms,
            tapes=options.tapes,
            speed=options.speed,
        )

    async def start(self) -> Announcement:
        """Open the ports. Raises `ConfigError` for a port that is taken."""
        key_id, path = self._make_key()
        trading = TradingServer(self.venue)
        port = await self._listen(trading.app(), self._options.port)
        admin_url = ""
        if self._options.admin:
            self._self_acting = SelfActingFaults(self.venue, self._doors[0])
            admin = AdminServer(self.venue, self._token, self._self_acting)
            admin_port = await self._listen(admin.app(), self._options.admin_port)
            admin_url = f"http://{_HOST}:{admin_port}"
        self._driver = asyncio.create_task(self._drive())
        return Announcement(
            rest_url=f"http://{_HOST}:{port}{PREFIX}",
            ws_url=f"ws://{_HOST}:{port}{WS_PATH}",
            key_id=key_id,
            private_key_path=str(path),
            admin_url=admin_url,
            admin_token=self._token if self._options.admin else "",
            tickers=self.world.tickers,
        )

    async def until_failed(self) -> None:
        """Return only once the world or the engine is broken; `stop` then raises what it was."""
        assert self._driver is not None, "the exchange was not started"
        await self._driver

    async def stop(self) -> None:
        """Close connections and ports. Raises what broke the exchange, if anything did."""
        if self._driver is not None:
            self._driver.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._driver
        for session in tuple(self.venue.sessions.values()):
            session.hang_up(1001)
        for door in self._doors:
            await door.close()
        for runner in self._runners:
            await runner.cleanup()
        if self.venue.failure is not None:
            raise self.venue.failure

    def _make_key(self) -> tuple[str, Path]:
        self._state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        private = new_private_key(self._options.key_type)
        fixed = self._options.manual_clock_ms is not None
        key_id = self.venue.new_id("key") if fixed else new_key_id()
        path = self._state_dir / "paper-exchange.pem"
        write_private_key(private, path)
        self.venue.add_key(ApiKey(key_id, TRADER, private.public_key()))
        return key_id, path

    async def _listen(self, app: web.Application, port: int) -> int:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._runners.append(runner)
        door = FrontDoor(runner, _HOST)
        self._doors.append(door)
        try:
            return await door.open(port)
        except OSError as error:
            raise ConfigError(f"port {port} cannot be opened: {error.strerror}; choose another") from error

    def _turn(self, now_ms: int) -> None:
        """The world acts, and what faults do by themselves."""
        acting = self._self_acting
        self.world.step(now_ms if acting is None else acting.world_ms(now_ms))
        if acting is not None:
            acting.step(now_ms)

    async def _drive(self) -> None:
        """Let the world act and the engine notice what fell due, at wall rate."""
        while self.venue.failure is None:
            try:
                self.venue.applied(self._turn)
            except Exception as failure:  # noqa: BLE001  # policy: the exchange stops
                self.venue.failure = failure
            idle_s = (self.world.next_due_ms() - self.venue.now_ms()) / 1_000
            await asyncio.sleep(min(max(idle_s, 0.001), _MAX_IDLE_S))


def run_paper_exchange(options: LaunchOptions) -> None:
    """Serve until SIGTERM or SIGINT; the first line on stdout is the announcement.

    Raises `Usage` or `ConfigError` for options that make no sense, and whatever breaks the exchange itself.
    """
    if options.state_dir is not None:
        asyncio.run(_serve(options, options.state_dir))
        return
    with tempfile.TemporaryDirectory(prefix="dora-paper-") as private:
        asyncio.run(_serve(options, Path(private)))


async def _serve(options: LaunchOptions, state_dir: Path) -> None:
    exchange = PaperExchange(options, state_dir)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        announcement = await exchange.start()
        sys.stdout.write(announcement.line() + "\n")
        sys.stdout.flush()
        waits = {asyncio.create_task(stopped.wait()), asyncio.create_task(exchange.until_failed())}
        _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
    finally:
        await exchange.stop()
