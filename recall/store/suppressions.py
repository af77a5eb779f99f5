"""Who must never be messaged again, or not on this channel?

A suppression is kept as a hash, so it outlives the person and also binds addresses nobody has yet. It binds the
*address*, and so every user who has it; `suppression_flags` carries it to where the gate reads it.
A person's opt-out is one row per channel; a suppression by anybody else is one row for every channel ("").
The two never overwrite each other, so lifting the one leaves the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, text

from journeys.words import Channel
from recall.clock import Instant
from recall.store.connect import Store, write_fact
from recall.store.given import give
from recall.store.schema import NO_ADDRESS
from recall.store.suppression_flags import OPT_OUTS as OPT_OUTS
from recall.store.suppression_flags import USER as USER
from recall.store.suppression_flags import bind_flags, channels_of

DECLARED = "suppressions_declared"
ALL = frozenset(Channel)

_Key = tuple[str, str, str, str]  # brand, kind, hash, channel


@dataclass(frozen=True)
class NewSuppression:
    """One decision that somebody must not be messaged."""

    kind: str  # phone | email | push | user
    hash: str  # Store.hash_address(kind, value)
    at: Instant
    reason: str = "suppressed"
    channel: str = ""  # "" = every channel
    source: str = ""
    until: Instant | None = None  # a pause chosen by the person; None = for good
    brand: str = "default"

    @property
    def key(self) -> _Key:
        return (self.brand, self.kind, self.hash, self.channel)


# --- saying stop ------------------------------------------------------------------------------------------


def opt_out_address(
    connection: Connection,
    store: Store | None,
    *,
    kind: str = "",
    value: str = "",
    address_id: int | None = None,
    channels: Collection[Channel] = ALL,
    reason: str = "opted_out",
    source: str = "",
    at: Instant,
    until: Instant | None = None,
    brand: str = "default",
) -> bool:
    """The person behind an address (normalised value, or id) said stop; False when all of it was known already."""
    found = _address(connection, store, kind, value, address_id)
    if found is None:
        return False
    new = NewSuppression(found[0], found[1], at, reason=reason, source=source, until=until, brand=brand)
    return any(suppress_many(connection, opt_outs(new, channels)))


def opt_outs(new: NewSuppression, channels: Collection[Channel]) -> list[NewSuppression]:
    """An opt-out as it is kept: one row per channel that uses such an address."""
    meant = channels_of(new.kind) & set(channels)
    return [replace(new, channel=channel.value) for channel in Channel if channel in meant]


def suppress_user(
    connection: Connection,
    store: Store,
    *,
    user: str,
    reason: str = "suppressed",
    source: str = "",
    at: Instant,
    until: Instant | None = None,
    brand: str = "default",
) -> bool:
    """This user (the host's id, known or not yet) is not messaged on any channel; False when that was known."""
    hashed = store.hash_address(USER, user)
    new = NewSuppression(USER, hashed, at, reason=reason, source=source, until=until, brand=brand)
    return suppress_many(connection, [new], users={hashed: user})[0]


def suppress_address(
    connection: Connection,
    store: Store | None,
    *,
    kind: str = "",
    value: str = "",
    address_id: int | None = None,
    reason: str = "suppressed",
    source: str = "",
    at: Instant,
    brand: str = "default",
) -> bool:
    """Nobody who has this address is messaged at it (wrong person, fraud, a do-not-contact list)."""
    found = _address(connection, store, kind, value, address_id)
    if found is None:
        return False
    return suppress_many(connection, [NewSuppression(*found, at, reason=reason, source=source, brand=brand)])[0]


def suppress_many(
    connection: Connection, rows: Sequence[NewSuppression], *, users: Mapping[str, str] | None = None
) -> list[bool]:
    """Keep many decisions at once; says for each whether it was new.

    A decision older than a later opt-in (or lifting) is not new: importing an old list again changes nothing.
    `users` tells the host's id behind the hashes of kind `user`.
    """
    known = _known(connection, rows)
    wanted: dict[_Key, NewSuppression] = {}
    told = [_is_new(row, known.get(row.key), wanted) for row in rows]
    in_force = {key: row.id for key, row in known.items() if row.in_force}
    _insert(connection, [new for key, new in wanted.items() if key not in in_force])
    _extend(connection, [(in_force[key], new.until) for key, new in wanted.items() if key in in_force])
    bind_flags(connection, {(new.kind, new.hash) for new in wanted.values()}, users or {}, make_rows=True)
    return told


@dataclass(frozen=True)
class _Known:
    """The latest decision of one key."""

    id: int = 0
    in_force: bool = False
    until: Instant | None = None
    ended_at: Instant | None = None


def _known(connection: Connection, rows: Sequence[NewSuppression]) -> dict[_Key, _Known]:
    given = give(connection, "hashes", {"kind": "text", "hash": "text"}, sorted({(row.kind, row.hash) for row in rows}))
    found = given.run(
        connection,
        "select s.* from {given} join suppressions s on s.hash = given.hash and s.kind = given.kind"
        " order by s.ended_at is null, s.ended_at",  # what is in force comes last and stays
    )
    return {
        (row.brand, row.kind, row.hash, row.channel): _Known(row.id, row.ended_at is None, row.until, row.ended_at)
        for row in found
    }


def _is_new(row: NewSuppression, known: _Known | None, wanted: dict[_Key, NewSuppression]) -> bool:
    """Does `row` say anything that neither the store nor an earlier row says? Then it joins `wanted`."""
    if known is not None and not known.in_force and known.ended_at is not None and row.at <= known.ended_at:
        return False
    earlier = wanted.get(row.key)
    if earlier is None:
        if known is not None and known.in_force and not _outlasts(row.until, known.until):
            return False
    elif not _outlasts(row.until, earlier.until):
        return False
    wanted[row.key] = row if earlier is None else replace(earlier, until=row.until)
    return True


def _outlasts(until: Instant | None, other: Instant | None) -> bool:
    return other is not None and (until is None or until > other)


_COLUMNS = {
    "brand": "text",
    "kind": "text",
    "hash": "text",
    "channel": "text",
    "reason": "text",
    "source": "text",
    "at": "bigint",
    "until": "bigint",
}


def _insert(connection: Connection, rows: list[NewSuppression]) -> None:
    ordered = sorted(rows, key=lambda row: row.key)
    values = [(*row.key, row.reason, row.source, row.at, row.until) for row in ordered]
    give(connection, "suppressions", _COLUMNS, values).run(
        connection,
        "insert into suppressions (brand, kind, hash, channel, reason, source, at, until)"
        " select brand, kind, hash, channel, reason, source, at, until from {given} where true"
        " on conflict do nothing",  # somebody else said the same meanwhile
    )


def _extend(connection: Connection, rows: list[tuple[int, Instant | None]]) -> None:
    if rows:
        given = give(connection, "untils", {"id": "bigint", "until": "bigint"}, rows)
        statement = "update suppressions set until = given.until from {given} where suppressions.id = given.id"
        given.run(connection, statement)


# --- saying yes again -------------------------------------------------------------------------------------


def opt_in(
    connection: Connection,
    store: Store,
    *,
    kind: str = "",
    value: str = "",
    address_id: int | None = None,
    channels: Collection[Channel] = ALL,
    at: Instant,
) -> bool:
    """The person said yes again: ends their opt-outs on these channels, never what others decided about them."""
    found = _address(connection, store, kind, value, address_id)
    if found is None:
        return False
    return _end(connection, [found], at=at, reasons=OPT_OUTS, channels=[channel.value for channel in channels])


def unsuppress(
    connection: Connection,
    store: Store,
    *,
    user: str = "",
    kind: str = "",
    value: str = "",
    address_id: int | None = None,
    at: Instant,
) -> bool:
    """Lift what was decided about a user or an address; the person's own opt-outs stay. False: there was nothing."""
    found = (USER, store.hash_address(USER, user)) if user else _address(connection, store, kind, value, address_id)
    if found is None:
        return False
    return _end(connection, [found], at=at, users={found[1]: user} if user else {})


def end_pauses(connection: Connection, *, at: Instant) -> int:
    """Lift the pauses whose `until` has come; returns how many."""
    rows = connection.execute(
        text("select kind, hash from suppressions where ended_at is null and until <= :at"), {"at": at}
    )
    ended = {(row.kind, row.hash) for row in rows}
    if ended:
        connection.execute(
            text("update suppressions set ended_at = :at where ended_at is null and until <= :at"), {"at": at}
        )
        bind_flags(connection, ended, {})
    return len(ended)


def _end(
    connection: Connection,
    found: list[tuple[str, str]],
    *,
    at: Instant,
    reasons: Collection[str] | None = None,
    channels: Collection[str] = (),
    users: Mapping[str, str] | None = None,
) -> bool:
    """End decisions in force: the person's own (`reasons`, on `channels`), or else those of others."""
    given = give(connection, "hashes", {"kind": "text", "hash": "text"}, found)
    rows = given.run(
        connection,
        "select s.id, s.reason, s.channel from {given}"
        " join suppressions s on s.hash = given.hash and s.kind = given.kind"
        " where s.ended_at is null and s.at <= :at",  # a later decision stands, whichever is told first
        at=at,
    )
    ids = [
        (row.id,)
        for row in rows
        if (row.reason in reasons and row.channel in channels if reasons else row.reason not in OPT_OUTS)
    ]
    if ids:
        ending = give(connection, "endings", {"id": "bigint"}, ids)
        ending.run(
            connection,
            "update suppressions set ended_at = :at from {given} where suppressions.id = given.id and ended_at is null",
            at=at,
        )
    bind_flags(connection, set(found), users or {})
    return bool(ids)


# --- addresses that do not work ---------------------------------------------------------------------------


def mark_unreachable(connection: Connection, address_ids: Iterable[int], reason: str, *, at: Instant) -> int:
    """These addresses do not work (dead number, hard bounce, app removed); returns how many were thought to work."""
    return _mark(connection, address_ids, reason, at)


def mark_reachable(connection: Connection, address_ids: Iterable[int]) -> int:
    """A person found out that these addresses work again; returns how many were thought not to."""
    return _mark(connection, address_ids, None, None)


def _mark(connection: Connection, address_ids: Iterable[int], reason: str | None, at: Instant | None) -> int:
    ids = sorted({(n,) for n in address_ids if n != NO_ADDRESS})
    given = give(connection, "marked", {"id": "bigint"}, ids)
    marked = given.run(
        connection,
        "update addresses set unreachable = :reason, unreachable_at = :at from {given}"
        f" where addresses.id = given.id and addresses.unreachable is {'not ' if reason is None else ''}null",
        reason=reason,
        at=at,
    )
    return int(marked.rowcount)


def _address(
    connection: Connection, store: Store | None, kind: str, value: str, address_id: int | None
) -> tuple[str, str] | None:
    """Kind and hash of an address given by value (which needs the store's key) or id; None when it is none (id 0)."""
    if address_id is None:
        if store is None:
            raise ValueError("an address given by value needs the store's key")
        return kind, store.hash_address(kind, value)
    row = connection.execute(
        text("select kind, hash from addresses where id = :id and kind <> 'none'"), {"id": address_id}
    ).first()
    return None if row is None else (row.kind, row.hash)


# --- is anything known at all? ----------------------------------------------------------------------------


def declare_suppressions(connection: Connection, how: str, *, at: Instant) -> None:
    """Say that suppressions are known: `how` is "imported", or "none" when a person says there are none."""
    write_fact(connection, DECLARED, f"{how} {at}")


def suppressions_known(store: Store) -> bool:
    """May live mode start? Only when suppressions were imported, or explicitly declared none."""
    return store.fact(DECLARED) is not None
