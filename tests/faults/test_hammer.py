"""Do caps and budgets hold when several workers send for several journeys at once, and is the allowance used?"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from providers.outbox import Outbox
from recall.engine.dispatch import Dispatcher
from recall.engine.run import run_journey
from tests.engine.conftest import Scene

WORKERS = 4
JOURNEYS = 6
USERS = 150
CAP = 2


def two_a_week(policy: dict[str, Any]) -> None:
    policy["caps"] = [{"sends": CAP, "within": "7d"}]
    policy["counts"] = ["push"]
    policy["unresponsive"]["after"]["sends"] = 8
    policy["prices"]["prices"] = [{"channel": "push", "amount": 10_000, "unit": "message"}]
    policy["budget_per_day"] = USERS * CAP * 10_000 // 2  # half of what the caps would allow
    policy["routes"]["push"]["per_second"] = 8  # chunks of 32: many of them, side by side


def worker(scene: Scene) -> Any:
    """A worker of its own: dispatcher and provider are never shared between processes."""
    providers = {"outbox": Outbox(scene.outbox, clock=scene.clock)}
    return replace(scene.setup, dispatcher=Dispatcher(), providers=providers)


def test_nobody_over_the_cap_nothing_over_the_budget_and_all_of_it_used(scene: Scene) -> None:
    users = [f"u{n}" for n in range(USERS)]
    for user in users:
        scene.add_user(user, phone=f"+8613800{int(user[1:]) // 2:06d}")
    names = [f"journey-{n}" for n in range(JOURNEYS)]
    for name in names:
        version = scene.publish("  - {push: come-back}", name=name, policy=two_a_week)
        scene.enrol(version, *users)
    with ThreadPoolExecutor(WORKERS) as pool:
        setups = [worker(scene) for _ in range(WORKERS)]
        work = [
            pool.submit(run_journey, setups[n % WORKERS], names[(n + n // WORKERS) % JOURNEYS])
            for n in range(WORKERS * JOURNEYS)
        ]
        for done in work:
            assert not done.result().failed
    taken = Counter(accepted.user for accepted in scene.accepted())
    if "FAULTS_FIGURES" in os.environ:
        over_cap = sum(count > CAP for count in taken.values())
        over_budget = max(0, sum(taken.values()) - USERS * CAP // 2)
        with Path(os.environ["FAULTS_FIGURES"]).open("a") as file:
            file.write(
                json.dumps({"over_cap": over_cap, "over_budget": over_budget, "sends": sum(taken.values())}) + "\n"
            )
    assert max(taken.values()) <= CAP
    assert len({accepted.ref for accepted in scene.accepted()}) == len(scene.accepted())
    assert sum(taken.values()) == USERS * CAP // 2, "what the budget allows is sent, and no more"
    per_journey: dict[str, set[str]] = defaultdict(set)
    for accepted in scene.accepted():
        assert accepted.user not in per_journey[accepted.meta["journey"]], "once per journey and person"
        per_journey[accepted.meta["journey"]].add(accepted.user)
