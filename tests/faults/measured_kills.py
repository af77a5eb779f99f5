"""Kill runs whose size the campaign sets; not collected by `make test`, which has its own twenty kills."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recall.clock import FixedClock, SystemClock
from recall.settings import Settings
from tests.engine.conftest import Scene
from tests.faults.conftest import scene as scene
from tests.faults.kills import kill_often

KILLS, USERS = int(os.environ.get("FAULTS_KILLS", "10")), int(os.environ.get("FAULTS_USERS", "400"))
WORKERS = int(os.environ.get("FAULTS_WORKERS", "4"))


def small_chunks(policy: dict[str, Any]) -> None:
    """Around the clock; small chunks make many moments to die in."""
    policy["windows"]["push"] = {day: ["00:00-24:00"] for day in ("workday", "weekend", "holiday")}
    policy["routes"]["push"]["per_second"] = 1


def test_kills_of_several_workers_send_nothing_twice_and_lose_nothing(scene: Scene, settings: Settings) -> None:
    scene.clock = FixedClock(SystemClock().now())
    version = scene.publish("  - {push: come-back}", policy=small_chunks)
    users = [f"u{n:05d}" for n in range(USERS)]
    for user in users:
        scene.add_user(user)
    scene.enrol(version, *users)
    workers = WORKERS if scene.store.is_postgresql else 2
    done = kill_often(scene, settings, kills=KILLS, workers=workers, users=USERS, seed=7)
    if "FAULTS_FIGURES" in os.environ:
        with Path(os.environ["FAULTS_FIGURES"]).open("a") as file:
            file.write(json.dumps(asdict(done)) + "\n")
    assert (done.duplicates, done.lost, done.silent_doubt) == (0, 0, 0)
