"""The paper exchange as a pytest plugin, for everybody who writes a Kalshi bot: the fixture `kalshi_exchange`.

    @pytest.mark.kalshi_exchange(markets=2, seed=7, plan={"seed": 1, "profile": "rough"})
    def test_my_bot(kalshi_exchange):
        kalshi_exchange.arm("http.drop_reply", match={"op": "create"}, params={"phase": "after_apply", "how": "reset"})
        my_bot(kalshi_exchange.rest_url, kalshi_exchange.key_id, kalshi_exchange.private_key_path)
        assert kalshi_exchange.truth()["open_orders"] == []

Each test gets an exchange of its own, on free ports of 127.0.0.1. The marker takes the options of ``dora paper-exchange``
(markets, seed, profile, tier, tapes, speed) and ``plan``, a fault plan. What the fixture offers are the calls of the
admin port, see docs/paper-exchange.md.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import pytest
import requests

if TYPE_CHECKING:
    from dora_bot.paper.launch import Announcement

TIMEOUT_S = 70.0
"""A barrier may wait for a minute."""


class AdminRefused(Exception):  # noqa: N818  (said in the words of the admin port)
    """The admin port refused a call, and why."""


class KalshiExchange:
    """A running exchange: where it is, and the calls of its admin port. Each raises `AdminRefused`."""

    def __init__(self, here: "Announcement") -> None:
        self.rest_url = here.rest_url
        self.ws_url = here.ws_url
        self.key_id = here.key_id
        self.private_key_path = here.private_key_path
        self.tickers = here.tickers
        self._admin_url = here.admin_url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {here.admin_token}"

    def truth(self) -> dict[str, Any]:
        """One consistent cut of the account: open orders, positions, fills, cash, groups, books."""
        return self._call("GET", "truth")

    def journal(self, after: int = 0) -> list[dict[str, Any]]:
        """The numbered entries since one, oldest first."""
        return cast(
            "list[dict[str, Any]]", self._call("GET", f"journal?after={after}&limit=100000")["entries"]
        )

    def do(self, action: str, **arguments: object) -> dict[str, Any]:
        """An action of the exchange's operator: ``do("taker", ticker=…, side="ask", count="5.00")``."""
        return self._call("POST", "engine", {"action": action, **arguments})

    def arm(
        self,
        kind: str,
        match: Mapping[str, object] | None = None,
        params: Mapping[str, object] | None = None,
        when: Mapping[str, object] | None = None,
    ) -> str:
        """Arm a fault. Returns its id."""
        body = {"kind": kind, "match": match or {}, "params": params or {}, "when": when or {}}
        return str(self._call("POST", "faults", body)["fault_id"])

    def hits(self) -> dict[str, int]:
        """How often each armed fault struck, by its id."""
        return {fault["fault_id"]: fault["hits"] for fault in self._call("GET", "faults")["faults"]}

    def disarm(self, fault_id: str = "") -> None:
        """End one fault, or all of them and the plan."""
        self._call("DELETE", f"faults/{fault_id}" if fault_id else "faults")

    def plan(self, **plan: object) -> dict[str, Any]:
        """Faults by seed and rates, or ``replay=[…]`` of the keys that an earlier plan shows; without any: what struck."""
        return self._call("POST", "plan", plan) if plan else self._call("GET", "plan")

    def wait(self, condition: str, seconds: float = 10.0) -> float:
        """Wait until a condition such as ``open_orders==0`` holds. Returns the seconds it took."""
        body = {"condition": condition, "timeout_ms": round(seconds * 1_000)}
        return float(self._call("POST", "barrier", body)["elapsed_ms"]) / 1_000

    def _call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        url = f"{self._admin_url}/admin/v1/{path}"
        reply = self._session.request(method, url, json=body, timeout=TIMEOUT_S)
        if not reply.ok:
            raise AdminRefused(f"{method} {path}: {reply.status_code} {reply.text}")
        found: dict[str, Any] = reply.json()
        return found

    def close(self) -> None:
        self._session.close()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kalshi_exchange(**options): how the fixture of that name is started")


@pytest.fixture
def kalshi_exchange(request: pytest.FixtureRequest) -> Iterator[KalshiExchange]:
    """A Kalshi-compatible exchange of this test's own, see `dora_bot.paper.pytest_plugin`."""
    # Loaded with the first exchange only: every run of pytest imports this plugin.
    from dora_bot.paper.launch import LaunchOptions  # noqa: PLC0415  (see above)
    from dora_bot.paper.testing import PaperServer  # noqa: PLC0415  (see above)

    marker = request.node.get_closest_marker("kalshi_exchange")
    options = {"profile": "fast", **(marker.kwargs if marker else {})}
    plan = options.pop("plan", None)
    with PaperServer(LaunchOptions(**options)) as server:
        exchange = KalshiExchange(server.here)
        try:
            if plan is not None:
                exchange.plan(**plan)
            yield exchange
        finally:
            exchange.close()
