"""Structured logs: one JSON object a line, to stderr and to a rotating file, never on the tick's time.

The tick hands a record to a bounded queue; a listener thread formats and writes it. When the queue is full,
ordinary records are dropped and counted; warnings and errors wait for no one because they are rare.
"""

import logging
import os
import queue
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path
from typing import Any, TextIO

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from dora_bot.events import BookLost
from dora_bot.models import (
    Amend,
    Cancel,
    Outcome,
    OutcomeKind,
    Place,
)
from dora_bot.plain_text import json_line
from dora_bot.reconcile import Reconciled
from dora_bot.scoreboard import Scoreboard
from dora_bot.tick_report import TickReport
from dora_bot.units import count_text, money_text, price_text

QUEUE = 10_000
CLOSE_S = 2.0
FILE_BYTES, FILES = 10_000_000, 5
"""The log file is rotated at 10 MB and five old ones are kept (B18: at most 200 MB a day are written)."""


class _DroppingQueueHandler(QueueHandler):
    """Formats on the caller's thread (a few microseconds), writes on the listener's."""

    dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class _FileHandler(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (the name that logging calls)
        """policy: a disk that takes no log is no reason to stop, nor to tell it on stderr with every line."""


class _DescriptorHandler(logging.Handler):
    """Writes whole lines to the descriptor itself. Without any lock, of the handler or of the stream: if nobody reads the
    other end, the listener stands still in here, and the end of the process must not wait for it.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def createLock(self) -> None:  # noqa: N802  (the name that logging calls)
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        line = memoryview(f"{self.format(record)}\n".encode())
        try:
            while line:
                line = line[os.write(self._stream.fileno(), line) :]
        except (OSError, ValueError):
            return  # policy: whoever read this went away, which is no reason to stop


class Telemetry:
    """Implements `ports.Telemetry` and owns the process's log."""

    def __init__(self, state_dir: Path, *, to_stderr: bool = True) -> None:
        self.scores = Scoreboard()
        records: queue.Queue[Any] = queue.Queue(QUEUE)
        self._handler = _DroppingQueueHandler(records)
        sinks: list[logging.Handler] = [
            _FileHandler(state_dir / "bot.log", maxBytes=FILE_BYTES, backupCount=FILES)
        ]
        if to_stderr:
            sinks.append(_DescriptorHandler(sys.stderr))
        lines: queue.Queue[Any] = queue.Queue(QUEUE)
        self._lines = _DroppingQueueHandler(lines)
        self._listeners = (
            QueueListener(records, *sinks),
            QueueListener(lines, _DescriptorHandler(sys.stdout)),
        )
        for listener in self._listeners:
            listener.start()
        formatter = LambdaPowertoolsFormatter(utc=True, json_serializer=json_line)
        self.log = Logger(service="dora_bot", logger_handler=self._handler, logger_formatter=formatter)
        # The process has one logger of that name: without this, a second Telemetry would write to the first one's file.
        self._handler.setFormatter(formatter)
        self.log.addHandler(self._handler)
        self.on_report: Callable[[TickReport], None] = _ignore

    def emit(self, report: object) -> None:
        if isinstance(report, TickReport):
            self.scores.add(report)
            self._log_tick(report)
            self.on_report(report)
        elif isinstance(report, Outcome):
            self.log.warning(
                "answered late",
                extra=_action_fields(report.action)
                | {"outcome": report.kind, "code": report.code, "took_ms": round(report.took_ms)},
            )
        elif isinstance(report, BookLost):
            self.log.error(
                "book contradicted",
                extra={"action": "book", "market_id": report.tickers[0], "reason": report.reason},
            )
        elif isinstance(report, Reconciled):
            self.scores.add_reconciled(report)
            if report.mismatches or report.fills_found or report.adopted:
                self.log.warning(
                    "reconciled",
                    extra={
                        "action": "reconcile",
                        "adopted": report.adopted,
                        "fills_found": report.fills_found,
                        "mismatches": list(report.mismatches),
                    },
                )
            if report.unexplained_pnl_e6:
                told = f"the exchange's realised PnL exceeds ours by {money_text(report.unexplained_pnl_e6)}"
                self.log.warning("unexplained", extra={"action": "pnl", "reason": told})

    def print_line(self, text: str) -> None:
        """A line of stdout, by a thread of its own; lost where nobody reads them."""
        self._lines.enqueue(logging.makeLogRecord({"msg": text}))

    def problem(self, where: str, error: Exception) -> None:
        """A recoverable failure of a slow thread's job."""
        self.log.warning("problem", extra={"action": where, "reason": f"{type(error).__name__}: {error}"})

    def close(self) -> None:
        """Writes what waits, for `CLOSE_S` at most: a sink that hangs must not keep the process from ending."""
        logging.getLogger("dora_bot").removeHandler(self._handler)
        ending = [
            threading.Thread(target=_finish, args=(listener,), name="last lines", daemon=True)
            for listener in self._listeners
        ]
        for thread in ending:
            thread.start()
        for thread in ending:
            thread.join(CLOSE_S)

    def _log_tick(self, report: TickReport) -> None:
        for outcome in report.outcomes:
            accepted = outcome.kind is OutcomeKind.ACCEPTED
            if accepted and outcome.action.reason == "renew":
                continue
            fields = _action_fields(outcome.action) | {
                "outcome": outcome.kind,
                "code": outcome.code,
                "took_ms": round(outcome.took_ms),
            }
            say = self.log.info if accepted else self.log.warning
            say(_verb(outcome.action), extra=fields)
        for fill in report.fills:
            self.log.info(
                "fill",
                extra={
                    "action": "fill",
                    "market_id": fill.ticker,
                    "side": fill.side,
                    "price": price_text(fill.price_e4),
                    "size": count_text(fill.count_e2),
                    "fee": money_text(fill.fee_e6),
                    "source": fill.source,
                },
            )
        for refused in report.verdict.refused:
            self.log.warning(
                "vetoed",
                extra=_action_fields(refused.action) | {"check": refused.check, "reason": refused.reason},
            )


def _finish(listener: QueueListener) -> None:
    with suppress(queue.Full):  # nobody takes from it any more
        listener.stop()
        for handler in listener.handlers:
            with suppress(OSError):  # its last lines meet the same disk
                handler.close()


def _ignore(_report: TickReport) -> None:
    return


def _verb(action: Place | Amend | Cancel) -> str:
    return {Place: "place", Amend: "amend", Cancel: "cancel"}[type(action)]


def _action_fields(action: Place | Amend | Cancel) -> dict[str, object]:
    fields: dict[str, object] = {
        "action": _verb(action),
        "market_id": action.ticker,
        "client_order_id": action.client_order_id,
        "reason": action.reason,
    }
    if not isinstance(action, Cancel):
        size = action.count_e2 if isinstance(action, Place) else action.total_e2
        fields |= {"side": action.side, "price": price_text(action.price_e4), "size": count_text(size)}
    return fields
