"""Does Prefect's server forget old runs by itself, with all that belongs to them, and no young one?"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from recall.cli.family import answers
from recall.cli.place import free_port, server_settings

pytestmark = [pytest.mark.prefect, pytest.mark.slow]

PER_PASS = 2  # runs deleted in one transaction
OLD = 5


@dataclass
class Server:
    """A Prefect server as `recall up` starts it, but for a look each second instead of each hour."""

    url: str
    database: Path

    def add(self, path: str, body: Any) -> str:
        found = self._post(path, body)
        return str(found["id"]) if found else ""

    def count(self, what: str) -> int:
        return len(self._post(f"/{what}/filter", {}))

    def _post(self, path: str, body: Any) -> Any:
        """Asked again while a busy SQLite makes the server answer 503, as Prefect's own clients do."""
        for pause in (0.5, 1, 2, 4, 0):
            answer = httpx.post(f"{self.url}{path}", json=body, timeout=60)
            if answer.status_code != 503:
                break
            time.sleep(pause)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def counts(self) -> dict[str, int]:
        return {what: self.count(what) for what in ("flow_runs", "task_runs", "logs", "artifacts")}

    def run_once(self, flow: str, n: int) -> str:
        """A run with a task, a subflow, a line of log and an artifact; returns its id."""
        done = {"type": "COMPLETED", "name": "Completed"}
        run = self.add("/flow_runs/", {"flow_id": flow, "state": done})
        task = self.add("/task_runs/", {"flow_run_id": run, "task_key": "send", "dynamic_key": "1", "state": done})
        inside = self.add("/flow_runs/", {"flow_id": flow, "state": done, "parent_task_run_id": task})
        line = {"name": "t", "level": 20, "message": "m", "timestamp": "2026-01-01T00:00:00Z", "flow_run_id": run}
        self.add("/logs/", [line])
        self.add("/artifacts/", {"key": f"a-{n}", "type": "markdown", "data": "m", "flow_run_id": inside})
        return run

    def end(self, runs: list[str], *, days_ago: int) -> None:
        """Let these runs and their subflows have ended so long ago."""
        with sqlite3.connect(self.database, timeout=30) as connection:
            at = f"strftime('%Y-%m-%d %H:%M:%S', 'now', '-{days_ago} days') || '.000000'"
            marks = ", ".join("?" * len(runs))
            inside = f"select id from task_run where flow_run_id in ({marks})"
            connection.execute(
                f"update flow_run set end_time = {at} where id in ({marks}) or parent_task_run_id in ({inside})",
                [*runs, *runs],
            )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    port = free_port("127.0.0.1", 0)
    environment = {
        **os.environ,
        **server_settings({}, "", ""),
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": "1",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_BATCH_SIZE": str(PER_PASS),
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    url = f"http://127.0.0.1:{port}/api"
    try:
        until = time.monotonic() + 120
        while not answers(f"{url}/health"):
            assert time.monotonic() < until
            time.sleep(0.3)
        yield Server(url, tmp_path / "prefect.db")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def test_runs_older_than_a_month_go_with_their_tasks_subflows_logs_and_artifacts(server: Server):
    flow = server.add("/flows/", {"name": "journey-run"})
    young = [server.run_once(flow, 100)]
    old = [server.run_once(flow, n) for n in range(OLD)]
    assert server.counts() == {"flow_runs": 2 * (OLD + 1), "task_runs": OLD + 1, "logs": OLD + 1, "artifacts": OLD + 1}
    server.end(young, days_ago=29)
    server.end(old, days_ago=31)
    until = time.monotonic() + 90
    while server.counts() != {"flow_runs": 2, "task_runs": 1, "logs": 1, "artifacts": 1}:
        assert time.monotonic() < until, server.counts()
        time.sleep(1)
    assert httpx.get(f"{server.url}/flow_runs/{young[0]}", timeout=60).status_code == 200
