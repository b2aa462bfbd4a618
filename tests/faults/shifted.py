"""`dora run` on a machine whose wall clock is off by so many milliseconds; the monotonic clock is the true one.

usage: python -m tests.faults.shifted MILLISECONDS run …
"""

import sys
import time

if __name__ == "__main__":
    offset_ns, *rest = int(sys.argv[1]) * 1_000_000, *sys.argv[2:]
    true_ns = time.time_ns
    time.time_ns = lambda: true_ns() + offset_ns

    from dora_bot.cli import main

    sys.exit(main(rest))
