"""Who are the people? `users` points at the current address of each kind; what else is known is in attributes.

What is written is the difference to what is known, so telling the same twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from journeys.words import AddressKind
from recall.clock import Instant
from recall.errors import StoreBusy
from recall.store.address_book import Move, Which, ensure_addresses, keep_links, later
from recall.store.address_book import NewAddress as NewAddress  # the door for both
from recall.store.attributes import keep_attributes
from recall.store.connect import Store
from recall.store.given import Columns, Given, give, is_postgresql
from recall.store.schema import NO_ADDRESS
from recall.store.suppression_flags import USER, Flags, flags_of

_CHUNK = 5_000  # users per statement
ERASED = "erased"  # reason of the suppression an erasure leaves


@dataclass(frozen=True, slots=True)
class NewUser:
    """What a source says about one user; None leaves what is known."""

    user: str  # the host's id
    phone: NewAddress | None = None
    email: NewAddress | None = None
    push: NewAddress | None = None
    zones: tuple[str, ...] | None = None  # IANA names; several are candidates, none means nobody knows
    zones_from: Literal["stated", "phone", "default"] = "stated"  # a phone's follow the phone, a default fills a gap
    locale: str | None = None
    jurisdiction: str | None = None
    is_test: bool | None = None
    created_at: Instant | None = None
    proved_at: Instant | None = None  # when the addresses were last proved to be this user's
    attributes: Mapping[str, str] = field(default_factory=dict, repr=False)  # "" takes an attribute away


@dataclass(frozen=True)
class Upserted:
    """What became of users that were told: added + changed + unchanged + refused = told."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: Mapping[int, str] = field(default_factory=dict)  # place in the rows -> erased_user

    def __add__(self, other: Upserted) -> Upserted:
        return Upserted(
            self.added + other.added,
            self.changed + other.changed,
            self.unchanged + other.unchanged,
            {**self.refused, **other.refused},
        )


class _Person(NamedTuple):
    """One row of `users`, in the order of `_PERSON`."""

    id: int
    user_id: str
    zone_id: int
    locale: str
    jurisdiction: str
    phone_id: int
    email_id: int
    push_id: int
    suppressed: bool
    is_test: bool
    created_at: Instant
    erased_at: Instant | None

    def address_id(self, kind: str) -> int:
        return int(getattr(self, f"{kind}_id"))


_PERSON: Columns = {
    "id": "bigint",
    "user_id": "text",
    "zone_id": "bigint",
    "locale": "text",
    "jurisdiction": "text",
    "phone_id": "bigint",
    "email_id": "bigint",
    "push_id": "bigint",
    "suppressed": "boolean",
    "is_test": "boolean",
    "created_at": "bigint",
}
_KINDS = tuple(kind.value for kind in (AddressKind.PHONE, AddressKind.EMAIL, AddressKind.PUSH))


def upsert_users(store: Store, rows: Sequence[NewUser], now: Instant, *, zone: ZoneInfo | None = None) -> Upserted:
    """Add and change users in one transaction. `zone` is where dates without a zone are meant (attributes)."""
    with store.writing() as connection:
        return upsert_users_in(connection, store, rows, now, zone=zone)


def upsert_users_in(
    connection: Connection, store: Store, rows: Sequence[NewUser], now: Instant, *, zone: ZoneInfo | None = None
) -> Upserted:
    """The same inside a transaction the caller holds. The last row about a user wins."""
    upserted = Upserted()
    for start, chunk in _chunks(rows):
        upserted += _upsert(_Pass(connection, store, now, zone), chunk, start)
    return upserted


def _chunks(rows: Sequence[NewUser]) -> Iterator[tuple[int, Sequence[NewUser]]]:
    """Runs of rows in which no user comes twice, each with the place of its first row."""
    start, seen = 0, set[str]()
    for n, row in enumerate(rows):
        if n - start == _CHUNK or row.user in seen:
            yield start, rows[start:n]
            start, seen = n, set()
        seen.add(row.user)
    if start < len(rows):
        yield start, rows[start:]


@dataclass(frozen=True)
class _Pass:
    """What one chunk is written with."""

    connection: Connection
    store: Store
    now: Instant
    zone: ZoneInfo | None


