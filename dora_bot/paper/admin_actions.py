"""What the operator may do to the engine over the admin port: markets, accounts, counterparties.

Each action takes the venue, its arguments and the time, and returns what the reply shows. Prices and counts
are decimal strings, as everywhere on the wire.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dora_bot.models import FeeTerms, Side, TimeInForce
from dora_bot.paper.auth import ALL_SCOPES, ApiKey, new_key_id, new_private_key, write_private_key
from dora_bot.paper.grids import GRIDS
from dora_bot.paper.rate_limits import TIERS, AccountBuckets
from dora_bot.paper.request_faults import OPERATOR
from dora_bot.paper.specs import OrderRequest
from dora_bot.paper.venue import TRADER, Venue
from dora_bot.paper.wire_account import receipt_body
from dora_bot.units import ONE_E4, count_text, parse_count, parse_fixed, parse_money, parse_price

__all__ = ["ACTIONS", "OPERATOR", "TRADER"]

Arguments = Mapping[str, Any]
Action = Callable[[Venue, Arguments, int], dict[str, Any]]


def _pause(kind: str) -> Action:
    def act(venue: Venue, args: Arguments, now_ms: int) -> dict[str, Any]:
        shard = args.get("shard")
        venue.engine.pause(
            "exchange" if kind == "exchange" else "trading",
            now_ms,
            on=bool(args.get("on", True)),
            shard=None if shard is None else int(shard),
        )
        return {}

    return act


def _deactivate(venue: Venue, args: Arguments, now_ms: int) -> dict[str, Any]:
    venue.engine.set_status(args["ticker"], "inactive", now_ms)
    return {}


def _activate(venue: Venue, args: Arguments, now_ms: int) -> dict[str, Any]:
    venue.engine.set_status(args["ticker"], "active", now_ms)
    return {}


def _close_at(venue: Venue, args: Arguments, now_ms: int) -> dict[str, Any]:
    """``at_ms`` (Unix) or ``in_ms`` from now."""
    close_ms = int(args["at_ms"]) if "at_ms" in args else now_ms + int(args["in_ms"])
    venue.engine.set_close(args["ticker"], close_ms, now_ms)
    return {"close_ms": close_ms}


def _maintenance(venue: Venue, args: Arguments, now_ms: int) -> dict[str, Any]:
    """The schedule announces a window that begins ``in_ms`` from now and lasts ``for_ms``."""
    start_ms = now_ms + int(args["in_ms"])
    venue.maintenance.append((start_ms, start_ms + int(args["for_ms"])))
    return {"start_ms": start_ms}


def _value(args: Arguments) -> int | None:
    return parse_fixed(args["value"], 4) if "value" in args else None


def _determine(venue: Venue, args: Arguments, now_ms: int) -> dict[str, Any]:
    venue.engine.determine(args["ticker"], args["result"], now_ms, value_e4=_value(args))
    return {}


def _amend_result(venue: Venue, args: Arguments, now_ms: int) -> dict[str, Any]:
    venue.engine.amend_result(args["ticker"], args["result"], now_ms, value_e4=_value(args))
    return {}


def _dispute(venue: Venue, args: Arguments, now_ms: int) -> dict[str, Any]:
    venue.engine.dispute(args["ticker"], now_ms)
    return {}


def _settle(venue: Venue, args: Arguments, now_ms: int) -> dict[str, Any]:
    venue.engine.settle(args["ticker"], now_ms)
    venue.replica.record_money(now_ms)
    return {}


def _grid(venue: Venue, args: Arguments, now_ms: int) -> dict[str, Any]:
    venue.engine.change_grid(args["ticker"], GRIDS[args["structure"]], args["structure"], now_ms)
    return {}


def _fees(venue: Venue, args: Arguments, now_ms: int) -> dict[str, Any]:
    """``ticker`` of a series or an event; without ``fee_type`` an event's override is cleared."""
    terms = None
    if "fee_type" in args:
        terms = FeeTerms(args["fee_type"], parse_money(str(args.get("multiplier", "1"))))
    venue.engine.change_fees(args["ticker"], terms, now_ms)
    return {}


