"""The process that a kill test kills: runs one journey over and over until nobody is due.

python -m tests.faults.sender PROJECT DATABASE JOURNEY [POINT]     one sender
python -m tests.faults.sender --nursery                            forks senders on request (see `kills.Nursery`)
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

from recall.clock import DAY
from recall.engine.run import run_journey
from recall.engine.setup import open_setup
from recall.settings import load
from recall.store.due import oldest_due
from tests.faults.points import POINTS


def tell(word: str) -> None:
    """Say to the test how far this process is."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main(project: str, database: str, journey: str, dies: str = "") -> None:
    if dies:
        POINTS[dies]()
    settings = load(
        project_dir=project,
        var_dir=Path(project) / "var",
        database_url=database,
        address_key="a key that is only used in tests",
        allow_weak_durability=True,
    )
    setup = open_setup(settings)
    tell("ready")
    while True:
        run_journey(setup, journey)
        with setup.store.reading() as connection:
            oldest = oldest_due(connection)
        if oldest is None or oldest > setup.clock.now() + DAY // 24:
            tell("done")
            return


def nurse() -> None:
    """Answer each line: `start` with a process id once that sender is ready, `end` with how the sender ended."""
    pipes: dict[int, int] = {}
    for line in sys.stdin:
        word, *given = json.loads(line)
        if word == "start":
            child, pipes[child] = _fork(given)
            tell(str(child if os.read(pipes[child], 6) == b"ready\n" else 0))
        else:
            child = int(given[0])
            tell(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
            os.close(pipes.pop(child))


def _fork(given: list[str]) -> tuple[int, int]:
    """A sender of its own, and the pipe it talks into."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
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
