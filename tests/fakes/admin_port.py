"""A stand-in for the paper exchange's admin port: serves a truth and a journal given by the test."""

import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


class AdminPortFake:
    """``truth`` and ``journal`` (entries with ``n``) may be replaced at any time; ``token`` is demanded."""

    def __init__(self, truth: dict[str, Any], journal: Sequence[dict[str, Any]] = ()) -> None:
        self.truth = truth
        self.journal = list(journal)
        self.token = "admin-token"
        self.posts: list[dict[str, Any]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                if parts.path.endswith("/truth"):
                    return self.reply(fake.truth)
                after = int(parse_qs(parts.query).get("after", ["0"])[0])
                entries = [entry for entry in fake.journal if entry["n"] > after][:2]
                return self.reply({"last": len(fake.journal), "entries": entries})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                fake.posts.append(json.loads(body))
                self.reply({})

            def reply(self, body: object) -> None:
                allowed = self.headers.get("Authorization") == f"Bearer {fake.token}"
                text = json.dumps(body).encode()
                self.send_response(200 if allowed else 401)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
