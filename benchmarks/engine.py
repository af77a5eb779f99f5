"""How fast is the engine? Everybody due gets a message; every row is counted afterwards.

    .venv/bin/python -m benchmarks.engine --store postgresql --people 100000 [--way null|batch|single]

    null     without dispatch: the provider takes messages on the spot
    batch    end to end over HTTP, some hundreds of messages per request
    single   end to end over HTTP, one message per request, an answer after 50 ms

Prints one JSON object; ends with an error unless sent = recorded = advanced = what the far end counted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import places, seed
from benchmarks.adapters import Adapter, Batched, Null, Single
from benchmarks.meter import Meter
from benchmarks.stub import Stub, running
from recall.clock import Instant, elapsed_seconds
from recall.engine.dispatch import Dispatcher
from recall.engine.guards import MARK_FILE, Marker
from recall.engine.run import due_steps, run_batches
from recall.engine.setup import Setup, keep_what_is_loaded
from recall.engine.tripwire import TRIPWIRE_FILE, Tripwire
from recall.store.cases import gate_passes
from recall.store.connect import Store, open_store
from recall.store.gate import decide, prepare
from recall.store.gate_rows import Page

JOURNEY = "bench"


class RunningClock:
    """Begins at the seed's moment, inside everybody's send window, and goes on like any clock."""

    def __init__(self, start: Instant = seed.NOW) -> None:
        self._start, self._began = start, elapsed_seconds()

    def now(self) -> Instant:
        return self._start + int((elapsed_seconds() - self._began) * 1_000_000)


def setup_of(store: Store, provider: Adapter, folder: Path, *, clock: RunningClock | None = None) -> Setup:
    """A setup as `open_setup` makes it: with the guards of the wire wherever messages leave this process."""
    clock = clock or RunningClock()
    spool = folder / "spool"
    gates = 2
    if provider.caps.simulated:
        return Setup(store, {seed.PROVIDER: provider}, clock, spool, overlaps=True, gates=gates)
    tripwire = Tripwire(folder / TRIPWIRE_FILE, key=store.address_key, now=clock.now, trip=_tripped)
    marker = Marker(store, folder / MARK_FILE)
    return Setup(
        store,
        {seed.PROVIDER: provider},
        clock,
        spool,
        dispatcher=Dispatcher(tripwire),
        marker=marker,
        overlaps=True,
        gates=gates,
    )


def _tripped(why: str) -> None:
    raise AssertionError(f"the tripwire tripped: {why}")


def send_everything(setup: Setup, journey: str = JOURNEY) -> int:
    """One pass over everybody due, as a run does it; returns how many messages were accepted."""
    due_before = setup.clock.now()
    accepted = 0
    for step in due_steps(setup, journey, due_before=due_before):
        for batch in run_batches(setup, step, due_before=due_before):
            accepted += batch.counts().get("accepted", 0)
    return accepted


@dataclass(frozen=True)
class Way:
    """Through which adapter, and over what."""

    name: str
    size: int = 500
    at_once: int = 256
    delay: float = 0.05

    @contextmanager
    def open(self, *, worker: str = "") -> Iterator[tuple[Adapter, Stub | None]]:
        if self.name == "null":
            yield Null(), None
            return
        with running(delay=self.delay if self.name == "single" else 0.0) as stub:
            yield self.adapter(stub, worker=worker), stub

    def adapter(self, stub: Stub, *, worker: str = "") -> Adapter:
        if self.name == "batch":
            return Batched(stub.url, size=self.size, worker=worker)
        return Single(stub.url, at_once=self.at_once, worker=worker)


def check(store: Store, sent: int, *, people: int, taken: int) -> None:
    """Sent, recorded, advanced and taken are one number, and it is the right one."""
    accepted = f"select count(*) from sends where gate_at >= {seed.NOW} and state = 'accepted'"
    with store.engine.connect() as connection:
        recorded = connection.exec_driver_sql(accepted).scalar()
        distinct = connection.exec_driver_sql(
            f"select count(*) from (select distinct enrolment_id from sends where gate_at >= {seed.NOW}) as each_once"
        ).scalar()
        advanced = connection.exec_driver_sql(
            f"select count(*) from enrolments where step_id > 0 and base_at >= {seed.NOW} and id < {seed.PAST}"
        ).scalar()
        connection.rollback()
    counts = {"sent": sent, "recorded": recorded, "distinct": distinct, "advanced": advanced, "taken": taken}
    assert set(counts.values()) == {seed.going(people)}, (counts, seed.going(people))


def measure(kind: places.Kind, people: int, way: Way, *, keep_as: str = "") -> dict[str, Any]:
    """One run on a fresh copy."""
    with (
        places.alone(),
        places.copy_of(kind, *places.people(people), keep_as=keep_as) as (url, folder),
        way.open() as (adapter, stub),
    ):
        store = open_store(places.settings_of(url, folder))
        durability = places.durability(store)
        setup = setup_of(store, adapter, folder)
        server = places.server().get_pid() if kind == "postgresql" else None
        meter = Meter.of(postgresql=server, stub=stub.pid if stub else None)
        warm_up(setup)
        with meter.watching_memory(), meter.section():
            sent = send_everything(setup)
        told = meter.told(people, not_ours=["stub"])
        taken = stub.counts()["messages"] if stub else getattr(adapter, "taken", 0)
        check(store, sent, people=people, taken=taken)
        setup.dispatcher.run(adapter.close())
        store.close()
    return {"what": f"engine {way.name}", "store": kind, "sent": sent, **told, "durability": durability}


def warm_up(setup: Setup) -> None:
    """Import and compile what a worker has long had in memory: who is due, calendars, templates, the dispatcher."""
    for step in due_steps(setup, JOURNEY, due_before=setup.clock.now()):
        with setup.store.reading() as connection:
            for gate_pass in gate_passes(connection, step.version, step.node, mode=setup.mode):
                decide(
                    connection,
                    prepare(gate_pass.of, lock=False),
                    Page(setup.clock.now(), 1),
                    now=setup.clock.now(),
                    lock=False,
                )
    setup.dispatcher.call(next(iter(setup.providers.values())), [])
    keep_what_is_loaded()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", choices=places.KINDS, default="sqlite")
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--way", choices=("null", "batch", "single"), default="null")
    parser.add_argument("--size", type=int, default=500, help="messages per request of `batch`")
    parser.add_argument("--at-once", type=int, default=256, help="connections of `single`")
    parser.add_argument("--delay-ms", type=float, default=50.0, help="of the far end of `single`")
    parser.add_argument("--keep-as", default="", help="keep the store it leaves, for the floors")
    asked = parser.parse_args()
    way = Way(asked.way, asked.size, asked.at_once, asked.delay_ms / 1000)
    print(json.dumps(measure(asked.store, asked.people, way, keep_as=asked.keep_as)))


if __name__ == "__main__":
    main()
