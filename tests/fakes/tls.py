"""TLS on loopback: a made-up authority, certificates by it, and a door that speaks TLS before a plain server."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import ssl
import threading
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_WAIT_S = 10.0
_DAY = dt.timedelta(days=1)


class Authority:
    """Signs certificates; ``ca_file`` is what a client must believe to believe them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self.ca_file = folder / "ca.pem"
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = self._builder(self._name, self._key.public_key())
        signed = (
            builder.add_extension(constraints, critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.ca_file.write_bytes(signed.public_bytes(Encoding.PEM))
        self.ca_file.chmod(0o644)

    def server(self, address: str = "127.0.0.1") -> ssl.SSLContext:
        """The context of a server whose certificate is for that address."""
        key = ec.generate_private_key(ec.SECP256R1())
        named = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
        signed = (
            self._builder(subject, key.public_key())
            .add_extension(named, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        chain = self._folder / f"server-{address}.pem"
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain.write_bytes(signed.public_bytes(Encoding.PEM) + secret)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        return context

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
        )


class TlsDoor:
    """Ends TLS on a port of its own (or without a context just listens in) and forwards to a plain one; a context manager.

    ``heard`` is everything that clients said inside TLS: the signed bytes that left them.
    """

    def __init__(self, context: ssl.SSLContext | None, target_port: int) -> None:
        self._context = context
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tls-door", daemon=True)
        self._links: set[asyncio.StreamWriter] = set()
        self.heard = bytearray()

    def __enter__(self) -> Self:
        self._loop.set_exception_handler(
            lambda _loop, _context: None
        )  # a client that breaks off is the test's wish
        self._thread.start()
        opening = asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self._server = asyncio.run_coroutine_threadsafe(opening, self._loop).result(_WAIT_S)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(_WAIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_WAIT_S)
        self._loop.close()

    def addresses(self, rest_url: str, ws_url: str) -> dict[str, str]:
        """The variables of a bot that reaches the exchange through this door."""
        rest, ws = (url.split("/", 3)[3] for url in (rest_url, ws_url))
        s = "s" if self._context else ""
        return {
            "DORA_KALSHI_REST_URL": f"http{s}://127.0.0.1:{self.port}/{rest}",
            "DORA_KALSHI_WS_URL": f"ws{s}://127.0.0.1:{self.port}/{ws}",
        }

    async def _close(self) -> None:
        self._server.close()
        for link in self._links:
            link.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._links.add(writer)
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
            self._links.add(far_writer)
            await asyncio.gather(
                self._pump(reader, far_writer, keep=True), self._pump(far_reader, writer, keep=False)
            )
        writer.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, keep: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(65_536):
                if keep:
                    self.heard += piece
                sink.write(piece)
                await sink.drain()
        sink.transport.abort()
