"""Which processes make up a running recall? Server and workers, started, watched and stopped together, by pid."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

from recall.cli.context import App
from recall.cli.place import Place
from recall.errors import Misconfigured, RecallError

if TYPE_CHECKING:
    from recall.engine.setup import Setup

SERVER_PATIENCE_SECONDS = 120.0  # 6 to 16 s are usual, more where the disk is slow
STOP_PATIENCE_SECONDS = 20.0  # then the process group is killed
RECONCILE_EACH_SECONDS = 60.0
WORKER_LIVES = 5  # a worker that died is started again so often
SERVER = "server"
_PREFECT = (sys.executable, "-m", "prefect")


@dataclass
class Family:
    """The processes of one `recall up`."""

    app: App
    place: Place
    limit: int  # flow runs at once, of all workers together
    workers: int
    stop: Event
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    lives: int = WORKER_LIVES

    def run(self) -> int:
        """Start, watch and stop; 0 when a person stopped it, 1 when a process died."""
        try:
            self._start()
            return self._watch()
        finally:
            self._stop()

    def _stop(self) -> None:
        """Workers first and all at once, then the server, which they report to."""
        workers = [child for name, child in self.children.items() if name != SERVER]
        for child in workers:
            if child.poll() is None:
                child.terminate()
        for child in (*workers, *(child for name, child in self.children.items() if name == SERVER)):
            _end(child)

    def _start(self) -> None:
        listen = ["server", "start", "--host", self.place.host, "--port", str(self.place.port)]
        self._spawn(SERVER, [*_PREFECT, *listen], self.place.environment | self.place.of_server)
        self._await_server()
        if self.stop.is_set():
            return
        deploy = [sys.executable, "-m", "recall.cli.main", "deploy", "--limit", str(self.limit)]
        done = subprocess.run(deploy, env=self.place.environment, capture_output=True, text=True)
        if done.returncode:
            raise Misconfigured(done.stderr.strip().removeprefix("recall: "))
        if self.stop.is_set():
            return
        for name in self._names():
            self._start_worker(name)
        self._say()

    def _names(self) -> list[str]:
        return ["worker"] if self.workers == 1 else [f"worker-{number}" for number in range(1, self.workers + 1)]

    def _start_worker(self, name: str) -> None:
        """Several have a limit each, or the first that asks would take every run; one has none (see operating.md)."""
        worker = ["worker", "start", "--pool", "recall", "--type", "process", "--no-create-pool-if-not-found"]
        if self.workers > 1:
            worker += ["--name", name, "--limit", str(-(-self.limit // self.workers))]
        self._spawn(name, [*_PREFECT, *worker], self.place.environment)

    def _spawn(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        """A child with a process group and a log of its own; Ctrl-C reaches it only through us."""
        with (self.place.home / f"{name}.log").open("ab") as log:
            self.children[name] = subprocess.Popen(
                command,
                env=environment,
                cwd=self.place.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _await_server(self) -> None:
        until = time.monotonic() + SERVER_PATIENCE_SECONDS
        while not self.stop.wait(0.3):
            if self.children[SERVER].poll() is not None or time.monotonic() > until:
                raise Misconfigured(f"the Prefect server did not start; {self.place.home / 'server.log'} says why")
            if answers(f"http://{self.place.host}:{self.place.port}/api/health"):
                return

    def _say(self) -> None:
        from recall.cli.output import table

        store = "PostgreSQL" if self.app.store.is_postgresql else "SQLite"
        logs = ", ".join(f"{name}.log" for name in self.children)
        rows = [
            ["Prefect", self.place.url, "runs, deployments, forms, artifacts"],
            ["store", store, self._shown_store()],
            ["logs", str(self.place.home), logs],
        ]
        if self.place.password_file is not None:
            rows.insert(1, ["password", str(self.place.password_file), "user:password of Prefect, for its page too"])
        pids = {name: child.pid for name, child in self.children.items()}
        data = {"url": self.place.url, "api": self.place.environment["PREFECT_API_URL"], "pids": pids}
        data |= {"store": self._shown_store(), "password_file": str(self.place.password_file or "")}
        self.app.output.answer(data, table(["", "where", "what"], rows), "Ctrl-C stops everything.")
        sys.stdout.flush()

    def _shown_store(self) -> str:
        """Without its password."""
        return self.app.store.engine.url.render_as_string()

    def _watch(self) -> int:
        setup: Setup | None = None
        next_look = time.monotonic()
        while not self.stop.wait(0.5):
            for name in [name for name, child in self.children.items() if child.poll() is not None]:
                if not self._revive(name):
                    return 1
            if time.monotonic() >= next_look:
                setup = self._reconcile(setup)
                next_look = time.monotonic() + RECONCILE_EACH_SECONDS
        return 0

    def _revive(self, name: str) -> bool:
        """Start a dead worker again; without the server nothing works, so its end is the end of all."""
        code, log = self.children[name].returncode, self.place.home / f"{name}.log"
        self.lives -= 1
        if name == SERVER or not self.lives:
            self.app.output.fail(f"the {name} ended with code {code}; {log} says why")
            return False
        self.app.output.remark(f"recall up: the {name} ended with code {code} and is started again; {log} says why")
        _end(self.children[name])
        self._start_worker(name)
        return True

    def _reconcile(self, setup: Setup | None) -> Setup | None:
        """Look for evidence; what keeps us from it is said each time, and tried again."""
        from recall.engine.reconcile import reconcile
        from recall.engine.setup import open_setup

        try:
            setup = setup or open_setup(self.app.settings, store=self.app.store)
            done = reconcile(setup)
        except (Misconfigured, RecallError) as error:
            self.app.output.remark(f"recall up: {error}")
        else:
            if done.raised:
                self.app.output.remark(f"recall up: {done.raised} messages are in doubt; {done.open} are open")
        return setup


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return int(answer.status) == 200
    except (URLError, OSError):
        return False


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask the process, then its whole group; nothing of it stays."""
    if child.poll() is None:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(STOP_PATIENCE_SECONDS)
    with suppress(ProcessLookupError):  # everybody is gone
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
