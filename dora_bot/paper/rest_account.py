"""Subaccounts, transfers between purses, and the tier upgrade."""

from dora_bot.paper.problems import nested
from dora_bot.paper.rate_limits import TIERS, AccountBuckets
from dora_bot.paper.rest_base import Call, Endpoint, Reply
from dora_bot.paper.wire_account import dollars
from dora_bot.paper.wire_requests import Body, invalid_parameters


def _whole(body: Body, name: str) -> int:
    value = body.integer(name, required=True)
    assert value is not None, "a required integer is there or has raised"
    return value


def create_subaccount(call: Call) -> Reply:
    """The next number. Needs a tier above Basic."""
    if call.venue.buckets[call.account].tier.name == "basic":
        raise nested(403, "forbidden", "subaccounts need the Advanced tier")
    used = {purse.subaccount for purse in call.venue.engine.balance(call.account)}
    number = next(n for n in range(1, 65) if n not in used)
    if number > 63:
        raise invalid_parameters("no subaccount is left")
    shard = max(call.body("CreateSubaccountRequest").integer("exchange_index") or 0, 0)
    call.venue.engine.adjust_cash(call.account, 0, call.now_ms, shard=shard, subaccount=number)
    call.venue.replica.record_money(call.now_ms)
    return Reply(201, {"subaccount_number": number})


def get_subaccount_balances(call: Call) -> Reply:
    as_of_ms = call.venue.stale.as_of_ms(call.now_ms)
    purses = call.data().money.purses
    return Reply(
        200,
        {
            "subaccount_balances": [
                {
                    "subaccount_number": purse.subaccount,
                    "exchange_index": purse.exchange_index,
                    "balance": dollars(purse.cash_e6),
                    "updated_ts": as_of_ms // 1_000,
                }
                for purse in purses
            ]
        },
    )


def _spend_transfer_id(call: Call, transfer_id: str) -> None:
    if transfer_id and not call.venue.spend_transfer_id(call.account, transfer_id):
        raise nested(409, "transfer_already_exists")


def transfer_between_subaccounts(call: Call) -> Reply:
    body = call.body("ApplySubaccountTransferRequest")
    amount = _whole(body, "amount_cents")
    shard = max(body.integer("exchange_index") or 0, 0)
    source, target = _whole(body, "from_subaccount"), _whole(body, "to_subaccount")
    if amount <= 0 or not (0 <= source <= 63 and 0 <= target <= 63):
        raise invalid_parameters("amount_cents must be positive and subaccounts 0..63")
    _spend_transfer_id(call, body.string("client_transfer_id", required=True))
    call.venue.engine.transfer(call.account, amount * 10_000, (shard, source), (shard, target), call.now_ms)
    call.venue.replica.record_money(call.now_ms)
    return Reply(200, {})


def transfer_between_shards(call: Call) -> Reply:
    """``amount`` is in centicents (0.0001 $)."""
    body = call.body("IntraExchangeInstanceTransferRequest")
    amount = _whole(body, "amount")
    if amount <= 0:
        raise invalid_parameters("amount must be positive")
    source = (body.integer("source_exchange_shard") or 0, body.integer("source_subaccount") or 0)
    target = (body.integer("destination_exchange_shard") or 0, body.integer("destination_subaccount") or 0)
    transfer_id = body.string("client_transfer_id")
    _spend_transfer_id(call, transfer_id)
    call.venue.engine.transfer(call.account, amount * 100, source, target, call.now_ms)
    call.venue.replica.record_money(call.now_ms)
    return Reply(200, {"transfer_id": transfer_id or call.venue.new_id("transfer")})


def upgrade_tier(call: Call) -> Reply:
    """Basic becomes Advanced once one order was placed through the API; else 403."""
    if not call.venue.engine.orders(call.account):
        raise nested(403, "forbidden", "place an order through the API first")
    if call.venue.buckets[call.account].tier.name == "basic":
        call.venue.buckets[call.account] = AccountBuckets(TIERS["advanced"])
    return Reply(201, None)


ENDPOINTS = (
    Endpoint("POST", "/portfolio/subaccounts", create_subaccount, "write"),
    Endpoint("GET", "/portfolio/subaccounts/balances", get_subaccount_balances, "read::portfolio_balance"),
    Endpoint("POST", "/portfolio/subaccounts/transfer", transfer_between_subaccounts, "write::transfer"),
    Endpoint(
        "POST", "/portfolio/intra_exchange_instance_transfer", transfer_between_shards, "write::transfer"
    ),
    Endpoint("POST", "/account/api_usage_level/upgrade", upgrade_tier, "write"),
)
