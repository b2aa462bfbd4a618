"""What a person sees while the demo runs: the full-screen view in a terminal, plain lines anywhere else."""

from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from dora_bot.cli_support import note
from dora_bot.errors import StoreError
from dora_bot.state_dir import read_status
from dora_bot.view import progress_line, render

_PLAIN_EVERY_S = 5.0
_NEWS_LINES = 2


class Watch(Protocol):
    """Shows the status published in a state directory; `say` adds a line of news."""

    def show(self, state_dir: Path, elapsed_s: float) -> None: ...

    def say(self, text: str) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def fitting_watch(*, plain: bool) -> Watch:
    """The view for stdout; ``plain`` forces lines."""
    console = Console()
    return ScreenWatch(console) if console.is_terminal and not plain else PlainWatch()


def latest_status(state_dir: Path) -> dict[str, Any]:
    """The published status; empty while a starting bot has published none."""
    try:
        return read_status(state_dir)
    except StoreError:
        return {}


class PlainWatch:
    """A progress line on stderr every five seconds."""

    def __init__(self) -> None:
        self._next_s = 1.0

    def show(self, state_dir: Path, elapsed_s: float) -> None:
        if elapsed_s >= self._next_s:
            self._next_s = elapsed_s + _PLAIN_EVERY_S
            note(f"{elapsed_s:5.0f} s  {progress_line(latest_status(state_dir))}")

    def say(self, text: str) -> None:
        note(f"         {text}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class ScreenWatch:
    """The terminal's alternate screen, redrawn at every `show`; the shell's screen is restored at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, screen=True, auto_refresh=False)
        self._news: deque[str] = deque(maxlen=_NEWS_LINES)

    def show(self, state_dir: Path, elapsed_s: float) -> None:
        size = self._console.size
        screen = render(latest_status(state_dir), size.width, size.height - _NEWS_LINES)
        news = [Text(line, style="bold cyan", no_wrap=True, overflow="ellipsis") for line in self._news]
        self._live.update(Group(screen, *news), refresh=True)
        del elapsed_s

    def say(self, text: str) -> None:
        self._news.append(text)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)
