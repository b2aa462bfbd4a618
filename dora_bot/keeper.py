"""The slow reads and writes, off the tick: config, market metadata, exchange status, limits, answers, heartbeat.

`step` runs whatever is due; a job that fails is tried again at its next turn and its age is visible in the status,
so that one service being down does not stop the others. What the jobs learn reaches the tick as events.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dora_bot.ceilings import Ceilings
from dora_bot.config_resolution import Resolution, is_template, resolve
from dora_bot.config_store import ConfigItem, ConfigStore
from dora_bot.errors import ConfigError, DoraError, ExchangeError, WireError
from dora_bot.events import CatalogChanged, ClosuresRead, FeeChange, FeesAnnounced, StatusChanged
from dora_bot.items import timestamp
from dora_bot.models import AccountLimits, Instant, Market, MarketStatus
from dora_bot.order_groups import OrderGroups
from dora_bot.ports import AccountReader, Clock, Feed, Inbox
from dora_bot.rest_feed import audit_by_rest
from dora_bot.units import format_fixed
from dora_bot.views import ConfigChanged

CONFIG_MS = 3_000
SCAN_MS = 60_000
CATALOG_MS = 15_000
STATUS_MS = 5_000
PAUSED_MS = 10_000
"""A pause is looked at no more often than this: nobody can trade before it ends, and everybody asks (FAULTS F07)."""
GROUPS_MS = 1_000
SCHEDULE_MS = 600_000
LIMITS_MS = 600_000
FEES_MS = 600_000
QUEUE_MS = 10_000
SOON_MS = 2_000
BOOKS_MS = 300_000
CHECK_MS = 2_000
"""How often a book is held against REST until it agrees: after a new connection, or a difference."""
WRONG_MS = 600_000
CHUNK = 100
"""Tickers in one market or queue-position request."""


@dataclass(slots=True)
class Job:
    """One recurring duty. ``last_ok_ms`` is when it last worked."""

    name: str
    every_ms: int
    run: Callable[[Instant], None]
    due_ms: int = 0
    last_ok_ms: int = 0
    error: str = ""


@dataclass(slots=True)
class Keeper:
    clock: Clock
    reader: AccountReader
    store: ConfigStore
    feed: Feed
    inbox: Inbox
    ceilings: Ceilings
    limits: AccountLimits
    on_problem: Callable[[str, Exception], None]
    held: Callable[[], frozenset[str]]
    """Tickers that must be known whatever the config says: positions and open orders."""
    catalog: dict[str, Market] = field(default_factory=dict)
    queue: dict[str, int] = field(default_factory=dict)
    resolution: Resolution = field(default_factory=lambda: Resolution({}, None, {}))
    groups: OrderGroups | None = None
    """Without it quotes belong to no order group."""
    unchecked: Callable[[], frozenset[str]] = frozenset
    """Tickers whose book is to be held against REST soon."""
    closures: Callable[[int], tuple[tuple[int, int], ...]] | None = None
    """The exchange's closed times around a moment of its clock, see `trading_hours`; may raise `ExchangeError`."""
    fee_changes: Callable[[], list[FeeChange]] = list
    """The changes of fee terms that the exchange has announced; may raise `ExchangeError`."""
    announced: tuple[FeeChange, ...] = ()
    """Those of them that are to come in markets that we know."""
    jobs: list[Job] = field(default_factory=list)
    _items: dict[str, ConfigItem] = field(default_factory=dict)
    _scanned_ms: int = -SCAN_MS
    _told: ConfigChanged | None = None
    _wrong_since: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.jobs = [
            Job("config", CONFIG_MS, self.read_config),
            Job("catalog", CATALOG_MS, self.refresh_catalog),
            Job("status", STATUS_MS, self.read_status),
            Job("groups", GROUPS_MS, self.keep_groups),
            Job("schedule", SCHEDULE_MS, self.read_schedule),
            Job("limits", LIMITS_MS, self.read_limits),
            Job("fees", FEES_MS, self.read_fee_changes),
            Job("queue", QUEUE_MS, self.read_queue),
            Job("books", BOOKS_MS, self.audit_books),
            Job("unchecked", CHECK_MS, self.check_books),
        ]

    def step(self, now: Instant) -> None:
        """Whatever is due, one after the other; config between any two, since each of the others may take seconds."""
        config, *others = self.jobs
        self._do(config, now)
        for job in others:
            if self._do(job, now):
                now = self.clock.now()
                self._do(config, now)

    def _do(self, job: Job, now: Instant) -> bool:
        """Run it if it is due. Returns whether it was."""
        if now.mono_ms < job.due_ms:
            return False
        try:
            job.run(now)
            job.last_ok_ms, job.error = now.mono_ms, ""
        except DoraError as error:
            job.error = str(error)
            self.on_problem(job.name, error)
        job.due_ms = now.mono_ms + job.every_ms
        return True

    def start(self, now: Instant) -> None:
        """The first round: without config, metadata and status nothing may start, so their failures count.

        The other jobs follow a little later: they must not hold up the first quote.
        """
        for job in self.jobs:
            if job.name in ("config", "status"):
                job.run(now)
            job.due_ms, job.last_ok_ms = now.mono_ms + min(job.every_ms, SOON_MS), now.mono_ms
        for name, run in (("groups", self.keep_groups), ("schedule", self.read_schedule)):
            try:
                run(now)
            except ExchangeError as error:  # the job tries again; a shard without a group is not quoted
                self.on_problem(name, error)

    # ── configuration ───────────────────────────────────────────────────────────────────────────

    def read_config(self, now: Instant) -> None:
        """Known items every time, all items once a minute; then resolve, tell the tick, answer the editor."""
        if now.mono_ms - self._scanned_ms >= SCAN_MS:
            self._items = self.store.scan_markets()
            self._scanned_ms = now.mono_ms
        else:
            self._items = self.store.read_markets(self._items.keys())
        unknown = [name for name in self._items if not is_template(name) and name not in self.catalog]
        templates_are_new = any(is_template(n) and n not in self.resolution.verdicts for n in self._items)
        if unknown or templates_are_new:
            self.refresh_catalog(now)
        raws = {name: item.raw for name, item in self._items.items()}
        try:
            global_item = self.store.read_global()
        except ConfigError:
            # It was deleted: its last value stays, and edits of markets are taken all the same.
            self._resolve(raws, {}, now)
            raise
        self._resolve(raws, global_item.raw, now)
        self._answer(global_item, now)

    def _resolve(
        self, raws: Mapping[str, Mapping[str, Any]], global_raw: Mapping[str, Any], now: Instant
    ) -> None:
        self.resolution = resolve(raws, global_raw, self.catalog, self.ceilings, self.resolution)
        self._tell(now)
        for item in self._items.values():
            self._answer(item, now)

    def _tell(self, now: Instant) -> None:
        changed = ConfigChanged(
            tuple(self.resolution.configs.values()), self.resolution.global_config, self._outdated(now)
        )
        if changed != self._told:
            self._told = changed
            self.inbox.post(changed)
        self.feed.watch(frozenset(self.resolution.configs) | self.held())

    def _outdated(self, now: Instant) -> frozenset[str]:
        """Markets that have lived for too long on the last good value of an item that is wrong (FAULTS I37)."""
        self._wrong_since = {n: self._wrong_since.get(n, now.mono_ms) for n in self.resolution.rejected}
        late = [name for name, since in self._wrong_since.items() if now.mono_ms - since >= WRONG_MS]
        return self.resolution.resting_on(late, self.catalog)

    def _answer(self, item: ConfigItem, now: Instant) -> None:
        verdict = self.resolution.verdicts[item.name]
        if item.raw.get("applied_version") != item.token or item.raw.get("status") != verdict:
            self.store.answer(item, now.exchange_ms, verdict)

    # ── exchange ────────────────────────────────────────────────────────────────────────────────

    def refresh_catalog(self, now: Instant) -> None:
        """Metadata of every market that config or holdings name, and the open markets of the templates."""
        names = [name for name in self._items if not is_template(name)]
        tickers = sorted({*names, *self.resolution.configs, *self.held()})
        found: list[Market] = []
        for at in range(0, len(tickers), CHUNK):
            found += self._readable(tickers[at : at + CHUNK])
        for name in self._items:
            if is_template(name):
                kind, _, value = name.partition("#")
                query = {"series": value} if kind == "series" else {"event": value}
                found += self.reader.get_markets(**query, status="open")
        self.catalog |= {m.ticker: m for m in found}
        self.inbox.post(CatalogChanged(tuple(found), now.exchange_ms))

    def _readable(self, tickers: list[str]) -> list[Market]:
        """The markets of these tickers. One whose reply has a field missing or damaged must not hide the others: it
        is found by halves, told as a problem that names the field, and from then on its state is unknown, so that
        nothing of ours stays in it.
        """
        try:
            return self.reader.get_markets(tickers=tickers)
        except WireError as error:
            if len(tickers) > 1:
                half = len(tickers) // 2
                return self._readable(tickers[:half]) + self._readable(tickers[half:])
            self.on_problem("catalog", WireError(f"{tickers[0]}: {error}"))
            known = self.catalog.get(tickers[0])
            return [] if known is None else [replace(known, status=MarketStatus.UNKNOWN)]

    def read_status(self, _now: Instant) -> None:
        status = self.reader.get_exchange_status()
        open_now = status.active and status.trading
        next(job for job in self.jobs if job.name == "status").every_ms = STATUS_MS if open_now else PAUSED_MS
        self.inbox.post(StatusChanged(status))

    def audit_books(self, now: Instant) -> None:
        """Hold the feed's books against the exchange's REST surface, which no frame of the feed could spoil."""
        self._audit(now, sorted(self.resolution.configs))

    def check_books(self, now: Instant) -> None:
        """The same at once for those that REST has not agreed with yet."""
        self._audit(now, sorted(self.unchecked()))

    def _audit(self, now: Instant, tickers: list[str]) -> None:
        for book in audit_by_rest(self.reader, now, tickers) if tickers else []:
            self.inbox.post(book)

    def read_schedule(self, now: Instant) -> None:
        if self.closures is not None:
            self.inbox.post(ClosuresRead(self.closures(now.exchange_ms)))

    def keep_groups(self, now: Instant) -> None:
        """An order group for every shard that is quoted, before anything is; a triggered one is reset in time."""
        limits = self.resolution.global_config
        if self.groups is None or limits is None:
            return
        shards = {self.catalog[t].exchange_index for t in self.resolution.configs if t in self.catalog}
        self.groups.keep(frozenset(shards), limits.max_fill_15s_e2, now)

    def read_limits(self, _now: Instant) -> None:
        self.limits = self.reader.get_limits()
        self.inbox.post(self.limits)

    def read_fee_changes(self, now: Instant) -> None:
        """What is to come is told to people once, and to the tick, which trusts no older terms from then on."""
        known = {t for m in self.catalog.values() for t in (m.series_ticker, m.event_ticker)}
        coming = [c for c in self.fee_changes() if c.ticker in known and c.from_ms > now.exchange_ms]
        for change in coming:
            if change not in self.announced:
                self.on_problem("fees", DoraError(announcement(change)))
        self.announced = tuple(coming)
        self.inbox.post(FeesAnnounced(self.announced))

    def read_queue(self, _now: Instant) -> None:
        tickers = sorted(self.resolution.configs)
        queue: dict[str, int] = {}
        for at in range(0, len(tickers), CHUNK):
            queue |= self.reader.get_queue_positions(tickers[at : at + CHUNK])
        self.queue = queue


def announcement(change: FeeChange) -> str:
    """For people."""
    kind, factor = change.fee_type, change.multiplier_e6
    terms = " x ".join(t for t in (kind, None if factor is None else format_fixed(factor, 6)) if t)
    return f"the fees of {change.ticker} change at {timestamp(change.from_ms)} to {terms or 'those of its series'}"
