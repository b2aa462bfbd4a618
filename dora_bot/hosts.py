"""The machine itself: the hosts of a paper exchange, and the only ones that may be spoken to without TLS."""

from typing import Final

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
