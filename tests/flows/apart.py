"""What does a test have in hand that kills parts of Prefect? Server and worker, each a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from recall.cli.family import answers
from recall.cli.place import Place
from recall.clock import MINUTE
from recall.settings import load
from recall.store.connect import write_fact
from recall.store.versions import current_version
from tests.conftest import ADDRESS_KEY
from tests.flows.conftest import FINAL, Up, scene_of

JOURNEY, CHUNK = "story", 4
SLOTS = 4  # of the work pool
PATIENCE_SECONDS = 240.0  # a machine with nothing else to do needs a tenth
LEAST_WITHIN = 10.0  # seconds; Prefect takes no automation that waits for less


@dataclass
class Apart(Up):
    """As `Up`, but server and worker can be killed, and started again, one by one."""

    place: Place | None = None
    server: psutil.Process | None = None
    worker: psutil.Process | None = None

    @property
    def home(self) -> Path:
        return self.settings.var_dir / "prefect"

    def wait(self, run: str, *states: str, seconds: float = PATIENCE_SECONDS) -> Any:
        return super().wait(run, *states, seconds=seconds)

    def start_server(self) -> None:
        assert self.place is not None
        port = str(self.place.port)
        self.server = self._spawn("server", "server", "start", "--port", port, **self.place.of_server)
        _await(lambda: answers(f"{self.said['api']}/health"))

    def start_worker(self) -> None:
        self.worker = self._spawn("worker", "worker", "start", "--pool", "recall", "--type", "process")

    def _spawn(self, name: str, *arguments: str, **more: str) -> psutil.Process:
        with (self.home / f"{name}.log").open("ab") as log:
            return psutil.Popen(
                [sys.executable, "-m", "prefect", *arguments], env=self.environment | more, cwd=self.home,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def by_hand(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "recall.cli.main", *arguments]
        return subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL)

    def kill_after_a_chunk(self, run: str, people: list[str]) -> None:
        """Kill the process of this run when the provider took a chunk; it may have ended before."""
        before = self.sent(people).total()
        _await(
            lambda: self.sent(people).total() > before or self.ask("GET", f"/flow_runs/{run}")["state_type"] in FINAL
        )
        assert self.worker is not None
        for each in self.worker.children():
            if each.environ().get("PREFECT__FLOW_RUN_ID") == run:
                kill(each)

    def enrol(self, name: str, count: int, *, step: str = "push-1") -> list[str]:
        """So many new people, due now on this step."""
        people = [f"{name}{number:02d}" for number in range(count)]
        with self.scene.store.reading() as connection:
            version = current_version(connection, JOURNEY)
        [node] = [each for each in version.program.nodes if getattr(each, "name", "") == step]
        for user in people:
            self.scene.add_user(user)
        self.scene.enrol(version, *people, step_id=node.id)
        return people

    def sent(self, people: list[str]) -> Counter[str]:
        """How often the provider took a message for each of these."""
        return Counter(user for user, _ in self.scene.sent() if user in people)

    def await_more(self, people: list[str]) -> None:
        """Until the provider took another chunk, and not yet everything."""
        before = self.sent(people).total()
        _await(lambda: self.sent(people).total() > before)
        assert self.sent(people).total() < len(people)

    def await_all(self, people: list[str]) -> None:
        _await(lambda: self.sent(people).total() >= len(people))

    def settle(self) -> None:
        """Ten minutes later: look for evidence, replay what by that evidence never left, send what is due."""
        self.fault(None)
        self.scene.later(10 * MINUTE)
        with self.scene.store.writing() as connection:
            write_fact(connection, "virtual_now", str(self.scene.now))
        for verb in (("reconcile",), ("replay", JOURNEY, "--yes", "--why", "its process was killed"), ("run", JOURNEY)):
            assert self.by_hand(*verb).wait(PATIENCE_SECONDS) == 0

    def assert_prefect_knows_nobody(self, people: list[str]) -> None:
        """Whatever Prefect keeps is in its database and its logs; our journey is, so we look at the right place."""
        kept = b"".join(path.read_bytes() for path in self.home.rglob("*") if path.is_file())
        assert b"push-1" in kept
        for user in people:
            phone = f"138{int.from_bytes(user.encode(), 'big') % 10**8:08d}"  # as the scene gives them
            assert [secret for secret in (f"token-{user}", phone) if secret.encode() in kept] == []

    def slots(self, deployment: str = f"journey-run/{JOURNEY}") -> int:
        """How many runs of it Prefect thinks are going on."""
        limit = self.ask("GET", f"/deployments/name/{deployment}")["global_concurrency_limit"]
        return int(limit["active_slots"])

    @contextmanager
    def unscheduled(self, deployment: str) -> Iterator[None]:
        """Without its schedule, whose runs would take the one slot from a run that a test waits for."""
        found = self.ask("GET", f"/deployments/name/{deployment}")["id"]
        self.ask("POST", f"/deployments/{found}/pause_deployment")
        _await(lambda: self.slots(deployment) == 0)
        yield
        self.ask("POST", f"/deployments/{found}/resume_deployment")

    @contextmanager
    def impatient(self, name: str) -> Iterator[None]:
        """Let this automation for dead processes wait as short as Prefect allows, instead of minutes."""
        keys = ("name", "description", "enabled", "trigger", "actions", "actions_on_trigger", "actions_on_resolve")
        [found] = self.ask("POST", "/automations/filter", automations={"name": {"any_": [name]}})
        asked = {key: found[key] for key in keys}
        self.ask(
            "PUT", f"/automations/{found['id']}", **asked | {"trigger": found["trigger"] | {"within": LEAST_WITHIN}}
        )
        yield
        self.ask("PUT", f"/automations/{found['id']}", **asked)

    def await_triggered(self, name: str) -> None:
        """Until Prefect says that it set this automation off."""
        [found] = self.ask("POST", "/automations/filter", automations={"name": {"any_": [name]}})
        wanted = {
            "event": {"name": ["prefect.automation.triggered"]},
            "resource": {"id": [f"prefect.automation.{found['id']}"]},
        }
        _await(lambda: self.ask("POST", "/events/filter", filter=wanted)["events"])

    def await_run_by_automation(self, flow: str) -> str:
        """The id of a run of this flow that an automation started."""
        found: list[str] = []

        def look() -> bool:
            runs = self.ask("POST", "/flow_runs/filter", flows={"name": {"any_": [flow]}})
            found.extend(run["id"] for run in runs if (run["created_by"] or {}).get("type") == "AUTOMATION")
            return bool(found)

        _await(look)
        return found[0]

    def standing(self) -> dict[str, Any]:
        """What of ours the server has: deployments with schedules and limits, pool, automations."""
        deployments = self.ask("POST", "/deployments/filter")
        return {
            "deployments": {
                f"{each['entrypoint']} {each['name']}": (
                    [(plan["schedule"]["cron"], plan["active"]) for plan in each["schedules"]],
                    (each["global_concurrency_limit"] or {}).get("limit"),
                    each["concurrency_options"],
                )
                for each in deployments
            },
            "pools": {each["name"]: each["concurrency_limit"] for each in self.ask("POST", "/work_pools/filter")},
            "automations": sorted(each["name"] for each in self.ask("POST", "/automations/filter")),
        }


def _await(ready: Callable[[], object], *, seconds: float = PATIENCE_SECONDS) -> None:
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until
        time.sleep(0.1)


def kill(process: psutil.Process | None) -> None:
    """SIGKILL to this process and everything it started."""
    assert process is not None
    family = [process, *process.children(recursive=True)]
    for each in family:
        each.kill()
    psutil.wait_procs(family, timeout=10)


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory, _migrated_file: Path) -> Iterator[Apart]:
    """A simulated store whose clock stands still, with one journey, of which four people a second are messaged."""
    folder = tmp_path_factory.mktemp("apart")
    settings = load(project_dir=folder, address_key=ADDRESS_KEY)
    (settings.var_dir / "prefect").mkdir(parents=True)
    shutil.copy(_migrated_file, settings.var_dir / "recall.db")
    scene = scene_of(settings)

    def slowly(content: dict[str, Any]) -> None:
        content["routes"]["push"]["per_second"] = CHUNK // 4

    scene.publish(name=JOURNEY, more='run: "0 0 1 1 *"', policy=slowly)
    place = Place.choose(cast(Any, SimpleNamespace(settings=settings)), "127.0.0.1", 0)
    more = {"RECALL_ADDRESS_KEY": ADDRESS_KEY, "RECALL_RETRY_SECONDS": "0.1", "PREFECT_WORKER_QUERY_SECONDS": "1"}
    said = {"api": place.environment["PREFECT_API_URL"]}
    apart = Apart(cast(Any, None), scene, settings, {**place.environment, **more}, said, place)
    try:
        apart.start_server()
        apart.recall("deploy", "--limit", str(SLOTS))
        apart.start_worker()
        yield apart
    finally:
        for process in (apart.worker, apart.server):
            if process is not None and process.is_running():
                kill(process)
        scene.store.close()
