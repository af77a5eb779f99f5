"""How does the whole stand right now? The numbers behind `/metrics`: counts and ages, never about one person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, and_, func, select

from recall.clock import SECOND, Instant
from recall.store import schema
from recall.store.call_times import CallTimes, read_call_times
from recall.store.counts import doubts_by_journey
from recall.store.inbound import count_reviews
from recall.store.receipts import count_unapplied

_D, _E, _J, _S, _T, _V = (
    schema.decisions,
    schema.enrolments,
    schema.journeys,
    schema.sends,
    schema.steps,
    schema.versions,
)


@dataclass(frozen=True)
class Measures:
    """One look at the store."""

    due: dict[str, int]  # journey -> enrolments due now
    oldest_due_seconds: dict[str, float]
    in_doubt: dict[str, int]
    sends: Sequence[Row[tuple[str, str, str, int]]]  # journey, channel, state, sends
    decisions: Sequence[Row[tuple[str, str, str, int]]]  # journey, action, reason, decisions
    receipts_waiting: int
    reviews_waiting: int
    source_lag_seconds: dict[str, float]
    kill_switch: bool
    paused: int
    provider_calls: dict[str, CallTimes]


def measure(connection: Connection, *, now: Instant) -> Measures:
    """Reads whole tables of sends and decisions: ask at most every half minute."""
    due = _due(connection, now)
    controls = schema.controls
    switched = dict(
        connection.execute(select(controls.c.kind, func.count()).group_by(controls.c.kind)).tuples().all(),
    )
    return Measures(
        due={journey: count for journey, count, _ in due},
        oldest_due_seconds={journey: (now - oldest) / SECOND for journey, _, oldest in due},
        in_doubt=doubts_by_journey(connection),
        sends=_sends(connection),
        decisions=_decisions(connection),
        receipts_waiting=count_unapplied(connection),
        reviews_waiting=count_reviews(connection),
        source_lag_seconds=_source_lag(connection, now),
        kill_switch=bool(switched.get("kill_switch")),
        paused=switched.get("paused", 0),
        provider_calls=read_call_times(connection),
    )


def _due(connection: Connection, now: Instant) -> Sequence[Row[tuple[str, int, int]]]:
    """Step by step, so that the index of what is due is walked and nothing else."""
    due = and_(
        _E.c.version_id == _T.c.version_id, _E.c.step_id == _T.c.step_id, schema.is_active(_E), _E.c.due_at <= now
    )
    return connection.execute(
        select(_J.c.name, func.count(), func.min(_E.c.due_at))
        .select_from(_T)
        .join(_V, _V.c.id == _T.c.version_id)
        .join(_J, _J.c.id == _V.c.journey_id)
        .join(_E, due)
        .group_by(_J.c.name)
    ).all()


def _sends(connection: Connection) -> Sequence[Row[tuple[str, str, str, int]]]:
    return connection.execute(
        select(_J.c.name, _S.c.channel, _S.c.state, func.count())
        .join(_J, _J.c.id == _S.c.journey_id)
        .group_by(_J.c.name, _S.c.channel, _S.c.state)
    ).all()


def _decisions(connection: Connection) -> Sequence[Row[tuple[str, str, str, int]]]:
    return connection.execute(
        select(_J.c.name, _D.c.action, _D.c.reason, func.count())
        .join(_E, _E.c.id == _D.c.enrolment_id)
        .join(_J, _J.c.id == _E.c.journey_id)
        .group_by(_J.c.name, _D.c.action, _D.c.reason)
    ).all()


def _source_lag(connection: Connection, now: Instant) -> dict[str, float]:
    sources = schema.sources
    rows = connection.execute(select(sources.c.name, sources.c.as_of))
    return {name: (now - as_of) / SECOND for name, as_of in rows}