def _upsert(to: _Pass, rows: Sequence[NewUser], start: int) -> Upserted:
    known = _read_people(to.connection, [row.user for row in rows])
    flags = _flags_of_unknown(to, [row.user for row in rows if row.user not in known])
    refused = {n: "erased_user" for n, row in enumerate(rows, start) if _is_erased(row, known, flags)}
    rows = [row for n, row in enumerate(rows, start) if n not in refused]
    addresses = ensure_addresses(to.connection, to.store, _addresses_in(rows))
    zones = ensure_zones(to.connection, {row.zones for row in rows if row.zones is not None} | {()})
    target = {row.user: _target(to, row, known.get(row.user), addresses, zones, flags) for row in rows}
    ids = _insert(to.connection, [person for user, person in target.items() if user not in known])
    moved = [(known[user], person) for user, person in target.items() if user in known and person != known[user]]
    _update(to.connection, [person for _, person in moved])
    people = {user: person._replace(id=ids.get(user, person.id)) for user, person in target.items()}
    moves = (_moves(known.get(row.user), people[row.user], row, to.now) for row in rows)
    keep_links(to.connection, chain.from_iterable(moves), now=to.now)
    new = set(ids.values())
    said = [(people[row.user].id, row.attributes) for row in rows]
    touched = keep_attributes(to.connection, said, new=new, zone=to.zone)
    changed = ({person.id for _, person in moved} | touched) - new
    _tell_changed(to.connection, changed)
    return Upserted(len(ids), len(changed), len(rows) - len(ids) - len(changed), refused)


def _is_erased(row: NewUser, known: Mapping[str, _Person], flags: Mapping[str, tuple[Flags, bool]]) -> bool:
    """Who asked to be forgotten is not brought back by the next import."""
    person = known.get(row.user)
    return person.erased_at is not None if person else flags.get(row.user, (Flags(), False))[1]


def _read_people(connection: Connection, users: Iterable[str]) -> dict[str, _Person]:
    given = give(connection, "names", {"who": "text"}, [(user,) for user in users])
    columns = ", ".join(f"users.{column}" for column in _Person._fields)
    # Locked, so that an erasure or a suppression meanwhile is not undone by what is written from this.
    lock = " order by users.id for no key update of users" if is_postgresql(connection) else ""
    rows = given.run(connection, f"select {columns} from {{given}} join users on users.user_id = given.who{lock}")
    people = (_Person(*row) for row in rows)
    # SQLite answers 0 and 1.
    return {p.user_id: p._replace(suppressed=bool(p.suppressed), is_test=bool(p.is_test)) for p in people}


def ids_of(connection: Connection, users: Iterable[str]) -> dict[str, int]:
    """Our id of each of the host's ids that is known and not erased."""
    given = give(connection, "names", {"who": "text"}, [(user,) for user in set(users)])
    rows = given.run(
        connection,
        "select users.user_id, users.id from {given} join users on users.user_id = given.who"
        " where users.erased_at is null",
    )
    return {row.user_id: row.id for row in rows}


def _flags_of_unknown(to: _Pass, users: list[str]) -> dict[str, tuple[Flags, bool]]:
    """What was decided about users before they came: (flags, asked to be forgotten)."""
    hashes = {(USER, to.store.hash_address(USER, user)): user for user in users}
    flags = flags_of(to.connection, hashes)
    if not flags:
        return {}
    given = give(to.connection, "hashes", {"kind": "text", "hash": "text"}, sorted(flags))
    erased = given.run(
        to.connection,
        "select s.kind, s.hash from {given} join suppressions s on s.hash = given.hash and s.kind = given.kind"
        " where s.ended_at is null and s.reason = :erased",
        erased=ERASED,
    )
    forgotten = {(row.kind, row.hash) for row in erased}
    return {hashes[which]: (said, which in forgotten) for which, said in flags.items()}


def _target(
    to: _Pass,
    row: NewUser,
    known: _Person | None,
    addresses: Mapping[Which, int],
    zones: Mapping[tuple[str, ...], int],
    flags: Mapping[str, tuple[Flags, bool]],
) -> _Person:
    """The row of `users` as it should be."""
    suppressed = flags[row.user][0].suppressed if row.user in flags else False
    person = known or _Person(0, row.user, zones[()], "", "", 0, 0, 0, suppressed, False, to.now, None)
    moved = {
        f"{kind}_id": addresses.get((kind, address.value), NO_ADDRESS)
        for kind in _KINDS
        if (address := getattr(row, kind)) is not None
    }
    stated = {
        "locale": row.locale,
        "jurisdiction": row.jurisdiction,
        "is_test": row.is_test,
        "created_at": row.created_at,
    }
    changes: dict[str, Any] = moved | {name: value for name, value in stated.items() if value is not None}
    if _zones_count(row, person, moved.get("phone_id", person.phone_id), zones[()]):
        changes["zone_id"] = zones[_ordered(row.zones)]
    return person._replace(**changes)