def _order(venue: Venue, account: str, args: Arguments, now_ms: int, tif: TimeInForce) -> dict[str, Any]:
    side = Side(args["side"])
    sweep = ONE_E4 - 1 if side is Side.BID else 1
    grid = venue.engine.market(args["ticker"]).grid
    price_e4 = parse_price(args["price"]) if "price" in args else grid.floor(grid.ceil(sweep))
    request = OrderRequest(
        args["ticker"],
        side,
        price_e4,
        parse_count(args["count"]),
        tif,
        client_order_id=str(args.get("client_order_id", "")),
        subaccount=int(args.get("subaccount", 0)),
    )
    return receipt_body(venue.engine.create(account, request, now_ms))


def _taker(venue: Venue, args: Arguments, now_ms: int) -> dict[str, Any]:
    """A house order that takes what it finds, at any price unless one is given."""
    return _order(venue, OPERATOR, args, now_ms, TimeInForce.IOC)


def _maker(venue: Venue, args: Arguments, now_ms: int) -> dict[str, Any]:
    """A house order that rests."""
    return _order(venue, OPERATOR, args, now_ms, TimeInForce.GTC)


def _foreign_order(venue: Venue, args: Arguments, now_ms: int) -> dict[str, Any]:
    """An order on the client's account that the client did not send: another key of the same person."""
    tif = TimeInForce(args.get("time_in_force", TimeInForce.GTC))
    return _order(venue, str(args.get("account", TRADER)), args, now_ms, tif)


def _fill_order(venue: Venue, args: Arguments, now_ms: int) -> dict[str, Any]:
    filled = venue.engine.fill_order(args["order_id"], parse_count(args["count"]), now_ms)
    return {"filled": count_text(filled)}


def _cancel_order(venue: Venue, args: Arguments, now_ms: int) -> dict[str, Any]:
    venue.engine.operator_cancel(args["order_id"], now_ms)
    return {}


def _cash(venue: Venue, args: Arguments, now_ms: int) -> dict[str, Any]:
    """A deposit, or a withdrawal where ``amount`` (dollars) is negative."""
    account = str(args.get("account", TRADER))
    shard, subaccount = int(args.get("shard", 0)), int(args.get("subaccount", 0))
    amount_e6 = parse_money(args["amount"])
    venue.engine.adjust_cash(account, amount_e6, now_ms, shard=shard, subaccount=subaccount)
    venue.replica.record_money(now_ms)
    return {}


def _add_key(venue: Venue, args: Arguments, now_ms: int) -> dict[str, Any]:  # noqa: ARG001  (the signature of every action)
    """A further key, written to ``path`` by the exchange: ``scopes`` and ``subaccount`` restrict it."""
    key_id, private = new_key_id(), new_private_key(str(args.get("key_type", "rsa")))
    write_private_key(private, Path(args["path"]))
    scopes = frozenset(args["scopes"]) if "scopes" in args else ALL_SCOPES
    account = str(args.get("account", TRADER))
    venue.keys.add(ApiKey(key_id, account, private.public_key(), scopes, args.get("subaccount")))
    return {"key_id": key_id}


def _revoke_key(venue: Venue, args: Arguments, now_ms: int) -> dict[str, Any]:  # noqa: ARG001  (the signature of every action)
    venue.keys.revoke(args["key_id"])
    return {}


def _tier(venue: Venue, args: Arguments, now_ms: int) -> dict[str, Any]:  # noqa: ARG001  (the signature of every action)
    """Put an account on another tier; its buckets start full."""
    venue.buckets[str(args.get("account", TRADER))] = AccountBuckets(TIERS[args["tier"]])
    return {}


ACTIONS: Mapping[str, Action] = {
    "pause": _pause("trading"),
    "exchange_pause": _pause("exchange"),
    "deactivate": _deactivate,
    "activate": _activate,
    "close_at": _close_at,
    "maintenance": _maintenance,
    "determine": _determine,
    "dispute": _dispute,
    "amend_result": _amend_result,
    "settle": _settle,
    "grid": _grid,
    "fees": _fees,
    "taker": _taker,
    "maker": _maker,
    "foreign_order": _foreign_order,
    "fill_order": _fill_order,
    "cancel_order": _cancel_order,
    "cash": _cash,
    "add_key": _add_key,
    "revoke_key": _revoke_key,
    "tier": _tier,
}
