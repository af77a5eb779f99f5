"""Where does the journey turn? Branch, split, until, date, outcome and exit steps, for everybody due at once.

Nothing is sent here, so nothing is asked of the gate; whoever should leave the journey has left it in converge.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    bindparam,
    case,
    exists,
    func,
    literal,
    null,
    select,
)

from journeys.assignment import arm
from journeys.durations import Duration, add
from journeys.program import BranchNode, ExitNode, Node, OutcomeNode, SplitNode, UntilDateNode, UntilNode, Way
from journeys.words import End
from recall.clock import Instant, slot_up
from recall.store import schema
from recall.store.audience import Cutoffs, Scope, compile_rule
from recall.store.bulk import Sql, update_ids
from recall.store.connect import Store
from recall.store.moves import Road, Start, end, move, place
from recall.store.outcomes import act_on_outcome
from recall.store.policies import LivePolicy
from recall.store.versions import Version
from recall.store.zones import read_zones

_E, _U, _S, _A = schema.enrolments, schema.users, schema.sends, schema.user_attributes


class Due(NamedTuple):
    """One enrolment due on a control step."""

    id: int
    user_id: int
    host_id: str
    zone_id: int
    due_at: Instant
    base_at: Instant
    until_at: Instant | None
    answer: Any  # what the step asks: index of the case, whether it is satisfied, a date, an outcome

    @property
    def waited_since(self) -> Instant:
        """Where further waits count from: the last message, or the end of a wait on the way here."""
        came_without_wait = self.due_at <= slot_up(self.base_at + 1)
        return self.base_at if came_without_wait else self.due_at


@dataclass(frozen=True)
class Turn:
    """One control step being worked on."""

    connection: Connection
    store: Store
    road: Road
    node: Node
    now: Instant

    def zone(self, due: Due) -> ZoneInfo:
        """The person's zone, or the journey's where it is not one."""
        zones = self.road.zones.get(due.zone_id, ())
        return zones[0] if zones else ZoneInfo(self.road.version.program.journey.zone)

    def go(self, rows: Sequence[Due], way: Way, *, base_at: Instant | None = None) -> None:
        """Send them along a way; waits count from `base_at`, else from where they waited on their way here."""
        movers: dict[Start, list[int]] = defaultdict(list)
        for row in rows:
            base = row.waited_since if base_at is None else base_at
            movers[Start(row.zone_id, base, row.due_at)].append(row.id)
        move(self.connection, self.road, movers, way, now=self.now)


def advance(
    connection: Connection,
    store: Store,
    version: Version,
    node: Node,
    live: LivePolicy,
    *,
    due_before: Instant,
    now: Instant,
    limit: int = 5000,
) -> int:
    """Move some enrolments on from a control step, or let them rest; returns how many were due."""
    turn = Turn(connection, store, Road(version, live.policy, read_zones(connection)), node, now)
    statement, cutoffs = _ask(version, node.id)
    asked = {"due_before": due_before, "most": limit, **cutoffs.values(now)}
    rows = [Due._make(row) for row in connection.execute(statement, asked)]
    if rows:
        _HANDLERS[type(node)](turn, rows)
    return len(rows)


@lru_cache(maxsize=1024)
def _ask(version: Version, step_id: int) -> tuple[Select[Any], Cutoffs]:
    """The statement that asks who is due on a step, built once; SQLite has one writer, and locks no rows."""
    node = version.program.nodes[step_id]
    cutoffs = Cutoffs(ZoneInfo(version.program.journey.zone))
    return _due(version, node, _question(version, node, cutoffs)), cutoffs


def _due(version: Version, node: Node, answer: ColumnElement[Any]) -> Select[Any]:
    return (
        select(
            _E.c.id,
            _E.c.user_id,
            _U.c.user_id.label("host_id"),
            _U.c.zone_id,
            _E.c.due_at,
            _E.c.base_at,
            _E.c.until_at,
            answer.label("answer"),
        )
        .join(_U, _U.c.id == _E.c.user_id)
        .where(
            _E.c.version_id == version.id,
            _E.c.step_id == node.id,
            schema.is_active(_E),
            _E.c.due_at <= bindparam("due_before", type_=BigInteger),
        )
        .order_by(_E.c.due_at, _E.c.user_id)
        .limit(bindparam("most", type_=Integer))
        .with_for_update(of=_E, skip_locked=True)
    )


def _question(version: Version, node: Node, cutoffs: Cutoffs) -> ColumnElement[Any]:
    """What has to be known of each enrolment to let it turn."""
    scope = Scope(
        user_id=_U.c.id,
        cutoffs=cutoffs,
        entered_at=_E.c.entered_at,
        enrolment_id=_E.c.id,
        step_ids={each.name: each.id for each in version.program.nodes},
    )
    match node:
        case BranchNode():
            ways = [(compile_rule(rule, scope), n) for n, (rule, _) in enumerate(node.cases) if rule is not None]
            otherwise = next((n for n, (rule, _) in enumerate(node.cases) if rule is None), None)
            return case(*ways, else_=otherwise) if ways else literal(otherwise)
        case UntilNode():
            return case((compile_rule(node.until, scope), 1), else_=0)
        case UntilDateNode():
            date = select(_A.c.at).where(_A.c.user_id == _U.c.id, _A.c.name == node.attribute)
            return date.correlate(_U).scalar_subquery()
        case OutcomeNode():
            return _outcome_of(node.of)
        case _:
            return null()


def _outcome_of(step_id: int) -> ColumnElement[Any]:
    """The outcome of the latest attempt; NULL while it is awaited, "" when there is nothing to wait for."""
    told = func.coalesce(_S.c.answer, case((_S.c.undelivered_at.is_not(None), "failed"), else_=null()))
    outcome = case((_S.c.state.in_(_NEVER_ANSWERED), ""), else_=told)
    # Of this very attempt: one that the gate held back has no outcome, and an earlier one's must not be acted on again.
    mine = (_S.c.enrolment_id == _E.c.id, _S.c.step_id == step_id, _S.c.gate_at == _E.c.base_at)
    latest = select(outcome).where(*mine).order_by(_S.c.grp.desc()).limit(1).correlate(_E).scalar_subquery()
    was_sent = exists(select(1).where(*mine)).correlate(_E)
    return case((was_sent, latest), else_="")


_NEVER_ANSWERED = ("refused", "not_sent", "cancelled")


# --- each kind of step ------------------------------------------------------------------------------------


def _branch(turn: Turn, rows: Sequence[Due]) -> None:
    assert isinstance(turn.node, BranchNode)  # dispatched by type
    taken: dict[int | None, list[Due]] = defaultdict(list)
    for row in rows:
        taken[row.answer].append(row)
    for index, people in taken.items():
        if index is None:  # no case holds and there is no else
            end(turn.connection, [row.id for row in people], End.FINISHED, now=turn.now)
        else:
            turn.go(people, turn.node.cases[index][1])


def _split(turn: Turn, rows: Sequence[Due]) -> None:
    node, journey = turn.node, turn.road.version.name
    assert isinstance(node, SplitNode)  # dispatched by type
    shares = [(name, percent) for name, percent, _ in node.arms]
    taken: dict[str, list[Due]] = defaultdict(list)
    for row in rows:
        taken[arm(journey=journey, split=node.name, user=row.host_id, arms=shares)].append(row)
    for name, _, way in node.arms:
        if name in taken:
            _note_arm(turn.connection, taken[name], f"{node.name}={name}")
            turn.go(taken[name], way)


def _note_arm(connection: Connection, rows: Sequence[Due], chosen: str) -> None:
    """Names come from a checked journey (a-z 0-9 -), so they can stand in SQL."""
    longer = Sql(f"case when arm = '' then '{chosen}' else arm || ';{chosen}' end")
    update_ids(connection, schema.enrolments, [row.id for row in rows], {"arm": longer})


def _until(turn: Turn, rows: Sequence[Due]) -> None:
    assert isinstance(turn.node, UntilNode)  # dispatched by type
    over = [row for row in rows if row.answer or (row.until_at is not None and row.until_at <= turn.now)]
    turn.go(over, turn.node.next, base_at=turn.now)
    gone = {row.id for row in over}
    _rest(turn, [row for row in rows if row.id not in gone], turn.node.at_most)


def _until_date(turn: Turn, rows: Sequence[Due]) -> None:
    """Rests until the date; without one (or when it has passed) the user goes on at once."""
    assert isinstance(turn.node, UntilDateNode)  # dispatched by type
    over = [row for row in rows if row.answer is None or row.answer <= turn.now]
    turn.go(over, turn.node.next, base_at=turn.now)
    for row in rows:
        if row.answer is not None and row.answer > turn.now:
            _rest_until(turn.connection, [row.id], until_at=row.answer)


def _outcome(turn: Turn, rows: Sequence[Due]) -> None:
    assert isinstance(turn.node, OutcomeNode)  # dispatched by type
    waiting: list[Due] = []
    answered: dict[str, list[Due]] = defaultdict(list)
    for row in rows:
        if row.answer is not None:
            answered[row.answer].append(row)
        elif row.until_at is not None and row.until_at <= turn.now:
            answered[""].append(row)
        else:
            waiting.append(row)
    for outcome, people in answered.items():
        _after_outcome(turn, turn.node, outcome, people)
    _rest(turn, waiting, turn.node.within)


def _after_outcome(turn: Turn, node: OutcomeNode, outcome: str, people: Sequence[Due]) -> None:
    attempts = node.attempts
    tries = attempts is not None and outcome in attempts.retry_when
    made = _attempts_made(turn.connection, node.of, [row.id for row in people]) if tries else {}
    again = [row for row in people if attempts and tries and made[row.id] < attempts.max]
    for row in again:
        assert attempts is not None  # `again` is empty otherwise
        due_at = slot_up(add(turn.now, attempts.gap, turn.zone(row)))
        place(turn.connection, [row.id], step_id=node.of, due_at=due_at, base_at=turn.now, grp=made[row.id])
    tried = {row.id for row in again}
    rest = [row for row in people if row.id not in tried]
    action = node.actions.get(outcome, "continue")
    if isinstance(action, Way):
        turn.go(rest, action, base_at=turn.now)
        return
    ending = act_on_outcome(turn.connection, turn.store, action, [row.id for row in rest], node.of, now=turn.now)
    if ending is not None:
        end(turn.connection, [row.id for row in rest], ending, now=turn.now)
    else:
        turn.go(rest, node.next, base_at=turn.now)


def _attempts_made(connection: Connection, step_id: int, enrolments: Sequence[int]) -> dict[int, int]:
    """How many attempt groups of a call each enrolment has behind it; groups count from 0."""
    made = (
        select(_S.c.enrolment_id, func.max(_S.c.grp) + 1)
        .where(_S.c.enrolment_id.in_(enrolments), _S.c.step_id == step_id)
        .group_by(_S.c.enrolment_id)
    )
    return {enrolment_id: count for enrolment_id, count in connection.execute(made)}


def _exit(turn: Turn, rows: Sequence[Due]) -> None:
    assert isinstance(turn.node, ExitNode)  # dispatched by type
    end(turn.connection, [row.id for row in rows], turn.node.end, now=turn.now)


def _rest(turn: Turn, rows: Sequence[Due], at_most: Duration) -> None:
    """Begin to rest (the time-out counts from now), or go on resting until the time-out already set."""
    by_time: dict[Instant, list[int]] = defaultdict(list)
    for row in rows:
        by_time[row.until_at or slot_up(add(turn.now, at_most, turn.zone(row)))].append(row.id)
    for until_at, ids in by_time.items():
        _rest_until(turn.connection, ids, until_at=until_at)


def _rest_until(connection: Connection, ids: list[int], *, until_at: Instant) -> None:
    update_ids(connection, schema.enrolments, ids, {"until_at": until_at, "due_at": until_at}, only="active")


_HANDLERS: dict[type, Callable[[Turn, Sequence[Due]], None]] = {
    BranchNode: _branch,
    SplitNode: _split,
    UntilNode: _until,
    UntilDateNode: _until_date,
    OutcomeNode: _outcome,
    ExitNode: _exit,
}
