"""One numbering over two rings: frames cannot push requests out."""

from dora_bot.paper.journal import ExchangeJournal


def test_entries_and_frames_come_back_in_one_order() -> None:
    journal = ExchangeJournal()
    first = journal.record("arrival", 10, path="/a")
    journal.frame(11, 1, (2, 3, "trade", "T"), dropped=False)
    journal.record("reply", 12, request=first)
    assert [(e["n"], e["kind"]) for e in journal.after(0)] == [(1, "arrival"), (2, "frame"), (3, "reply")]
    assert [e["n"] for e in journal.after(1)] == [2, 3]
    assert [e["n"] for e in journal.after(0, limit=2)] == [1, 2]
    assert journal.last == 3


def test_memory_is_bounded_and_requests_outlive_frames() -> None:
    journal = ExchangeJournal(keep=10, keep_frames=5)
    journal.record("arrival", 0)
    for at in range(1_000):
        journal.frame(at, 1, (1, at, "orderbook_delta", "T"), dropped=False)
    kept = journal.after(0)
    assert kept[0]["kind"] == "arrival"
    assert len(kept) == 6
    assert kept[-1]["seq"] == 999
