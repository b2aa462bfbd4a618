"""Every kind of fault the admin port can arm: its parameters, where it strikes, what it does.

This is the registry. A kind's parameters are one line of text: ``name:type`` with the types int, num, text,
flag and list, or ``name=one|two|three`` for a choice; what is misspelt is refused when it is armed.
`docs/paper-exchange.md` has this table, and a test holds it to that.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

REQUEST, FRAME, UPGRADE, SELF = "request", "frame", "upgrade", "itself"
"""Where a kind strikes: on a request, on a frame, on a WebSocket upgrade, or by itself as time passes."""

BEFORE = "before_apply"
AFTER = "after_apply"


class FaultRefused(ValueError):  # noqa: N818  (an answer to the admin client)
    """The fault's description names something that does not exist, or has a value that means nothing."""


class Kind(NamedTuple):
    """One row of the registry."""

    name: str
    strikes: str
    params: str
    does: str

    @property
    def checks(self) -> Mapping[str, "Check"]:
        return dict(_check(token) for token in self.params.split())


class Check(NamedTuple):
    """What a parameter may be."""

    says: str
    holds: Callable[[object], bool]


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_TYPES: Mapping[str, Callable[[object], bool]] = {
    "int": _is_int,
    "num": lambda value: _is_int(value) or isinstance(value, float),
    "text": lambda value: isinstance(value, str),
    "flag": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, list),
    "any": lambda value: True,  # noqa: ARG005  (the signature of every check)
}


def _check(token: str) -> tuple[str, Check]:
    name, choice, options = token.partition("=")
    if choice:
        values = frozenset(options.split("|"))
        return name, Check(options.replace("|", ", "), lambda value: value in values)
    name, _, kind = token.partition(":")
    return name, Check(kind, _TYPES[kind])


_PHASE = f"phase={BEFORE}|{AFTER}"
_SURFACES = "surface=orders|order|fills|positions|settlements|balance|book"

