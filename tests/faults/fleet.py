"""How often may sending processes be killed, frozen, or lose their store, without anybody being messaged twice?

Several always work; who is killed is replaced at once, and no one waits for the replacement.
"""

from __future__ import annotations

import math
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from recall.clock import elapsed_seconds
from recall.settings import Settings
from tests.engine.conftest import Scene
from tests.faults.crowd import Crowd, Harmed
from tests.faults.kills import AT_CALL, Nursery
from tests.faults.stops import STOPS

DONE_SECONDS = 300.0
LONGEST_WAIT, AT_MOST_FOR_A_CALL = 0.1, 0.5  # seconds from one kill to the next
# How long one stands still: beyond the five seconds from gate to call; the ten of a call; the time after which a call
# without an answer is a doubt, and the vendor has been asked.
SHORT, LONG, LONGEST = (5.5, 8.0), (10.5, 13.0), (18.0, 21.0)
LENGTHS = {"in the gate": (SHORT,), "after the gate": (SHORT, LONG, LONGEST), "before the call": (SHORT, LONG, LONGEST)}


@dataclass
class Worker:
    """One process."""

    pid: int
    point: str = ""
    is_ready: bool = False
    stopped_at: float | None = None
    wakes_at: float = 0.0


@dataclass
class Fleet:
    """Processes that send until nobody is due."""

    nursery: Nursery
    scene: Scene
    settings: Settings
    vendor: str
    dice: random.Random
    ends_at: float = math.inf  # of `elapsed_seconds`: then it is enough, however much was done
    workers: list[Worker] = field(default_factory=list)

    def man(self, count: int, *points: str) -> None:
        """Start so many that stop nowhere, and one for each point."""
        (self.settings.var_dir / AT_CALL).mkdir(exist_ok=True)
        self.workers += [Worker(self._fork(point), point) for point in [*[""] * count, *points]]

    def has_time(self) -> bool:
        return elapsed_seconds() < self.ends_at

    def at_work(self) -> list[Worker]:
        for worker in self.workers:
            worker.is_ready = worker.is_ready or self.nursery.is_ready(worker.pid)
        return [worker for worker in self.workers if worker.is_ready]

    def kill(self, worker: Worker) -> bool:
        """Whether it was at work; in its place comes another."""
        was_at_work = self.nursery.kill(worker.pid) == -signal.SIGKILL
        self._replace(worker)
        return was_at_work

    def _replace(self, worker: Worker) -> None:
        worker.pid, worker.is_ready, worker.stopped_at = self._fork(worker.point), False, None

    def _fork(self, point: str) -> int:
        often = f"{self.dice.randint(3, 9)} {point}" if point else ""
        return self.nursery.fork(self.scene, self.settings, often, self.vendor)

    def replace_the_done(self) -> None:
        """Who found nobody due has ended, and comes again; nobody may have ended otherwise."""
        for worker in self.workers:
            if _state(worker.pid) == "Z":
                assert self.nursery.end(worker.pid) == 0, "a process crashed; it told why above"
                self._replace(worker)

    def finish(self) -> None:
        """Let all come to their end."""
        _wait_for(self._have_ended, DONE_SECONDS)
        for worker in self.workers:
            assert self.nursery.end(worker.pid) == 0, "a process crashed; it told why above"

    def _have_ended(self) -> bool:
        for worker in self.workers:
            if _state(worker.pid) == "T":
                os.kill(worker.pid, signal.SIGCONT)
        return all(_state(worker.pid) == "Z" for worker in self.workers)


