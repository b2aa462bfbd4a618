"""Everything that `bootstrap` built for one run, and what it tells of itself to people and other programs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dora_bot.clock import MeasuredClock
from dora_bot.drain import Drain
from dora_bot.dynamo import Dynamo
from dora_bot.exchange_client import KalshiClient
from dora_bot.gate import ExposureGate
from dora_bot.journal import SqliteJournal
from dora_bot.keeper import Keeper, announcement
from dora_bot.kill import Sweeper
from dora_bot.lease import Lease
from dora_bot.main import Bot
from dora_bot.market_feed import MarketFeed
from dora_bot.models import ExchangeOrder, Instant
from dora_bot.rest_feed import POLL_MS
from dora_bot.rest_feed import SHARE as POLL_SHARE
from dora_bot.risk_monitor import READ_MS, RiskMonitor
from dora_bot.service_manager import ServiceManager
from dora_bot.state_dir import StateDir
from dora_bot.state_store import Published, StateStore
from dora_bot.status import Surroundings
from dora_bot.telemetry import Telemetry
from dora_bot.threads import Threads
from dora_bot.units import money_text
from dora_bot.write_budget import SAFE_SHARE


@dataclass(frozen=True, slots=True)
class Parts:
    """Built once, handed to `runtime`."""

    clock: MeasuredClock
    threads: Threads
    bot: Bot
    keeper: Keeper
    risk: RiskMonitor
    socket: MarketFeed | None
    poll: Callable[[Instant], list[object]]
    """Events read by REST where polling is the feed or stands in for it."""
    drain: Drain
    lease: Lease
    journal: SqliteJournal
    store: StateStore
    state_dir: StateDir
    telemetry: Telemetry
    sweeper: Sweeper
    life_prefix: str
    """What the client order ids of this process alone begin with."""
    gate: ExposureGate
    clients: Mapping[str, KalshiClient]
    """By who calls: ``rest`` is the trading path, the slow threads have their own."""
    db: Dynamo
    manager: ServiceManager

    def plan(self) -> dict[str, object]:
        """What the markets and the cadence will use of the account's rate limits, in tokens a second."""
        limits, config = self.keeper.limits, self.keeper.resolution.global_config
        markets = len(self.keeper.resolution.configs)
        beat_s = (config.loop_interval_ms if config else 500) / 1_000
        cost, read, write = limits.default_cost, limits.read.refill_per_s, limits.write.refill_per_s
        reads = cost * (6 / (READ_MS / 1_000) + 1)
        polled = min(2 * cost / (POLL_MS / 1_000), read * POLL_SHARE)
        lease = self.bot.lease.fitted(2 * markets, limits)
        renewals = 2 * markets * limits.amend_cost / ((lease.life_ms - lease.renew_below_ms) / 1_000)
        free = max(write * (1 - SAFE_SHARE) - renewals, 0) / limits.amend_cost
        return {
            "tier": limits.tier,
            "markets": markets,
            "plan": (
                f"{markets} markets x {beat_s * 1_000:g} ms: reads {reads:.0f} of {read} tokens/s "
                f"({reads + polled:.0f} without the WebSocket), orders live {lease.life_ms // 1_000} s, "
                f"renewals {renewals:.0f} of {write} write tokens/s, "
                f"{SAFE_SHARE:.0%} kept for cancels, {free:.1f} requotes/s left"
            ),
        }

    def published(self) -> Published:
        """The picture that the drain writes to DynamoDB once a minute."""
        view = self.bot.published
        assert view is not None
        orders = [o for m in view.markets.values() for o in m.orders if o.live and o.order_id]
        return Published(
            time_ms=view.now.exchange_ms,
            positions=tuple(view.positions.values()),
            open_orders=tuple(
                ExchangeOrder(
                    o.order_id,
                    o.client_order_id,
                    o.ticker,
                    o.side,
                    o.price_e4,
                    o.remaining_e2,
                    o.filled_e2,
                    "resting",
                )
                for o in orders
            ),
            day_start_equity_e6=view.day.start_equity_e6,
            daily_pnl_e6=view.daily_pnl_e6,
            peak=view.peak,
            last_fill_ms=max((f.time_ms for f in list(self.telemetry.scores.last_fills)), default=0),
        )

    def cash(self) -> dict[str, object]:
        """The account's cash as last read, in all and by shard; how far balance, realised PnL and fees are from ours."""
        balance, off_e6 = self.risk.balance, self.bot.reconciler.cash.difference_e6
        fees = self.bot.state.fees
        return {
            "unexplained_pnl": money_text(self.bot.reconciler.pnl.unexplained_e6),
            "fees_charged": money_text(fees.charged_e6),
            "fees_modelled": money_text(fees.modelled_e6),
            "fees_to_change": [announcement(change) for change in self.keeper.announced],
            "balance": money_text(balance.total_e6),
            "by_shard": {str(shard): money_text(amount) for shard, amount in balance.by_shard_e6},
            "difference": "" if off_e6 is None else money_text(off_e6),
        }

    def feed_kind(self) -> str:
        """``ws`` while the socket is up; ``rest`` where polling is the feed or stands in for it."""
        socket = self.socket
        return "ws" if socket is not None and socket.connected else "rest"

    def surroundings(self, env: str, now: Instant) -> Surroundings:
        budget = self.bot.budget
        ages = {f"{job.name}_s": (now.mono_ms - job.last_ok_ms) // 1_000 for job in self.keeper.jobs}
        view = self.bot.published
        tick_age = now.mono_ms - view.now.mono_ms if view else -1
        return Surroundings(
            env=env,
            instance=self.state_dir.instance_id,
            feed=self.feed_kind(),
            budget={
                "write_tokens": round(budget.tokens_left, 1),
                "write_capacity": budget.limits.write.capacity,
                "write_per_s": budget.limits.write.refill_per_s,
                "plan": str(self.plan()["plan"]),
            },
            ages={
                **ages,
                "tick_ms": tick_age,
                "reconcile_s": (now.mono_ms - self.risk.last_read_ms) // 1_000,
                "journal_depth": self.journal.backlog(),
                "lease_ms": self.lease.margin_ms(now),
                "clock_offset_ms": self.clock.wall_offset_ms,
            },
            calls={
                **{f"{name}_calls": client.calls_sent for name, client in self.clients.items()},
                "risk_reads": self.risk.reads,
            },
            queue=self.keeper.queue,
            cash=self.cash(),
            dynamodb={"write_units": self.db.meter.write_units, "read_units": self.db.meter.read_units},
        )
