"""What does a test of the flows start from? A small scene on SQLite; a Prefect server in this process, or all of
`recall up`: a real server, a worker, and the store they work on, in processes of their own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from providers.faults import Fault, switch_fault
from providers.outbox import Outbox
from recall.clock import FixedClock, Instant
from recall.engine.setup import Setup
from recall.settings import Settings, load
from recall.store.connect import Store, open_store, write_fact
from tasks import setup as tasks_setup
from tests.conftest import ADDRESS_KEY
from tests.engine.conftest import Scene

NOW = 1_772_416_800_000_000  # Monday 2026-03-02 10:00 in Shanghai, also for the processes of `recall up`
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@pytest.fixture
def scene(sqlite_store: Store, settings: Settings, now: Instant, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """The scene of the engine's tests, with which the tasks of this process work."""
    yield from _worked_with(sqlite_store, settings, now, monkeypatch)


@pytest.fixture
def postgresql_scene(
    postgresql_store: Store, settings: Settings, now: Instant, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    """The same on PostgreSQL, where batches run side by side."""
    yield from _worked_with(postgresql_store, settings, now, monkeypatch)


def _worked_with(store: Store, settings: Settings, now: Instant, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setenv("RECALL_RETRY_SECONDS", "0.1")
    clock = FixedClock(now)
    outbox = settings.var_dir / "outbox"
    setup = Setup(store, {"outbox": Outbox(outbox, clock=clock)}, clock, settings.var_dir / "spool")
    tasks_setup.use(setup)
    yield Scene(store, clock, setup, outbox)
    tasks_setup.forget()


@dataclass
class Up:
    """A `recall up` that runs, its store, and Prefect's API as a person's browser uses it."""

    process: subprocess.Popen[str]
    scene: Scene
    settings: Settings
    environment: dict[str, str]
    said: dict[str, Any] = field(default_factory=dict)  # what `recall up --json` answered

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """One request; asked again while a busy SQLite makes the server answer 503, as Prefect's own clients do."""
        for pause in (0.5, 1, 2, 4, 0):
            answer = httpx.request(method, f"{self.said['api']}{path}", json=body or None, timeout=120)
            if answer.status_code != 503:
                break
            time.sleep(pause)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def start(self, deployment: str, **parameters: Any) -> str:
        """Press "Quick run"; returns the id of the run."""
        found = self.ask("GET", f"/deployments/name/{deployment}")
        return str(self.ask("POST", f"/deployments/{found['id']}/create_flow_run", parameters=parameters)["id"])

    def retry(self, run: str) -> None:
        """Press "Retry": the request the UI of Prefect 3.8 sends."""
        state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
        self.ask("POST", f"/flow_runs/{run}/set_state", state=state, force=True)

    def wait(self, run: str, *states: str, seconds: float = 90) -> Any:
        """The run once it is in one of these states, or in a final one when none is given."""
        until = time.monotonic() + seconds
        while (found := self.ask("GET", f"/flow_runs/{run}"))["state_type"] not in (states or FINAL):
            assert time.monotonic() < until, f"{found['name']} is still {found['state']}"
            time.sleep(0.3)
        return found

    def fault(self, fault: Fault | None) -> None:
        switch_fault(self.scene.outbox, fault)

    def recall(self, *arguments: str) -> Any:
        """Call `recall ... --json` beside it."""
        command = [sys.executable, "-m", "recall.cli.main", *arguments, "--json"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def family(self) -> list[psutil.Process]:
        """Every process it started."""
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory, _migrated_file: Path) -> Iterator[Up]:
    """`recall up` on a simulated store, whose clock stands still, with the journeys `story` and `wide`,
    and two to deploy differently."""
    folder = tmp_path_factory.mktemp("up")
    settings = load(project_dir=folder, address_key=ADDRESS_KEY)
    settings.var_dir.mkdir()
    shutil.copy(_migrated_file, settings.var_dir / "recall.db")
    scene = scene_of(settings)
    for name in ("story", "moved", "gone"):
        scene.publish(name=name, more='run: "0 0 1 1 *"')
    scene.publish(name="wide", more='run: "0 0 1 1 *"\nlanes: 2')
    environment = {
        **os.environ,
        "RECALL_PROJECT_DIR": str(folder),
        "RECALL_ADDRESS_KEY": ADDRESS_KEY,
        "RECALL_RETRY_SECONDS": "0.1",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    command = [sys.executable, "-m", "recall.cli.main", "up", "--port", "0", "--json"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    up = Up(process, scene, settings, environment)
    try:
        assert process.stdout is not None
        up.said = json.loads(process.stdout.readline())
        environment["PREFECT_API_URL"] = up.said["api"]
        yield up
    finally:
        family = up.family()
        process.send_signal(signal.SIGTERM)
        code, left = process.wait(60), alive(family)
        if process.stdout is not None:
            process.stdout.close()
        scene.store.close()
    assert (code, left) == (0, [])  # Ctrl-C leaves no process behind


def alive(family: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Who is still there after a while; a zombie is dead, and waits for whoever adopted it."""
    _, left = psutil.wait_procs(family, timeout=10)
    found = []
    for each in left:
        with suppress(psutil.NoSuchProcess):
            if each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
    return found


def scene_of(settings: Settings) -> Scene:
    store, clock, outbox = open_store(settings), FixedClock(NOW), settings.var_dir / "outbox"
    with store.writing() as connection:
        write_fact(connection, "simulated", "true")
        write_fact(connection, "virtual_now", str(NOW))
    return Scene(store, clock, Setup(store, {}, clock, settings.var_dir / "spool"), outbox)
