"""A bare signed HTTP client for tests: no model, no retry, nothing between the test and the wire.

It shares no code with the bot or the exchange, so that neither side's mistakes can hide in it.
"""

import base64
import json
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa


class Answer(NamedTuple):
    status: int
    body: Any
    headers: dict[str, str]


class SignedClient:
    """``base`` is a REST base such as ``http://127.0.0.1:1234/trade-api/v2``."""

    def __init__(self, base: str, key_id: str, private_key_path: str, timeout_s: float = 5.0) -> None:
        self.base = base
        self.key_id = key_id
        self.private_key_path = private_key_path
        self.timeout_s = timeout_s
        loaded = serialization.load_pem_private_key(Path(private_key_path).read_bytes(), None)
        assert isinstance(loaded, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey)
        self._key = loaded
        self._session = requests.Session()

    def close(self) -> None:
        self._session.close()

    def sign(self, text: str) -> str:
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return base64.b64encode(self._key.sign(text.encode())).decode()
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
        return base64.b64encode(self._key.sign(text.encode(), pss, hashes.SHA256())).decode()

    def auth_headers(self, method: str, path: str, *, at_ms: int | None = None) -> dict[str, str]:
        stamp = str(at_ms if at_ms is not None else time.time_ns() // 1_000_000)
        return {
            "KALSHI-ACCESS-KEY": self.key_id,
            "KALSHI-ACCESS-TIMESTAMP": stamp,
            "KALSHI-ACCESS-SIGNATURE": self.sign(stamp + method + path),
        }

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: dict[str, str] | None = None,
        query: dict[str, object] | None = None,
    ) -> Answer:
        """``path`` below the base. ``headers`` replaces the signature."""
        url = self.base + path
        signed = self.auth_headers(method, urlsplit(url).path) if headers is None else headers
        data = None if body is None else json.dumps(body).encode()
        reply = self._session.request(
            method,
            url,
            params={name: str(value) for name, value in (query or {}).items()},
            data=data,
            headers={**signed, "Content-Type": "application/json"},
            timeout=self.timeout_s,
        )
        return Answer(reply.status_code, reply.json() if reply.content else None, dict(reply.headers))

    def get(self, path: str, **query: object) -> Answer:
        return self.call("GET", path, query=query)

    def post(self, path: str, body: object = None) -> Answer:
        return self.call("POST", path, {} if body is None else body)

    def put(self, path: str, body: object = None) -> Answer:
        return self.call("PUT", path, {} if body is None else body)

    def delete(self, path: str, body: object = None, **query: object) -> Answer:
        return self.call("DELETE", path, body, query=query)
