"""How do made-up people get into a store? Straight into its tables, so that tests need no intake."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select

from journeys.words import CHANNEL_BIT, Channel
from recall.store import schema
from tests.oracle.rules import Contact, Person, number

KINDS = ("phone", "email", "push")


def write_people(connection: Connection, people: Sequence[Person]) -> dict[str, int]:
    """Users with addresses, attributes, events and passages; returns users.id by the host's id."""
    zone_id = _ensure_zone(connection)
    ids = {person.user: _insert_user(connection, person, zone_id) for person in people}
    for person in people:
        _insert_attributes(connection, ids[person.user], person)
        _insert_events(connection, ids[person.user], person)
        for passage in person.passages:
            insert_passage(connection, ids[person.user], journey=passage.journey, values=vars(passage))
    return ids


def _ensure_zone(connection: Connection) -> int:
    found = connection.execute(select(schema.zones.c.id).where(schema.zones.c.names == "Asia/Shanghai")).scalar()
    if found is not None:
        return int(found)
    made = connection.execute(schema.zones.insert().values(names="Asia/Shanghai").returning(schema.zones.c.id))
    return int(made.scalar_one())


def _insert_user(connection: Connection, person: Person, zone_id: int) -> int:
    addresses = {
        f"{kind}_id": _insert_address(connection, person.user, kind, contact)
        for kind, contact in person.contacts.items()
    }
    row = schema.users.insert().values(
        user_id=person.user,
        zone_id=zone_id,
        created_at=0,
        jurisdiction=person.jurisdiction,
        suppressed=person.suppressed,
        erased_at=1 if person.erased else None,
        **addresses,
    )
    user_id = int(connection.execute(row.returning(schema.users.c.id)).scalar_one())
    if person.rest_until is not None:
        connection.execute(
            schema.contact_state.insert().values(user_id=user_id, brand="default", rest_until=person.rest_until)
        )
    return user_id


def _insert_address(connection: Connection, user: str, kind: str, contact: Contact) -> int:
    row = schema.addresses.insert().values(
        kind=kind,
        hash=f"hash of {user}",
        opted_out=sum(CHANNEL_BIT[Channel(channel)] for channel in contact.opted_out),
        suppressed=contact.suppressed,
        unreachable="bounced" if contact.unreachable else None,
    )
    return int(connection.execute(row.returning(schema.addresses.c.id)).scalar_one())


def _insert_attributes(connection: Connection, user_id: int, person: Person) -> None:
    rows = [
        {"user_id": user_id, "name": name, "value": value, "number": number(value), "at": None}
        for name, value in person.attributes.items()
    ]
    rows += [
        {"user_id": user_id, "name": name, "value": str(at), "number": None, "at": at}
        for name, at in person.dates.items()
    ]
    if rows:
        connection.execute(schema.user_attributes.insert(), rows)


def _insert_events(connection: Connection, user_id: int, person: Person) -> None:
    for number_, event in enumerate(person.events):
        row = schema.events.insert().values(
            key=event.key or f"{person.user}-{number_}",
            user_id=user_id,
            name=event.name,
            at=event.at,
            properties=None if event.properties is None else json.dumps(dict(event.properties)),
            recorded_at=event.at,
        )
        event_id = connection.execute(row.returning(schema.events.c.id)).scalar_one()
        _note_latest(connection, user_id, event.name, event.at, int(event_id))


def _note_latest(connection: Connection, user_id: int, name: str, at: int, event_id: int) -> None:
    table = schema.user_events
    mine = (table.c.user_id == user_id, table.c.name == name)
    row = connection.execute(select(table).where(*mine)).first()
    if row is None:
        values = {"first_at": at, "last_at": at, "last_event_id": event_id, "times": 1}
        connection.execute(table.insert().values(user_id=user_id, name=name, **values))
        return
    latest = (at, event_id) if at >= row.last_at else (row.last_at, row.last_event_id)
    connection.execute(
        table.update()
        .where(*mine)
        .values(first_at=min(at, row.first_at), last_at=latest[0], last_event_id=latest[1], times=row.times + 1)
    )


def insert_passage(connection: Connection, user_id: int, *, journey: str, values: dict[str, object]) -> int:
    """One enrolment of the user in a journey, which is made when there is none; returns enrolments.id."""
    journey_id, version_id = ensure_journey(connection, journey)
    entered_at = values["entered_at"]
    row = schema.enrolments.insert().values(
        journey_id=journey_id,
        version_id=version_id,
        user_id=user_id,
        entry_key=values.get("entry_key", "now"),
        anchor_at=entered_at,
        entered_at=entered_at,
        active=values.get("ended_at") is None,
        ended_at=values.get("ended_at"),
        end_reason=values.get("end_reason"),
        goal_at=values.get("goal_at"),
        goal_until=entered_at,
        step_id=0,
        due_at=entered_at,
        first_due_at=entered_at,
        base_at=entered_at,
    )
    return int(connection.execute(row.returning(schema.enrolments.c.id)).scalar_one())


def ensure_journey(connection: Connection, name: str) -> tuple[int, int]:
    """(journeys.id, versions.id) of a journey by name; an empty one is made when there is none."""
    journey_id = connection.execute(select(schema.journeys.c.id).where(schema.journeys.c.name == name)).scalar()
    if journey_id is None:
        made = connection.execute(schema.journeys.insert().values(name=name).returning(schema.journeys.c.id))
        journey_id = made.scalar_one()
    of_journey = schema.versions.c.journey_id == journey_id
    version_id = connection.execute(select(schema.versions.c.id).where(of_journey)).scalar()
    if version_id is None:
        row = schema.versions.insert().values(journey_id=journey_id, number=1, hash="x", program="{}", published_at=0)
        version_id = connection.execute(row.returning(schema.versions.c.id)).scalar_one()
    return int(journey_id), int(version_id)


def insert_reactions(connection: Connection, enrolment_id: int, reactions: Iterable[tuple[str, int]]) -> None:
    """Sends of the enrolment that got (reaction, step_id)."""
    for reaction, step_id in reactions:
        connection.execute(
            schema.sends.insert().values(
                ref=f"{enrolment_id}-{step_id}-{reaction}",
                enrolment_id=enrolment_id,
                journey_id=1,
                version_id=1,
                step_id=step_id,
                channel=reaction,  # one row for each, whatever the channel
                user_id=1,
                address_id=0,
                state="accepted",
                provider="outbox",
                gate_at=0,
                body_hash="",
                policy_hash="",
                due_at=0,
                first_due_at=0,
                **{f"{reaction}_at": 1},
            )
        )
