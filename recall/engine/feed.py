"""How do simulated people get into the store? Through the doors real ones use, and each thing they do exactly once.

People of a world are imported like a host's own; later `feed` tells what they did by the virtual now. A happening is
acknowledged only after it was committed, and every door drops what it has seen: a crash between repeats nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from providers import world as worlds
from providers.base import ProviderEvent
from providers.happenings import Happenings
from providers.people import Person
from providers.world import World
from recall.clock import Instant
from recall.engine.setup import Setup
from recall.errors import Misconfigured
from recall.store.connect import Connection, Store
from recall.store.consents import NewConsent, record_consents
from recall.store.events import NewEvent, record_events, source_key
from recall.store.imports import note_source
from recall.store.people import NewAddress, NewUser, upsert_users_in
from recall.store.receipts import Receipt, record_receipts
from recall.store.suppressions import opt_out_address

_PEOPLE_AT_ONCE = 5_000


@dataclass
class Fed:
    """How much a world told; counts only."""

    events: int = 0
    receipts: int = 0
    opt_outs: int = 0

    @property
    def total(self) -> int:
        return self.events + self.receipts + self.opt_outs


def bring_people(store: Store, world: World) -> int:
    """Import everybody of a world with attributes, addresses and consents; returns how many there are."""
    count = 0
    everybody = worlds.people(world.path)
    while some := list(islice(everybody, _PEOPLE_AT_ONCE)):
        with store.writing() as connection:
            upsert_users_in(connection, store, [_user(person) for person in some], world.population.start)
            record_consents(connection, list(_consents(some)))
        count += len(some)
    return count


def _user(person: Person) -> NewUser:
    return NewUser(
        person.user,
        phone=NewAddress(person.phone, region="CN"),
        email=NewAddress(person.email),
        push=NewAddress(person.push_token, subkind="fcm_token" if person.push_token else ""),
        zones=(person.zone,),
        locale=person.locale,
        jurisdiction=person.jurisdiction,
        created_at=person.created_at,
        proved_at=person.proved_at,
        attributes=person.attributes,
    )


def _consents(people: Iterable[Person]) -> Iterable[NewConsent]:
    for person in people:
        for said in person.consents:
            yield NewConsent(
                person.user, said.channel, said.purpose, said.granted, said.at, source="form", wording=said.wording
            )


def feed(setup: Setup, world: World, now: Instant) -> Fed:
    """Bring in what became known by `now`; asked again it brings nothing twice."""
    fed = Fed()
    while happened := world.take_until(now):
        with setup.store.writing() as connection:
            _keep(connection, setup.store, world.name, happened, now)
        world.ack(happened.cursor)
        fed.events += len(happened.events)
        fed.receipts += len(happened.receipts)
        fed.opt_outs += len(happened.opt_outs)
    with setup.store.writing() as connection:
        note_source(connection, world.name, loaded_at=now, as_of=now)
    return fed


def _keep(connection: Connection, store: Store, source: str, happened: Happenings, now: Instant) -> None:
    """Everything of one answer in one transaction."""
    events = [
        NewEvent(source_key(source, each.key), each.user, each.name, each.at, each.properties)
        for each in happened.events
    ]
    recorded = record_events(connection, events, now)
    if recorded.refused:
        raise Misconfigured(
            f"{len(recorded.refused)} events of the world do not fit the people of this store; begin a new simulation"
        )
    record_receipts(connection, (_receipt(source, each) for each in happened.receipts), now=now)
    for stop in happened.opt_outs:
        _opt_out(connection, store, source, stop)


def _receipt(source: str, told: ProviderEvent) -> Receipt:
    return Receipt(source, told.event_id, told.ref, told.kind, told.at, told.detail)


def _opt_out(connection: Connection, store: Store, source: str, stop: ProviderEvent) -> None:
    assert stop.address is not None  # the world tells an opt-out with its address, never with a ref
    opt_out_address(
        connection,
        store,
        kind=stop.address.kind,
        value=stop.address.value,
        channels=[stop.channel] if stop.channel else (),
        source=f"inbound:{source}",
        at=stop.at,
    )
