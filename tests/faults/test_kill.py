"""Is nobody messaged twice, and every doubt listed, when the sending process is killed at any moment?

The oracle is the provider's own log: what it took, not what we remember.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from journeys.words import SendState
from providers.outbox import Outbox
from recall.clock import MINUTE, FixedClock, SystemClock
from recall.engine.reconcile import reconcile
from recall.settings import Settings
from recall.store import schema
from tests.engine.conftest import Scene
from tests.faults.kills import Nursery, gather

USERS = 400
KILLS = 20


@pytest.fixture
def crowd(scene: Scene) -> Scene:
    """Many people due on a message."""
    gather(scene, USERS)
    return scene


@pytest.mark.slow  # `make faults` kills as many
def test_twenty_kills_send_nothing_twice_and_lose_nothing(crowd: Scene, settings: Settings, nursery: Nursery) -> None:
    dice = random.Random(20)
    for _ in range(KILLS):
        child = nursery.start(crowd, settings)
        time.sleep(dice.uniform(0.0, 0.25))
        nursery.kill(child)
    assert nursery.end(nursery.start(crowd, settings)) == 0
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


def test_a_kill_between_gate_and_record_is_a_doubt_until_the_lookup(
    crowd: Scene, settings: Settings, nursery: Nursery
) -> None:
    """The fault keeps the provider busy until long after the gate."""
    crowd.outbox.mkdir(parents=True, exist_ok=True)
    (crowd.outbox / "fault.json").write_text('{"latency_ms": 20000}')
    child = nursery.start(crowd, settings)
    for _ in range(100):
        time.sleep(0.1)
        if calling(crowd):
            break
    nursery.kill(child)
    (crowd.outbox / "fault.json").unlink()
    assert calling(crowd) > 0
    assert nursery.end(nursery.start(crowd, settings)) == 0
    compare_with_provider(crowd)


def calling(crowd: Scene) -> int:
    with crowd.store.reading() as connection:
        return connection.execute(select(func.count()).where(schema.sends.c.state == "calling")).scalar_one()
