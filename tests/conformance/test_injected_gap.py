"""An independent client meets a sequence gap that the paper exchange injects, and recovers by its own rules."""

from itertools import pairwise

import requests

from tests.conformance.test_foreign_clients import paper_exchange, run_client, tradable


def test_a_client_that_minds_its_sequence_resubscribes_after_a_lost_frame() -> None:
    with paper_exchange("--markets", "12") as where:
        ticker = tradable(where, lambda shard: shard == 2)
        fault = {
            "kind": "ws.gap",
            "match": {"channel": "orderbook_delta", "ticker": ticker},
            "params": {"n": 1},
            "when": {"nth": 4},
        }
        headers = {"Authorization": f"Bearer {where['admin_token']}"}
        url = f"{where['admin_url']}/admin/v1/faults"
        requests.post(url, json=fault, headers=headers, timeout=10).raise_for_status()
        frames = run_client("gapped", where, ticker)["frames"]
        [armed] = requests.get(url, headers=headers, timeout=10).json()["faults"]

    assert armed["hits"] == 1
    kinds = [kind for kind, _, _ in frames]
    assert kinds[0] == "orderbook_snapshot"
    second = kinds.index("orderbook_snapshot", 1)
    before, after = frames[:second], frames[second:]
    assert [seq for _, _, seq in before] == [1, 2, 3]
    assert after[0][1] != before[0][1], "a new subscription has a new sid"
    assert all(later == earlier + 1 for (_, _, earlier), (_, _, later) in pairwise(after))
