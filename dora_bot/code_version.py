"""Which program this is: its version and a hash over its own source files, so that a decision names what made it."""

import hashlib
from pathlib import Path

from dora_bot import __version__


def code_version(package: Path = Path(__file__).parent) -> str:
    """``0.1.0+`` and twelve hexadecimal digits; equal for equal files, whatever their dates."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes() + b"\0")
    return f"{__version__}+{digest.hexdigest()[:12]}"
