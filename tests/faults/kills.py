"""How often may a sending process be killed without anybody being messaged twice? On either store."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from providers.outbox import Outbox
from recall.clock import MINUTE, SECOND, FixedClock, SystemClock
from recall.engine.reconcile import reconcile
from recall.settings import Settings
from recall.store import schema
from recall.store.people import NewAddress, NewUser, upsert_users
from tests.engine.conftest import ELIGIBLE, Scene

ROOT = Path(__file__).parents[2]
LONGEST_WAIT = 0.2  # seconds from one kill to the next


@dataclass
class Killed:
    """What the provider's own log says after so many kills."""

    kills: int = 0  # of processes at work
    torn: int = 0  # messages that a kill left between the gate and the record
    sends: int = 0
    duplicates: int = 0
    lost: int = 0  # people with neither a message nor a doubt nor an outcome that says so
    silent_doubt: int = 0


class Nursery:
    """Senders without the seconds it takes to import: one process has imported everything, and forks each of them."""

    def __init__(self) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.sender", "--nursery"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self._parent.communicate()  # the end of its input ends it

    def start(self, scene: Scene, settings: Settings, *more: str) -> int:
        """A sender that is ready to send; returns its process id."""
        url = scene.store.engine.url.render_as_string(hide_password=False)
        child = self._ask("start", str(settings.project_dir), url, "settled-30d", *more)
        assert child, "the sender did not start"
        return child

    def end(self, child: int) -> int:
        """Wait until a sender has ended; its exit code, negative for a signal."""
        return self._ask("end", str(child))

    def kill(self, child: int) -> int:
        """SIGKILL; how it ended, which is 0 when it was done already."""
        os.kill(child, signal.SIGKILL)  # one that is done waits as a zombie until `end`: its id is nobody else's
        return self.end(child)

    def _ask(self, *words: str) -> int:
        assert self._parent.stdin is not None and self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(words) + "\n")
        self._parent.stdin.flush()
        return int(self._parent.stdout.readline())


def gather(scene: Scene, count: int) -> None:
    """So many more people due on a push, around the clock, on the wall clock that a sender reads too.

    Small chunks and a provider that takes its time make many moments to die in.
    """
    scene.clock = FixedClock(SystemClock().now())
    scene.outbox.mkdir(parents=True, exist_ok=True)
    (scene.outbox / "fault.json").write_text('{"latency_ms": 50}')
    version = scene.publish("  - {push: come-back}", policy=_small_chunks)
    first = len(scene.sends())
    rows = [
        NewUser(
            f"u{number:06d}",
            push=NewAddress(f"token-{number}", subkind="fcm_token"),
            zones=("Asia/Shanghai",),
            locale="zh-CN",
            jurisdiction="CN",
            proved_at=scene.now,
            attributes=ELIGIBLE,
        )
        for number in range(first, first + count)
    ]
    upsert_users(scene.store, rows, scene.now)
    scene.enrol(version, *[row.user for row in rows])


def _small_chunks(policy: dict[str, Any]) -> None:
    policy["windows"]["push"] = {day: ["00:00-24:00"] for day in ("workday", "weekend", "holiday")}
    policy["routes"]["push"]["per_second"] = 1


def kill_often(
    nursery: Nursery, scene: Scene, settings: Settings, *, kills: int, workers: int, users: int, seed: int
) -> Killed:
    """Kill one of several processes at work, again and again; then let all finish, and count.

    One that was done already is no kill. When nobody is due any more, as many people as at first come.
    """
    gather(scene, users)
    dice, done, waves = random.Random(seed), Killed(), 1
    running = [nursery.start(scene, settings) for _ in range(workers)]
    while done.kills < kills:
        place = dice.randrange(workers)
        time.sleep(dice.uniform(0.0, LONGEST_WAIT))
        if dice.random() < 0.5:
            _await_a_call(scene)
        if nursery.kill(running[place]) == -signal.SIGKILL:
            done.kills += 1
        elif len(scene.sends()) == users * waves:
            gather(scene, users)
            waves += 1
        running[place] = nursery.start(scene, settings)
    assert [nursery.end(child) for child in running] == [0] * workers
    return _count(scene, done, users * waves)


def _await_a_call(scene: Scene) -> None:
    """Half of the kills come while somebody is being called, however slow the machine is otherwise."""
    sends = schema.sends.c
    for _ in range(300):
        just_now = sends.gate_at > SystemClock().now() - SECOND // 20
        with scene.store.reading() as connection:
            if connection.execute(select(func.count()).where(sends.state == "calling", just_now)).scalar_one():
                return
        time.sleep(0.005)


def _count(scene: Scene, done: Killed, users: int) -> Killed:
    later = FixedClock(SystemClock().now() + 3 * MINUTE)
    setup = replace(scene.setup, clock=later, providers={"outbox": Outbox(scene.outbox, clock=later)})
    done.torn = sum(send.state == "calling" for send in scene.sends())
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
