"""What was this person sent before recall came? Past sends warm up caps and the unresponsive rule.

They need no row in the ledger: the last sends of a person, of each of their channels and of their current address
are what the gate reads. Merging keeps moments, so telling the same twice adds nothing; what is older than the sends
remembered already is not remembered either. Everything told counts to caps: leave out channels the policy does not
count. Signs of life are noted by converge, which is told who changed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection

from journeys.words import ADDRESS_OF, AddressKind, Channel
from recall.clock import Instant
from recall.store.connect import Store
from recall.store.given import Columns, give, is_postgresql
from recall.store.schema import CHANNELS, LAST_COUNTED, LAST_PER_CHANNEL, NO_ADDRESS

_CHUNK = 5_000  # rows per statement


class PastSend(NamedTuple):
    """One message somebody sent to a user in the past."""

    user: str  # the host's user id
    channel: str
    at: Instant
    responded_at: Instant | None = None  # when the person reacted to it
    brand: str = "default"


@dataclass(frozen=True)
class Warmed:
    """What became of past sends that were told: added + unchanged + refused = told."""

    added: int = 0
    unchanged: int = 0  # known already, or older than what is remembered
    refused: Mapping[int, str] = field(default_factory=dict)  # place in the rows -> unknown_user | erased_user

    def __add__(self, other: Warmed) -> Warmed:
        return Warmed(self.added + other.added, self.unchanged + other.unchanged, {**self.refused, **other.refused})


@dataclass
class _State:
    """One row of `contact_state` or `addresses`: moments newest first, by prefix of their columns."""

    slots: dict[str, list[Instant]]
    streak: int = 0
    responded_at: Instant | None = None


class _User(NamedTuple):
    id: int
    phone_id: int
    email_id: int
    push_id: int
    erased_at: Instant | None


def warm_contact_state(where: Connection | Store, rows: Sequence[PastSend]) -> Warmed:
    """Remember past sends, in one transaction (the one `where` is in, or one of its own)."""
    if isinstance(where, Store):
        with where.writing() as connection:
            return warm_contact_state(connection, rows)
    warmed = Warmed()
    for start in range(0, len(rows), _CHUNK):
        warmed += _warm(where, rows[start : start + _CHUNK], start)
    return warmed


def _warm(connection: Connection, rows: Sequence[PastSend], start: int) -> Warmed:
    users = _read_users(connection, {row.user for row in rows})
    refused = {n: why for n, row in enumerate(rows, start) if (why := _why_refused(users.get(row.user)))}
    told = [row for n, row in enumerate(rows, start) if n not in refused]
    added = _warm_people(connection, users, told)
    _warm_addresses(connection, users, told)
    return Warmed(added, len(told) - added, refused)


def _why_refused(user: _User | None) -> str:
    if user is None:
        return "unknown_user"
    return "erased_user" if user.erased_at is not None else ""


def _read_users(connection: Connection, names: Iterable[str]) -> dict[str, _User]:
    given = give(connection, "names", {"who": "text"}, [(name,) for name in sorted(names)])
    rows = given.run(
        connection,
        f"select u.user_id, {', '.join(f'u.{column}' for column in _User._fields)}"
        " from {given} join users u on u.user_id = given.who",
    )
    return {row[0]: _User(*row[1:]) for row in rows}


def merge(known: Sequence[Instant], told: Mapping[Instant, int], length: int) -> list[Instant]:
    """The newest moments of both, newest first; a moment counts as often as the side that has it more often says."""
    counts = Counter(known)
    for at, times in told.items():
        counts[at] = max(counts[at], times)
    return sorted(counts.elements(), reverse=True)[:length]


def _added(before: Sequence[Instant], after: Sequence[Instant]) -> list[Instant]:
    return list((Counter(after) - Counter(before)).elements())


# --- people -----------------------------------------------------------------------------------------------

_SLOTS = {"s": LAST_COUNTED} | dict.fromkeys(CHANNELS, LAST_PER_CHANNEL)
_SLOT_COLUMNS = [f"{prefix}{n}" for prefix, length in _SLOTS.items() for n in range(1, length + 1)]
_PERSON: Columns = {
    "user_id": "bigint",
    "brand": "text",
    **dict.fromkeys(_SLOT_COLUMNS, "bigint"),
    "streak": "bigint",
    "responded_at": "bigint",
}


def _warm_people(connection: Connection, users: Mapping[str, _User], rows: Sequence[PastSend]) -> int:
    by_person: dict[tuple[int, str], list[PastSend]] = defaultdict(list)
    for row in rows:
        by_person[users[row.user].id, row.brand].append(row)
    states = _read_states(connection, {user_id for user_id, _ in by_person})
    added, changed = 0, {}
    for person, told in by_person.items():
        before = states.get(person) or _State({prefix: [] for prefix in _SLOTS})
        after, new = _warmed(before, told)
        added += new
        if after != before:
            changed[person] = after
    _write_states(connection, changed)
    return added


def _warmed(before: _State, told: Sequence[PastSend]) -> tuple[_State, int]:
    """The state with these sends in it, and how many of them are remembered now and were not before."""
    slots, new = dict(before.slots), 0
    for channel in {row.channel for row in told}:
        times = dict.fromkeys((row.at for row in told if row.channel == channel), 1)
        slots[channel] = merge(before.slots[channel], times, LAST_PER_CHANNEL)
        new += len(_added(before.slots[channel], slots[channel]))
    of_all_channels = Counter(at for at, _ in {(row.at, row.channel) for row in told})
    slots["s"] = merge(before.slots["s"], of_all_channels, LAST_COUNTED)
    new_of_all = _added(before.slots["s"], slots["s"])
    responses = [row.responded_at for row in told if row.responded_at is not None]
    responded_at = max([*responses, *([before.responded_at] if before.responded_at is not None else [])], default=None)
    streak = before.streak + len([at for at in new_of_all if responded_at is None or at > responded_at])
    if responded_at != before.responded_at and responded_at is not None:
        streak = min(streak, len([at for at in slots["s"] if at > responded_at]))
    return _State(slots, streak, responded_at), max(new, len(new_of_all))


def _read_states(connection: Connection, ids: set[int]) -> dict[tuple[int, str], _State]:
    given = give(connection, "ids", {"id": "bigint"}, [(n,) for n in sorted(ids)])
    # In key order, so that two writers wait for each other instead of deadlocking.
    lock = " for update of s" if is_postgresql(connection) else ""
    rows = given.run(
        connection,
        f"select s.* from {{given}} join contact_state s on s.user_id = given.id order by s.user_id, s.brand{lock}",
    )
    return {(row.user_id, row.brand): _State(_slots(row, _SLOTS), row.streak, row.responded_at) for row in rows}


def _slots(row: Any, prefixes: Mapping[str, int]) -> dict[str, list[Instant]]:
    values = {
        prefix: [getattr(row, f"{prefix}{n}") for n in range(1, length + 1)] for prefix, length in prefixes.items()
    }
    return {prefix: [at for at in moments if at is not None] for prefix, moments in values.items()}


def _filled(slots: Mapping[str, Sequence[Instant]], prefixes: Mapping[str, int]) -> list[Instant | None]:
    return [at for prefix, length in prefixes.items() for at in [*slots[prefix], *[None] * length][:length]]


def _write_states(connection: Connection, states: Mapping[tuple[int, str], _State]) -> None:
    if not states:
        return
    rows = [
        (*key, *_filled(state.slots, _SLOTS), state.streak, state.responded_at) for key, state in sorted(states.items())
    ]
    given = give(connection, "contact_state", _PERSON, rows)
    columns = ", ".join(_PERSON)
    sets = ", ".join(f"{column} = excluded.{column}" for column in _PERSON if column not in ("user_id", "brand"))
    given.run(
        connection,
        f"insert into contact_state ({columns}) select {columns} from {{given}} where true"
        f" order by user_id, brand on conflict (user_id, brand) do update set {sets}",
    )
    given.run(connection, "insert into changed_users (user_id) select distinct user_id from {given}")


# --- addresses --------------------------------------------------------------------------------------------

_ADDRESS_SLOTS = {"s": LAST_COUNTED, "m": LAST_PER_CHANNEL, "c": LAST_PER_CHANNEL}
_ADDRESS: Columns = {
    "id": "bigint",
    **{f"{prefix}{n}": "bigint" for prefix, length in _ADDRESS_SLOTS.items() for n in range(1, length + 1)},
}


def _warm_addresses(connection: Connection, users: Mapping[str, _User], rows: Sequence[PastSend]) -> None:
    """Count the sends to the address the user has now: where they really went is not told."""
    told: dict[int, set[tuple[str, str, Instant]]] = defaultdict(set)
    for row in rows:
        address_id = _address_of(users[row.user], Channel(row.channel))
        if address_id != NO_ADDRESS:
            told[address_id].add((row.user, row.channel, row.at))
    before = _read_addresses(connection, set(told))
    after = {address_id: _address_warmed(slots, told[address_id]) for address_id, slots in before.items()}
    changed = [(n, *_filled(after[n], _ADDRESS_SLOTS)) for n in sorted(after) if after[n] != before[n]]
    if changed:
        sets = ", ".join(f"{column} = given.{column}" for column in _ADDRESS if column != "id")
        given = give(connection, "address_slots", _ADDRESS, changed)
        given.run(connection, f"update addresses set {sets} from {{given}} where addresses.id = given.id")


def _address_of(user: _User, channel: Channel) -> int:
    kind = ADDRESS_OF[channel]
    return NO_ADDRESS if kind is AddressKind.NONE else int(getattr(user, f"{kind.value}_id"))


def _read_addresses(connection: Connection, ids: set[int]) -> dict[int, dict[str, list[Instant]]]:
    given = give(connection, "ids", {"id": "bigint"}, [(n,) for n in sorted(ids)])
    lock = " for update of a" if is_postgresql(connection) else ""
    rows = given.run(
        connection,
        f"select {', '.join(f'a.{column}' for column in _ADDRESS)} from {{given}}"
        f" join addresses a on a.id = given.id order by a.id{lock}",
    )
    return {row.id: _slots(row, _ADDRESS_SLOTS) for row in rows}


def _address_warmed(
    before: Mapping[str, list[Instant]], told: Iterable[tuple[str, str, Instant]]
) -> dict[str, list[Instant]]:
    of_prefix: dict[str, Counter[Instant]] = {"s": Counter(), "m": Counter(), "c": Counter()}
    for _, channel, at in told:
        of_prefix["s"][at] += 1
        of_prefix["c" if channel == Channel.CALL.value else "m"][at] += 1
    return {prefix: merge(before[prefix], of_prefix[prefix], length) for prefix, length in _ADDRESS_SLOTS.items()}
