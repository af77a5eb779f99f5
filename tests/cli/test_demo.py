"""Does `recall demo` show the whole job through a real Prefect server, and leave nothing running?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.cli.test_simulate import check_account

pytestmark = [pytest.mark.prefect, pytest.mark.slow]

# Both are 130 to a shell. Where the signal meets a source text that is being `exec`uted (dataclasses are made so),
# CPython 3.11 remembers it and ends itself by SIGINT, although we caught it and exit with 130.
INTERRUPTED = (130, -signal.SIGINT)


def _servers() -> list[psutil.Process]:
    """Prefect servers whose files lie in this test's folder."""
    here = str(Path.cwd())
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(here) and "server" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_the_whole_job_through_prefect():
    command = [sys.executable, "-m", "recall.cli.main", "demo", "--users", "80", "--days", "7", "--json"]
    done = subprocess.run(command, env={**os.environ, "PREFECT_API_URL": "http://127.0.0.1:1/api"}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 1
    data = json.loads(lines[0])
    check_account(data)
    assert data["prefect"]["journey-enrol"].keys() <= {"Completed", "Idle"}
    assert sum(data["prefect"]["journey-run"].values()) == 7 * 3 + 1
    assert sum(data["prefect"]["journey-step"].values()) == data["prefect"]["journey-step"]["Completed"] > 3
    assert sum(data["prefect"]["recall-reconcile"].values()) == 7 + 1
    assert _servers() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_no_server_behind(number: signal.Signals):
    command = [sys.executable, "-m", "recall.cli.main", "demo", "--users", "20", "--days", "30"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while not _servers() and time.monotonic() < until:
        time.sleep(0.1)
    assert _servers()
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode in INTERRUPTED
    assert "Traceback" not in told.decode()
    assert _servers() == []
