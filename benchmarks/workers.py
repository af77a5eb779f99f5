"""Do three workers share one run, and is it worth it? Processes that send side by side on one PostgreSQL store.

    .venv/bin/python -m benchmarks.workers --people 30000 --workers 3 [--at-once 32] [--delay-ms 50]

One message per request. Every message must stand in the far end's log once, and nobody may rest while rows are due:
`late` is how long before the last message of all a worker sent its own last one, `pause` the longest silence of one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from benchmarks import places, seed
from benchmarks.adapters import Single
from benchmarks.engine import JOURNEY, check, send_everything, setup_of, warm_up
from benchmarks.meter import Meter
from benchmarks.stub import Stub, running
from recall.engine.run import due_steps
from recall.store.connect import open_store

_MOST_PASSES = 1_000


def measure(people: int, workers: int, *, at_once: int, delay: float) -> dict[str, Any]:
    with (
        places.alone(),
        places.copy_of("postgresql", *places.people(people)) as (url, folder),
        running(delay=delay) as stub,
        ExitStack() as stack,
    ):
        store = open_store(places.settings_of(url, folder))
        durability = places.durability(store)
        started = [stack.enter_context(_start(url, folder, stub, n, at_once)) for n in range(workers)]
        for worker in started:
            _line(worker.stdout)  # ready
        roots = {f"worker {n}": worker.pid for n, worker in enumerate(started)}
        meter = Meter.of(postgresql=places.server().get_pid(), stub=stub.pid, **roots)
        with meter.section():
            for worker in started:
                assert worker.stdin is not None
                worker.stdin.write("go\n")
                worker.stdin.flush()
            sent = [int(_line(worker.stdout)) for worker in started]
        counts = stub.counts()
        for worker in started:
            worker.communicate("end\n", timeout=60)
        assert counts["repeats"] == 0, counts
        check(store, sum(sent), people=people, taken=counts["messages"])
        store.close()
    return {
        "what": "workers",
        "store": "postgresql",
        "workers": workers,
        "at_once": at_once,
        "sent": sent,
        "pause": {name: round(seconds, 2) for name, seconds in counts["longest_pause"].items()},
        "late": {name: round(seconds, 2) for name, seconds in counts["late"].items()},
        **meter.told(people, not_ours=["stub"]),
        "durability": durability,
    }


def _start(url: str, folder: Path, stub: Stub, number: int, at_once: int) -> subprocess.Popen[str]:
    home = folder / f"worker-{number}"
    home.mkdir()
    options = {"url": url, "folder": str(home), "stub": stub.url, "name": f"w{number}", "at_once": at_once}
    command = [sys.executable, "-m", "benchmarks.workers", "--be", json.dumps(options)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=places.ROOT)


def _line(stream: IO[str] | None) -> str:
    assert stream is not None
    line = stream.readline()
    assert line, "a worker died"
    return line


def be(options: dict[str, Any]) -> None:
    """One worker: ready, go, send until nobody is due."""
    store = open_store(places.settings_of(options["url"], Path(options["folder"])))
    adapter = Single(options["stub"], at_once=options["at_once"], worker=options["name"])
    setup = setup_of(store, adapter, Path(options["folder"]))
    warm_up(setup)
    print("ready", flush=True)
    sys.stdin.readline()
    sent = 0
    for _ in range(_MOST_PASSES):
        sent += send_everything(setup)
        if not due_steps(setup, JOURNEY, due_before=seed.NOW):
            break
    print(sent, flush=True)
    sys.stdin.readline()
    setup.dispatcher.run(adapter.close())
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--delay-ms", type=float, default=50.0)
    parser.add_argument("--be", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.be:
        be(json.loads(asked.be))
        return
    delay = asked.delay_ms / 1000
    print(json.dumps(measure(asked.people, asked.workers, at_once=asked.at_once, delay=delay)))


if __name__ == "__main__":
    main()