def _state(pid: int) -> str:
    """R, S, T (stands still) or Z (has ended)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _wait_for(holds: Callable[[], bool], seconds: float) -> None:
    until = elapsed_seconds() + seconds
    while not holds():
        assert elapsed_seconds() < until, f"not in {seconds} s"
        time.sleep(0.02)


# --- kills ------------------------------------------------------------------------------------------------


def kill_often(fleet: Fleet, crowd: Crowd, *, kills: int, workers: int) -> Harmed:
    """Kill one of several processes at work, again and again; half of the times while somebody is being called."""
    done, dice = Harmed(), fleet.dice
    fleet.man(workers)
    with crowd.kept_waiting():
        while done.kills < kills and fleet.has_time():
            time.sleep(dice.uniform(0.0, LONGEST_WAIT))
            fleet.replace_the_done()
            victim = _in_a_call(fleet) if dice.random() < 0.5 else _any(fleet)
            done.kills += victim is not None and fleet.kill(victim)
    fleet.finish()
    return crowd.count(done)


def _any(fleet: Fleet) -> Worker | None:
    ready = fleet.at_work()
    return fleet.dice.choice(ready) if ready else None


def _in_a_call(fleet: Fleet) -> Worker | None:
    """One whose messages have passed the gate and have no record yet; it may have by the time it dies."""
    until = elapsed_seconds() + AT_MOST_FOR_A_CALL
    while elapsed_seconds() < until:
        calling = {int(each.name) for each in (fleet.settings.var_dir / AT_CALL).iterdir()}
        for worker in fleet.dice.sample(fleet.workers, len(fleet.workers)):
            if worker.pid in calling:
                return worker
        time.sleep(0.005)
    return None


# --- pauses -----------------------------------------------------------------------------------------------


def pause_often(fleet: Fleet, crowd: Crowd, *, pauses: int, workers: int) -> Harmed:
    """Processes stop themselves at named places, or at any moment; they wake when their deadlines have passed.

    Two go on meanwhile, and the reconciler works.
    """
    done = Harmed()
    fleet.man(workers, *STOPS)
    with crowd.kept_waiting():
        while done.pauses < pauses and fleet.has_time():
            fleet.replace_the_done()
            _stop_any(fleet)
            done.pauses += sum(_wake(fleet, worker) for worker in fleet.workers)
            time.sleep(0.02)
    fleet.finish()
    return crowd.count(done)


def _stop_any(fleet: Fleet) -> None:
    """Of those who stop nowhere by themselves, all but two stand still, at a moment of the dice."""
    free = [worker for worker in fleet.at_work() if not worker.point]
    still = sum(worker.stopped_at is not None for worker in free)
    going = [worker for worker in free if worker.stopped_at is None]
    if len(free) - still > 2 and fleet.dice.random() < 0.02:
        os.kill(fleet.dice.choice(going).pid, signal.SIGSTOP)


def _wake(fleet: Fleet, worker: Worker) -> bool:
    """Notice who stands still, and wake it in time; whether one woke whose deadline had passed."""
    if not worker.is_ready or _state(worker.pid) != "T":
        return False
    now = elapsed_seconds()
    if worker.stopped_at is None:
        lengths = LENGTHS.get(worker.point, (LONG, LONGEST))
        worker.stopped_at, worker.wakes_at = now, now + fleet.dice.uniform(*fleet.dice.choice(lengths))
    if now < worker.wakes_at:
        return False
    os.kill(worker.pid, signal.SIGCONT)
    worker.stopped_at = None
    return True


# --- restarts ---------------------------------------------------------------------------------------------


def restart_often(
    fleet: Fleet, crowd: Crowd, restart: Callable[[str, float], None], *, restarts: int, workers: int, between: float
) -> Harmed:
    """PostgreSQL ends every few seconds, in order or as in a crash, is away for a moment, and comes back."""
    done, dice = Harmed(), fleet.dice
    fleet.man(workers)
    while done.restarts < restarts and fleet.has_time():
        _go_on_for(fleet, crowd, dice.uniform(min(5.0, between), between))
        restart(dice.choice(("fast", "immediate", "immediate")), dice.uniform(0.0, 2.0))
        done.restarts += 1
    fleet.finish()
    return crowd.count(done)


def _go_on_for(fleet: Fleet, crowd: Crowd, seconds: float) -> None:
    until = elapsed_seconds() + seconds
    with crowd.kept_waiting():
        while elapsed_seconds() < until:
            fleet.replace_the_done()
            time.sleep(0.1)
    assert crowd.waiting(), "it must happen under load"
