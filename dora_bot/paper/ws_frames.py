"""WebSocket frames as bytes: the envelope around a message that is encoded once and sent to many.

A frame is ``{"type","id"?,"sid"?,"seq"?,"msg"?,"sending_ts_ms"}``. The message part is the same for every
subscriber of a channel, so it is encoded once; the envelope is put around it by joining bytes.
"""

import struct
from typing import Any, NamedTuple

import msgspec

_encoder = msgspec.json.Encoder()


class Frame(NamedTuple):
    """One frame up to its sending time. ``sid`` and ``seq`` are 0 where the frame has none.

    Frames of one ``lane`` leave in order. It is the subscription, also of a ``subscribed`` frame, which
    has no ``sid`` of its own but must precede the subscription's data. A fault may add ``delay_s`` to its way;
    where ``sent_ms`` is set, the frame was stamped with that time before the delay.
    """

    type: str
    sid: int
    seq: int
    ticker: str
    body: bytes
    lane: int
    delay_s: float = 0.0
    sent_ms: int = 0


def encode(message: Any) -> bytes:
    """The JSON of a message part."""
    return _encoder.encode(message)


def frame(
    kind: str,
    message: bytes | None,
    *,
    sid: int = 0,
    seq: int = 0,
    cid: int = 0,
    ticker: str = "",
    lane: int = 0,
) -> Frame:
    """Wrap an encoded message; ``cid`` is the id of the command it answers."""
    parts = [f'{{"type":"{kind}"']
    if cid:
        parts.append(f',"id":{cid}')
    if sid:
        parts.append(f',"sid":{sid}')
    if seq:
        parts.append(f',"seq":{seq}')
    head = "".join(parts).encode()
    body = head if message is None else b'%b,"msg":%b' % (head, message)
    return Frame(kind, sid, seq, ticker, body, lane or sid)


def text_frame(body: bytes, sending_ms: int) -> bytes:
    """The RFC 6455 text frame (server side, not masked, final) of a frame's body and its sending time."""
    payload = b'%b,"sending_ts_ms":%d}' % (body, sending_ms)
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", 0x81, size) + payload
    if size < 65_536:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload
