"""Kill runs whose size the campaign sets; not collected by `make test`, which has its own twenty kills."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from recall.settings import Settings
from tests.engine.conftest import Scene
from tests.faults.kills import Nursery, kill_often

KILLS, USERS = int(os.environ.get("FAULTS_KILLS", "10")), int(os.environ.get("FAULTS_USERS", "400"))
WORKERS = int(os.environ.get("FAULTS_WORKERS", "4"))


def test_kills_of_several_workers_send_nothing_twice_and_lose_nothing(
    scene: Scene, settings: Settings, nursery: Nursery
) -> None:
    workers = WORKERS if scene.store.is_postgresql else 2
    done = kill_often(nursery, scene, settings, kills=KILLS, workers=workers, users=USERS, seed=7)
    if "FAULTS_FIGURES" in os.environ:
        with Path(os.environ["FAULTS_FIGURES"]).open("a") as file:
            file.write(json.dumps(asdict(done)) + "\n")
    assert (done.duplicates, done.lost, done.silent_doubt) == (0, 0, 0)
