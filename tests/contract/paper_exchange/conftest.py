"""A still paper exchange over real HTTP and WebSocket, fresh for every test module."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from dora_bot.models import FeeTerms
from dora_bot.paper.launch import LaunchOptions
from dora_bot.paper.testing import PaperServer, StaticMarket, StaticWorld
from tests.fakes.signed_client import SignedClient
from tests.fakes.ws_client import WsClient

MARKETS = (
    StaticMarket("KXA-1-ONE"),
    StaticMarket("KXA-1-TWO", bids=(), asks=()),
    StaticMarket("KXB-1-DECI", structure="deci_cent", fees=FeeTerms("quadratic_with_maker_fees")),
    StaticMarket("KXC-1-SHARD", exchange_index=2),
)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the repository that holds specifications and recordings."""
    path = Path(__file__).resolve().parents[4] / "shared"
    if not path.is_dir():
        pytest.skip("needs ../shared")
    return path


@pytest.fixture(scope="module")
def server() -> Iterator[PaperServer]:
    """No added latency and a rich tier, so that tests meet limits only where they mean to."""
    options = LaunchOptions(profile="fast", tier="prestige")
    with PaperServer(options, StaticWorld(MARKETS).install) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: PaperServer) -> Iterator[SignedClient]:
    made = SignedClient(server.here.rest_url, server.here.key_id, server.here.private_key_path)
    yield made
    made.close()


@pytest.fixture
def connect(server: PaperServer, client: SignedClient) -> Iterator[Callable[[], WsClient]]:
    """A function that opens a WebSocket; all are closed after the test."""
    opened: list[WsClient] = []

    def make() -> WsClient:
        opened.append(WsClient(server.here.ws_url, client))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


class Admin:
    """The admin port, as a test's operator."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._headers = {"Authorization": f"Bearer {token}"}

    def call(self, method: str, path: str, body: object = None, **query: object) -> tuple[int, Any]:
        reply = requests.request(
            method,
            f"{self.url}/admin/v1{path}",
            json=body,
            params={name: str(value) for name, value in query.items()},
            headers=self._headers,
            timeout=15,
        )
        return reply.status_code, reply.json()

    def act(self, action: str, **args: object) -> Any:
        status, body = self.call("POST", "/engine", {"action": action, **args})
        assert status == 200, body
        return body

    def truth(self) -> Any:
        return self.call("GET", "/truth")[1]

    def journal(self, after: int = 0) -> list[dict[str, Any]]:
        return list(self.call("GET", "/journal", after=after)[1]["entries"])

    def arm(self, kind: str, **parts: object) -> str:
        status, body = self.call("POST", "/faults", {"kind": kind, **parts})
        assert status == 200, body
        return str(body["fault_id"])

    def disarm(self) -> None:
        self.call("DELETE", "/faults")


@pytest.fixture(scope="module")
def admin(server: PaperServer) -> Admin:
    return Admin(server.here.admin_url, server.here.admin_token)
