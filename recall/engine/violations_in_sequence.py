"""Were messages too many, too dear, too early or out of order? Counted again from the provider's log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from journeys.durations import Duration
from journeys.policy import Policy
from journeys.program import BranchNode, ExitNode, MessageNode, Node, OutcomeNode, Program, SplitNode, Way
from journeys.words import SendState
from recall.clock import HOUR, SECOND, Instant, to_datetime
from recall.engine.evidence import TOTAL_DELAY, Evidence, Taken, Violation
from recall.store.invariants import Sent
from recall.store.pricing import count_segments
from recall.store.versions import Version

_CAP_SLACK = 30 * SECOND  # gate and call of one message may lie so much further apart than those of another
_DST = HOUR  # a missing or repeated hour on the way of a wait
_OPEN = frozenset({SendState.CALLING.value, SendState.IN_DOUBT.value})


def find_in_sequence(evidence: Evidence, taken: Iterable[Taken], ledger: Iterable[Sent]) -> Iterator[Violation]:
    """What is wrong with messages looked at together."""
    messages = sorted(taken, key=lambda message: (message.at, message.row.id))
    yield from _over_caps(evidence, messages)
    yield from _over_budgets(evidence, messages)
    yield from _out_of_order(evidence, messages, ledger)


def _grouped(messages: Iterable[Taken], key: Callable[[Taken], object]) -> Iterator[list[Taken]]:
    """Messages that share a key, each group in time order; those without a key (None) are left out."""
    groups: dict[object, list[Taken]] = defaultdict(list)
    for message in messages:
        group = key(message)
        if group is not None:
            groups[group].append(message)
    return iter(groups.values())


# --- I4: caps ---------------------------------------------------------------------------------------------


def _over_caps(evidence: Evidence, messages: list[Taken]) -> Iterator[Violation]:
    """Rolling caps, per person and per address, each by the policy its message went out under."""
    keys: tuple[tuple[str, Callable[[Taken], object]], ...] = (
        ("person", lambda m: (m.row.user_id, m.row.brand)),
        ("address", lambda m: m.address and (m.address, m.row.brand)),
    )
    for whose, key in keys:
        for group in _grouped(messages, key):
            for place in range(1, len(group)):
                for what in _over_cap(evidence, _gated_before(evidence, group[: place + 1])):
                    yield Violation("I4", f"{evidence.named(group[place].row)} is {what} to one {whose}")


def _gated_before(evidence: Evidence, until_now: list[Taken]) -> list[Taken]:
    """Those that had passed their gate when the last one did; under another policy's laxer cap one may have passed it
    afterwards, and yet have been taken a moment earlier."""
    last = until_now[-1]
    policy, surely = evidence.policy(last.row), last.at - TOTAL_DELAY
    return [each for each in until_now if each.at <= surely or evidence.policy(each.row) is policy]


def _over_cap(evidence: Evidence, until_now: list[Taken]) -> Iterator[str]:
    last = until_now[-1]
    policy = evidence.policy(last.row)
    if last.row.channel not in policy.counts:
        return
    for cap in policy.caps:
        if cap.channel not in (None, last.row.channel):
            continue
        counted = {cap.channel} if cap.channel else set(policy.counts)
        since = last.at - cap.within.micros + _CAP_SLACK
        count = sum(message.at > since and message.row.channel in counted for message in until_now)
        if count > cap.sends:
            of = f"{cap.channel.value} " if cap.channel else ""
            yield f"number {count} of at most {cap.sends} {of}messages within {cap.within}"


# --- I5: money and stock ----------------------------------------------------------------------------------


@dataclass
class _Spent:
    """What was used up of one limit; a limit that was changed counts at its highest."""

    limit: int = 0
    used: int = 0

    def add(self, cost: int, limit: int) -> None:
        self.used += cost
        self.limit = max(self.limit, limit)


def _over_budgets(evidence: Evidence, messages: list[Taken]) -> Iterator[Violation]:
    spent: dict[str, _Spent] = defaultdict(_Spent)
    for message in messages:
        for what, cost, limit in _costs(evidence, message):
            spent[what].add(cost, limit)
    for what, sum_ in spent.items():
        if sum_.used > sum_.limit:
            yield Violation("I5", f"{what}: {sum_.used} used up of {sum_.limit}")


def _costs(evidence: Evidence, message: Taken) -> Iterator[tuple[str, int, int]]:
    """(limit's name, what this message takes of it, how much there is), in micros or pieces."""
    row = message.row
    policy, journey = evidence.policy(row), evidence.journey(row)
    budget, offer = journey.budget, evidence.message(row).offer
    if policy.budget_per_day is None and budget is None and offer is None:
        return
    price = _price(policy, message)
    day = to_datetime(message.at).astimezone(ZoneInfo(journey.zone)).date()
    if policy.budget_per_day is not None:
        yield f"budget of policy {policy.id} on {day}", price, policy.budget_per_day
    if budget is not None and budget.per_day is not None:
        yield f"budget of journey {journey.id} on {day}", price, budget.per_day
    if budget is not None and budget.total is not None:
        yield f"budget of journey {journey.id}", price, budget.total
    if budget is not None and budget.per_user is not None:
        yield f"budget of journey {journey.id} for user {row.user_id}", price, budget.per_user
    if offer is not None:
        yield f"stock of {journey.id}/{offer.name}", 1, offer.stock


def _price(policy: Policy, message: Taken) -> int:
    """By the price book and the text the provider has, in micros."""
    entry = next((each for each in policy.prices.prices if each.channel == message.row.channel), None)
    if entry is None:
        return 0
    return entry.amount * (count_segments(message.body) if entry.unit == "segment" else 1)


# --- I6: order and gaps -----------------------------------------------------------------------------------


def _out_of_order(evidence: Evidence, messages: list[Taken], ledger: Iterable[Sent]) -> Iterator[Violation]:
    rows: dict[int, list[Sent]] = defaultdict(list)
    for row in ledger:
        rows[row.enrolment_id].append(row)
    for group in _grouped(messages, lambda m: m.row.enrolment_id):
        for message in group:
            yield from _not_over_yet(evidence, message, rows[message.row.enrolment_id])
        for before, after in pairwise(group):
            what = _too_early(evidence, before, after)
            if what:
                yield Violation("I6", f"{evidence.named(after.row)} {what}")


def _not_over_yet(evidence: Evidence, message: Taken, rows: Iterable[Sent]) -> Iterator[Violation]:
    """An earlier message had no outcome yet, and its doubt had not been held long enough."""
    for row in rows:
        if row.id == message.row.id or row.gate_at >= message.at:
            continue
        is_open = row.state in _OPEN if row.settled_at is None else row.settled_at > message.at + TOTAL_DELAY
        if is_open and message.at - row.gate_at < evidence.policy(row).doubt_hold.micros:
            what = f"went out while {evidence.named(row)} had no outcome"
            yield Violation("I6", f"{evidence.named(message.row)} {what}")


def _too_early(evidence: Evidence, before: Taken, after: Taken) -> str:
    """What is wrong with the time between two messages; "" when nothing is."""
    version = evidence.versions[before.row.version_id]
    if after.row.version_id != version.id:
        return ""
    wait = _shortest_wait(version, before.row.step_id, after.row.step_id)
    if before.row.step_id == after.row.step_id and (wait is None or after.row.replay_of is not None):
        return "" if after.row.grp > before.row.grp else "repeats its step in one attempt group"
    if wait is None:
        step = evidence.node(version.id, before.row.step_id).name
        return f"follows {step}, and no way leads from there to here"
    zones = evidence.zones[before.row.zone_id]
    if _elapsed(before.at, after.at, wait, zones[0] if zones else ZoneInfo("UTC")):
        return ""
    return f"came after {(after.at - before.at) / HOUR:.1f} h, and the waits before it are {wait}"


@lru_cache(maxsize=4096)
def _shortest_wait(version: Version, start: int, end: int) -> Duration | None:
    return shortest_wait(version.program, start, end)


def _elapsed(before: Instant, after: Instant, wait: Duration, zone: ZoneInfo) -> bool:
    """Calendar days on the person's own clock; hours and minutes as they elapse."""
    if not wait.days:
        return after - before + TOTAL_DELAY >= wait.minutes * 60 * SECOND
    first, second = (to_datetime(at).astimezone(zone) for at in (before, after))
    slack = timedelta(microseconds=TOTAL_DELAY + (_DST if wait.minutes else 0))
    over = first.replace(tzinfo=None) + timedelta(days=wait.days, minutes=wait.minutes)
    if second.fold and second - over.replace(tzinfo=zone).astimezone(UTC) + slack >= timedelta():
        return True  # the hour is repeated, and the clock had shown it once before
    return second.replace(tzinfo=None) + slack >= over


# --- how long is the way from one step to another? --------------------------------------------------------


def shortest_wait(program: Program, start: int, end: int) -> Duration | None:
    """The shortest declared wait between two message steps, over every way there is; None where none leads there.

    Waits count from the last message, until or outcome before them, so those on both sides of a branch overlap.
    """
    if start == end:
        gaps = [n.attempts.gap for n in program.nodes if isinstance(n, OutcomeNode) and n.of == start and n.attempts]
        return gaps[0] if gaps else None
    found: list[Duration] = []
    seen: set[tuple[int, Duration, Duration]] = set()

    def walk(way: Way, pending: Duration, total: Duration) -> None:
        pending = max(pending, _sum(delay.length or Duration() for delay in way.delays), key=_micros)
        if way.node is None or (way.node, pending, total) in seen:
            return
        seen.add((way.node, pending, total))
        if way.node == end:
            found.append(_sum((total, pending)))
            return
        node = program.nodes[way.node]
        if not isinstance(node, BranchNode | SplitNode):
            pending, total = Duration(), _sum((total, pending))
        for onward in ways(node):
            walk(onward, pending, total)

    for way in ways(program.nodes[start]):
        walk(way, Duration(), Duration())
    return min(found, key=_micros, default=None)


def ways(node: Node) -> tuple[Way, ...]:
    """Every way on from a node, retries of a call aside."""
    match node:
        case BranchNode():
            return tuple(way for _, way in node.cases)
        case SplitNode():
            return tuple(way for _, _, way in node.arms)
        case MessageNode():
            return (node.next, node.otherwise) if node.otherwise else (node.next,)
        case OutcomeNode():
            return (node.next, *(way for way in node.actions.values() if isinstance(way, Way)))
        case ExitNode():
            return ()
        case _:
            return (node.next,)


def _sum(durations: Iterable[Duration]) -> Duration:
    days, minutes = 0, 0
    for each in durations:
        days, minutes = days + each.days, minutes + each.minutes
    return Duration(days, minutes)


def _micros(duration: Duration) -> int:
    return duration.micros
