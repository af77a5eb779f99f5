"""Is nobody messaged twice, and every doubt listed, when the sending process is killed at any moment?

The oracle is the provider's own log: what it took, not what we remember.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from journeys.words import SendState
from providers.outbox import Outbox
from recall.clock import MINUTE, FixedClock, SystemClock
from recall.engine.reconcile import reconcile
from recall.settings import Settings
from recall.store import schema
from tests.engine.conftest import Scene

USERS = 400
KILLS = 20
STEPS = "  - {push: come-back}"
ROOT = Path(__file__).parents[2]


def around_the_clock(policy: dict[str, Any]) -> None:
    """So that the test does not depend on the hour at which it runs; small chunks make many moments to die in."""
    policy["windows"]["push"] = {day: ["00:00-24:00"] for day in ("workday", "weekend", "holiday")}
    policy["routes"]["push"]["per_second"] = 2


@pytest.fixture
def crowd(scene: Scene) -> Scene:
    """Many people due on a message, on the wall clock, which a child process reads too."""
    scene.clock = FixedClock(SystemClock().now())
    version = scene.publish(STEPS, policy=around_the_clock)
    users = [f"u{n:04d}" for n in range(USERS)]
    for user in users:
        scene.add_user(user)
    scene.enrol(version, *users)
    return scene


def spawn(scene: Scene, settings: Settings) -> subprocess.Popen[str]:
    url = scene.store.engine.url.render_as_string(hide_password=False)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.sender", str(settings.project_dir), url, "settled-30d"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_ready(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None and child.stderr is not None
    line = child.stdout.readline()
    assert line == "ready\n", child.stderr.read()


def kill_somewhere(child: subprocess.Popen[str], seconds: float) -> None:
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
    child.communicate()


def test_twenty_kills_send_nothing_twice_and_lose_nothing(crowd: Scene, settings: Settings) -> None:
    dice = random.Random(20)
    for _ in range(KILLS):
        child = spawn(crowd, settings)
        wait_ready(child)
        kill_somewhere(child, dice.uniform(0.0, 0.25))
    last = spawn(crowd, settings)
    _, errors = last.communicate(timeout=120)
    assert last.returncode == 0, errors
    compare_with_provider(crowd)


def compare_with_provider(crowd: Scene) -> None:
    """Each person once at most; whoever is missing is listed as a doubt or resolved by evidence; ledgers agree."""
    taken = Counter(accepted.ref for accepted in crowd.accepted())
    people = Counter(accepted.user for accepted in crowd.accepted())
    assert max(taken.values()) == 1
    assert max(people.values()) == 1
    open_before = [s for s in crowd.sends() if s.state == "calling"]
    later = FixedClock(SystemClock().now() + 3 * MINUTE)
    outbox = Outbox(crowd.outbox, clock=later)
    done = reconcile(replace(crowd.setup, clock=later, providers={"outbox": outbox}))
    assert done.raised == len(open_before)
    sends = crowd.sends()
    assert {s.ref for s in sends if s.state == SendState.ACCEPTED} == set(taken)
    states = Counter(s.state for s in sends)
    assert states["calling"] == 0
    assert len(sends) == USERS, "every person has exactly one row, whatever became of it"
    assert states["accepted"] + states["not_sent"] + states["in_doubt"] == USERS
    assert states["in_doubt"] == done.open


def test_a_kill_between_gate_and_record_is_a_doubt_until_the_lookup(crowd: Scene, settings: Settings) -> None:
    """At least one of these kills hits the moment; the fault keeps the provider busy so that it must."""
    (crowd.outbox / "fault.json").parent.mkdir(parents=True, exist_ok=True)
    (crowd.outbox / "fault.json").write_text('{"latency_ms": 2000}')
    child = spawn(crowd, settings)
    wait_ready(child)
    kill_somewhere(child, 1.0)
    (crowd.outbox / "fault.json").unlink()
    with crowd.store.reading() as connection:
        calling = connection.execute(select(func.count()).where(schema.sends.c.state == "calling")).scalar_one()
    assert calling > 0
    last = spawn(crowd, settings)
    _, errors = last.communicate(timeout=120)
    assert last.returncode == 0, errors
    compare_with_provider(crowd)