def _zones_count(row: NewUser, person: _Person, phone_id: int, nowhere: int) -> bool:
    if row.zones is None:
        return False
    if row.zones_from == "stated" or person.zone_id == nowhere:
        return True
    return row.zones_from == "phone" and phone_id != person.phone_id


def _insert(connection: Connection, people: list[_Person]) -> dict[str, int]:
    """Add users; returns their ids. Raises StoreBusy when somebody else added one of them meanwhile."""
    if not people:
        return {}
    columns = [column for column in _PERSON if column != "id"]
    given = give(connection, "people", _PERSON, [person[: len(_PERSON)] for person in people])
    rows = given.run(
        connection,
        f"insert into users ({', '.join(columns)}) select {', '.join(columns)} from {{given}} where true"
        " order by user_id on conflict (user_id) do nothing returning user_id, id",
    )
    ids = {row.user_id: row.id for row in rows}
    if len(ids) < len(people):
        raise StoreBusy("somebody else is adding the same users; run it again")
    return ids


def _update(connection: Connection, people: list[_Person]) -> None:
    if people:
        kept = ("id", "user_id", "suppressed")
        sets = ", ".join(f"{column} = given.{column}" for column in _PERSON if column not in kept)
        rows = sorted(person[: len(_PERSON)] for person in people)
        given = give(connection, "people", _PERSON, rows)
        given.run(connection, f"update users set {sets} from {{given}} where users.id = given.id")


def _tell_changed(connection: Connection, ids: set[int]) -> None:
    if ids:
        given = give(connection, "changed", {"id": "bigint"}, [(n,) for n in sorted(ids)])
        given.run(connection, "insert into changed_users (user_id) select id from {given}")


# --- zones ------------------------------------------------------------------------------------------------


def ensure_zones(connection: Connection, sets: Iterable[tuple[str, ...] | None]) -> dict[tuple[str, ...], int]:
    """The id of each set of zones (names in order); sets that are new get one."""
    wanted = sorted({",".join(_ordered(names)) for names in sets})
    given = give(connection, "zones", {"names": "text"}, [(names,) for names in wanted])
    ids = _zone_ids(connection, given)
    if len(ids) < len(wanted):
        given.run(connection, "insert into zones (names) select names from {given} where true on conflict do nothing")
        ids = _zone_ids(connection, given)
    return ids


def _zone_ids(connection: Connection, given: Given) -> dict[tuple[str, ...], int]:
    rows = given.run(connection, "select zones.names, zones.id from {given} join zones on zones.names = given.names")
    return {tuple(row.names.split(",")) if row.names else (): row.id for row in rows}


def _ordered(names: Iterable[str] | None) -> tuple[str, ...]:
    return tuple(sorted(set(names or ())))


# --- their addresses ----------------------------------------------------------------------------------------


def _addresses_in(rows: Iterable[NewUser]) -> dict[Which, tuple[NewAddress, Instant | None]]:
    """Every address the rows name, with its latest stated proof of ownership."""
    wanted: dict[Which, tuple[NewAddress, Instant | None]] = {}
    for row in rows:
        for kind in _KINDS:
            address: NewAddress | None = getattr(row, kind)
            if address is not None and address.value:
                earlier = wanted.get((kind, address.value), (address, None))[1]
                wanted[kind, address.value] = (address, later(earlier, row.proved_at))
    return wanted


def _moves(before: _Person | None, after: _Person, row: NewUser, now: Instant) -> Iterator[Move]:
    for kind in _KINDS:
        old = before.address_id(kind) if before else NO_ADDRESS
        new = after.address_id(kind)
        if new != old:
            yield Move(after.id, old, new, row.proved_at or now)


def find_user(connection: Connection, user: str) -> int | None:
    """Our id of the host's id; None when there is no such user."""
    found = connection.execute(text("select id from users where user_id = :user"), {"user": user}).scalar()
    return None if found is None else int(found)
