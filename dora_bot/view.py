"""The bot's state on one terminal screen: what `dora demo` and `dora status --watch` show.

Input is the status object that the bot publishes (see INTERFACES in docs); every key is optional, because an
older bot, a starting one or DynamoDB alone know less. Facts are words and signs first, colour only repeats them.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

Status = Mapping[str, Any]

NOTHING: Final = "–"
MIN_WIDTH: Final = 80
WIDE: Final = 110
"""From this width on there is room for each market's title, status and reason."""

_OWN: Final = 13
"""Columns one of our quotes takes: price × size · queue."""

_BEFORE_WHY: Final = 100
"""Columns of a wide table to the left of its last one."""

_POSTURE_STYLE = {"RUN": "bold green", "REDUCE_ONLY": "bold yellow", "PAUSED": "bold yellow"}


def render(status: Status, width: int, height: int, age_s: float | None = None) -> RenderableType:
    """Lay the status out for a terminal of this size (columns, rows).

    ``age_s`` is how old the status is; a bot that stopped talking is shown as such. Rows that do not fit are
    counted, never silently dropped.
    """
    width = max(width, MIN_WIDTH)
    head = [_headline(status, age_s), _money_line(status), *_halt_lines(status)]
    foot = [_budget_line(status), *_plan_line(status, width), _age_line(status), _count_line(status)]
    rows = height - len(head) - len(foot) - 2  # the table's and the fills' heading
    markets: Mapping[str, Status] = status.get("markets") or {}
    fills = sorted(status.get("fills") or (), key=lambda fill: str(fill.get("time", "")), reverse=True)
    fills_shown = min(len(fills), max(rows - len(markets), 3), 10)
    room = max(rows - fills_shown - 1, 1)
    parts: list[RenderableType] = [*head, _market_table(markets, width, room)]
    if len(markets) > room:
        parts.append(
            _line(f"… {len(markets) - room} more markets: enlarge the window or use dora status --json")
        )
    parts.append(_line("last fills" if fills else "no fills yet", "bold"))
    parts += [_fill_line(fill) for fill in fills[:fills_shown]]
    return Group(*parts, *foot)


def render_text(status: Status, width: int = MIN_WIDTH, height: int = 24, age_s: float | None = None) -> str:
    """The same screen as plain text without colour, one string with line breaks."""
    console = Console(width=max(width, MIN_WIDTH), no_color=True, force_terminal=False, highlight=False)
    with console.capture() as captured:
        console.print(render(status, width, height, age_s))
    return captured.get()


def progress_line(status: Status) -> str:
    """One plain line for a log or a pipe."""
    counts, pnl = status.get("counts") or {}, status.get("pnl") or {}
    two_sided = sum(
        1
        for market in (status.get("markets") or {}).values()
        if market.get("our_bid") and market.get("our_ask")
    )
    return (
        f"{status.get('posture', 'starting')}: {counts.get('ticks', 0)} ticks, {two_sided} markets two-sided, "
        f"{counts.get('orders_placed', 0)} placed, {counts.get('orders_amended', 0)} amended, "
        f"{counts.get('orders_cancelled', 0)} cancelled, {counts.get('fills', 0)} fills, "
        f"realised {_dollars(pnl.get('realised'))}, unrealised {_dollars(pnl.get('unrealised'))}"
    )


# ── the parts ───────────────────────────────────────────────────────────────────────────────────


def _line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _headline(status: Status, age_s: float | None) -> Text:
    posture = str(status.get("posture", "unknown"))
    line = _line("dora ")
    line.append(str(status.get("env", "")) + " ")
    line.append(posture, _POSTURE_STYLE.get(posture, "bold red"))
    feed = str(status.get("feed", NOTHING))
    line.append(" · feed ").append(feed, "" if feed == "ws" else "yellow")
    tick = status.get("tick_ms") or {}
    line.append(
        f" · tick p50 {_ms(tick.get('p50'))} p99 {_ms(tick.get('p99'))} max {_ms(tick.get('max'))} ms"
    )
    if age_s is not None and age_s > 3:
        line.append(f" · SILENT for {age_s:.0f} s", "bold red")
    else:
        line.append(" · " + str(status.get("time", ""))[11:19])
    return line


