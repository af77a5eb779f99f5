"""How often may a sending process be killed without anybody being messaged twice? On either store."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from providers.outbox import Outbox
from recall.clock import MINUTE, FixedClock, SystemClock
from recall.engine.reconcile import reconcile
from recall.settings import Settings
from tests.engine.conftest import Scene

ROOT = Path(__file__).parents[2]


@dataclass
class Killed:
    """What the provider's own log says after so many kills."""

    kills: int = 0
    hits: int = 0  # kills that hit a process at work, rather than after it was done
    sends: int = 0
    duplicates: int = 0
    lost: int = 0  # people with neither a message nor a doubt nor an outcome that says so
    silent_doubt: int = 0


def spawn(scene: Scene, settings: Settings, *more: str) -> subprocess.Popen[str]:
    url = scene.store.engine.url.render_as_string(hide_password=False)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.sender", str(settings.project_dir), url, "settled-30d", *more],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_often(scene: Scene, settings: Settings, *, kills: int, workers: int, users: int, seed: int) -> Killed:
    """Kill one of several processes that send at once, again and again; then let one finish, and count.

    People come in waves, so that there is always somebody due when a process is killed.
    """
    dice, done = random.Random(seed), Killed()
    running = [_ready(spawn(scene, settings)) for _ in range(workers)]
    for _ in range(kills):
        place = dice.randrange(workers)
        try:
            running[place].wait(dice.uniform(0.0, 0.3))
        except subprocess.TimeoutExpired:
            running[place].send_signal(signal.SIGKILL)
            done.hits += 1
        running[place].communicate()
        done.kills += 1
        running[place] = _ready(spawn(scene, settings))
    for child in running:
        _, errors = child.communicate(timeout=300)
        assert child.returncode == 0, errors
    return _count(scene, done, users)


def _ready(child: subprocess.Popen[str]) -> subprocess.Popen[str]:
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n", "the sender did not start"
    return child


def _count(scene: Scene, done: Killed, users: int) -> Killed:
    later = FixedClock(SystemClock().now() + 3 * MINUTE)
    setup = replace(scene.setup, clock=later, providers={"outbox": Outbox(scene.outbox, clock=later)})
    open_now = reconcile(setup).open
    taken = Counter(accepted.user for accepted in scene.accepted())
    states = Counter(send.state for send in scene.sends())
    accepted = {send.ref for send in scene.sends() if send.state == "accepted"}
    done.sends = sum(taken.values())
    done.duplicates = sum(count - 1 for count in taken.values())
    done.silent_doubt = states["calling"] + abs(states["in_doubt"] - open_now)
    differ = accepted ^ {each.ref for each in scene.accepted()}
    done.lost = users - len(scene.sends()) + len(differ)
    return done
