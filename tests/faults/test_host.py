"""Is nobody messaged twice, and nobody forgotten, when the machine fails? Disk full, store locked, told to end."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from journeys.words import Outcome
from providers.base import Outbound, SendResult
from recall.clock import HOUR, MINUTE, FixedClock, Instant
from recall.engine import calling
from recall.engine.reconcile import reconcile
from recall.engine.setup import Setup
from recall.errors import StoreBusy
from recall.settings import Settings
from recall.store import connect
from recall.store.connect import Store, open_store
from tests.conftest import ADDRESS_KEY
from tests.engine.conftest import Scene
from tests.engine.doubles import Scripted, accept
from tests.web.test_serve import served as served

ROOT = Path(__file__).parents[2]
PEOPLE = [f"u{number}" for number in range(5)]


@pytest.fixture
def due(sqlite_store: Store, settings: Settings, now: Instant, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Five people due now on SQLite; whoever waits for the store waits a moment only."""
    monkeypatch.setattr(connect, "_BUSY_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(calling, "_SETTLE_WAITS_SECONDS", (0.0, 0.1))
    store, clock = open_store(settings), FixedClock(now)
    setup = Setup(store, {"outbox": Scripted()}, clock, settings.var_dir / "spool")
    scene = Scene(store, clock, setup, settings.var_dir / "outbox")
    version = scene.publish("  - {sms: come-back}\n  - {wait: 1h}\n  - {push: come-back}")
    for user in PEOPLE:
        scene.add_user(user)
    scene.enrol(version, *PEOPLE)
    yield scene
    store.close()


def provider(scene: Scene) -> Scripted:
    found = scene.setup.providers["outbox"]
    assert isinstance(found, Scripted)
    return found


def runs(scene: Scene) -> bool:
    """Run once; whether all went well. Nothing but a busy store may come out of it."""
    try:
        return not scene.run().failed
    except StoreBusy:
        return False


def all_once(scene: Scene, *channels: str) -> bool:
    """Did everybody get each of these once, by what the provider was asked for?"""
    got = Counter((message.user, message.channel.value) for message in provider(scene).calls)
    return got == Counter((user, channel) for user in PEOPLE for channel in channels)


def states(scene: Scene) -> set[str]:
    return {send.state for send in scene.sends()}


def while_called(scene: Scene, does: Callable[[], object]) -> None:
    """Do something once while the provider has the messages: after the gate's commit, before the record."""
    left = [does]

    def answer(message: Outbound) -> SendResult | None:
        while left:
            left.pop()()
        return accept(message)

    provider(scene).answer = answer


# --- no room ----------------------------------------------------------------------------------------------


def fill_disk(scene: Scene) -> None:
    """No file of this process may grow beyond what the store's log has now."""
    size = Path(f"{scene.store.engine.url.database}-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def free_disk() -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@pytest.fixture
def disk() -> Iterator[None]:
    yield
    free_disk()


@pytest.mark.usefixtures("disk")
def test_a_full_disk_at_the_gate_sends_nothing_and_forgets_nobody(due: Scene) -> None:
    fill_disk(due)
    assert not runs(due)
    assert provider(due).calls == []
    free_disk()
    assert runs(due)
    assert all_once(due, "sms")
    assert states(due) == {"accepted"}


@pytest.mark.usefixtures("disk")
def test_a_disk_that_fills_during_the_call_keeps_the_answers_in_the_spool(due: Scene) -> None:
    while_called(due, lambda: fill_disk(due))
    runs(due)
    assert len(list(due.setup.spool_dir.glob("*.jsonl"))) == 1
    assert states(due) == {"calling"}
    free_disk()
    assert reconcile(due.setup).spooled == len(PEOPLE)
    due.later(HOUR)
    assert runs(due)
    assert all_once(due, "sms", "push")
    assert states(due) == {"accepted"}


@pytest.mark.usefixtures("disk")
def test_where_the_spool_is_full_too_a_doubt_is_raised_and_looked_up(due: Scene) -> None:
    due.setup.spool_dir.mkdir(parents=True)
    (due.setup.spool_dir / f"{os.getpid()}.jsonl").symlink_to("/dev/full")
    while_called(due, lambda: fill_disk(due))
    with pytest.raises(OSError, match="No space left"):
        due.run()
    free_disk()
    (due.setup.spool_dir / f"{os.getpid()}.jsonl").unlink()
    due.later(3 * MINUTE)
    provider(due).known = {message.ref: Outcome.ACCEPTED for message in provider(due).calls}
    settled = reconcile(due.setup)
    assert (settled.raised, settled.accepted, settled.open) == (len(PEOPLE), len(PEOPLE), 0)
    due.later(HOUR)
    assert runs(due)
    assert all_once(due, "sms", "push")


def test_a_log_that_takes_no_more_stops_no_message(due: Scene, settings: Settings, tmp_path: Path) -> None:
    """A real `recall run` whose output and log go to a full disk."""
    environment = {**os.environ, "RECALL_ADDRESS_KEY": ADDRESS_KEY, "RECALL_LOG_LEVEL": "DEBUG"}
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "recall.cli.main", "run", "settled-30d", "--json"]
        ended = subprocess.run(
            command, cwd=tmp_path, env=environment, stdout=full, stderr=full, timeout=120, check=False
        )
    assert ended.returncode != 0, "somebody must look"
    reconcile(due.setup)
    assert states(due) <= {"accepted"}


# --- locked -----------------------------------------------------------------------------------------------


class Locked:
    """Another process that keeps the store for itself, until it is told to let go."""

    def __init__(self, scene: Scene) -> None:
        code = (
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('begin immediate');"
            "print('locked', flush=True); sys.stdin.readline(); c.execute('rollback')"
        )
        command = [sys.executable, "-c", code, str(scene.store.engine.url.database)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "locked\n"

    def let_go(self) -> None:
        self._process.communicate("\n", timeout=30)


def test_a_locked_store_at_the_gate_sends_nothing_and_forgets_nobody(due: Scene) -> None:
    other = Locked(due)
    assert not runs(due)
    assert provider(due).calls == []
    other.let_go()
    assert runs(due)
    assert all_once(due, "sms")


def test_a_store_locked_during_the_call_gets_its_answers_from_the_spool(due: Scene) -> None:
    others: list[Locked] = []
    while_called(due, lambda: others.append(Locked(due)))
    runs(due)
    assert len(list(due.setup.spool_dir.glob("*.jsonl"))) == 1
    others[0].let_go()
    assert reconcile(due.setup).spooled == len(PEOPLE)
    due.later(HOUR)
    assert runs(due)
    assert all_once(due, "sms", "push")


@pytest.mark.slow
def test_a_store_locked_for_a_minute_loses_no_answer(due: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real waits between five tries; what could not be written meanwhile is written when the lock is gone."""
    monkeypatch.undo()
    locks: list[threading.Timer] = []

    def lock() -> None:
        locks.append(threading.Timer(60, Locked(due).let_go))
        locks[0].start()

    while_called(due, lock)
    runs(due)
    locks[0].join()
    reconcile(due.setup)
    assert states(due) == {"accepted"}
    assert all_once(due, "sms")


# --- told to end ------------------------------------------------------------------------------------------


def test_serve_ends_within_fifteen_seconds_though_a_request_is_open(
    served: tuple[str, subprocess.Popen[bytes], Path],
) -> None:
    url, process, _ = served
    where = urlsplit(url)
    with socket.create_connection((str(where.hostname), int(where.port or 0)), timeout=30) as half:
        half.sendall(b"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n[")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=15) in (0, -signal.SIGTERM)
