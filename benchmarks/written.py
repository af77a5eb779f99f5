"""What did a run of the engine write? Its transactions, read back from the store it left, value by value.

The floors write the same again. Nothing is assumed of how the engine does it: sends belong to the transaction of their
`gate_at`, their outcome to that of their `settled_at`, and everybody who was moved has a send or a decision.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import psycopg

from benchmarks import seed
from recall.store import schema

_AFTERWARDS = ("settled_at", "provider_id", "code")  # of a send: known when it is settled
_FLAGS = {"counted", "active"}
SEND_COLUMNS = tuple(c.name for c in schema.sends.columns if c.name not in _AFTERWARDS)
DECISION_COLUMNS = tuple(c.name for c in schema.decisions.columns if c.name != "id")
MOVED_COLUMNS = (
    "step_id", "due_at", "first_due_at", "base_at", "until_at", "grp", "retry_send_id", "replay_of", "parked_until",
    "resume_at", "reason", "active", "ended_at", "end_reason",
)  # fmt: skip
CHECKED = ("sends", "contact_state", "addresses", "enrolments", "decisions", "allowances", "receipts", "doubts")

Row = tuple[Any, ...]


@dataclass
class Gated:
    """The transaction of one gate."""

    at: int
    sends: list[Row] = field(default_factory=list)  # SEND_COLUMNS, as `calling`
    counted_users: list[int] = field(default_factory=list)
    counted_addresses: list[int] = field(default_factory=list)
    moves: dict[Row, list[int]] = field(default_factory=lambda: defaultdict(list))  # MOVED_COLUMNS -> enrolments
    rests: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))  # rest_until -> users
    decisions: list[Row] = field(default_factory=list)  # DECISION_COLUMNS


@dataclass
class Settled:
    """The transaction of the answers of one chunk."""

    at: int
    accepted: list[tuple[int, str]] = field(default_factory=list)  # send, the vendor's id


Transaction = Gated | Settled


@contextmanager
def opened(url: str) -> Iterator[Any]:
    """The driver's own connection to a store."""
    if url.startswith("sqlite"):
        connection: Any = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    else:
        connection = psycopg.connect(url)
    try:
        yield connection
    finally:
        connection.close()


def transactions(url: str) -> list[Transaction]:
    """Everything a run wrote, in the order in which it was committed."""
    with opened(url) as connection:
        gates: dict[int, Gated] = {}
        settles: dict[int, Settled] = {}
        gate_of = _sends(connection, gates, settles)
        gate_of |= _decisions(connection, gates)
        _moves(connection, gates, gate_of)
        _rests(connection, gates)
    return sorted([*gates.values(), *settles.values()], key=lambda each: (each.at, isinstance(each, Settled)))


def _sends(connection: Any, gates: dict[int, Gated], settles: dict[int, Settled]) -> dict[int, int]:
    names = ", ".join((*SEND_COLUMNS, *_AFTERWARDS))
    place = {name: n for n, name in enumerate((*SEND_COLUMNS, *_AFTERWARDS))}
    gate_of: dict[int, int] = {}
    for row in connection.execute(f"select {names} from sends where gate_at >= {seed.NOW} order by id"):
        at = row[place["gate_at"]]
        gate = gates.setdefault(at, Gated(at))
        gate_of[row[place["enrolment_id"]]] = at
        values = list(row[: len(SEND_COLUMNS)])
        if values[place["state"]] == "accepted":
            values[place["state"]] = "calling"
            settled = settles.setdefault(row[place["settled_at"]], Settled(row[place["settled_at"]]))
            settled.accepted.append((row[0], row[place["provider_id"]]))
        if row[place["counted"]]:
            gate.counted_users.append(row[place["user_id"]])
            gate.counted_addresses.append(row[place["address_id"]])
        gate.sends.append(tuple(values))
    return gate_of


def _decisions(connection: Any, gates: dict[int, Gated]) -> dict[int, int]:
    names = ", ".join(DECISION_COLUMNS)
    gate_of = {}
    for row in connection.execute(f"select {names} from decisions where at >= {seed.NOW} order by id"):
        enrolment, at = row[0], row[2]
        gates.setdefault(at, Gated(at)).decisions.append(row)
        gate_of[enrolment] = at
    return gate_of


def _moves(connection: Any, gates: dict[int, Gated], gate_of: dict[int, int]) -> None:
    names = ", ".join(("id", *MOVED_COLUMNS))
    for row in connection.execute(f"select {names} from enrolments where id < {seed.PAST} order by id"):
        if row[0] in gate_of:
            gates[gate_of[row[0]]].moves[row[1:]].append(row[0])


def _rests(connection: Any, gates: dict[int, Gated]) -> None:
    resting = (
        "select d.at, c.rest_until, c.user_id from decisions d join enrolments e on e.id = d.enrolment_id"
        " join contact_state c on c.user_id = e.user_id where d.reason = 'unresponsive' and c.rest_until is not null"
    )
    for at, until, user in connection.execute(resting):
        gates[at].rests[until].append(user)


def checksums(url: str) -> dict[str, tuple[int, int]]:
    """Count and checksum of each table a run may write to; ids the store numbers by itself stay out."""
    with opened(url) as connection:
        return {table: _checksum(connection, table) for table in CHECKED}


def _checksum(connection: Any, table: str) -> tuple[int, int]:
    skipped = {"id"} if table in ("sends", "decisions") else set()
    names = ", ".join(c.name for c in schema.metadata.tables[table].columns if c.name not in skipped)
    if isinstance(connection, sqlite3.Connection):
        count = total = 0
        for row in connection.execute(f"select {names} from {table}"):
            count, total = count + 1, total + crc32(repr(row).encode())
        return count, total
    summed = f"select count(*), coalesce(sum(hashtextextended(row({names})::text, 0)), 0)::text from {table}"
    count, total = connection.execute(summed.encode()).fetchone()
    return int(count), int(total)


def differing(one: dict[str, tuple[int, int]], other: dict[str, tuple[int, int]]) -> Sequence[str]:
    """Tables that are not the same."""
    return [table for table in CHECKED if one[table] != other[table]]
