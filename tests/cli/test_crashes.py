"""What does a process of ours tell of people and secrets when it crashes: aborted, or by an error nobody foresaw?

Real processes, with Python's own crash report switched on (`PYTHONFAULTHANDLER`). They start with a line or two that
let something of recall fail with every canary in the error's text.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from providers.faults import Fault, switch_fault
from recall.cli.place import free_port
from recall.clock import HOUR
from recall.settings import load
from recall.store import schema
from recall.store.connect import Store
from recall.web.signatures import sign
from tests.cli.birds import ADDRESS_KEY, EMAIL, KEYS, NAME, NOW, PHONE, SECRETS, TOKEN, at, begin, bring_in, hits
from tests.cli.conftest import Recall

BURST = f"""
import sys
def burst(*_, **__):
    raise RuntimeError("cannot reach {PHONE} {EMAIL} {TOKEN} {NAME} with {KEYS[0]}-1 {ADDRESS_KEY}")
"""
BY_THE_DOOR = "from recall.cli.main import main; main(sys.argv[1:])"
FOLDER = Path(__file__).parents[2]
_PEOPLE = {"recall", "rejects", "outbox", "address.key"}  # what holds people's data, or a key, because that is its use


@pytest.fixture
def project(recall: Recall, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Canaries in a store, in the settings, and due."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    begin(recall, sqlite_store)
    bring_in(recall)
    at(sqlite_store, NOW + HOUR)
    return sqlite_store


Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(project: Store, tmp_path: Path) -> Iterator[Start]:
    """Start `recall ...` with these lines before it; what it writes goes to `said`."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: str, before: str = "") -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONFAULTHANDLER": "1", "PYTHONPATH": str(FOLDER), "RECALL_LOG_LEVEL": "INFO"}
        with (tmp_path / "said").open("ab") as said:
            command = [sys.executable, "-c", f"{BURST}\n{before}\n{BY_THE_DOOR}", *arguments]
            started.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=said, stderr=said))
        return started[-1]

    yield begin
    for each in started:
        each.kill()
        each.wait(30)


def said(folder: Path) -> str:
    """Everything a crash left for somebody to read: output, and whatever files are not the store or the outbox."""
    files = [path for path in (folder / "var").rglob("*") if path.is_file()]
    told = [path for path in files if path.relative_to(folder).parts[1].partition(".db")[0] not in _PEOPLE]
    return "\n".join([(folder / "said").read_text(errors="replace"), *(path.read_text("latin-1") for path in told)])


def test_a_run_that_is_aborted_in_the_middle_of_a_call(start: Start, project: Store, tmp_path: Path) -> None:
    switch_fault(tmp_path / "var" / "outbox", Fault(latency_ms=60_000))
    process = start("run", "--enrol")
    until = time.monotonic() + 60
    while not calling(project):
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGABRT)
    assert process.wait(30) == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in said(tmp_path)
    assert hits({"run": said(tmp_path)}) == []


def test_settings_that_make_no_sense_tell_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every door catches this error: a worker's process has it told by Prefect, text and all."""
    monkeypatch.setenv("RECALL_PROVIDER_OPTIONS", f'{{"sms-own": "{KEYS[3]}"}}')
    with pytest.raises(ValidationError) as raised:
        load()
    assert "provider_options.sms-own" in str(raised.value)
    assert hits({"settings": str(raised.value) + repr(raised.value)}) == []


def calling(store: Store) -> bool:
    with store.reading() as connection:
        return connection.execute(schema.sends.select().where(schema.sends.c.state == "calling")).first() is not None


@pytest.mark.parametrize(
    "where",
    [
        "recall.engine.run.converge",
        "recall.engine.send.prepare",
        "recall.engine.calling.record",
        "recall.cli.run._tell",
    ],
)
def test_a_run_that_meets_an_error_nobody_foresaw(start: Start, tmp_path: Path, where: str) -> None:
    module, _, name = where.rpartition(".")
    assert start("run", "--enrol", before=f"import {module} as room; room.{name} = burst").wait(60) == 1
    assert "RuntimeError" in said(tmp_path)
    assert hits({"run": said(tmp_path)}) == []


def test_a_door_whose_request_and_reconciler_burst_and_that_is_aborted(start: Start, tmp_path: Path) -> None:
    port = free_port("127.0.0.1", 0)
    before = (
        "import recall.web.feed, recall.web.loop; recall.web.feed.record_events = recall.web.loop.reconcile = burst"
    )
    process = start("serve", "--port", str(port), before=before)
    url = f"http://127.0.0.1:{port}"
    until = time.monotonic() + 60
    while status(f"{url}/healthz") != 200:
        assert time.monotonic() < until, said(tmp_path)
        time.sleep(0.1)
    assert status(f"{url}/events?phone={PHONE}&key={KEYS[0]}", event()) == 500
    assert status(f"{url}/l/{TOKEN}/{EMAIL}") == 404
    process.send_signal(signal.SIGABRT)
    assert process.wait(30) == -signal.SIGABRT
    assert all(word in said(tmp_path) for word in ("reconciling failed (RuntimeError)", "Fatal Python error: Aborted"))
    assert hits({"serve": said(tmp_path)}) == []


def event() -> bytes:
    told = {"id": "e9", "user": PHONE, "name": "visited", "at": "2026-03-02T02:00:00Z", "properties": {"page": NAME}}
    return json.dumps([told]).encode()


def status(url: str, body: bytes | None = None) -> int:
    """The status of an answer; 0 when nobody answers. A body is signed as the host signs it."""
    headers = {} if body is None else signed(url, body)
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def signed(url: str, body: bytes) -> dict[str, str]:
    stamp = str(int(time.time()))
    target = "/" + url.split("/", 3)[3]
    secret = json.loads(SECRETS["RECALL_WEB_API_KEYS"])["host"]
    signature = sign(secret, stamp, "POST", target, body)
    return {"x-recall-key": "host", "x-recall-timestamp": stamp, "x-recall-signature": signature}
