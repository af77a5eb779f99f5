"""What do the suppressions in force mean for an address or a user, and where does the gate read it?

The rows of `addresses` and `users` carry the flags; every user who has an address shares what it carries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection

from journeys.words import ADDRESS_OF, ALL_CHANNELS_MASK, CHANNEL_BIT, AddressKind, Channel
from recall.store.given import give

USER = "user"  # kind of a suppression that binds one user rather than an address
OPT_OUTS = frozenset({"opted_out", "complained"})  # said by the person; anything else is said about them


class Flags(NamedTuple):
    """What the suppressions in force mean for one address or user."""

    opted_out: int = 0  # bit mask of channels
    suppressed: bool = False


def channels_of(kind: str) -> frozenset[Channel]:
    """The channels that use an address of this kind; for a user, those that need no address."""
    wanted = AddressKind.NONE if kind == USER else AddressKind(kind)
    return frozenset(channel for channel, used in ADDRESS_OF.items() if used is wanted)


def flags_for(connection: Connection, kind: str, hash: str) -> Flags:
    """What is in force for one address or user."""
    return flags_of(connection, [(kind, hash)]).get((kind, hash), Flags())


def flags_of(connection: Connection, hashes: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Flags]:
    """What is in force for many; those with nothing in force are left out."""
    given = give(connection, "hashes", {"kind": "text", "hash": "text"}, sorted(set(hashes)))
    rows = given.run(
        connection,
        "select s.kind, s.hash, s.channel, s.reason from {given}"
        " join suppressions s on s.hash = given.hash and s.kind = given.kind where s.ended_at is null",
    )
    said: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for row in rows:
        said[row.kind, row.hash].append((row.channel, row.reason))
    return {which: _flags(which[0], decisions) for which, decisions in said.items()}


def _flags(kind: str, decisions: list[tuple[str, str]]) -> Flags:
    mask = 0
    for channel, reason in decisions:
        if channel:
            mask |= CHANNEL_BIT[Channel(channel)]
        elif reason in OPT_OUTS:
            mask = ALL_CHANNELS_MASK
    if all(mask & CHANNEL_BIT[channel] for channel in channels_of(kind)):
        mask = ALL_CHANNELS_MASK
    return Flags(mask, any(not channel and reason not in OPT_OUTS for channel, reason in decisions))


def bind_flags(
    connection: Connection, which: set[tuple[str, str]], users: Mapping[str, str], *, make_rows: bool = False
) -> None:
    """Carry what is in force to the rows of addresses and users, and tell converge who is affected."""
    if not which:
        return
    flags = flags_of(connection, which)
    rows = [(kind, hashed, *flags.get((kind, hashed), Flags())) for kind, hashed in sorted(which)]
    _bind_addresses(connection, [row for row in rows if row[0] != USER], make_rows)
    _bind_users(connection, [(users[row[1]], row[3]) for row in rows if row[0] == USER and row[1] in users])


_FLAGS = {"kind": "text", "hash": "text", "opted_out": "bigint", "suppressed": "boolean"}


def _bind_addresses(connection: Connection, rows: list[tuple[Any, ...]], make_rows: bool) -> None:
    """A suppressed address nobody has yet gets a row without value: whoever brings it later finds the flags there."""
    if not rows:
        return
    given = give(connection, "flags", _FLAGS, rows)
    if make_rows:
        given.run(
            connection,
            "insert into addresses (kind, hash, opted_out, suppressed)"
            " select kind, hash, opted_out, suppressed from {given} where true"
            " on conflict (kind, hash) do update set opted_out = excluded.opted_out, suppressed = excluded.suppressed",
        )
    else:
        given.run(
            connection,
            "update addresses set opted_out = given.opted_out, suppressed = given.suppressed"
            " from {given} where addresses.kind = given.kind and addresses.hash = given.hash",
        )
    given.run(
        connection,
        "insert into changed_users (user_id) select distinct user_addresses.user_id"
        " from {given} cross join addresses cross join user_addresses"
        " where addresses.kind = given.kind and addresses.hash = given.hash"
        " and user_addresses.address_id = addresses.id and user_addresses.until is null",
    )


def _bind_users(connection: Connection, rows: list[tuple[str, bool]]) -> None:
    if not rows:
        return
    given = give(connection, "user_flags", {"who": "text", "suppressed": "boolean"}, rows)
    given.run(
        connection,
        "update users set suppressed = given.suppressed from {given} where users.user_id = given.who",
    )
    given.run(
        connection,
        "insert into changed_users (user_id) select users.id from {given} join users on users.user_id = given.who",
    )
