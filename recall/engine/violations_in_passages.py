"""Does every passage add up? Holdout and arms drawn again, doubts shown, ends with a reason, nobody lost on the way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache

from journeys.assignment import arm, holdout_of
from journeys.journey import PolicyByJurisdiction
from journeys.policy import Policy
from journeys.program import MessageNode, Program, SplitNode, Way
from journeys.words import End, SendState
from recall.clock import DAY, SECOND, Instant
from recall.engine.evidence import Evidence, Violation
from recall.engine.violations_in_sequence import ways
from recall.store.connect import Connection
from recall.store.controls import ControlKind
from recall.store.invariants import (
    Passage,
    Sent,
    Shown,
    count_passages,
    read_entries,
    read_forgotten_until,
    read_left_out,
    read_open,
    read_passages,
)
from recall.store.versions import Version

CALLING_AT_MOST = 120 * SECOND
OVERDUE_AT_MOST = DAY
_ENDS = frozenset(End)


def find_in_passages(
    connection: Connection, evidence: Evidence, ledger: Iterable[Sent], *, now: Instant
) -> Iterator[Violation]:
    """What is wrong with enrolments, doubts and totals."""
    still_open = read_open(connection)
    yield from _silent_doubts(still_open, now)
    sent: dict[int, dict[int, str]] = defaultdict(dict)
    for row in ledger:
        sent[row.enrolment_id][row.step_id] = row.state
    left_out = read_left_out(connection)
    forgotten_until = read_forgotten_until(connection)
    waiting = {each.enrolment_id for each in still_open}
    for passage in read_passages(connection):
        yield from _drawn_otherwise(evidence, passage)
        yield from _without_end(evidence, passage, waiting, now)
        if passage.active or passage.entered_at >= forgotten_until:  # else what is missing may have been forgotten
            yield from _lost(evidence, passage, sent.get(passage.id, {}), left_out.get(passage.id, set()))
    yield from _entries(connection, evidence)


def _named(evidence: Evidence, passage: Passage) -> str:
    return f"enrolment {passage.id} ({evidence.versions[passage.version_id].name})"


# --- I10: who is held out, and on which arm ---------------------------------------------------------------


def _drawn_otherwise(evidence: Evidence, passage: Passage) -> Iterator[Violation]:
    version = evidence.versions[passage.version_id]
    drawn = {_holdout(policy, version, passage.host_id) for policy in _policies_then(evidence, version, passage)}
    if drawn and passage.holdout not in drawn:
        what = f"is {passage.holdout}, and its hash says {' or '.join(sorted(drawn))}"
        yield Violation("I10", f"{_named(evidence, passage)} {what}")
    for chosen in filter(None, passage.arm.split(";")):
        split, _, name = chosen.partition("=")
        if name != _arm(version, split, passage.host_id):
            yield Violation("I10", f"{_named(evidence, passage)} is on arm {chosen}, and its hash says another")


def _holdout(policy: Policy, version: Version, user: str) -> str:
    journey = version.program.journey
    percent = journey.holdout.percent if journey.holdout else 0
    return holdout_of(
        user, policy=policy.id, programme_percent=policy.holdout, journey=journey.id, journey_percent=percent
    ).value


def _policies_then(evidence: Evidence, version: Version, passage: Passage) -> list[Policy]:
    """The policies this person may have come under, as they were in force on entering."""
    named = version.program.journey.policy
    names = {*named.cases.values(), named.otherwise} if isinstance(named, PolicyByJurisdiction) else {named}
    then: dict[str, Policy] = {}
    for each in evidence.published:
        if each.policy.id in names and (each.published_at <= passage.entered_at or each.policy.id not in then):
            then[each.policy.id] = each.policy
    return list(then.values())


def _arm(version: Version, split: str, user: str) -> str:
    for node in version.program.nodes:
        if isinstance(node, SplitNode) and node.name == split:
            return arm(version.name, split, user, [(name, percent) for name, percent, _ in node.arms])
    return ""


# --- I12 and I13: nothing silent, nothing for ever --------------------------------------------------------


def _silent_doubts(still_open: Iterable[Shown], now: Instant) -> Iterator[Violation]:
    for send in still_open:
        if send.state == SendState.CALLING and now - send.gate_at > CALLING_AT_MOST:
            seconds = (now - send.gate_at) // SECOND
            yield Violation("I12", f"send {send.id} (enrolment {send.enrolment_id}) is being called for {seconds} s")
        elif send.state == SendState.IN_DOUBT and not send.is_listed:
            yield Violation("I12", f"send {send.id} (enrolment {send.enrolment_id}) is in doubt and nobody is shown it")


def _without_end(evidence: Evidence, passage: Passage, waiting: set[int], now: Instant) -> Iterator[Violation]:
    if not passage.active:
        if passage.end_reason not in _ENDS or passage.ended_at is None:
            yield Violation("I13", f"{_named(evidence, passage)} ended without a reason")
        return
    overdue = now - passage.due_at
    held = passage.id in waiting or passage.parked_until is not None or _is_stopped(evidence, passage, now)
    if overdue > OVERDUE_AT_MOST and not held:
        yield Violation("I13", f"{_named(evidence, passage)} is overdue for {overdue / DAY:.1f} days")


def _is_stopped(evidence: Evidence, passage: Passage, now: Instant) -> bool:
    """Held back by a person: now, or so lately that a run may not have come by since."""
    version = evidence.versions[passage.version_id]
    node = version.program.nodes[passage.step_id]
    template = node.template if isinstance(node, MessageNode) else ""
    subjects = {
        ControlKind.KILL_SWITCH.value: "",
        ControlKind.PAUSED.value: version.name,
        ControlKind.STOPPED_STEP.value: f"{version.name}/{node.name}",
        ControlKind.STOPPED_TEMPLATE.value: template,
    }
    return any(
        subjects.get(switched.kind) == switched.subject
        and (switched.until is None or now - switched.until <= OVERDUE_AT_MOST)
        for switched in evidence.switches
    ) or (version.program.journey.approval and version.hash not in _approved(evidence))


def _approved(evidence: Evidence) -> set[str]:
    return {each.subject for each in evidence.switches if each.kind == ControlKind.APPROVED and each.until is None}


# --- I14: totals add up -----------------------------------------------------------------------------------


def _lost(evidence: Evidence, passage: Passage, sent: dict[int, str], left_out: set[int]) -> Iterator[Violation]:
    """Every message step somebody must have come by has a row in the ledger, or a reason why not."""
    version = evidence.versions[passage.version_id]
    known = sent.keys() | left_out
    for step_id in _passed(version, passage.step_id) - known:
        name = version.program.nodes[step_id].name
        yield Violation("I14", f"{_named(evidence, passage)} passed {name} with neither a send nor a reason")
    here = version.program.nodes[passage.step_id]
    is_over = passage.end_reason == End.FINISHED and isinstance(here, MessageNode)
    if is_over and passage.step_id not in known and SendState.REFUSED not in sent.values():
        yield Violation("I14", f"{_named(evidence, passage)} finished on {here.name} with neither a send nor a reason")


@lru_cache(maxsize=4096)
def _passed(version: Version, step_id: int) -> frozenset[int]:
    """Message steps that lie on every way from entering to this step."""
    messages = [node.id for node in version.program.nodes if isinstance(node, MessageNode) and node.id != step_id]
    return frozenset(each for each in messages if not _leads(version.program, step_id, around=each))


def _leads(program: Program, step_id: int, *, around: int) -> bool:
    """Is there a way from entering to a step that leaves out another?"""
    seen: set[int] = set()
    open_ways: list[Way] = [program.start]
    while open_ways:
        node = open_ways.pop().node
        if node == step_id:
            return True
        if node is not None and node != around and node not in seen:
            seen.add(node)
            open_ways += ways(program.nodes[node])
    return False


def _entries(connection: Connection, evidence: Evidence) -> Iterator[Violation]:
    """Every candidate entered or has one reason; everybody who entered was counted."""
    names = {version.journey_id: version.name for version in evidence.versions.values()}
    entered: dict[int, int] = defaultdict(int)
    for entries in read_entries(connection):
        candidates = entries.counts.get("candidates", 0)
        told = sum(users for reason, users in entries.counts.items() if reason != "candidates")
        entered[entries.journey_id] += entries.counts.get("enrolled", 0)
        if candidates != told:
            who = names.get(entries.journey_id, f"journey {entries.journey_id}")
            yield Violation("I14", f"{who}: {candidates} candidates, and {told} entered or have a reason")
    passages = count_passages(connection)
    for journey_id, users in entered.items():
        if passages.get(journey_id, 0) != users:
            who = names.get(journey_id, f"journey {journey_id}")
            yield Violation("I14", f"{who}: {users} were counted as entering, and {passages.get(journey_id, 0)} are in")
