"""Frames with other contents: numbers, clocks, mirrored prices, fields that drifted, and plain rubbish."""

from collections.abc import Mapping
from typing import Any

import msgspec

from dora_bot.paper.drift import drift
from dora_bot.paper.faults import Fault
from dora_bot.paper.wire import no_price
from dora_bot.paper.ws_frames import Frame, encode
from dora_bot.units import parse_price

_BIG = 8 * 1024 * 1024
_DEEP = 5_000
_NOT_JSON: Mapping[str, bytes] = {"nan": b"NaN", "huge_number": b"1e309", "deep": b"[" * _DEEP + b"]" * _DEEP}
_MARK = "\x00damaged\x00"
_SIDES = frozenset({"side", "yes_dollars_fp", "outcome_side", "book_side"})
_SIZES = ("delta_fp", "count_fp", "remaining_count_fp", "yes_bid_size_fp")


def _opened(frame: Frame) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(frame.body + b"}")
    return fields


def _closed(frame: Frame, fields: Mapping[str, Any]) -> Frame:
    return frame._replace(body=encode(fields)[:-1])


def with_seq(frame: Frame, seq: int) -> Frame:
    """The frame under another number."""
    return _closed(frame._replace(seq=seq), {**_opened(frame), "seq": seq})


def with_clock_back(frame: Frame, by: int) -> Frame:
    """The book clock lower than it is; frames without one stay."""
    fields = _opened(frame)
    message = fields.get("msg")
    if isinstance(message, dict) and "clock" in message:
        fields["msg"] = {**message, "clock": message["clock"] - by}
    return _closed(frame, fields)


def mirrored(frame: Frame) -> Frame:
    """NO prices as their complement, in snapshots and deltas."""
    fields = _opened(frame)
    message: dict[str, Any] = fields.get("msg") or {}
    if frame.type == "orderbook_snapshot" and "no_dollars_fp" in message:
        ladder = [[no_price(parse_price(price)), count] for price, count in message["no_dollars_fp"]]
        fields["msg"] = {**message, "no_dollars_fp": ladder[::-1]}
    elif frame.type == "orderbook_delta" and message["side"] == "no":
        fields["msg"] = {**message, "price_dollars": no_price(parse_price(message["price_dollars"]))}
    return _closed(frame, fields)


def drifted(frame: Frame, fault: Fault) -> Frame:
    """The message as a later version of the venue might write it."""
    fields = _opened(frame)
    return _closed(frame, {**fields, "msg": drift(fields.get("msg"), fault)})


def damaged(frame: Frame, fault: Fault) -> Frame:
    """The frame as ``ws.frame`` wants it."""
    how = fault.text("how", "bad_json")
    if how == "bad_json":
        return frame._replace(body=frame.body[: len(frame.body) // 2])
    fields = _opened(frame)
    message: dict[str, Any] = fields.get("msg") or {}
    size = next((name for name in _SIZES if name in message), "delta_fp")
    if how in _NOT_JSON:
        marked = _closed(frame, {**fields, "msg": {**message, size: _MARK}})
        return marked._replace(body=marked.body.replace(encode(_MARK), _NOT_JSON[how]))
    changes: Mapping[str, Mapping[str, Any]] = {
        "unknown_type": {"type": "never_heard_of"},
        "big": {"msg": {**message, "padding": "x" * fault.whole("bytes", _BIG)}} if how == "big" else {},
        "missing_side": {"msg": {name: value for name, value in message.items() if name not in _SIDES}},
        "negative_size": {"msg": _negative(message, size)},
    }
    return _closed(frame, {**fields, **changes[how]})


def _negative(message: Mapping[str, Any], size: str) -> dict[str, Any]:
    """A size below nothing: a delta that takes out more than is there, a level of a snapshot, a count."""
    for ladder in ("yes_dollars_fp", "no_dollars_fp"):
        if ladder in message:
            return {**message, ladder: [[price, "-1.00"] for price, _ in message[ladder]]}
    return {**message, size: "-999999.00"}
