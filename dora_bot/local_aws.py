"""The embedded AWS endpoint: DynamoDB, SNS, Secrets Manager and CloudWatch on 127.0.0.1, for demo and tests.

moto answers the calls. Around it: DynamoDB calls run one at a time, because moto's transactions are not
isolated; a transaction copies only the items it touches, because moto copies whole tables; and what is stored
is kept in a file over restarts. A process of its own: the bot never imports this.
"""

import contextlib
import fcntl
import io
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self

from dora_bot.clock import SystemClock
from dora_bot.errors import ConfigError, StoreError

SAVE_EVERY_S = 2.0
_SAVE_SHARE = 20
"""Saving may take at most 1/20 of the time: a big state is saved less often."""

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def run_local_aws(port: int, state_dir: Path | None) -> None:
    """Serve until SIGTERM or Ctrl-C. Prints ``{"endpoint_url"}`` first.

    With a ``state_dir`` the state found there is loaded, saved every couple of seconds and at the end.
    Raises `ConfigError` if the port or the directory is in use, `StoreError` if the state cannot be read.
    """
    stop = threading.Event()

    def on_signal(_signum: int, _frame: FrameType | None) -> None:
        stop.set()

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, on_signal)
    with _locked(state_dir), LocalAws(port, state_dir) as server:
        sys.stdout.write(json.dumps({"endpoint_url": server.url}) + "\n")
        sys.stdout.flush()
        server.serve_until(stop)


class LocalAws:
    """The server and its saved state; a context manager that stops and saves at its end."""

    def __init__(self, port: int, state_dir: Path | None) -> None:
        # moto takes half a second to import and is an optional dependency: only who serves pays for it.
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415  (see above)
        from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: PLC0415  (see above)

        from dora_bot.local_aws_state import use_cheap_transactions  # noqa: PLC0415  (imports moto)

        class QuietHandler(WSGIRequestHandler):
            def log_request(self, *_: object) -> None:
                """One line per call would be the loudest log of the demo."""

        use_cheap_transactions()
        self._file = state_dir / "local-aws.json" if state_dir else None
        self._calls = _Serialised(DomainDispatcherApplication(create_backend_app))
        self._load()
        try:
            self._server = make_server(
                "127.0.0.1", port, self._calls, threaded=True, request_handler=QuietHandler
            )
        except (OSError, SystemExit) as error:  # werkzeug turns a port in use into sys.exit
            raise ConfigError(f"port {port} on 127.0.0.1 cannot be used; choose another --port") from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="local-aws", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    def serve_until(self, stop: threading.Event) -> None:
        """Save what changed every couple of seconds until ``stop`` is set."""
        clock, pause = SystemClock(), SAVE_EVERY_S
        while not stop.wait(pause):
            began = clock.now().mono_ms
            self.save()
            pause = max(SAVE_EVERY_S, _SAVE_SHARE * (clock.now().mono_ms - began) / 1_000)

    def save(self) -> None:
        """Write the state if a call may have changed it since the last time; whole or not at all."""
        from dora_bot.local_aws_state import snapshot  # noqa: PLC0415  (imports moto)

        if self._file is None:
            return
        with self._calls.lock:
            if not self._calls.changed:
                return
            self._calls.changed = False
            text = json.dumps(snapshot())
        fresh = self._file.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self._file)

    def _load(self) -> None:
        from dora_bot.local_aws_state import restore  # noqa: PLC0415  (imports moto)

        if self._file is None or not self._file.exists():
            return
        try:
            restore(json.loads(self._file.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{self._file} cannot be read ({error}); move it away to start afresh"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.save()


class _Serialised:
    """One DynamoDB call at a time, whole; notes whether any call may have changed something."""

    def __init__(self, app: Wsgi) -> None:
        self.lock = threading.Lock()
        self.changed = False
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        target = str(environ.get("HTTP_X_AMZ_TARGET", ""))
        # SNS may deliver over HTTP for seconds; only DynamoDB needs, and gets, one call at a time.
        with self.lock if target.startswith("DynamoDB") else contextlib.nullcontext():
            if not target.endswith((".GetItem", ".Query", ".Scan", ".BatchGetItem", ".DescribeTable")):
                self.changed = True
            return list(self._app(environ, start_response))


@contextlib.contextmanager
def _locked(state_dir: Path | None) -> Iterator[None]:
    if state_dir is None:
        yield
        return
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        with (state_dir / "local-aws.lock").open("a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except BlockingIOError as error:
        raise ConfigError(f"{state_dir} is in use by another local AWS; choose another --state") from error