_HTTP = (
    Kind("http.delay", REQUEST, f"{_PHASE} ms:num jitter_ms:num dist=fixed|uniform|pareto", "the request or its reply takes longer"),
    Kind("http.hold_request", REQUEST, "ms:num", "held in the network, then applied, also if the client has gone"),
    Kind("http.drop_reply", REQUEST, f"{_PHASE} how=reset|fin|hang", "the client sees no reply"),
    Kind("http.status", REQUEST, f"{_PHASE} code:int error:text shape=nested|flat|string|params|html|empty", "an error reply instead"),
    Kind("http.body", REQUEST, "how=truncate|trickle|garbage|wrong_object|wrong_length|huge|shuffle_items|omit_item bytes:int bytes_per_s:num", "the true status with a damaged body; the last two are for batches"),
    Kind("http.refuse", SELF, "how=refused|close|tls|backlog keep:flag", "new connections fail, existing ones are cut unless `keep`; until disarmed"),
)  # fmt: skip
_LIMITS = (
    Kind("rate.bucket", SELF, "bucket:text account:text capacity:int refill:int level:int", "another bucket until disarmed; `level` empties or fills it"),
    Kind("rate.deny", REQUEST, "bucket:text for_ms:int share:num", "429 for calls that bill the bucket"),
    Kind("auth.window", SELF, "back_ms:int ahead_ms:int", "another clock-skew window until disarmed"),
    Kind("auth.key", SELF, "key_id:text how=revoke|unknown|scopes|lock scopes:list subaccount:int", "the key is gone (`revoke`: for good), or restricted until disarmed"),
)  # fmt: skip
_READS = (
    Kind("read.stale", REQUEST, f"{_SURFACES} lag_ms:int freeze:flag dated:flag", "reads lie behind, from arming on; `dated` false: as_of does not say so"),
    Kind("read.omit", REQUEST, f"{_SURFACES} newest:int ids:list all:flag", "rows are missing (of order, the order itself)"),
    Kind("read.page", REQUEST, f"{_SURFACES} how=loop|shift|duplicate|cut|garbage n:int", "paging goes wrong"),
    Kind("read.as_of", REQUEST, "offset_ms:int", "user_data_timestamp is older or newer than the data"),
)  # fmt: skip
_FRAMES = (
    Kind("ws.drop", FRAME, "n:int seq=spent|unspent", "frames vanish; `unspent`: without a gap in the numbers"),
    Kind("ws.dup", FRAME, "n:int", "the frame comes n more times"),
    Kind("ws.reorder", FRAME, "window:int", "this and the next frames of the sid leave in reverse order"),
    Kind("ws.delay", FRAME, "ms:num stamp=early|late", "the frame and what follows on its sid come later; `early`: sending_ts_ms tells"),
    Kind("ws.gap", FRAME, "n:int", "the numbers are spent, the frames are not sent"),
    Kind("ws.reset_seq", FRAME, "n:int", "the sid's numbers go on from n (1)"),
    Kind("ws.clock_back", FRAME, "n:int", "the book clock in the frame is n lower"),
    Kind("ws.silence", FRAME, "scope=all|sid|private keep_pings:flag keep_pongs:flag", "nothing is sent while armed; pings and pongs neither unless kept"),
    Kind("ws.half_open", SELF, "key_id:text", "open connections stay up and are dead in both directions"),
    Kind("ws.close", FRAME, "code:int after_ms:int", "the connection ends (1006: without a word); without `when` all at once"),
    Kind("ws.refuse", UPGRADE, "status:int after_ms:int code:int", "the upgrade is refused, or accepted and closed after_ms later"),
    Kind("ws.terminal", FRAME, "code:int", "error 10 or 25 ends the sid; without `when` all that match at once"),
    Kind("ws.mirror_no", FRAME, "tickers:list", "NO prices of the book are mirrored (p becomes 1 - p)"),
    Kind("ws.frame", FRAME, "how=bad_json|nan|huge_number|deep|big|unknown_type|missing_side|negative_size bytes:int", "the frame is damaged"),
    Kind("ws.order", FRAME, "how=fill_before_reply|user_order_before_fill|fill_before_user_order|book_before_both ms:num", "channels and replies overtake each other by ms (50)"),
)  # fmt: skip
_ENGINE = (
    Kind("eng.fill_on_cancel", REQUEST, "share:num", "someone trades with the order just before its cancel"),
    Kind("eng.fill_on_amend", REQUEST, "share:num", "someone trades with the order just before its amend"),
    Kind("eng.fill_before_reply", REQUEST, "share:num", "someone trades with the new order before the reply leaves"),
    Kind("eng.cancel_survivor", REQUEST, "n:int", "a cancel-all leaves the n newest orders"),
    Kind("eng.cancel_all_partial", REQUEST, "shards:list", "a cancel-all reaches these shards only"),
    Kind("eng.cancel_all_tail", REQUEST, "ms:int", "how long this cancel-all goes on killing new orders"),
    Kind("eng.post_only_ghost", REQUEST, "ms:int", "a post-only create is a cross, and its canceled frame comes ms later"),
    Kind("eng.batch_part", REQUEST, "n:int", "only the first n items (half) of a batch get through; the reply knows nothing of the others"),
    Kind("eng.amend_other", REQUEST, "", "the reply of an amend or cancel describes another order of the account"),
    Kind("eng.reduced_by_wrong", REQUEST, "share:num", "reduced_by is this share (0) of what was taken out"),
    Kind("eng.expiry", SELF, "late_ms:int ignore:flag", "orders expire late or not at all until disarmed"),
    Kind("eng.group_trigger", SELF, "group_id:text account:text", "order groups trigger now (all without group_id)"),
    Kind("eng.group_mute", FRAME, "", "the order_group_updates frame is lost, without a gap"),
    Kind("eng.group_refuse", REQUEST, "code:text status:int", "creates in a group are refused"),
)  # fmt: skip
_WORLD = (
    Kind("mkt.pause", SELF, "on:flag shard:int keep_orders:flag", "trading pause: cancels only"),
    Kind("mkt.exchange_pause", SELF, "on:flag shard:int keep_orders:flag", "exchange pause: nothing"),
    Kind("mkt.state", SELF, "to=deactivate|activate|close_at|determine|dispute|amend_result|settle ticker:text result:text value:text at_ms:int in_ms:int", "a market's life"),
    Kind("mkt.rules", SELF, "ticker:text structure:text fees_of:text fee_type:text multiplier:text", "grid of a market; fees of a series (silent) or event (announced)"),
    Kind("flow.taker", SELF, "ticker:text side=bid|ask rate:num size:num", "takes at the best price, rate times a second"),
    Kind("flow.sweeper", SELF, "ticker:text side=bid|ask rate:num levels:int", "takes whole levels of the book"),
    Kind("flow.informed", SELF, "ticker:text side=bid|ask rate:num levels:int account:text", "first takes all the account quotes on one side, then moves the book the same way"),
    Kind("flow.cancel_chaser", REQUEST, "size:num", "takes up to the order's price when its cancel or amend arrives"),
    Kind("flow.quiet", SELF, "", "the world stands still until disarmed"),
    Kind("acct.foreign", SELF, "what=order|fill|cash ticker:text side=bid|ask price:text count:text amount:text account:text subaccount:int shard:int", "an order, fill or cash change that this client did not cause"),
    Kind("drift.enum", REQUEST, "field:text value:text", "an unknown value in the field, in replies and frames"),
    Kind("drift.extra", REQUEST, "field:text value:any", "a field nobody knows"),
    Kind("drift.missing", REQUEST, "field:text", "the field is absent"),
    Kind("drift.number", REQUEST, "field:text", "a number where the text of one was"),
    Kind("drift.gone", REQUEST, "error:text", "410"),
    Kind("clock.offset", SELF, "ms:int", "the exchange's clock is off until disarmed"),
    Kind("clock.step", SELF, "ms:int", "the exchange's clock steps, for good"),
    Kind("clock.rate", SELF, "rate:num", "the exchange's clock runs at this rate until disarmed"),
)  # fmt: skip

