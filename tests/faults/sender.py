"""The process that a kill test kills: runs one journey over and over until nobody is due."""

from __future__ import annotations

import sys
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


if __name__ == "__main__":
    main(*sys.argv[1:])
