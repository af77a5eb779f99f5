"""How does everything run on one machine? Prefect server, a worker and the reconciler, started and stopped together."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

import click

from recall.cli.context import App, pass_app
from recall.cli.server import RARE_WRITES
from recall.errors import Misconfigured, RecallError

if TYPE_CHECKING:
    from recall.engine.setup import Setup

USUAL_PORT = 4200
SERVER_PATIENCE_SECONDS = 120.0  # 6 to 16 s are usual, more where the disk is slow
STOP_PATIENCE_SECONDS = 20.0  # then the process group is killed
RECONCILE_EACH_SECONDS = 60.0
WORKER_LIVES = 5  # a worker that died is started again so often
_PREFECT = (sys.executable, "-m", "prefect")
AUTH = "PREFECT_SERVER_API_AUTH_STRING"


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the Prefect server; 0: any [4200, or any].")
@click.option("--host", default="127.0.0.1", show_default=True, help=f"Address to listen on; others need {AUTH}.")
@click.option("--limit", default=4, show_default=True, type=click.IntRange(1), help="Flow runs at once.")
@pass_app
def up(app: App, port: int | None, host: str, limit: int) -> int:
    """Start Prefect server and worker on this machine; Ctrl-C stops them all.

    Brings the store up to date, publishes the project's journeys if none is published (the shipped catalogue where
    the folder has none), deploys them, and looks each minute for evidence of sends in doubt. Logs are in var/prefect.

    \b
    Example:
      recall up --project my-project
    """
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    place = Place.choose(app, host, port)
    with _alone(place.home):
        _prepare(app)
        return Family(app, place, limit, stop).run()


@dataclass(frozen=True)
class Place:
    """Where the server listens, and what every process of ours must know."""

    host: str
    port: int
    home: Path  # Prefect's files and the logs
    environment: dict[str, str] = field(repr=False)

    @property
    def url(self) -> str:
        return self.environment["PREFECT_API_URL"].removesuffix("/api")

    @classmethod
    def choose(cls, app: App, host: str, port: int | None) -> Place:
        """Raises Misconfigured where strangers could reach a server without a password, or the port is taken."""
        from recall.settings import child_environment

        settings, given = app.settings, child_environment()
        if not _is_loopback(host) and not given.get(AUTH):
            raise Misconfigured(
                f"{host} can be reached by others, and whoever reaches a Prefect server can start flows; "
                f"set {AUTH} to user:password, or leave out --host"
            )
        port = _free_port(host, port)
        shown = socket.gethostname() if host in ("0.0.0.0", "::") else host
        home = (settings.var_dir / "prefect").resolve()
        more = {
            # The server needs it too: else its pages ask 127.0.0.1:4200.
            "PREFECT_API_URL": f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/api",
            "PREFECT_HOME": str(home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            **RARE_WRITES,
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": given.get("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "30"),
            "DO_NOT_TRACK": "1",
            "RECALL_PROJECT_DIR": str(settings.project_dir.resolve()),
            "RECALL_VAR_DIR": str(settings.var_dir.resolve()),
            "RECALL_DATABASE_URL": settings.store_url,
        }
        if given.get(AUTH):
            more["PREFECT_API_AUTH_STRING"] = given[AUTH]
        return cls(host, port, home, child_environment(**more))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _free_port(host: str, wanted: int | None) -> int:
    """The wanted port; without a wish Prefect's usual one, or any that is free."""
    for port in [wanted] if wanted is not None else [USUAL_PORT, 0]:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Misconfigured(f"port {wanted} of {host} is taken; choose another with --port, or leave it out")


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Only one `recall up` per project: two servers would share one database."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misconfigured("`recall up` is running already for this project") from None
        yield


def _prepare(app: App) -> None:
    """A migrated store with published journeys."""
    from recall.cli.deploy import project_of
    from recall.engine.publish import publish_project
    from recall.store.migrations import migrate
    from recall.store.versions import published_journeys

    migrate(app.unchecked_store.engine)
    with app.store.reading() as connection:
        if published_journeys(connection):
            return
    done = publish_project(app.store, project_of(app.settings.project_dir), now=app.clock.now(), who=app.who)
    app.output.remark(f"recall up: published {', '.join(version.name for version in done.new)}")


@dataclass
class Family:
    """The processes of one `recall up`."""

    app: App
    place: Place
    limit: int
    stop: Event
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    lives: int = WORKER_LIVES

    def run(self) -> int:
        """Start, watch and stop; 0 when a person stopped it, 1 when a process died."""
        try:
            self._start()
            return self._watch()
        finally:
            for name in reversed(self.children):
                _end(self.children[name])

    def _start(self) -> None:
        self._spawn("server", [*_PREFECT, "server", "start", "--host", self.place.host, "--port", str(self.place.port)])
        self._await_server()
        if self.stop.is_set():
            return
        deploy = [sys.executable, "-m", "recall.cli.main", "deploy", "--limit", str(self.limit)]
        done = subprocess.run(deploy, env=self.place.environment, capture_output=True, text=True)
        if done.returncode:
            raise Misconfigured(done.stderr.strip().removeprefix("recall: "))
        self._start_worker()
        self._say()

    def _start_worker(self) -> None:
        worker = ["worker", "start", "--pool", "recall", "--type", "process", "--no-create-pool-if-not-found"]
        self._spawn("worker", [*_PREFECT, *worker])

    def _spawn(self, name: str, command: list[str]) -> None:
        """A child with a process group and a log of its own; Ctrl-C reaches it only through us."""
        with (self.place.home / f"{name}.log").open("ab") as log:
            self.children[name] = subprocess.Popen(
                command,
                env=self.place.environment,
                cwd=self.place.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _await_server(self) -> None:
        until = time.monotonic() + SERVER_PATIENCE_SECONDS
        while not self.stop.wait(0.3):
            if self.children["server"].poll() is not None or time.monotonic() > until:
                raise Misconfigured(f"the Prefect server did not start; {self.place.home / 'server.log'} says why")
            if _answers(f"http://{self.place.host}:{self.place.port}/api/health"):
                return

    def _say(self) -> None:
        from recall.cli.output import table

        project = self.app.settings.project_dir.resolve()
        rows = [
            ["Prefect", self.place.url, "runs, deployments, forms, artifacts"],
            ["store", "PostgreSQL" if self.app.store.is_postgresql else "SQLite", str(project)],
            ["logs", str(self.place.home), "server.log, worker.log"],
        ]
        pids = {name: child.pid for name, child in self.children.items()}
        data = {"url": self.place.url, "api": self.place.environment["PREFECT_API_URL"], "pids": pids}
        self.app.output.answer(data, table(["", "where", "what"], rows), "Ctrl-C stops everything.")
        sys.stdout.flush()

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
        if name == "server" or not self.lives:
            self.app.output.fail(f"the {name} ended with code {code}; {log} says why")
            return False
        self.app.output.remark(f"recall up: the {name} ended with code {code} and is started again; {log} says why")
        _end(self.children[name])
        self._start_worker()
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


def _answers(url: str) -> bool:
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
