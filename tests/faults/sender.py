"""The process that a kill test kills: runs one journey over and over until nobody is due.

python -m tests.faults.sender PROJECT DATABASE JOURNEY [POINT [VENDOR]]     one sender
python -m tests.faults.sender --nursery                                     forks senders on request (`kills.Nursery`)

POINT is where it dies (`points`) or stops each so many-th time (`stops`, as "3 in the call"). With the URL of a VENDOR
(`far`) it works as where providers are real: a chunk is called while the next is gated, and marks are kept.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from recall.clock import DAY, FixedClock, SystemClock
from recall.engine import caller
from recall.engine.dispatch import Dispatcher
from recall.engine.guards import MARK_FILE, Marker
from recall.engine.run import run_journey
from recall.engine.setup import Setup, open_setup
from recall.errors import StoreBusy
from recall.settings import Settings, load
from recall.store.connect import open_store
from recall.store.due import oldest_due
from recall.store.migrations import migrate
from tests.engine.conftest import Scene
from tests.engine.doubles import Scripted
from tests.faults.far import Far
from tests.faults.kills import AT_CALL, gather
from tests.faults.points import POINTS
from tests.faults.stops import STOPS

_PATIENCE = 300  # tries, a fifth of a second apart, to reach a store that is away
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def tell(word: str) -> None:
    """Say to the test how far this process is."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main(project: str, database: str, journey: str, point: str = "", vendor: str = "") -> None:
    if point:
        arm(point)
    settings = load(
        project_dir=project,
        var_dir=Path(project) / "var",
        database_url=database,
        address_key="a key that is only used in tests",
        allow_weak_durability=True,
    )
    setup = in_time(lambda: open_setup(settings))
    if vendor:
        setup = in_time(lambda: as_in_production(setup, settings, vendor))
        show_work(settings.var_dir / AT_CALL)
    else:
        tell("ready")
    while in_time(lambda: go_on(setup, journey)):
        pass
    setup.dispatcher.run(setup.provider("outbox").close())
    tell("done")


def in_time(work: Callable[[], Any]) -> Any:
    """Try again while the store is away, as the scheduler does."""
    for _ in range(_PATIENCE):
        with suppress(StoreBusy):
            return work()
        time.sleep(0.2)
    raise SystemExit("the store stayed away")


def arm(point: str) -> None:
    often, _, place = point.partition(" ")
    if often.isdigit():
        STOPS[place](int(often))
    else:
        POINTS[point]()


def as_in_production(setup: Setup, settings: Settings, vendor: str) -> Setup:
    return replace(
        setup,
        providers={"outbox": Far(settings.var_dir / "outbox", vendor, clock=setup.clock)},
        overlaps=True,
        gates=2,
        marker=Marker(setup.store, settings.var_dir / MARK_FILE),
    )


def show_work(folder: Path) -> None:
    """Ready is who passes its first gate; while something of it is between gate and record, a file has its number."""
    folder.mkdir(exist_ok=True)
    mine, call, keep, is_new = folder / str(os.getpid()), caller.call_chunk, caller.keep_answers, [True]

    def called(*given: Any, **named: Any) -> Any:
        mine.touch()
        if is_new:
            is_new.clear()
            tell("ready")
        try:
            return call(*given, **named)
        except BaseException:
            mine.unlink(missing_ok=True)
            raise

    def kept(*given: Any, **named: Any) -> None:
        try:
            keep(*given, **named)
        finally:
            mine.unlink(missing_ok=True)  # another walk of this process may have ended its own

    caller.call_chunk, caller.keep_answers = called, kept


def go_on(setup: Setup, journey: str) -> bool:
    """One run; False when nobody is due within the hour."""
    done = run_journey(setup, journey)
    if done.is_idle or done.failed:
        time.sleep(0.1)
    with setup.store.reading() as connection:
        oldest = oldest_due(connection)
    return oldest is not None and oldest <= setup.clock.now() + DAY // 24


def nurse() -> None:
    """Answer each line with a number.

    `fork`: the process id of a new sender; `start`: the same, once it is ready; `ready`: whether it said so;
    `end`: how it ended, once it has.
    """
    warm_up()
    pipes: dict[int, int] = {}
    for line in sys.stdin:
        word, *given = json.loads(line)
        if word in ("fork", "start"):
            child, pipes[child] = _fork(given)
            tell(str(child if word == "fork" or os.read(pipes[child], 6) == b"ready\n" else 0))
        elif word == "ready":
            tell(str(int(bool(select.select([pipes[int(given[0])]], [], [], 0)[0]))))
        else:
            child = int(given[0])
            tell(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
            os.close(pipes.pop(child))


class _Inline(Dispatcher):
    """Leaves no thread behind, for who has threads should not fork."""

    def run(self, work: Any) -> Any:
        return asyncio.run(work)


def warm_up() -> None:
    """One small run: what is built once per process is built once for all who are forked."""
    with tempfile.TemporaryDirectory() as name:
        settings = load(project_dir=name, var_dir=Path(name), address_key="a key that is only used in tests")
        store, clock = open_store(settings), FixedClock(SystemClock().now())
        migrate(store.engine)
        setup = Setup(store, {"outbox": Scripted()}, clock, Path(name) / "spool", dispatcher=_Inline())
        scene = Scene(store, clock, setup, Path(name) / "outbox")
        gather(scene, 8)
        scene.run()
        store.close()


def _fork(given: list[str]) -> tuple[int, int]:
    """A sender of its own, and the pipe it talks into."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)  # one that stands still would stay for ever
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(writing, 1)
    try:
        main(*given)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    nurse() if sys.argv[1:] == ["--nursery"] else main(*sys.argv[1:])
