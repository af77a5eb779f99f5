"""On what does a scripted crash happen? One prepared store of each kind, copied for each case, and a provider far away.

The provider's side survives every crash: what it took is its own log, the oracle of all cases.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from journeys.words import Outcome
from providers.accepted import Accepted, accept
from providers.base import Capabilities, InDoubt, Lookup, Outbound, Preflight, ProviderEvent, RawRequest, SendResult
from recall.clock import FixedClock, Instant
from recall.engine.dispatch import Dispatcher
from recall.engine.setup import Setup
from recall.errors import Transient
from recall.store import schema
from recall.store.connect import Store
from tests.engine.conftest import Scene
from tests.faults import stores
from tests.faults.counted import count_statements
from tests.faults.moments import MOMENTS

NOW = 1_772_416_800_000_000  # Monday 2026-03-02, 10:00 in Shanghai
KEY = b"a key that is only used in tests"
STORES = ("sqlite", "postgresql")


# --- the provider --------------------------------------------------------------------------------------------------


@dataclass
class Far:
    """What the provider has in its own books."""

    clock: FixedClock
    taken: list[Accepted] = field(default_factory=list)

    def take(self, message: Outbound) -> None:
        self.taken.append(accept(message, at=self.clock.now(), provider_id=f"far-{len(self.taken)}"))

    def refs(self) -> set[str]:
        return {row.ref for row in self.taken}


class Near:
    """Our side of it: an adapter that can be lost before, within and after its one request per chunk."""

    name = "outbox"

    def __init__(self, far: Far, *, is_real: bool = False, answer: Callable[[Outbound], SendResult] | None = None):
        self._far, self._answer = far, answer
        self.caps = Capabilities(
            max_batch=1000, reconcile=Lookup.LOOKUP, authoritative_after_seconds=60, simulated=not is_real
        )

    async def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        MOMENTS.reach("request", is_refused=_refused)
        for n, message in enumerate(batch):
            if n:
                MOMENTS.reach("request", is_reset=ConnectionResetError, times_out=TimeoutError)
            if self._answer is None:
                self._far.take(message)
        MOMENTS.reach("request", is_reset=ConnectionResetError, times_out=TimeoutError)
        for message in batch:
            yield self._answer(message) if self._answer else SendResult(message.ref, Outcome.ACCEPTED)
            MOMENTS.reach("request", is_reset=ConnectionResetError, times_out=TimeoutError)

    async def reconcile(self, items: Sequence[InDoubt]) -> list[SendResult]:
        MOMENTS.reach("request", is_refused=_refused, times_out=_timed_out)
        known = self._far.refs()
        found = [SendResult(each.ref, Outcome.ACCEPTED if each.ref in known else Outcome.NOT_SENT) for each in items]
        MOMENTS.reach("request", is_reset=_timed_out)
        return found

    def read_events(self, request: RawRequest) -> list[ProviderEvent]:
        return []

    async def preflight(self) -> Preflight:
        return Preflight()

    async def close(self) -> None:
        return None


def _refused() -> Exception:
    return Transient("no route to the provider")


def _timed_out() -> Exception:
    return Transient("the lookup does not answer")


def lose(message: Outbound) -> SendResult:
    return SendResult(message.ref, Outcome.IN_DOUBT, code="timeout")


class Here(Dispatcher):
    """Calls providers in the thread that asks: a process that dies there dies whole."""

    def run(self, work: Any) -> Any:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(work)

    def close(self) -> None:
        if self._loop is not None:
            self._loop.close()
            self._loop = None


# --- the store and what stands beside it ---------------------------------------------------------------------------


@dataclass
class Site:
    """Where processes come and go: a store, a folder, a clock, the provider; and what a script remembers."""

    store: str
    folder: Path
    far: Far
    clock: FixedClock
    memory: dict[str, Any] = field(default_factory=dict)  # of one case
    shared: dict[str, Any] = field(default_factory=dict)  # of all cases of a script
    refs: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def now(self) -> Instant:
        return self.clock.instant

    @contextmanager
    def process(self, **how: Any) -> Iterator[Scene]:
        """One process: everything it holds is thrown away at its end, however it comes."""
        store, dispatcher = Store(_engine(self.store).engine, KEY), Here()
        provider = how.pop("provider", None) or Near(self.far)
        setup = Setup(
            store,
            {provider.name: provider},
            self.clock,
            self.folder / "spool",
            dispatcher=dispatcher,
            refs=lambda count: [f"{next(self.refs):024x}" for _ in range(count)],
            **how,
        )
        try:
            yield Scene(store, self.clock, setup, self.folder / "outbox")
        finally:
            MOMENTS.bury()
            dispatcher.close()
            store.close()


@cache
def _engine(store: str) -> Any:
    shared = stores._postgresql() if store == "postgresql" else stores._sqlite()
    count_statements(shared.engine)
    return shared


class Ground:
    """A prepared site, and copies of it."""

    def __init__(self, store: str, folder: Path, prepare: Callable[[Site], None]) -> None:
        self._folder, self._prepared = folder, folder / "prepared"
        self._prepared.mkdir(parents=True)
        self._place: _Database | _File = _Database() if store == "postgresql" else _File()
        self._place.begin(self._prepared)
        clock = FixedClock(NOW)
        self.site = Site(store, self._prepared, Far(clock), clock)
        prepare(self.site)
        self._place.keep()
        self._taken = copy.deepcopy(self.site.far.taken)

    def copy(self) -> Site:
        """The prepared site as it was, in a folder of its own."""
        folder, made = self._folder / "case", self.site
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._prepared, folder)
        self._place.put_back(folder)
        clock = FixedClock(made.now)
        refs = itertools.count(1_000_000)
        return Site(made.store, folder, Far(clock, copy.copy(self._taken)), clock, {}, made.shared, refs)

    def close(self) -> None:
        self._place.end()
        shutil.rmtree(self._folder, ignore_errors=True)


class _File:
    """A SQLite store: copied with its folder."""

    def begin(self, folder: Path) -> None:
        shutil.copy(stores._template(), folder / "recall.db")
        self.put_back(folder)

    def keep(self) -> None:
        return None

    def put_back(self, folder: Path) -> None:
        _engine("sqlite").place = str(folder / "recall.db")

    def end(self) -> None:
        return None


class _Database:
    """A PostgreSQL store: one database, whose rows are put back for each case, which takes no new files."""

    def begin(self, _folder: Path) -> None:
        self._open = stores._new_database(stores._server())
        url = self._open.__enter__()
        _engine("postgresql").place = make_url(url).database
        self._connection: Any = psycopg.connect(url)
        self._tables = [table.name for table in schema.metadata.sorted_tables]

    def keep(self) -> None:
        ask = self._connection.execute
        ask("create schema kept")
        for name in self._tables:
            ask(f"create table kept.{name} as table public.{name}")
        found = ask("select sequencename, last_value from pg_sequences where schemaname = 'public'")
        back = [f"select setval('{name}', {last or 1}, {'true' if last else 'false'})" for name, last in found]
        back += [f"delete from {name}; insert into {name} select * from kept.{name}" for name in self._tables]
        self._back = ";".join(["set local session_replication_role = replica", *back])
        self._connection.commit()

    def put_back(self, _folder: Path) -> None:
        self._connection.execute(self._back)
        self._connection.commit()

    def end(self) -> None:
        self._connection.close()
        self._open.__exit__(None, None, None)
