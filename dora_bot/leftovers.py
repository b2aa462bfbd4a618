"""The orders that a life of the bot which ended may have left behind, told from those of an instance that lives on.

Client order ids begin with the environment's prefix and the life's fence, which only ever grows. So what a directory's
last life left is known without a database: its own fence, and the older ones whose orders it took over when it started.
A newer fence among the resting orders means that another instance has taken over since; older orders are its own now.
"""

import re
from dataclasses import dataclass
from typing import Any

from dora_bot.kill import Reach, Sweeper

LEFTOVERS = Reach(groups_after_s=1.0)
"""Own ids, then their order groups; never the whole account, in which others may trade."""


@dataclass(slots=True)
class LeftoverSweeper(Sweeper):
    """Sweeps what the life whose client order ids begin with ``life`` was responsible for; ``prefix`` is the bot's."""

    life: str = ""

    def resting(self) -> list[dict[str, Any]]:
        found = Sweeper.resting(self)
        fences = [self._fence(str(order["client_order_id"])) for order in found]
        own = self._fence(self.life)
        if max(fences, default=own) > own:
            return [order for order, fence in zip(found, fences, strict=True) if fence == own]
        return found

    def _fence(self, client_order_id: str) -> int:
        numbered = re.match(r"(\d+)-", client_order_id.removeprefix(self.prefix))
        return int(numbered[1]) if numbered else 0
