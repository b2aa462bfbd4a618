"""The slow threads' loop: it beats, it stops, it does not die unnoticed; and who watches it sees it stand still."""

import threading

from dora_bot.clock import SystemClock
from dora_bot.models import Instant
from dora_bot.pulse import Pulse, adopt, waiting
from dora_bot.threads import LOOK_MS, STILL_MS, Loop, Watch


class Recorder:
    def __init__(self) -> None:
        self.steps = 0
        self.enough = threading.Event()
        self.deaths: list[tuple[str, Exception]] = []
        self.died = threading.Event()

    def step(self, _now: Instant) -> None:
        self.steps += 1
        if self.steps >= 3:
            self.enough.set()

    def explode(self, _now: Instant) -> None:
        raise ZeroDivisionError("nobody expected this")

    def on_death(self, name: str, error: Exception) -> None:
        self.deaths.append((name, error))
        self.died.set()


def test_it_steps_until_it_is_stopped_and_shows_its_beat() -> None:
    recorder, clock = Recorder(), SystemClock()
    loop = Loop("risk", 0.001, recorder.step, clock, recorder.on_death)
    loop.start()
    assert recorder.enough.wait(10)
    loop.stop(10)
    steps = recorder.steps
    assert loop.pulse.beats >= 2 * recorder.steps
    assert not any(t.name == "risk" for t in threading.enumerate())
    assert (recorder.steps, recorder.deaths) == (steps, [])


def test_an_error_that_a_step_lets_out_is_told_with_the_threads_name() -> None:
    recorder = Recorder()
    loop = Loop("drain", 0.001, recorder.explode, SystemClock(), recorder.on_death)
    loop.start()
    assert recorder.died.wait(10)
    loop.stop(10)
    ((name, error),) = recorder.deaths
    assert (name, str(error)) == ("drain", "nobody expected this")


def test_stopping_what_never_started_is_nothing() -> None:
    recorder = Recorder()
    Loop("idle", 1.0, recorder.step, SystemClock(), recorder.on_death).stop(0.01)
    assert recorder.steps == 0


# ── watching ────────────────────────────────────────────────────────────────────────────────────


class Watched:
    """A pulse, and somebody who looks at it every half second."""

    def __init__(self) -> None:
        self.pulse, self.watch, self.mono_ms = Pulse(), Watch(), 1_000

    def look(self, after_ms: int = 500) -> int:
        self.mono_ms += after_ms
        return self.watch.still_ms(self.pulse, Instant(self.mono_ms, 0))


def test_a_thread_that_stands_still_is_known_within_three_seconds() -> None:
    watched = Watched()
    watched.look()
    watched.pulse.beat()
    seen = [watched.look() > STILL_MS for _ in range(6)]
    assert seen == [False] * 5 + [True]  # at 3.0 s, of which the first half was before anybody looked
    watched.pulse.beat()
    assert watched.look() == 0


def test_a_call_that_ends_by_itself_explains_a_stillness_of_its_own_length() -> None:
    watched = Watched()
    adopt(watched.pulse)
    with waiting(4_000):
        still = [watched.look() for _ in range(14)]
    assert still == [0] * 9 + [500, 1_000, 1_500, 2_000, 2_500]
    assert (watched.look(), watched.look()) == (0, 500)


def test_when_the_whole_process_stood_still_nobody_hung() -> None:
    watched = Watched()
    watched.look()
    assert watched.look(60_000) == LOOK_MS < STILL_MS
