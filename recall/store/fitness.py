"""Was this installation found fit to send for real, when, through which providers? The doctor's last word."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from sqlalchemy import Connection

from recall.clock import Instant
from recall.store.connect import Store, write_fact

_FACT = "fitness"


@dataclass(frozen=True)
class Fitness:
    """What the doctor found."""

    at: Instant
    providers: list[str]  # those looked at, sorted
    wrong: list[str]  # names of the findings that need a person; none: fit


def record_fitness(connection: Connection, *, providers: Iterable[str], wrong: Iterable[str], at: Instant) -> None:
    """Keep the newest word; an older one is forgotten."""
    found = Fitness(at, sorted(providers), list(wrong))
    write_fact(connection, _FACT, json.dumps(asdict(found)))


def read_fitness(store: Store) -> Fitness | None:
    """None when the doctor never looked."""
    kept = store.fact(_FACT)
    return None if kept is None else Fitness(**json.loads(kept))
