"""Do several workers share one run of one journey, behind a password, and is nothing left when it is stopped?"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from providers.faults import Fault, switch_fault
from providers.outbox import accepted_log
from recall.cli.cluster import own_server
from recall.clock import FixedClock
from recall.engine.setup import Setup
from recall.settings import load
from recall.store.connect import confirm_address_key, open_store, write_fact
from recall.store.migrations import migrate
from tests.conftest import ADDRESS_KEY
from tests.engine.conftest import Scene
from tests.flows.conftest import NOW, alive

pytestmark = [pytest.mark.prefect, pytest.mark.slow]

LANES, CHUNK, LATENCY_MS = 3, 8, 700
USERS = [f"w{n:03d}" for n in range(60 * CHUNK)]  # a lane alone would need 42 s; workers ask each second
_URL = "postgresql://$PGUSER:$PGPASSWORD@$PGHOST:$PGPORT/$PGDATABASE"
WORKERS = ("worker-1", "worker-2", "worker-3")


@dataclass
class Cluster:
    """A `recall up --cluster` that runs."""

    process: subprocess.Popen[str]
    folder: Path
    said: dict[str, Any]

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """One request of somebody who knows the password."""
        user, _, password = self.password_file.read_text().strip().partition(":")
        url = f"{self.said['api']}{path}"
        answer = httpx.request(method, url, json=body or None, auth=(user, password), timeout=120)
        answer.raise_for_status()
        return answer.json()

    @property
    def password_file(self) -> Path:
        return Path(self.said["password_file"])

    def workers_of(self, runs: list[str]) -> set[str]:
        """Which workers started these flow runs, by their own logs."""
        logs = {name: (self.folder / "var" / "prefect" / f"{name}.log").read_text() for name in WORKERS}
        return {name for name, log in logs.items() for run in runs if f"submitting flow run '{run}'" in log}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's own folder: as root, PostgreSQL runs as another user."""
    folder = Path(tempfile.mkdtemp(prefix="recall-cluster-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(folder: Path, **more: str) -> Iterator[Cluster]:
    """A cluster whose one journey has three lanes and everybody due, and whose provider is slow."""
    environment = {
        **os.environ,
        "RECALL_PROJECT_DIR": str(folder),
        "RECALL_ADDRESS_KEY": ADDRESS_KEY,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_LOGGING_LEVEL": "INFO",  # workers then say which runs they start
        **more,
    }
    command = [sys.executable, "-m", "recall.cli.main", "up", "--cluster", "--port", "0", "--limit", "6", "--json"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Cluster(process, folder, json.loads(process.stdout.readline()))
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)


@contextmanager
def installed_postgresql() -> Iterator[str]:
    """A whole PostgreSQL, in which Prefect can keep its records too; gone when the test is."""
    command = ["pg_virtualenv", "-o", "fsync=on", "sh", "-c", f"echo {_URL}; exec cat"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield next(line.strip() for line in process.stdout if line.startswith("postgresql:"))
    finally:
        process.communicate(timeout=120)


def fill(folder: Path, url: str) -> None:
    settings = load(project_dir=folder, address_key=ADDRESS_KEY, database_url=url)
    store, clock = open_store(settings), FixedClock(NOW)
    migrate(store.engine)
    confirm_address_key(store)
    scene = Scene(store, clock, Setup(store, {}, clock, settings.var_dir / "spool"), settings.var_dir / "outbox")

    def slowly(content: dict[str, Any]) -> None:
        content["routes"]["push"]["per_second"] = CHUNK // 4

    version = scene.publish(name="wide", more=f'run: "0 0 1 1 *"\nlanes: {LANES}', policy=slowly)
    with store.writing() as connection:
        write_fact(connection, "simulated", "true")
        write_fact(connection, "virtual_now", str(NOW))
    for user in USERS:
        scene.add_user(user)
    scene.enrol(version, *USERS)
    switch_fault(scene.outbox, Fault(latency_ms=LATENCY_MS))
    store.close()


@pytest.mark.skipif(not shutil.which("pg_virtualenv"), reason="needs `apt-get install postgresql`, as .ci/run does")
def test_three_workers_share_one_run(folder: Path):
    with installed_postgresql() as url:
        fill(folder, url)
        with running(folder, RECALL_DATABASE_URL=url) as cluster:
            assert_shared(cluster)
        assert not (folder / "var" / "prefect" / "prefect.db").exists()  # Prefect's records are beside the store


def test_ctrl_c_leaves_nothing_of_a_cluster_with_a_password_and_a_postgresql_of_its_own(folder: Path):
    with own_server(folder / "var") as url:
        fill(folder, url)
    with running(folder) as cluster:
        assert_strangers_stay_outside(cluster)
        assert "pg_trgm" in assert_ctrl_c_leaves_nothing(cluster)  # it says where Prefect's records are, and why


def assert_shared(cluster: Cluster) -> None:
    deployment = cluster.ask("GET", "/deployments/name/journey-run/wide")["id"]
    run = cluster.ask("POST", f"/deployments/{deployment}/create_flow_run", parameters={})["id"]
    done = await_end(cluster, run)
    assert done["state_type"] == "COMPLETED", done["state"]["message"]
    assert sorted(line.user for line in accepted_log(cluster.folder / "var" / "outbox")) == USERS  # each once
    lanes = cluster.ask("POST", "/flow_runs/filter", flows={"name": {"any_": ["journey-lane"]}})
    sent = {lane["id"]: int(re.findall(r"accepted (\d+)|$", lane["state"]["message"])[0] or 0) for lane in lanes}
    assert (len(sent), sum(sent.values())) == (LANES, len(USERS))
    assert len(cluster.workers_of([lane for lane, messages in sent.items() if messages])) > 1, sent


def assert_strangers_stay_outside(cluster: Cluster) -> None:
    api = cluster.said["api"]
    for path in ("/admin/version", "/deployments/name/journey-run/wide"):
        assert httpx.get(f"{api}{path}").status_code == 401
    assert httpx.get(f"{api}/admin/version", auth=("recall", "guessed")).status_code == 401
    assert cluster.ask("GET", "/admin/version")
    assert cluster.password_file.stat().st_mode & 0o077 == 0
    assert {each.laddr.ip for each in listening(cluster)} == {"127.0.0.1"}


def listening(cluster: Cluster) -> list[Any]:
    family = psutil.Process(cluster.process.pid).children(recursive=True)
    family.append(postgresql(cluster))
    return [each for child in family for each in child.net_connections("inet") if each.status == psutil.CONN_LISTEN]


def postgresql(cluster: Cluster) -> psutil.Process:
    pid = (cluster.folder / "var" / "postgresql" / "postmaster.pid").read_text().splitlines()[0]
    return psutil.Process(int(pid))


def await_end(cluster: Cluster, run: str) -> Any:
    until = time.monotonic() + 300
    while (found := cluster.ask("GET", f"/flow_runs/{run}"))["state_type"] in ("SCHEDULED", "PENDING", "RUNNING"):
        assert time.monotonic() < until, found["state"]
        time.sleep(0.5)
    return found


def assert_ctrl_c_leaves_nothing(cluster: Cluster) -> str:
    """What it said meanwhile."""
    family = psutil.Process(cluster.process.pid).children(recursive=True)
    assert len(family) > len(WORKERS)
    family.append(postgresql(cluster))
    cluster.process.send_signal(signal.SIGINT)
    _, said = cluster.process.communicate(timeout=90)
    assert cluster.process.returncode == 0, said
    assert alive(family) == []
    return said
