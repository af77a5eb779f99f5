"""Why did, or didn't, this person get a message? One line per decision, in the order of time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from journeys.program import MessageNode
from recall.clock import Instant
from recall.engine.setup import Setup
from recall.errors import Misconfigured
from recall.store.cases import gate_passes
from recall.store.connect import Connection
from recall.store.gate import decide, prepare
from recall.store.gate_rows import Page
from recall.store.histories import Passage, read_passages, read_person
from recall.store.versions import Version, read_version


@dataclass(frozen=True)
class Line:
    """One thing that happened, or (the last one) what would happen now."""

    at: Instant
    journey: str
    step: str
    outcome: str  # entered, accepted, defer, skip, else, exit, delivered, ended …
    reason: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Explanation:
    user: str
    zone: str  # for showing local times; "" = unknown
    lines: list[Line]


def explain(setup: Setup, user: str, *, journey: str | None = None) -> Explanation:
    """Everything decided about a user (the host's id); raises Misconfigured when nobody has this id."""
    now = setup.clock.now()
    with setup.store.reading() as connection:
        person = read_person(connection, user)
        if person is None:
            raise Misconfigured(f"no user has the id {user!r}; ids are compared exactly, as text")
        lines: list[Line] = []
        for passage in read_passages(connection, person.id):
            version = read_version(connection, passage.version_id)
            if journey in (None, version.name):
                lines += _lines(passage, version)
                lines += _now(setup, connection, passage, version, now)
    return Explanation(user, person.zone, sorted(lines, key=lambda line: line.at))


def _lines(passage: Passage, version: Version) -> list[Line]:
    def line(at: Instant, step_id: int | None, outcome: str, reason: str = "", **facts: Any) -> Line:
        step = "" if step_id is None else version.program.nodes[step_id].name
        return Line(at, version.name, step, outcome, reason, {k: v for k, v in facts.items() if v not in (None, "")})

    lines = [
        line(passage.entered_at, None, "entered", passage.holdout, version=version.number, entry_key=passage.entry_key)
    ]
    for send in passage.sends:
        lines.append(
            line(
                send.gate_at,
                send.step_id,
                send.state,
                send.cause or "",
                channel=send.channel,
                ref=send.ref,
                attempt=send.attempt,
                provider=send.provider,
                code=send.code,
                price_micros=send.price,
                policy=send.policy_hash[:12],
                consent=send.consent_id,
            )
        )
        lines += [line(at, send.step_id, kind, ref=send.ref, answer=send.answer) for kind, at in send.receipts]
    for decision in passage.decisions:
        facts = json.loads(decision.facts) if decision.facts else {}
        lines.append(
            line(decision.at, decision.step_id, decision.action, decision.reason, until=decision.until, **facts)
        )
    if passage.goal_at is not None:
        lines.append(line(passage.goal_at, None, "goal", counted="after entering"))
    if passage.ended_at is not None:
        lines.append(line(passage.ended_at, None, "ended", passage.end_reason or ""))
    return lines


def _now(setup: Setup, connection: Connection, passage: Passage, version: Version, now: Instant) -> list[Line]:
    """Where an active enrolment stands, and what the gate would say at this moment."""
    if passage.ended_at is not None:
        return []
    node = version.program.nodes[passage.step_id]
    facts: dict[str, Any] = {"due_at": passage.due_at}
    if passage.parked_until is not None:
        return [Line(now, version.name, node.name, "waits", "in_doubt", facts | {"until": passage.parked_until})]
    if not isinstance(node, MessageNode):
        return [Line(now, version.name, node.name, "waits", node.kind.value, facts)]
    verdict = "in_doubt"
    for gate_pass in gate_passes(connection, version, node, mode=setup.mode):
        gate = prepare(gate_pass.of, lock=False, jurisdictions=gate_pass.jurisdictions, but=gate_pass.but)
        chunk = decide(connection, gate, Page(now, enrolments=(passage.id,)), now=now, lock=False)
        if chunk.blocked:
            verdict = chunk.blocked.value
        elif chunk.decisions:
            verdict = chunk.decisions[0].reason.value if chunk.decisions[0].reason else "go"
    outcome = "waits" if passage.due_at > now else "due"
    return [Line(now, version.name, node.name, outcome, f"now: {verdict}", facts)]