def _money_line(status: Status) -> Text:
    pnl = status.get("pnl") or {}
    line = _line("pnl today ")
    daily = _dollars(pnl.get("daily"))
    line.append(daily, "red" if daily.startswith("-") else "green")
    line.append(f" · realised {_dollars(pnl.get('realised'))} · unrealised {_dollars(pnl.get('unrealised'))}")
    line.append(f" (mid {_dollars(pnl.get('unrealised_mid'))}) · fees {_plain(pnl.get('fees'))}")
    return line


def _halt_lines(status: Status) -> list[Text]:
    return [
        _line(
            f"HALT {halt.get('halt_id', '')}: {halt.get('reason', '')} (by {halt.get('by', NOTHING)} at "
            f"{halt.get('raised_at', NOTHING)})",
            "bold red",
        )
        for halt in status.get("halts") or ()
    ]


def _market_table(markets: Mapping[str, Status], width: int, room: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    wide = width >= WIDE
    names = 28 if wide else 16
    table.add_column("market", no_wrap=True, width=names)
    table.add_column("bid×size", justify="right", no_wrap=True, min_width=9)
    table.add_column(
        f"{'our bid·queue':>{_OWN}} {'our ask·queue':>{_OWN}}", no_wrap=True, min_width=2 * _OWN + 1
    )
    table.add_column("ask×size", justify="right", no_wrap=True, min_width=9)
    table.add_column("net", justify="right", no_wrap=True, min_width=5)
    table.add_column("unreal", justify="right", no_wrap=True)
    if wide:
        table.add_column("status", no_wrap=True, overflow="ellipsis")
        table.add_column("why", no_wrap=True, overflow="ellipsis", max_width=width - _BEFORE_WHY)
    for ticker, market in sorted(markets.items(), key=_interest)[:room]:
        row = [
            _short(ticker, names),
            _quote(market.get("bid"), market.get("bid_size")),
            _own_quotes(market, explain=not wide),
            _quote(market.get("ask"), market.get("ask_size")),
            _signed_count(market.get("net")),
            _dollars(market.get("unrealised")),
        ]
        if wide:
            row += [
                str(market.get("status", NOTHING)),
                str(market.get("reason", "")),
            ]
        table.add_row(*row)
    return table


def _interest(entry: tuple[str, Status]) -> tuple[bool, bool, str]:
    """Markets with a position first, then those quoted, then by name."""
    ticker, market = entry
    held = _number(market.get("net")) != 0
    return (not held, not (market.get("our_bid") or market.get("our_ask")), ticker)


def _own_quotes(market: Status, *, explain: bool) -> str:
    """Both our quotes side by side; without any, the reason, where no column of its own tells it."""
    bid = _own_quote(market.get("our_bid"), market.get("our_bid_size"), market.get("queue_bid"))
    ask = _own_quote(market.get("our_ask"), market.get("our_ask_size"), market.get("queue_ask"))
    if explain and bid == ask == NOTHING:
        return str(market.get("reason") or market.get("status") or NOTHING)[: 2 * _OWN + 1]
    return f"{bid:>{_OWN}} {ask:>{_OWN}}"


def _fill_line(fill: Status) -> Text:
    side = "buy " if fill.get("side") == "bid" else "sell"
    return _line(
        f"{str(fill.get('time', ''))[11:19]} {side} {_count(fill.get('count')):>6} @ {_price(fill.get('price')):<6} "
        f"{fill.get('ticker', '')}  fee {_plain(fill.get('fee'))}",
        "green" if side == "buy " else "magenta",
    )


def _budget_line(status: Status) -> Text:
    budget = status.get("budget") or {}
    pnl = status.get("pnl") or {}
    return _line(
        f"write budget {budget.get('write_tokens', NOTHING)}/{budget.get('write_capacity', NOTHING)} tokens, "
        f"{budget.get('write_per_s', NOTHING)}/s · read {budget.get('read_per_s', NOTHING)}/s · "
        f"exposure {_plain(pnl.get('exposure'))}"
    )


def _plan_line(status: Status, width: int) -> list[Text]:
    """What the markets and the cadence will use of the limits; only where the window has room for it."""
    plan = str((status.get("budget") or {}).get("plan") or "")
    return [_line(f"plan: {plan}")] if plan and width >= WIDE else []


def _age_line(status: Status) -> Text:
    ages = status.get("ages") or {}
    reaction = status.get("reaction_ms") or {}
    return _line(
        f"ages: tick {_ms(ages.get('tick_ms'))} ms, book {_ms(ages.get('book_ms'))} ms, "
        f"config {_ms(ages.get('config_s'))} s, reconcile {_ms(ages.get('reconcile_s'))} s · "
        f"reaction p50 {_ms(reaction.get('p50'))} ms"
    )


def _count_line(status: Status) -> Text:
    counts, used = status.get("counts") or {}, status.get("dynamodb") or {}
    depth = (status.get("ages") or {}).get("journal_depth", NOTHING)
    return _line(
        f"ticks {counts.get('ticks', 0)} · orders +{counts.get('orders_placed', 0)} "
        f"~{counts.get('orders_amended', 0)} -{counts.get('orders_cancelled', 0)} · "
        f"fills {counts.get('fills', 0)} · REST {counts.get('rest_calls', 0)} · "
        f"journal {depth} · DynamoDB {used.get('write_units', NOTHING)} w"
    )


# ── small words ─────────────────────────────────────────────────────────────────────────────────


def _number(text: object) -> Decimal:
    try:
        return Decimal(str(text))
    except InvalidOperation:
        return Decimal(0)


def _short(ticker: str, width: int) -> str:
    """The end of a ticker tells markets apart, its beginning names the series: keep some of both."""
    if len(ticker) <= width:
        return ticker
    return f"{ticker[:5]}…{ticker[6 - width :]}"


def _trim(text: str, keep: int) -> str:
    """Drop trailing zeros, but keep at least this many decimals."""
    whole, _, rest = text.partition(".")
    rest = rest.rstrip("0").ljust(keep, "0")
    return f"{whole}.{rest}" if rest else whole


def _price(text: object) -> str:
    return _trim(str(text), 2) if text else NOTHING


def _count(text: object) -> str:
    if text in (None, ""):
        return NOTHING
    value = _number(text)
    size = abs(value)
    if size >= 1_000:
        return f"{value / 1000:.1f}k" if size < 100_000 else f"{value / 1000:.0f}k"
    return _trim(f"{value:.2f}" if size < 10 else f"{value:.1f}" if size < 100 else f"{value:.0f}", 0)


def _signed_count(text: object) -> str:
    value = _number(text or 0)
    return "0" if value == 0 else ("+" if value > 0 else "") + _count(str(value))


def _quote(price: object, size: object) -> str:
    return f"{_price(price)}×{_count(size)}" if price else NOTHING


def _own_quote(price: object, size: object, queue: object) -> str:
    """Price × size · contracts ahead of it in the queue (``?`` while unknown)."""
    if not price:
        return NOTHING
    ahead = "?" if queue in (None, "") else _count(queue)
    return f"{_price(price)}×{_count(size)}·{ahead}"


def _dollars(text: object) -> str:
    """Signed dollars with cents; an unknown amount is not zero."""
    return NOTHING if text in (None, "") else f"{_number(text):+.2f}"


def _plain(text: object) -> str:
    return NOTHING if text in (None, "") else f"{_number(text):.2f}"


def _ms(value: object) -> str:
    return NOTHING if value in (None, "") else f"{_number(value):.0f}"
