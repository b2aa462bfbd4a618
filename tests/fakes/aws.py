"""The embedded AWS endpoint as a child process, and a proxy before it that loses replies on demand."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

SERVE = (
    "import sys, pathlib; from dora_bot.local_aws import run_local_aws; run_local_aws(int(sys.argv[1]), {})"
)


class LocalAwsProcess:
    """``dora local-aws`` without the command line: a child process; ``url`` is where it answers."""

    def __init__(self, state_dir: Path | None = None, port: int = 0) -> None:
        where = f"pathlib.Path({str(state_dir)!r})" if state_dir else "None"
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE.format(where), str(port)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the embedded AWS did not start"
        self.url: str = json.loads(line)["endpoint_url"]

    def stop(self, signum: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            os.kill(self.process.pid, signum)
        code = self.process.wait(timeout=20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


Fault = Callable[[str], str]
"""Given the operation (``PutItem``): "" to pass, ``drop_reply`` (applied, connection cut), ``refuse`` (500, not
applied), ``throttle`` (400, not applied), ``hang`` (no answer while it stays so, not applied)."""


class FaultyProxy:
    """Stands between a client and the embedded AWS on loopback; ``fault`` may be replaced at any time."""

    def __init__(self, upstream: str) -> None:
        self.fault: Fault = lambda _operation: ""
        self.seen: list[str] = []
        proxy, target = self, urlsplit(upstream)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
                proxy.seen.append(operation)
                fault = proxy.fault(operation)
                if fault == "refuse":
                    self.reply(500, b'{"__type":"InternalServerError"}')
                elif fault == "hang":
                    while proxy.fault(operation) == "hang":
                        time.sleep(0.05)
                    self.close_connection = True
                elif fault == "throttle":
                    self.reply(400, b'{"__type":"ThrottlingException"}')
                else:
                    status, answer = forward(self.path, body, dict(self.headers))
                    if fault == "drop_reply":
                        self.close_connection = True
                        return
                    self.reply(status, answer)

            def reply(self, status: int, answer: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.0")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        def forward(path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
            connection = http.client.HTTPConnection(str(target.hostname), target.port, timeout=10)
            try:
                connection.request("POST", path, body, headers)
                response = connection.getresponse()
                return response.status, response.read()
            finally:
                connection.close()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
