"""Which messages may a person send again, and how does one get back to its gate?

Only what is known not to have reached anybody: refused, not sent, skipped. The enrolment must be active, no
later step may have passed its gate, and the message must not have expired. The whole gate decides again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, literal, null, select, union_all

from journeys.program import MessageNode
from journeys.words import Action, SendState
from recall.clock import Instant
from recall.store import schema
from recall.store.moves import place
from recall.store.versions import Version, read_version

_D, _E, _S, _U = schema.decisions, schema.enrolments, schema.sends, schema.users
SKIPPED = "skipped"
REPLAYABLE = (SendState.REFUSED.value, SendState.NOT_SENT.value, SKIPPED)


@dataclass(frozen=True)
class Missed:
    """One message that did not go out."""

    enrolment_id: int
    user: str  # the host's user id
    version: Version
    step_id: int
    outcome: str  # refused | not_sent | skipped
    why: str  # cause, code or reason
    at: Instant
    send_id: int | None
    first_due_at: Instant
    stands: str  # "" when it may be replayed, else why not

    @property
    def step(self) -> str:
        return self.version.program.nodes[self.step_id].name


def missed(
    connection: Connection,
    journey: str,
    *,
    now: Instant,
    since: Instant,
    step: str | None = None,
    outcome: str | None = None,
    reason: str | None = None,
    user: str | None = None,
    limit: int = 10_000,
) -> list[Missed]:
    """Messages of a journey that did not go out since an instant, oldest first; each says if it may be replayed."""
    journey_id = select(schema.journeys.c.id).where(schema.journeys.c.name == journey).scalar_subquery()
    both = union_all(_unsent(since), _skipped(since)).subquery()
    rows = (
        select(both, _E, _U.c.user_id.label("host_id"))
        .join(_E, _E.c.id == both.c.enrolment)
        .join(_U, _U.c.id == _E.c.user_id)
        .where(_E.c.journey_id == journey_id)
        .order_by(both.c.at, both.c.enrolment)
    )
    if outcome is not None:
        rows = rows.where(both.c.outcome == outcome)
    if user is not None:
        rows = rows.where(_U.c.user_id == user)
    found = [_missed(connection, row, now) for row in connection.execute(rows)]
    wanted = [m for m in found if step in (None, m.step) and (reason is None or reason in m.why)]
    return wanted[:limit]


def _unsent(since: Instant) -> Any:
    states = (SendState.REFUSED.value, SendState.NOT_SENT.value)
    return select(
        _S.c.enrolment_id.label("enrolment"),
        _S.c.step_id.label("missed_step"),
        _S.c.state.label("outcome"),
        func.coalesce(_S.c.code, _S.c.cause, "").label("why"),
        _S.c.gate_at.label("at"),
        _S.c.id.label("send_id"),
        _S.c.first_due_at.label("fell_due_at"),
    ).where(_S.c.state.in_(states), _S.c.gate_at >= since)


def _skipped(since: Instant) -> Any:
    return select(
        _D.c.enrolment_id,
        _D.c.step_id,
        literal(SKIPPED),
        _D.c.reason,
        _D.c.at,
        null(),
        _D.c.at,
    ).where(_D.c.action == Action.SKIP.value, _D.c.at >= since)


def _missed(connection: Connection, row: Any, now: Instant) -> Missed:
    version = read_version(connection, row.version_id)
    return Missed(
        enrolment_id=row.enrolment,
        user=row.host_id,
        version=version,
        step_id=row.missed_step,
        outcome=row.outcome,
        why=row.why,
        at=row.at,
        send_id=row.send_id,
        first_due_at=row.fell_due_at,
        stands=_why_not(row, version, now),
    )


def _why_not(row: Any, version: Version, now: Instant) -> str:
    node = version.program.nodes[row.missed_step]
    if not row.active:
        return f"the enrolment ended ({row.end_reason})"
    if row.retry_send_id == row.send_id and row.send_id is not None:
        return "it is due again by itself"
    if row.retry_send_id is not None:  # its gate's place was put back with it, so that `base_at` says nothing
        return "a later message is due again by itself"
    if row.grp > 0 and row.step_id == row.missed_step:
        return "it is being replayed already"
    if row.base_at != row.at:
        return "a later step has passed its gate"
    if isinstance(node, MessageNode) and row.fell_due_at + node.expires.micros < now:
        return f"the message expired ({node.expires} after it fell due)"
    return ""


def send_again(connection: Connection, item: Missed, *, who: str, why: str, now: Instant) -> None:
    """Put the enrolment back on the step as a new attempt group, due now; the next run asks the gate."""
    last = connection.execute(
        select(func.max(_S.c.grp)).where(_S.c.enrolment_id == item.enrolment_id, _S.c.step_id == item.step_id)
    ).scalar()
    group = 1 if last is None else int(last) + 1
    place(connection, [item.enrolment_id], step_id=item.step_id, due_at=now, base_at=item.at, grp=group)
    connection.execute(
        _E.update().where(_E.c.id == item.enrolment_id).values(first_due_at=item.first_due_at, replay_of=item.send_id)
    )
    connection.execute(
        schema.operator_actions.insert().values(
            at=now, who=who, verb="replay", subject=f"enrolment {item.enrolment_id} {item.step}", why=why
        )
    )
