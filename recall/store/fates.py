"""What becomes of somebody the gate held back, and how is it written down?"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from journeys.program import MessageNode, Way
from journeys.words import ACTION_OF, END_OF, Action, End, Reason
from recall.clock import Instant
from recall.store import schema
from recall.store.bulk import insert_rows
from recall.store.gate import Decision, Gate
from recall.store.gate_rows import Row


@dataclass(frozen=True)
class Fate:
    """What becomes of an enrolment that was held back."""

    action: Action
    reason: Reason
    until: Instant | None = None
    end: End | None = None
    way: Way | None = None


def fate_of(gate: Gate, decision: Decision) -> Fate:
    """Turn a reason into what happens next, by the closed list of actions and what the journey declared."""
    node, reason = gate.of.node, decision.reason
    assert reason is not None  # only asked for rows that were held back
    match ACTION_OF[reason]:
        case Action.DEFER:
            return Fate(Action.DEFER, reason, until=decision.until)
        case Action.EXIT:
            return Fate(Action.EXIT, reason, end=END_OF[reason])
        case Action.DECLARED:
            return _declared(gate, reason, decision.until)
        case Action.ELSE:
            return _fall_back(node, reason)
        case _:
            return Fate(Action.SKIP, reason, way=node.next)


def _declared(gate: Gate, reason: Reason, until: Instant | None) -> Fate:
    """What the journey says about an empty budget (`on_spent`) or an empty stock (`on_empty`)."""
    budget, offer = gate.of.version.program.journey.budget, gate.of.node.offer
    declared: str
    if reason is Reason.BUDGET_SPENT:
        declared = budget.on_spent if budget else "defer"
    else:
        declared = offer.on_empty if offer else "skip"
    if declared == "exit":
        return Fate(Action.EXIT, reason, end=End.EXIT_RULE)
    if declared == "skip":
        return Fate(Action.SKIP, reason, way=gate.of.node.next)
    return Fate(Action.DEFER, reason, until=until)


def _fall_back(node: MessageNode, reason: Reason) -> Fate:
    """`else` where there is one; otherwise skip, or exit when the journey has no other channel left."""
    if node.otherwise is not None:
        return Fate(Action.ELSE, reason, way=node.otherwise)
    if node.otherwise_exits:
        return Fate(Action.EXIT, reason, end=End.EXIT_RULE)
    if reason is not Reason.CONDITION and set(node.channels_after) <= {node.channel}:
        return Fate(Action.EXIT, reason, end=End.OPTED_OUT if reason is Reason.OPTED_OUT else End.FINISHED)
    return Fate(Action.SKIP, reason, way=node.next)


_DECISION_COLUMNS = ("enrolment_id", "step_id", "at", "action", "reason", "facts", "until")


def fates_of(gate: Gate, held: Iterable[Decision]) -> dict[Fate, list[Decision]]:
    """Everybody who was held back, by what becomes of them."""
    alike: dict[tuple[Reason | None, Instant | None], list[Decision]] = defaultdict(list)
    for decision in held:
        alike[decision.reason, decision.until].append(decision)
    fates: dict[Fate, list[Decision]] = defaultdict(list)
    for decisions in alike.values():
        fates[fate_of(gate, decisions[0])] += decisions
    return fates


def write_decisions(connection: Connection, gate: Gate, fates: Mapping[Fate, Sequence[Decision]], now: Instant) -> None:
    """One row per change of reason: a deferral that lasts is written once."""
    rows = []
    for fate, decisions in fates.items():
        action, reason, lasts = fate.action.value, fate.reason.value, fate.action is Action.DEFER
        for decision in decisions:
            if not lasts or decision.row.last_reason != reason:
                facts = json.dumps(facts_of(decision.row, fate.reason, gate))
                rows.append((decision.row.id, gate.of.node.id, now, action, reason, facts, fate.until))
    insert_rows(connection, schema.decisions, _DECISION_COLUMNS, rows)


def facts_of(row: Row, reason: Reason, gate: Gate) -> dict[str, object]:
    """What was true when the reason was given; ids, times and counts only."""
    facts: dict[str, object] = {"due_at": row.due_at}
    match reason:
        case Reason.CAPPED:
            facts["frees_at"] = row.frees_at
        case Reason.UNRESPONSIVE:
            facts["streak"] = row.streak
        case Reason.MESSAGE_EXPIRED:
            facts |= {"first_due_at": row.first_due_at, "expires": str(gate.of.node.expires)}
        case Reason.OUTSIDE_WINDOW:
            facts["zone_id"] = row.zone_id
        case Reason.BUDGET_SPENT | Reason.NO_STOCK | Reason.RAMP_LIMIT:
            facts["policy"] = gate.of.policy.id
        case _:
            pass
    return facts
