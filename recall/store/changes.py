"""Who changed, and what follows for journeys they are in? O(changed), not O(enrolled).

Every event, opt-out and attribute change leaves a row in `changed_users`; converge takes rows away in the
same transaction in which it draws the consequences, so a crash repeats and never forgets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, Integer, bindparam, case, func, null, or_, select

from journeys.words import End
from recall.clock import Instant
from recall.store import schema
from recall.store.audience import Cutoffs, Scope, compile_goal, compile_rule
from recall.store.bulk import among, ids_parameter
from recall.store.goals import first_goals
from recall.store.moves import end
from recall.store.policies import LivePolicy
from recall.store.receipts import response_names, sign_of_life, wake_resting
from recall.store.versions import Version, read_version

_E, _U, _C = schema.enrolments, schema.users, schema.changed_users
CHANGED_AT_ONCE = 5000


@dataclass
class Converged:
    """How many people changed, and how many enrolments ended why."""

    users: int = 0
    ended: dict[End, int] = field(default_factory=dict)
    recalled: int = 0  # first goals noted


def converge_some(
    connection: Connection, policies: dict[str, LivePolicy], *, now: Instant, limit: int = CHANGED_AT_ONCE
) -> Converged:
    """Take some changed users and draw the consequences; `users` is 0 when nobody changed."""
    users = _take(connection, limit)
    done = Converged(users=len(users))
    if not users:
        return done
    _note_signs_of_life(connection, users, policies)
    for version_id in _versions_of(connection, users):
        version = read_version(connection, version_id)
        done.recalled += _note_goals(connection, version, users, now)
        for reason, count in _leave(connection, version, users, now).items():
            done.ended[reason] = done.ended.get(reason, 0) + count
    wake_resting(connection, among(connection, _E.c.user_id, "ids"), now=now, ids=ids_parameter(connection, users))
    return done


def _take(connection: Connection, limit: int) -> list[int]:
    """Remove the oldest rows; workers that converge at once take different ones."""
    return sorted(set(connection.execute(_TAKE, {"most": limit}).scalars()))


# SQLite has one writer, and leaves out what locks rows.
_OLDEST = select(_C.c.id).order_by(_C.c.id).limit(bindparam("most", type_=Integer)).with_for_update(skip_locked=True)
_TAKE = _C.delete().where(_C.c.id.in_(_OLDEST)).returning(_C.c.user_id)


def _versions_of(connection: Connection, users: Sequence[int]) -> list[int]:
    mine = select(_E.c.version_id).where(among(connection, _E.c.user_id, "ids")).distinct()
    return sorted(connection.execute(mine, {"ids": ids_parameter(connection, users)}).scalars())


def _note_signs_of_life(connection: Connection, users: Sequence[int], policies: dict[str, LivePolicy]) -> None:
    """The latest event that counts as a response, for everybody who has counted sends."""
    names = response_names(policies.values())
    latest, state = schema.user_events, schema.contact_state
    seen = (
        select(latest.c.user_id, func.max(latest.c.last_at))
        .join(state, state.c.user_id == latest.c.user_id)
        .where(
            among(connection, latest.c.user_id, "ids"),
            latest.c.name.in_(sorted(names)),
            or_(state.c.streak > 0, state.c.rest_until.is_not(None)),
            latest.c.last_at > func.coalesce(state.c.responded_at, 0),
        )
        .group_by(latest.c.user_id)
    )
    found = connection.execute(seen, {"ids": ids_parameter(connection, users)})
    sign_of_life(connection, {user_id: at for user_id, at in found})


def _note_goals(connection: Connection, version: Version, users: Sequence[int], now: Instant) -> int:
    """Fill goal_at until the window closes, also after the last step."""
    found = first_goals(connection, version, users)
    for enrolment_id, event_id, at, value in found:
        connection.execute(
            _E.update()
            .where(_E.c.id == enrolment_id, _E.c.goal_at.is_(None))
            .values(goal_at=at, goal_event_id=event_id, goal_value=value)
        )
    return len(found)


def _leave(connection: Connection, version: Version, users: Sequence[int], now: Instant) -> dict[End, int]:
    """End what a goal, an exit rule, a suppression or an erasure ends."""
    cutoffs = Cutoffs(ZoneInfo(version.program.journey.zone))
    why = _end_column(version, cutoffs)
    inside = (
        select(_E.c.id, why)
        .join(_U, _U.c.id == _E.c.user_id)
        .where(among(connection, _E.c.user_id, "ids"), _E.c.version_id == version.id, schema.is_active(_E))
    )
    parameters = {"ids": ids_parameter(connection, users), **cutoffs.values(now)}
    leaving: dict[End, list[int]] = {}
    for enrolment_id, reason in connection.execute(inside, parameters):
        if reason is not None:
            leaving.setdefault(End(reason), []).append(enrolment_id)
    return {reason: end(connection, ids, reason, now=now) for reason, ids in leaving.items()}


def _end_column(version: Version, cutoffs: Cutoffs) -> ColumnElement[Any]:
    journey = version.program.journey
    scope = Scope(
        user_id=_U.c.id,
        cutoffs=cutoffs,
        entered_at=_E.c.entered_at,
        enrolment_id=_E.c.id,
        step_ids={node.name: node.id for node in version.program.nodes},
    )
    ways: list[tuple[ColumnElement[bool], Any]] = [
        (_U.c.erased_at.is_not(None), End.ERASED.value),
        (compile_goal(journey.goal, scope, after=_E.c.anchor_at), End.GOAL_REACHED.value),
    ]
    if journey.exit_when is not None:
        ways.append((compile_rule(journey.exit_when, scope), End.EXIT_RULE.value))
    ways.append((_U.c.suppressed.is_(True), End.SUPPRESSED.value))
    return case(*ways, else_=null()).label("why")


def count_changed(connection: Connection, *, at_most: int = 1) -> int:
    """Whether anybody waits to be converged, without counting everybody."""
    some = select(_C.c.id).limit(at_most).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one())
