"""Who are the people, and where can each be reached?

One row per normalised address, shared by everybody who has it; `users` points at the current address of each kind,
`user_addresses` keeps every one a person ever had. What is written is the difference to what is known, so telling
the same twice changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from journeys.durations import local_to_instant
from journeys.words import AddressKind
from recall.clock import Instant, to_instant
from recall.errors import StoreBusy
from recall.store.connect import Store
from recall.store.given import Columns, give
from recall.store.schema import NO_ADDRESS
from recall.store.suppressions import USER, Flags, flags_of

_CHUNK = 5_000  # users per statement
ERASED = "erased"  # reason of the suppression an erasure leaves


@dataclass(frozen=True, slots=True)
class NewAddress:
    """One address in normalised form; "" says that the user has none (any more)."""

    value: str = field(repr=False)  # E.164, lower-case e-mail, push token
    subkind: str = ""  # of push tokens: fcm_token, apns …
    region: str = ""  # ISO 3166, of phones


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
_Address = tuple[str, str]  # kind, value


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
    _link(to, [(known.get(row.user), people[row.user], row) for row in rows])
    touched = _keep_attributes(to, [(people[row.user].id, row.attributes) for row in rows], set(ids.values()))
    changed = ({person.id for _, person in moved} | touched) - set(ids.values())
    _tell_changed(to.connection, changed)
    return Upserted(len(ids), len(changed), len(rows) - len(ids) - len(changed), refused)


def _is_erased(row: NewUser, known: Mapping[str, _Person], flags: Mapping[str, tuple[Flags, bool]]) -> bool:
    """Who asked to be forgotten is not brought back by the next import."""
    person = known.get(row.user)
    return person.erased_at is not None if person else flags.get(row.user, (Flags(), False))[1]


def _read_people(connection: Connection, users: Iterable[str]) -> dict[str, _Person]:
    given = give(connection, "names", {"who": "text"}, [(user,) for user in users])
    columns = ", ".join(f"users.{column}" for column in _Person._fields)
    rows = given.run(connection, f"select {columns} from {{given}} join users on users.user_id = given.who")
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
    addresses: Mapping[_Address, int],
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
        sets = ", ".join(f"{column} = given.{column}" for column in _PERSON if column not in ("id", "user_id"))
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


def _zone_ids(connection: Connection, given: Any) -> dict[tuple[str, ...], int]:
    rows = given.run(connection, "select zones.names, zones.id from {given} join zones on zones.names = given.names")
    return {tuple(row.names.split(",")) if row.names else (): row.id for row in rows}


def _ordered(names: Iterable[str] | None) -> tuple[str, ...]:
    return tuple(sorted(set(names or ())))


# --- addresses --------------------------------------------------------------------------------------------


def _addresses_in(rows: Iterable[NewUser]) -> dict[_Address, tuple[NewAddress, Instant | None]]:
    """Every address the rows name, with its latest stated proof of ownership."""
    wanted: dict[_Address, tuple[NewAddress, Instant | None]] = {}
    for row in rows:
        for kind in _KINDS:
            address: NewAddress | None = getattr(row, kind)
            if address is not None and address.value:
                earlier = wanted.get((kind, address.value), (address, None))[1]
                wanted[kind, address.value] = (address, _later(earlier, row.proved_at))
    return wanted


def _later(one: Instant | None, other: Instant | None) -> Instant | None:
    return max((at for at in (one, other) if at is not None), default=None)


_ADDRESS: Columns = {
    "kind": "text",
    "hash": "text",
    "subkind": "text",
    "value": "text",
    "region": "text",
    "opted_out": "bigint",
    "suppressed": "boolean",
    "proved_at": "bigint",
}


def ensure_addresses(
    connection: Connection, store: Store, wanted: Mapping[_Address, tuple[NewAddress, Instant | None]]
) -> dict[_Address, int]:
    """The id of each address (kind, normalised value); new ones get what was decided about them before they came."""
    if not wanted:
        return {}
    hashes = {(kind, store.hash_address(kind, value)): (kind, value) for kind, value in wanted}
    given = give(connection, "hashes", {"kind": "text", "hash": "text"}, sorted(hashes))
    found = _read_addresses(connection, given)
    new = [which for which in sorted(hashes) if which not in found]
    if new:
        flags = flags_of(connection, new)
        rows = [_address_row(which, wanted[hashes[which]], flags.get(which, Flags())) for which in new]
        _insert_addresses(connection, rows)
        found |= _read_addresses(connection, give(connection, "hashes", {"kind": "text", "hash": "text"}, new))
    _renew(connection, [(found[which], wanted[hashes[which]]) for which in sorted(hashes)])
    return {hashes[which]: row.id for which, row in found.items()}


def _read_addresses(connection: Connection, given: Any) -> dict[tuple[str, str], Any]:
    rows = given.run(
        connection,
        "select a.id, a.kind, a.hash, a.value, a.proved_at"
        " from {given} join addresses a on a.kind = given.kind and a.hash = given.hash",
    )
    return {(row.kind, row.hash): row for row in rows}


def _address_row(which: tuple[str, str], said: tuple[NewAddress, Instant | None], flags: Flags) -> tuple[Any, ...]:
    address, proved_at = said
    return (*which, address.subkind, address.value, address.region, flags.opted_out, flags.suppressed, proved_at)


def _insert_addresses(connection: Connection, rows: list[tuple[Any, ...]]) -> None:
    columns = ", ".join(_ADDRESS)
    give(connection, "addresses", _ADDRESS, rows).run(
        connection,
        f"insert into addresses ({columns}) select {columns} from {{given}} where true order by kind, hash"
        " on conflict (kind, hash) do nothing",
    )


def _renew(connection: Connection, pairs: list[tuple[Any, tuple[NewAddress, Instant | None]]]) -> None:
    """Give a value to rows that were only a hash, and note newer proofs of ownership."""
    rows = [
        (row.id, address.value, address.subkind, address.region, _later(row.proved_at, proved_at))
        for row, (address, proved_at) in pairs
        if row.value is None or (proved_at is not None and (row.proved_at is None or proved_at > row.proved_at))
    ]
    if rows:
        columns = {"id": "bigint", "value": "text", "subkind": "text", "region": "text", "proved_at": "bigint"}
        given = give(connection, "renewed", columns, rows)
        given.run(
            connection,
            "update addresses set value = given.value, subkind = given.subkind, region = given.region,"
            " proved_at = given.proved_at from {given} where addresses.id = given.id",
        )


_LINK: Columns = {"user_id": "bigint", "address_id": "bigint", "since": "bigint"}


def _link(to: _Pass, rows: list[tuple[_Person | None, _Person, NewUser]]) -> None:
    """Keep the history of who had which address, and count a new pair as a proof of ownership."""
    begun, ended = [], []
    for before, after, row in rows:
        for kind in _KINDS:
            old = before.address_id(kind) if before else NO_ADDRESS
            new = after.address_id(kind)
            if new != old:
                begun += [(after.id, new, row.proved_at or to.now)] if new else []
                ended += [(after.id, old, to.now)] if old else []
    if ended:
        give(to.connection, "links", _LINK, sorted(ended)).run(
            to.connection,
            "update user_addresses set until = given.since from {given}"
            " where user_addresses.user_id = given.user_id and user_addresses.address_id = given.address_id",
        )
    if begun:
        _begin_links(to.connection, sorted(set(begun)))


def _begin_links(connection: Connection, begun: list[tuple[int, int, Instant]]) -> None:
    given = give(connection, "links", _LINK, begun)
    given.run(
        connection,
        "insert into user_addresses (user_id, address_id, since)"
        " select user_id, address_id, since from {given} where true"
        " on conflict (user_id, address_id) do update set until = null",
    )
    # Several people may begin to have one address: its proof is the latest.
    proofs = sorted({address_id: since for _, address_id, since in sorted(begun, key=lambda row: row[2])}.items())
    give(connection, "proofs", {"id": "bigint", "at": "bigint"}, proofs).run(
        connection,
        "update addresses set proved_at = given.at from {given}"
        " where addresses.id = given.id and (addresses.proved_at is null or addresses.proved_at < given.at)",
    )


# --- attributes -------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"[+-]?\d{1,15}(\.\d{1,15})?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?", re.ASCII)
_ATTRIBUTE: Columns = {
    "user_id": "bigint",
    "name": "text",
    "value": "text",
    "number": "double precision",
    "at": "bigint",
}


def as_number(value: str) -> float | None:
    """The number a text plainly is (`-12.5`); None for `1,234`, `1e5`, 19-digit ids and the like."""
    return float(value) if _NUMBER.fullmatch(value) else None


def as_instant(value: str, zone: ZoneInfo | None) -> Instant | None:
    """The instant an ISO 8601 text plainly is; without an offset it is meant in `zone`, and without that it is none."""
    if not _DATE.fullmatch(value):
        return None
    try:
        moment = datetime.fromisoformat(value)
        if not 1900 <= moment.year <= 2200:  # 0001 and 9999 stand for "none", and near them a zone overflows
            return None
        if moment.tzinfo is not None:
            return to_instant(moment)
        return local_to_instant(moment, zone) if zone is not None else None
    except ValueError:  # 2026-02-30
        return None


def _keep_attributes(to: _Pass, rows: list[tuple[int, Mapping[str, str]]], new: set[int]) -> set[int]:
    """Write the attributes that differ; returns the users they are of."""
    said = {(user_id, name): value for user_id, attributes in rows for name, value in attributes.items()}
    if not said:
        return set()
    known = _read_attributes(to.connection, {user_id for user_id, _ in said} - new)
    kept = {which: value for which, value in said.items() if value and known.get(which) != value}
    gone = [which for which, value in said.items() if not value and which in known]
    if kept:
        values = [(*which, text, as_number(text), as_instant(text, to.zone)) for which, text in sorted(kept.items())]
        give(to.connection, "attributes", _ATTRIBUTE, values).run(
            to.connection,
            "insert into user_attributes (user_id, name, value, number, at)"
            " select user_id, name, value, number, at from {given} where true on conflict (user_id, name)"
            " do update set value = excluded.value, number = excluded.number, at = excluded.at",
        )
    if gone:
        give(to.connection, "gone", {"user_id": "bigint", "name": "text"}, sorted(gone)).run(
            to.connection,
            "delete from user_attributes where (user_id, name) in (select user_id, name from {given})",
        )
    return {user_id for user_id, _ in kept} | {user_id for user_id, _ in gone}


def _read_attributes(connection: Connection, ids: set[int]) -> dict[tuple[int, str], str]:
    given = give(connection, "ids", {"id": "bigint"}, [(n,) for n in sorted(ids)])
    rows = given.run(
        connection,
        "select a.user_id, a.name, a.value from {given} join user_attributes a on a.user_id = given.id",
    )
    return {(row.user_id, row.name): row.value for row in rows}


def find_user(connection: Connection, user: str) -> int | None:
    """Our id of the host's id; None when there is no such user."""
    found = connection.execute(text("select id from users where user_id = :user"), {"user": user}).scalar()
    return None if found is None else int(found)
