"""What does a test of the flows start from? A small scene on SQLite, and a Prefect server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from providers.outbox import Outbox
from recall.clock import FixedClock, Instant
from recall.engine.setup import Setup
from recall.settings import Settings
from recall.store.connect import Store
from tasks import setup as tasks_setup
from tests.engine.conftest import Scene


@pytest.fixture
def scene(sqlite_store: Store, settings: Settings, now: Instant, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """The scene of the engine's tests, with which the tasks of this process work."""
    monkeypatch.setenv("RECALL_RETRY_SECONDS", "0.1")
    clock = FixedClock(now)
    outbox = settings.var_dir / "outbox"
    setup = Setup(sqlite_store, {"outbox": Outbox(outbox, clock=clock)}, clock, settings.var_dir / "spool")
    tasks_setup.use(setup)
    yield Scene(sqlite_store, clock, setup, outbox)
    tasks_setup.forget()
