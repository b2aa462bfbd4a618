"""What one machine's process was told, and must keep to: the configuration and the exchange's calendar."""

from collections.abc import Callable, Mapping

from dora_bot.models import Amend, Place
from dora_bot.paper.specs import OrderView
from tests.sim.judge_calendar import CalendarJudge
from tests.sim.judge_config import ConfigJudge
from tests.sim.tables import Tables


class Told:
    def __init__(
        self, tables: Tables, broken: Callable[[str, str], None], resting: Mapping[str, OrderView]
    ) -> None:
        self.config = ConfigJudge(tables, broken)
        self.calendar = CalendarJudge(broken, resting)

    def on_start(self, now_ms: int) -> None:
        """The next process must be told again."""
        self.config.on_start()
        self.calendar.on_start(now_ms)

    def on_event(self, event: object, now_ms: int) -> None:
        """The tick takes it in."""
        self.config.on_event(event)
        self.calendar.on_event(event, now_ms)

    def on_exposure(self, action: Place | Amend, now_ms: int) -> None:
        self.config.on_exposure(action)
        self.calendar.on_exposure(action, now_ms)