KINDS: Mapping[str, Kind] = {
    kind.name: kind for kind in (*_HTTP, *_LIMITS, *_READS, *_FRAMES, *_ENGINE, *_WORLD)
}

REPEATING = frozenset({"flow.taker", "flow.sweeper", "flow.informed"})
"""Kinds that strike by themselves again and again; all others of that sort do so once unless ``when`` says more."""

MATCH_NAMES = frozenset(
    (
        "op", "key", "method", "path", "surface", "ticker", "side", "order_id", "client_order_id", "key_id",
        "subaccount", "shard", "bucket", "channel", "sid", "type",
    )
)  # fmt: skip

_WHEN: Mapping[str, Check] = dict(
    _check(token)
    for token in (
        "nth:int", "every:int", "prob:num", "count:int", "from_ms:int", "until_ms:int", "after_fault:text",
        "while:text",
    )
)  # fmt: skip


def check_fault(kind: object, parts: Mapping[str, Any]) -> Kind:
    """The kind, if ``match``, ``params`` and ``when`` in ``parts`` are right for it. Raises `FaultRefused`."""
    found = KINDS.get(str(kind))
    if found is None:
        raise FaultRefused(f"unknown kind {kind!r}; there are: {', '.join(sorted(KINDS))}")
    for name in ("match", "params", "when"):
        if not isinstance(parts[name], dict):
            raise FaultRefused(f"{name} must be an object")
    strange = set(parts["match"]) - MATCH_NAMES
    if strange:
        raise FaultRefused(f"match may hold: {', '.join(sorted(MATCH_NAMES))}")
    for name, checks in (("params", found.checks), ("when", _WHEN)):
        for key, value in parts[name].items():
            if key not in checks:
                raise FaultRefused(f"{name} of {found.name} may hold: {', '.join(sorted(checks))}")
            if not checks[key].holds(value):
                raise FaultRefused(f"{key} of {found.name} is {checks[key].says}, not {value!r}")
    for name in ("nth", "every"):
        if parts["when"].get(name, 1) < 1:
            raise FaultRefused(f"{name} counts from 1")
    return found


def table() -> str:
    """The registry as the rows of a Markdown table, for the documentation."""
    return "\n".join(
        f"| `{kind.name}` | {kind.strikes} | {_shown(kind.params)} | {kind.does} |" for kind in KINDS.values()
    )


def _shown(params: str) -> str:
    return " · ".join(token.replace("|", ", ").replace("=", ": ", 1) for token in params.split())
