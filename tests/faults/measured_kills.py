"""Kills, pauses and restarts, as many as the campaign says; not collected by `make test`, which has its own kills."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from providers.outbox import Outbox
from recall.clock import FixedClock, Instant, elapsed_seconds
from recall.engine.setup import Setup
from recall.engine.spool import spool_dir
from recall.settings import Settings
from recall.store.connect import open_store
from tests.engine.conftest import Scene
from tests.faults.crowd import Crowd, Harmed
from tests.faults.far import running
from tests.faults.fleet import Fleet, kill_often, pause_often, restart_often
from tests.faults.kills import Nursery
from tests.faults.servers import Server, new_server

KILLS, PAUSES = int(os.environ.get("FAULTS_KILLS", "10")), int(os.environ.get("FAULTS_PAUSES", "2"))
RESTARTS, WAVE = int(os.environ.get("FAULTS_RESTARTS", "1")), int(os.environ.get("FAULTS_USERS", "400"))
MOST_SECONDS = float(os.environ.get("FAULTS_SECONDS", "inf"))  # then it is enough; the figures say how much it was
BETWEEN_SECONDS = float(os.environ.get("FAULTS_BETWEEN", "5"))
WORKERS = 4


@pytest.fixture
def fleet(scene: Scene, settings: Settings, nursery: Nursery) -> Iterator[Fleet]:
    with running(scene.outbox, slow=0.3) as vendor:
        yield Fleet(nursery, scene, settings, vendor, random.Random(7), elapsed_seconds() + MOST_SECONDS)


def tell(done: Harmed) -> None:
    if "FAULTS_FIGURES" in os.environ:
        with Path(os.environ["FAULTS_FIGURES"]).open("a") as file:
            file.write(json.dumps(asdict(done)) + "\n")
    assert not any(done.broken.values()), done


def test_kills_of_several_workers_send_nothing_twice_and_lose_nothing(fleet: Fleet) -> None:
    tell(kill_often(fleet, Crowd(fleet.scene, WAVE), kills=KILLS, workers=WORKERS))


def test_pauses_beyond_every_deadline_send_nothing_twice_and_lose_nothing(fleet: Fleet) -> None:
    tell(pause_often(fleet, Crowd(fleet.scene, WAVE), pauses=PAUSES, workers=WORKERS))


# --- the store goes away ----------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Server]:
    with new_server() as server:
        yield server


@pytest.fixture
def shaken(server: Server, settings: Settings, now: Instant, nursery: Nursery) -> Iterator[Fleet]:
    """Workers on a server of their own."""
    store, clock = open_store(settings.model_copy(update={"database_url": server.url})), FixedClock(now)
    outbox = settings.var_dir / "outbox"
    setup = Setup(store, {"outbox": Outbox(outbox, clock=clock)}, clock, spool_dir(settings.var_dir, store))
    with running(outbox, slow=0.3) as vendor:
        yield Fleet(
            nursery,
            Scene(store, clock, setup, outbox),
            settings,
            vendor,
            random.Random(7),
            elapsed_seconds() + MOST_SECONDS,
        )
    store.close()


def test_restarts_of_postgresql_under_load_send_nothing_twice_and_lose_nothing(shaken: Fleet, server: Server) -> None:
    crowd = Crowd(shaken.scene, WAVE)
    tell(restart_often(shaken, crowd, server.restart, restarts=RESTARTS, workers=WORKERS, between=BETWEEN_SECONDS))
