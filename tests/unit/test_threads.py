"""The slow threads' loop: it beats, it stops, and it does not die unnoticed."""

import threading

from dora_bot.clock import SystemClock
from dora_bot.models import Instant
from dora_bot.threads import Loop


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
    assert loop.beat_mono_ms > 0
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
