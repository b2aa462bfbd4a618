"""Secrets planted on purpose, and a search for them in whatever a program left behind, in any usual disguise."""

import base64
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

END = 12
"""So many first or last characters of a secret are a leak, too."""


def disguises(secret: str) -> dict[str, bytes]:
    """What a secret may look like in a log: plain, its ends, escaped, in base64 at any alignment, in hexadecimal."""
    raw = secret.encode()
    found = {
        "plain": raw,
        "its beginning": raw[:END],
        "its end": raw[-END:],
        "url-encoded": quote(secret, safe="").encode(),
        "form-encoded": quote_plus(secret).encode(),
        "hexadecimal": raw.hex().encode(),
        "HEXADECIMAL": raw.hex().upper().encode(),
    }
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + raw)
        # The characters that mix with what stands before and behind are left out.
        inner = text[4 if shift else 0 : len(text) // 4 * 4 - 4]
        found[f"base64, shifted by {shift}"] = inner
        found[f"url-safe base64, shifted by {shift}"] = inner.replace(b"+", b"-").replace(b"/", b"_")
    return found


def leaks(secrets: Mapping[str, Iterable[str]], sinks: Mapping[str, bytes]) -> list[str]:
    """``secret in sink as disguise`` for every secret (by its name) found in a sink (by its name)."""
    return [
        f"{name} in {sink} as {how}"
        for name, values in secrets.items()
        for how, shape in {(how, shape) for value in values for how, shape in disguises(value).items()}
        for sink, content in sinks.items()
        if shape in content
    ]
