"""Order groups: a cap on the contracts a set of orders may match within 15 seconds."""

from collections.abc import Callable

from dora_bot.paper.engine import Exchange
from dora_bot.paper.rest_base import Call, Endpoint, Reply, bill_write, lock
from dora_bot.paper.wire_account import group_body, group_detail_body
from dora_bot.paper.wire_requests import group_limit_e2


def list_groups(call: Call) -> Reply:
    subaccount = call.subaccount()
    groups = [
        group for group in call.venue.engine.groups(call.account) if subaccount in (None, group.subaccount)
    ]
    return Reply(200, {"order_groups": [group_body(group) for group in groups]})


def get_group(call: Call) -> Reply:
    group = call.venue.engine.group(call.account, call.path["group_id"])
    return Reply(200, group_detail_body(group))


def create_group(call: Call) -> Reply:
    body = call.body("CreateOrderGroupRequest")
    limit_e2, subaccount = group_limit_e2(body), lock(call, body.integer("subaccount")) or 0
    shard = max(body.integer("exchange_index") or 0, 0)
    group = call.venue.engine.create_group(
        call.account, limit_e2, call.now_ms, shard=shard, subaccount=subaccount
    )
    return Reply(
        201,
        {"order_group_id": group.group_id, "subaccount": subaccount, "exchange_index": group.exchange_index},
    )


def _shard(call: Call) -> int:
    return max(call.number("exchange_index", "OrderGroup") or 0, 0)


def set_limit(call: Call) -> Reply:
    call.subaccount()  # a locked key is held to its own
    limit_e2 = group_limit_e2(call.body("UpdateOrderGroupLimitRequest"))
    call.venue.engine.set_group_limit(
        call.account, call.path["group_id"], limit_e2, call.now_ms, shard=_shard(call)
    )
    return Reply(200, {})


def _by_id(act: Callable[..., None]) -> Callable[[Call], Reply]:
    """A handler for an engine call that takes only the group's id."""

    def handler(call: Call) -> Reply:
        call.subaccount()  # a locked key is held to its own
        act(call.venue.engine, call.account, call.path["group_id"], call.now_ms, shard=_shard(call))
        return Reply(200, {})

    return handler


_ROOT = "/portfolio/order_groups"
_TRADE = "write::trade"

ENDPOINTS = (
    Endpoint("GET", _ROOT, list_groups),
    Endpoint("POST", f"{_ROOT}/create", create_group, _TRADE, bill_write),
    Endpoint("GET", _ROOT + "/{group_id}", get_group),
    Endpoint("DELETE", _ROOT + "/{group_id}", _by_id(Exchange.delete_group), _TRADE, bill_write),
    Endpoint("PUT", _ROOT + "/{group_id}/reset", _by_id(Exchange.reset_group), _TRADE, bill_write),
    Endpoint("PUT", _ROOT + "/{group_id}/trigger", _by_id(Exchange.trigger_group), _TRADE, bill_write),
    Endpoint("PUT", _ROOT + "/{group_id}/limit", set_limit, _TRADE, bill_write),
)
