"""What would people do? Simulated people who get the messages, answer, come back, or say stop.

    populate(path, n=2000, seed=1, start=now, days=90)     make them, with their history
    people(path)                                           what the host knows about each
    World(path, clock=clock).send(batch)                   they receive, and react
    world.take_until(now) … world.ack(cursor)              what they did: events, receipts, opt-outs
    truth(path)                                            what they would have done without any message

Chance hangs on the seed, the person and the number of the message: neither refs, nor batches, nor processes,
nor their order change what anybody does.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from journeys.words import Cause, Outcome
from providers import world_file
from providers.accepted import Accepted
from providers.base import (
    Capabilities,
    Check,
    InDoubt,
    Lookup,
    Outbound,
    Preflight,
    ProviderEvent,
    RawRequest,
    SendResult,
)
from providers.faults import Fail, Fault, answer, fault_from, fault_now
from providers.happenings import Cursor, Event, Happenings, Truth
from providers.life import live
from providers.nature import DEFAULT_SCALE, STAGES, Stage
from providers.people import Person, Population, nature_of, person_of
from providers.world_desk import Desk, Mishaps, mishaps_from
from providers.world_file import transaction, world_open
from providers.world_rows import Row, event_rows, provider_event_from
from recall.clock import SECOND, Clock, Instant
from recall.errors import ChannelDown, Misconfigured, WebhookRejected
from recall.settings import Settings

AUTHORITATIVE_AFTER_SECONDS = 30
_BATCH = 1000  # people written per transaction


def populate(
    path: Path,
    *,
    n: int,
    seed: int,
    start: Instant,
    days: float,
    scale: float = DEFAULT_SCALE,
    stages: Mapping[Stage, float] | None = None,
) -> Population:
    """Make a world of `n` people, each with a past and with the future they have if nobody writes to them."""
    if n < 0 or days <= 0 or scale < 0:
        raise Misconfigured("a world needs n >= 0 people, days > 0 and scale >= 0")
    if start % SECOND:
        raise Misconfigured("a world starts on a whole second")
    shares = stages or {stage: shape.share for stage, shape in STAGES.items()}
    population = Population(n=n, seed=seed, start=start, days=days, scale=scale, stages=shares)
    if path.exists():
        raise Misconfigured(f"{path.name} exists: delete it first if that world is over")
    draft = path.with_name(f"{path.name}.draft")  # becomes the world when it is whole
    world_file.create(draft, population)
    with world_open(draft) as connection:
        numbers = iter(range(n))
        while batch := list(islice(numbers, _BATCH)):
            with transaction(connection):
                _settle_people(connection, population, batch)
    draft.replace(path)
    return population


def people(path: Path) -> Iterator[Person]:
    """What the host knows about each person."""
    with world_open(path) as connection:
        for person, _, _ in world_file.all_people(connection, world_file.population_of(connection).seed):
            yield person


def truth(path: Path) -> Iterator[Truth]:
    """For each person what they do, given the messages up to now, and what they would have done without."""
    with world_open(path) as connection:
        population = world_file.population_of(connection)
        kicks = world_file.kicks_of_all(connection)
        for person, nature, _ in world_file.all_people(connection, population.seed):
            untreated = live(nature, until=population.until).first(since=nature.enters_at)
            actual = untreated
            if person.user in kicks:
                actual = live(nature, kicks[person.user], until=population.until).first(since=nature.enters_at)
            yield Truth(person.user, nature.stage, nature.silent_since, nature.enters_at, untreated, actual)


def accepted_log(path: Path) -> Iterator[Accepted]:
    """Every accepted request, in the order taken."""
    with world_open(path) as connection:
        yield from world_file.accepted_rows(connection)


def make(name: str, settings: Settings, clock: Clock, options: Mapping[str, str]) -> World:
    """Open the world of these settings."""
    path = Path(settings.world_url) if settings.world_url else settings.var_dir / "world.db"
    rates = {key: value for key, value in options.items() if key in Mishaps.model_fields}
    rest = {key: value for key, value in options.items() if key not in rates}
    return World(path, clock=clock, fault=fault_from(rest), mishaps=mishaps_from(rates), name=name)


class World:
    """Takes messages of every channel for the people of one world file."""

    caps = Capabilities(
        max_batch=1000,
        reconcile=Lookup.LOOKUP,
        authoritative_after_seconds=AUTHORITATIVE_AFTER_SECONDS,
        reports_delivery=True,
        reports_open=True,
        simulated=True,
    )

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        fault: Fault | None = None,
        mishaps: Mishaps | None = None,
        name: str = "world",
    ) -> None:
        self.name = name
        self.path = path
        self.folder = path.parent / name  # of the switch file
        self._clock = clock
        self._options = fault or Fault()
        self._mishaps = mishaps or Mishaps()
        with world_open(path) as connection:
            self.population = world_file.population_of(connection)

    async def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        """Hand messages to people; see `providers.faults` and `Mishaps` for what can be made to fail."""
        fault = fault_now(self.folder, self._options)
        async for result in answer(batch, fault=fault, take=self._take):
            yield result

    async def reconcile(self, items: Sequence[InDoubt]) -> list[SendResult]:
        """Look the refs up: found means accepted; absent means not sent, once no request can be under way."""
        with world_open(self.path) as connection:
            found = world_file.accepted_refs(connection, [item.ref for item in items])
        settled_before = self._clock.now() - AUTHORITATIVE_AFTER_SECONDS * SECOND
        results = []
        for item in items:
            if item.ref in found:
                results.append(SendResult(item.ref, Outcome.ACCEPTED, provider_id=found[item.ref]))
            elif item.gate_at <= settled_before:
                results.append(SendResult(item.ref, Outcome.NOT_SENT, Cause.CONNECT, code="not_in_log"))
        return results

    def read_events(self, request: RawRequest) -> list[ProviderEvent]:
        """People of this world are asked with `take_until`."""
        raise WebhookRejected(f"{self.name} takes no webhooks")

    async def preflight(self) -> Preflight:
        try:
            fault = fault_now(self.folder, self._options)
            with world_open(self.path) as connection:
                connection.execute("select 1 from people limit 1").fetchone()
        except (ChannelDown, Misconfigured, sqlite3.Error) as error:
            return Preflight((Check("world", False, f"the world cannot be read ({type(error).__name__})"),))
        if fault.fail is Fail.CONFIG:
            return Preflight((Check("account", False, "switched off by a fault; remove fault.json"),))
        return Preflight((Check("world", True, f"{self.population.n} simulated people, nothing leaves this machine"),))

    async def close(self) -> None:
        """Nothing is held open between requests."""

    def take_until(self, now: Instant, limit: int = 10_000) -> Happenings:
        """What became known by now and was not acknowledged yet."""
        with world_open(self.path) as connection:
            world_file.set_taken_until(connection, now)
            due = world_file.happenings_due(connection, now, limit)
            users = [row[3] for _, row in due if row[2] == "opt_out"]
            known = world_file.people_by_user(connection, users, self.population.seed)
        opt_outs = [row for _, row in due if row[2] == "opt_out"]
        return Happenings(
            events=tuple(_event(row) for _, row in due if row[2] == "event"),
            receipts=tuple(provider_event_from(row, None) for _, row in due if row[2] == "receipt"),
            opt_outs=tuple(provider_event_from(row, known[row[3]][0].address(row[5])) for row in opt_outs),
            cursor=tuple(number for number, _ in due),
        )

    def ack(self, cursor: Cursor) -> None:
        """These happenings are kept; never tell them again."""
        with world_open(self.path) as connection:
            world_file.acknowledge(connection, cursor)

    def next_at(self) -> Instant | None:
        """When the next thing becomes known; None if nothing is to come."""
        with world_open(self.path) as connection:
            return world_file.next_happening_at(connection)

    def _take(self, batch: list[Outbound]) -> list[SendResult]:
        """One durable transaction; an error before it begins is known not sent, any later one is in doubt."""
        has_begun = False
        try:
            with world_open(self.path) as connection, transaction(connection):
                has_begun = True
                desk = Desk(connection, self.population, self._mishaps, now=self._clock.now(), name=self.name)
                return desk.take(batch)
        except (sqlite3.Error, Misconfigured) as error:
            code = type(error).__name__
            if has_begun:
                return [SendResult(message.ref, Outcome.IN_DOUBT, code=code) for message in batch]
            return [SendResult(message.ref, Outcome.NOT_SENT, Cause.CONNECT, code=code) for message in batch]


def _settle_people(connection: sqlite3.Connection, population: Population, numbers: Sequence[int]) -> None:
    made = []
    for number in numbers:
        nature = nature_of(population, number)
        life = live(nature, until=population.until)
        made.append((person_of(nature, number, created_at=min(deed.at for deed in life.deeds)), nature))
        world_file.add_happenings(connection, event_rows(nature.user, life))
    world_file.add_people(connection, made)


def _event(row: Row) -> Event:
    at, key, _, user, _, _, name, detail = row
    return Event(key, user, name, at, json.loads(detail))
