"""The demo once its world is starting: set up, run the bot, watch it, disturb it, report."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dora_bot.cli_support import note
from dora_bot.clock import SystemClock
from dora_bot.demo_admin import AdminPort, Disturbances
from dora_bot.demo_children import Child, Stopped, child_environment
from dora_bot.demo_report import Evidence, report
from dora_bot.demo_setup import busiest_shard, configure, list_markets, make_tables
from dora_bot.demo_watch import fitting_watch, latest_status
from dora_bot.ports import Clock

if TYPE_CHECKING:
    from dora_bot.demo import DemoOptions, StopFlag

_START_S: Final = 60
_DRAIN_S: Final = 30
_POLL_S: Final = 0.25


@dataclass
class Session:
    """``children`` holds the local AWS and the exchange, started; the bot is added to it."""

    options: "DemoOptions"
    folder: Path
    children: list[Child]
    stopping: "StopFlag"

    def run(self) -> dict[str, Any]:
        """Returns the report. Raises `Stopped` if asked to stop before the bot ran, `DoraError` if a part fails."""
        clock = SystemClock()
        aws, exchange = self.children
        aws_environ = _aws_environment(aws.first_record(clock, _START_S, self.stopping)["endpoint_url"])
        db = make_tables(aws_environ)
        venue = exchange.first_record(clock, _START_S, self.stopping)
        environ = {**aws_environ, **self._bot_environment(venue)}
        admin = AdminPort(venue["admin_url"], venue["admin_token"])
        start_cash = str(admin.truth()["cash"])
        if self.stopping():
            raise Stopped("stopped before the bot started: nothing was traded")
        note(f"dora demo: {len(venue['tickers'])} markets, starting the bot …")
        words = ["--debug", "run", "--seconds", f"{self.options.seconds:g}", "--json"]
        bot = Child.start("run", words, child_environment(environ), self.folder)
        self.children.append(bot)
        # While the bot still loads its libraries, which takes several times as long.
        markets = list_markets(environ, venue["tickers"])
        configure(db, markets, one_tick=bool(self.options.tapes))
        disturbances = Disturbances(
            admin, busiest_shard(markets), self.options.seconds, determine=not self.options.tapes
        )
        code = self._watch(bot, disturbances, clock)
        if code:
            note(f"dora demo: the bot ended with code {code}: {bot.last_words()}")
        status = latest_status(self.folder / "bot")
        return report(Evidence(environ, venue, admin.truth(), start_cash, status, code), db)

    def _bot_environment(self, venue: Mapping[str, Any]) -> dict[str, str]:
        return {
            "DORA_ENV": "paper",
            "DORA_KALSHI_REST_URL": venue["rest_url"],
            "DORA_KALSHI_WS_URL": venue["ws_url"],
            "DORA_KALSHI_KEY_ID": venue["key_id"],
            "DORA_KALSHI_PRIVATE_KEY_PATH": venue["private_key_path"],
            "DORA_STATE_DIR": str(self.folder / "bot"),
        }

    def _watch(self, bot: Child, disturbances: Disturbances, clock: Clock) -> int:
        """Show the bot until it ends by itself or is asked to; returns its exit code."""
        started = clock.now().mono_ms
        with fitting_watch(plain=self.options.json) as watch:
            while bot.running and not self.stopping():
                elapsed = (clock.now().mono_ms - started) / 1000
                if elapsed > self.options.seconds + _DRAIN_S:
                    watch.say(f"the bot did not stop {_DRAIN_S} s after its time")
                    break
                if done := disturbances.step(elapsed):
                    watch.say(done)
                watch.show(self.folder / "bot", elapsed)
                clock.sleep(_POLL_S)
        disturbances.finish()
        if self.stopping():
            note("dora demo: stopping the bot, its orders are cancelled first …")
        return bot.end(_DRAIN_S)


def _aws_environment(endpoint: str) -> dict[str, str]:
    """The usual variables; the embedded endpoint takes any credentials."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
    }
