"""Where can people be reached? One row per normalised address, shared by everybody who has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection

from recall.clock import Instant
from recall.store.connect import Store
from recall.store.given import Columns, Given, give
from recall.store.schema import NO_ADDRESS
from recall.store.suppression_flags import Flags, flags_of

Which = tuple[str, str]  # kind and value, or kind and hash


@dataclass(frozen=True, slots=True)
class NewAddress:
    """One address in normalised form; "" says that the user has none (any more)."""

    value: str = field(repr=False)  # E.164, lower-case e-mail, push token
    subkind: str = ""  # of push tokens: fcm_token, apns …
    region: str = ""  # ISO 3166, of phones


def later(one: Instant | None, other: Instant | None) -> Instant | None:
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
    connection: Connection, store: Store, wanted: Mapping[Which, tuple[NewAddress, Instant | None]]
) -> dict[Which, int]:
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


def _read_addresses(connection: Connection, given: Given) -> dict[Which, Any]:
    rows = given.run(
        connection,
        "select a.id, a.kind, a.hash, a.value, a.proved_at"
        " from {given} join addresses a on a.kind = given.kind and a.hash = given.hash",
    )
    return {(row.kind, row.hash): row for row in rows}


def _address_row(which: Which, said: tuple[NewAddress, Instant | None], flags: Flags) -> tuple[Any, ...]:
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
        (row.id, address.value, address.subkind, address.region, later(row.proved_at, proved_at))
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


class Move(NamedTuple):
    """One user begins to have one address of a kind instead of another (0: none)."""

    user_id: int
    before: int
    after: int
    at: Instant  # since when the new one is theirs


def keep_links(connection: Connection, moves: Iterable[Move], *, now: Instant) -> None:
    """Keep the history of who had which address, and count a new pair as a proof of ownership."""
    moves = list(moves)
    ended = sorted((move.user_id, move.before, now) for move in moves if move.before != NO_ADDRESS)
    begun = sorted({(move.user_id, move.after, move.at) for move in moves if move.after != NO_ADDRESS})
    if ended:
        give(connection, "links", _LINK, ended).run(
            connection,
            "update user_addresses set until = given.since from {given}"
            " where user_addresses.user_id = given.user_id and user_addresses.address_id = given.address_id",
        )
    if begun:
        _begin_links(connection, begun)


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
