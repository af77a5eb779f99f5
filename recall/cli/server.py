"""How does a verb get a Prefect server of its own for a while? On loopback, on a free port, gone when it is done."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from recall.errors import Misconfigured

PATIENCE_SECONDS = 120.0  # 6 to 16 s are usual, more where the disk is slow
_STOP_SECONDS = 20.0
_NOT_NEEDED = ("SCHEDULER", "LATE_RUNS", "TRIGGERS", "FOREMAN", "PAUSE_EXPIRATIONS", "CANCELLATION_CLEANUP")
# Each record of a task and each event would be a transaction of its own, and on SQLite those make half of all new
# subflows wait: the server answers "database is locked" and the client tries again 2 s later (prefect 3.8.8).
RARE_WRITES = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "500",
}
_LOOPBACK = "127.0.0.1"


@contextmanager
def own_server(home: Path) -> Iterator[Server]:
    """Start a server whose files are in `home`; it is stopped however the block ends."""
    server = Server.start(home)
    try:
        yield server
    finally:
        server.stop()


class Server:
    """One Prefect server in a process group of its own, so that Ctrl-C reaches it only through us."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.process = process
        self.url = url  # of its API
        self.home = log.parent
        self._log = log

    @classmethod
    def start(cls, home: Path) -> Server:
        """Begin to start it, which takes a while; `wait` says when it answers."""
        from recall.settings import child_environment

        home.mkdir(parents=True, exist_ok=True)
        port = _free_port()
        url = f"http://{_LOOPBACK}:{port}/api"
        ours = {
            "PREFECT_HOME": str(home.resolve()),
            "PREFECT_API_URL": url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_LOGGING_LEVEL": "WARNING",
            "DO_NOT_TRACK": "1",
            **{f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false" for service in _NOT_NEEDED},
            **RARE_WRITES,
        }
        # Nothing a person set for a server of their own (database, password, profile) is meant for this one.
        others = {name: value for name, value in child_environment().items() if not name.startswith("PREFECT_")}
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", _LOOPBACK, "--port", str(port)]
        log = home / "server.log"
        with log.open("ab") as file:
            process = subprocess.Popen(
                command,
                env=others | ours,
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(process, url, log)

    def wait(self) -> None:
        """Until it answers; raises Misconfigured when it does not."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not _answers(f"{self.url}/health"):
            if self.process.poll() is not None or time.monotonic() > until:
                raise Misconfigured(f"the Prefect server did not start; {self._log} says why")
            time.sleep(0.2)

    def stop(self) -> None:
        """Ask the process, then its whole group; nothing of it stays."""
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_STOP_SECONDS)
        with suppress(ProcessLookupError):  # everybody is gone
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return int(answer.status) == 200
    except (URLError, OSError):
        return False
