"""A WebSocket client for tests: signed upgrade, frames as dictionaries, nothing clever."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import websocket

from tests.fakes.signed_client import SignedClient

Json = dict[str, Any]
WS_PATH = "/trade-api/ws/v2"


class WsClient:
    """One connection. Frames are read in order; `until` keeps what it passes over in ``seen``."""

    def __init__(self, url: str, signer: SignedClient, timeout_s: float = 5.0) -> None:
        headers = [f"{k}: {v}" for k, v in signer.auth_headers("GET", WS_PATH).items()]
        self._socket = websocket.create_connection(url, timeout=timeout_s, header=headers)
        self.seen: list[Json] = []
        self.pings: list[bytes] = []
        self._ids = 0

    def close(self) -> None:
        """Say goodbye if anybody listens; give the socket back in any case."""
        self._socket.close(timeout=1)
        self._socket.shutdown()  # type: ignore[no-untyped-call]  # the library is partly typed

    def command(self, cmd: str, **params: Any) -> int:
        """Send a command and return its id."""
        self._ids += 1
        self.text(json.dumps({"id": self._ids, "cmd": cmd, "params": params}))
        return self._ids

    def text(self, text: str) -> None:
        self._socket.send(text)

    def subscribe(self, *channels: str, tickers: Iterable[str] = (), **params: Any) -> list[int]:
        """Subscribe and return the sids in the order of the channels."""
        named = list(tickers)
        extra = {"market_tickers": named} if named else {}
        number = self.command("subscribe", channels=list(channels), **extra, **params)
        sids: dict[str, int] = {}
        while len(sids) < len(channels):
            reply = self.until(lambda frame: frame["type"] == "subscribed" and frame["id"] == number)
            sids[reply["msg"]["channel"]] = reply["msg"]["sid"]
        return [sids[channel] for channel in channels]

    def frame(self) -> Json:
        """The next frame. Raises WebSocketTimeoutException or WebSocketConnectionClosedException."""
        text = self._socket.recv()
        if not text:
            raise websocket.WebSocketConnectionClosedException("the server closed the connection")
        made: Json = json.loads(text)
        self.seen.append(made)
        return made

    def raw(self) -> str:
        """The text of the next frame, whatever it is."""
        return str(self._socket.recv())

    def settimeout(self, seconds: float) -> None:
        """How long to wait for a frame from here on."""
        self._socket.settimeout(seconds)

    def is_ponged(self, within_s: float = 3.0) -> bool:
        """Whether the server answers a ping; frames that come instead are passed over."""
        self._socket.settimeout(within_s)
        try:
            self._socket.ping("still there?")
            while True:
                if self._socket.recv_data(control_frame=True)[0] == websocket.ABNF.OPCODE_PONG:
                    return True
        except websocket.WebSocketTimeoutException:
            return False
        finally:
            self._socket.settimeout(5.0)

    def frames(self, count: int) -> list[Json]:
        return [self.frame() for _ in range(count)]

    def until(self, wanted: Callable[[Json], bool]) -> Json:
        """The next frame that is wanted."""
        while True:
            found = self.frame()
            if wanted(found):
                return found

    def until_type(self, kind: str) -> Json:
        return self.until(lambda frame: frame["type"] == kind)

    def wait_for_ping(self) -> bytes:
        """The body of the next server ping."""
        while True:
            opcode, data = self._socket.recv_data(control_frame=True)
            if opcode == websocket.ABNF.OPCODE_PING:
                return bytes(data)
