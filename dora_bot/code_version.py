"""Which program this is: its version and a hash over its own source files, so that a decision names what made it."""

import hashlib
from functools import cache
from pathlib import Path

from dora_bot import __version__

_PACKAGE = Path(__file__).parent


@cache
def code_version() -> str:
    """``0.1.0+`` and twelve hexadecimal digits; equal for equal files, whatever their dates. As of the first call."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(_PACKAGE)}\0".encode() + path.read_bytes() + b"\0")
    return f"{__version__}+{digest.hexdigest()[:12]}"
