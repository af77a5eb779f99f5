"""Does `recall serve` listen where it may, answer over a real socket, and end when told to?"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from recall.cli.main import run
from recall.cli.serve import is_loopback, reachable, refuse_open_door
from recall.errors import Misconfigured
from recall.settings import Settings
from recall.store.connect import Store
from tests.conftest import ADDRESS_KEY

OPEN = {"public_url": "https://r.example", "web_api_keys": {"host": "a secret of sixteen letters"}}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_this_machine_needs_no_authentication(host: str) -> None:
    assert is_loopback(host)
    refuse_open_door(Settings(), host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "recall.example.com", "", "localhost.evil.example"])
def test_beyond_it_keys_and_https_must_be_set(host: str) -> None:
    refuse_open_door(Settings(**OPEN), host)  # type: ignore[arg-type]
    for name in OPEN:
        with pytest.raises(Misconfigured, match=f"RECALL_{name}".upper()):
            refuse_open_door(Settings(**{k: v for k, v in OPEN.items() if k != name}), host)  # type: ignore[arg-type]


def test_a_laptop_needs_no_public_address() -> None:
    assert reachable(Settings(), "127.0.0.1", 8080).public_url == "http://127.0.0.1:8080"
    assert reachable(Settings(), "::1", 80).public_url == "http://[::1]:80"
    assert reachable(Settings(), "0.0.0.0", 8080).public_url == ""
    assert reachable(Settings(public_url="https://r.example"), "127.0.0.1", 1).public_url == "https://r.example"


def test_without_a_signing_key_nothing_is_served(sqlite_store: Store, monkeypatch, capfd) -> None:
    monkeypatch.setenv("RECALL_ADDRESS_KEY", ADDRESS_KEY)
    monkeypatch.setattr("recall.web.logs.log_as_json", lambda settings: None)
    assert run(["serve", "--port", "0"]) == 1
    assert "RECALL_SIGNING_KEYS" in capfd.readouterr().err


@pytest.fixture
def served(sqlite_store: Store, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes], Path]]:
    """A real `recall serve`: its address, its process, its log."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path / "serve.log"
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "RECALL_ADDRESS_KEY": ADDRESS_KEY,
        "RECALL_SIGNING_KEYS": "a signing key of the tests",
        "RECALL_WEB_API_KEYS": '{"host": "a secret of sixteen letters"}',
    }
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "recall.cli.main", "serve", "--port", str(port)],
            cwd=tmp_path, env=environment, stdout=file, stderr=file,
        )  # fmt: skip
        try:
            _wait(f"http://127.0.0.1:{port}/healthz", process, log)
            yield f"http://127.0.0.1:{port}", process, log
        finally:
            process.kill()
            process.wait()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=5).read()
            return
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def _status(url: str, body: bytes | None = None) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_served_door_answers_refuses_and_ends_when_told(
    served: tuple[str, subprocess.Popen[bytes], Path],
) -> None:
    url, process, log = served
    assert _status(f"{url}/readyz") == 200
    assert _status(f"{url}/metrics") == 200
    assert _status(f"{url}/events", b"[]") == 401
    assert _status(f"{url}/hooks/outbox", b"[]") == 403
    assert _status(f"{url}/hooks/outbox/secret-token-of-somebody", b"[]") == 403
    assert _status(f"{url}/hooks/outbox", b" " * 1_000_001) == 413
    assert _chunked(url) == b"HTTP/1.1 413"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0  # it came to its own end: reconciler stopped, providers closed
    shown = log.read_text()
    assert "secret-token-of-somebody" not in shown
    assert "Traceback" not in shown
    assert all(line.startswith("{") for line in shown.splitlines())


def _chunked(url: str) -> bytes:
    """More than a megabyte without a length."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        raw.sendall(b"POST /hooks/outbox HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(20):
                raw.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        except OSError:
            pass  # the server has heard enough
        return raw.recv(100)[:12]
