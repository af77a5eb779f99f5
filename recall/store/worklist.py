"""Which tasks wait for a person of ours, and what came of them? A task is an accepted send of the task channel."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BigInteger, Connection, Integer, Select, bindparam, or_, select

from journeys.words import Channel, End, ReceiptKind, SendState
from recall.clock import Instant
from recall.store import schema
from recall.store.controls import read_controls
from recall.store.receipts import Receipt, record_receipts

PROVIDER = "task"  # of the receipts made here
EXPIRED = "expired"  # the outcome of a task nobody did in time
_S, _E, _U, _J, _N, _R = (
    schema.sends,
    schema.enrolments,
    schema.users,
    schema.journeys,
    schema.steps,
    schema.receipts,
)
# After these nothing more is said, so nobody calls either.
_OVER = tuple(end.value for end in (End.GOAL_REACHED, End.OPTED_OUT, End.SUPPRESSED, End.ERASED))
_DONE = (ReceiptKind.ANSWERED.value, ReceiptKind.UNDELIVERED.value)


@dataclass(frozen=True, slots=True)
class Task:
    """One item of the worklist."""

    ref: str
    user: str  # the host's id
    journey: str
    step: str
    version_id: int
    step_id: int
    made_at: Instant
    expires_at: Instant | None
    text: str = field(repr=False)  # title, empty line, text
    link: str = ""


def open_tasks(
    connection: Connection, *, now: Instant, journey: str = "", after: int = 0, limit: int = 1000
) -> tuple[list[Task], int]:
    """A page of tasks that may be done now, oldest first, and where the next page begins (0: there is none).

    None while the kill switch is on; none of a paused journey, of a person who came back or said stop.
    """
    controls = read_controls(connection)
    if controls.kill_switch is not None:
        return [], 0
    wanted = (
        _waiting(after)
        .where(
            _U.c.erased_at.is_(None),
            _U.c.suppressed.is_(False),
            or_(_E.c.end_reason.is_(None), _E.c.end_reason.not_in(_OVER)),
            or_(_S.c.expires_at.is_(None), _S.c.expires_at > now),
        )
        .limit(limit)
    )
    if journey:
        wanted = wanted.where(_J.c.name == journey)
    rows = list(connection.execute(wanted))
    tasks = [_task(row) for row in rows if row.journey not in controls.paused]
    return tasks, rows[-1].id if len(rows) == limit else 0


def _waiting(after: int) -> Select[Any]:
    """Accepted tasks without an outcome, also not one that still lies in the inbox."""
    told = select(_R.c.id).where(_R.c.ref == _S.c.ref, _R.c.kind.in_(_DONE), _R.c.applied_at.is_(None))
    return (
        select(_S, _U.c.user_id.label("user"), _J.c.name.label("journey"), _N.c.name.label("step"))
        .join(_U, _U.c.id == _S.c.user_id)
        .join(_E, _E.c.id == _S.c.enrolment_id)
        .join(_J, _J.c.id == _S.c.journey_id)
        .join(_N, (_N.c.version_id == _S.c.version_id) & (_N.c.step_id == _S.c.step_id))
        .where(
            _S.c.id > after,
            schema.SENDS_TASKS,
            _S.c.state == SendState.ACCEPTED.value,
            _S.c.body.is_not(None),
            ~told.exists(),
        )
        .order_by(_S.c.id)
    )


def _task(row: Any) -> Task:
    return Task(
        ref=row.ref,
        user=row.user,
        journey=row.journey,
        step=row.step,
        version_id=row.version_id,
        step_id=row.step_id,
        made_at=row.gate_at,
        expires_at=row.expires_at,
        text=row.body,
        link=row.link or "",
    )


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger knows of a ref somebody names."""

    user: str
    gate_at: Instant
    answer: str | None  # its outcome, if there is one


def known_tasks(connection: Connection, refs: Collection[str]) -> dict[str, Known]:
    """The tasks among these refs, whether open or not."""
    found: dict[str, Known] = {}
    wanted = sorted(refs)
    for start in range(0, len(wanted), 500):
        some = wanted[start : start + 500]
        rows = (
            select(_S.c.ref, _U.c.user_id, _S.c.gate_at, _S.c.answer, _S.c.answered_at)
            .join(_U, _U.c.id == _S.c.user_id)
            .where(_S.c.ref.in_(some), _S.c.channel == Channel.TASK.value, _S.c.state == SendState.ACCEPTED.value)
        )
        told = select(_R.c.ref, _R.c.detail).where(_R.c.ref.in_(some), _R.c.kind == ReceiptKind.ANSWERED.value)
        inbox = {row.ref: row.detail for row in connection.execute(told)}
        for row in connection.execute(rows):
            answer = (row.answer or "") if row.answered_at is not None else inbox.get(row.ref)
            found[row.ref] = Known(row.user_id, row.gate_at, answer)
    return found


def record_outcome(connection: Connection, ref: str, outcome: str, *, at: Instant, now: Instant) -> None:
    """What came of a task, into the inbox; the same twice is kept once."""
    receipt = Receipt(PROVIDER, f"{ref}:{outcome}", ref, ReceiptKind.ANSWERED, at, outcome)
    record_receipts(connection, [receipt], now=now)


def expire_tasks(connection: Connection, *, now: Instant, limit: int = 1000) -> int:
    """Close tasks whose time is over: nobody did them; returns how many. A late outcome still counts."""
    receipts = [
        Receipt(PROVIDER, f"{row.ref}:{EXPIRED}", row.ref, ReceiptKind.UNDELIVERED, row.expires_at, EXPIRED)
        for row in connection.execute(_OVERDUE, {"now": now, "most": limit})
    ]
    record_receipts(connection, receipts, now=now)
    return len(receipts)


_OVERDUE = (
    _waiting(0).where(_S.c.expires_at <= bindparam("now", type_=BigInteger)).limit(bindparam("most", type_=Integer))
)
