"""What is written about one person? Read whole, for `explain` and `dossier`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from journeys.words import ReceiptKind
from recall.clock import Instant
from recall.store import schema

_D, _E, _S, _U, _Z = schema.decisions, schema.enrolments, schema.sends, schema.users, schema.zones


@dataclass(frozen=True)
class Person:
    id: int
    user: str
    zone: str  # the one zone of the person; "" when it is not known which


@dataclass(frozen=True)
class Sent:
    """One row of the ledger, with the receipts that came for it."""

    row: Any
    receipts: list[tuple[str, Instant]]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.row, name)


@dataclass(frozen=True)
class Passage:
    """One enrolment with everything decided in it."""

    row: Any
    sends: list[Sent]
    decisions: list[Any]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.row, name)


def read_person(connection: Connection, user: str) -> Person | None:
    """The person with this id of the host."""
    row = connection.execute(
        select(_U.c.id, _Z.c.names).join(_Z, _Z.c.id == _U.c.zone_id).where(_U.c.user_id == user)
    ).first()
    return None if row is None else Person(row.id, user, "" if "," in row.names else row.names)


def read_passages(connection: Connection, user_id: int) -> list[Passage]:
    """Every enrolment of a person, oldest first."""
    rows = connection.execute(select(_E).where(_E.c.user_id == user_id).order_by(_E.c.entered_at, _E.c.id))
    return [Passage(row, _read_sends(connection, row.id), _read_decisions(connection, row.id)) for row in rows]


def _read_sends(connection: Connection, enrolment_id: int) -> list[Sent]:
    rows = connection.execute(select(_S).where(_S.c.enrolment_id == enrolment_id).order_by(_S.c.gate_at, _S.c.id))
    return [Sent(row, _receipts(row)) for row in rows]


def _receipts(row: Any) -> list[tuple[str, Instant]]:
    times = ((kind.value, getattr(row, f"{kind.value}_at")) for kind in ReceiptKind)
    return [(kind, at) for kind, at in times if at is not None]


def _read_decisions(connection: Connection, enrolment_id: int) -> list[Any]:
    return list(connection.execute(select(_D).where(_D.c.enrolment_id == enrolment_id).order_by(_D.c.at, _D.c.id)))
