"""Do caps and budgets hold when several workers send for several journeys at once, and is the allowance used?"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from journeys.words import Cause, Outcome
from providers.base import Outbound, SendResult
from providers.outbox import Outbox
from recall.clock import MINUTE
from recall.engine.dispatch import Dispatcher
from recall.engine.run import run_journey
from recall.engine.setup import Setup
from tests.engine.conftest import Scene

pytestmark = pytest.mark.slow  # with the long tests, and in `make faults`

WORKERS = 4
JOURNEYS = 6
USERS = 150
CAP = 2
PRICE = 10_000
ALLOWED = USERS * CAP // 2  # half of what the caps would allow
MOST_PASSES = 6


class Grudging(Outbox):
    """Every tenth address is dead: what its message took comes back when others were told that nothing is left."""

    seen = 0

    async def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        for message in batch:
            self.seen += 1
            if self.seen % 10 == 0:
                yield SendResult(message.ref, Outcome.REFUSED, Cause.ADDRESS, code="gone")
            else:
                [taken] = self._take([message])
                yield taken


def two_a_week(per_second: int) -> Callable[[dict[str, Any]], None]:
    def change(policy: dict[str, Any]) -> None:
        policy["caps"] = [{"sends": CAP, "within": "7d"}]
        policy["counts"] = ["push"]
        policy["unresponsive"]["after"]["sends"] = 8
        policy["prices"]["prices"] = [{"channel": "push", "amount": PRICE, "unit": "message"}]
        policy["budget_per_day"] = ALLOWED * PRICE
        policy["routes"]["push"]["per_second"] = per_second

    return change


def worker(scene: Scene, kind: type[Outbox]) -> Setup:
    """A worker of its own: dispatcher and provider are never shared between processes."""
    providers = {"outbox": kind(scene.outbox, clock=scene.clock)}
    return replace(scene.setup, dispatcher=Dispatcher(), providers=providers)


def pass_together(setups: Sequence[Setup], names: Sequence[str]) -> None:
    """Every worker runs every journey, each beginning with another one."""
    with ThreadPoolExecutor(WORKERS) as pool:
        work = [
            pool.submit(run_journey, setups[n % WORKERS], names[(n + n // WORKERS) % JOURNEYS])
            for n in range(WORKERS * JOURNEYS)
        ]
        for done in work:
            assert not done.result().failed


def note(taken: Counter[str]) -> None:
    """For the campaign."""
    if "FAULTS_FIGURES" in os.environ:
        sends = sum(taken.values())
        figures = {
            "over_cap": sum(count > CAP for count in taken.values()),
            "over_budget": max(0, sends - ALLOWED),
            "sends": sends,
            f"budget_used {sends / ALLOWED:.4f}": 1,
        }
        with Path(os.environ["FAULTS_FIGURES"]).open("a") as file:
            file.write(json.dumps(figures) + "\n")


@pytest.mark.parametrize(
    ("kind", "per_second"),
    [
        pytest.param(Outbox, 8, id="in chunks of 32"),
        pytest.param(Grudging, 8, id="in chunks of 32, a tenth refused"),
        pytest.param(Grudging, 100, id="all at once, a tenth refused"),
    ],
)
def test_nobody_over_the_cap_nothing_over_the_budget_and_all_of_it_used(
    scene: Scene, kind: type[Outbox], per_second: int
) -> None:
    users = [f"u{n}" for n in range(USERS)]
    for user in users:
        scene.add_user(user, phone=f"+8613800{int(user[1:]) // 2:06d}")
    names = [f"journey-{n}" for n in range(JOURNEYS)]
    for name in names:
        version = scene.publish("  - {push: come-back}", name=name, policy=two_a_week(per_second))
        scene.enrol(version, *users)
    setups = [worker(scene, kind) for _ in range(WORKERS)]
    for _ in range(MOST_PASSES if kind is Grudging else 1):
        pass_together(setups, names)
        scene.later(15 * MINUTE)
    taken = Counter(accepted.user for accepted in scene.accepted())
    note(taken)
    assert max(taken.values()) <= CAP
    assert len({accepted.ref for accepted in scene.accepted()}) == len(scene.accepted())
    assert 0.99 * ALLOWED <= sum(taken.values()) <= ALLOWED, "what the budget allows is sent, and no more"
    once = Counter((accepted.user, accepted.meta["journey"]) for accepted in scene.accepted())
    assert max(once.values()) == 1, "once per journey and person"
