"""What has been kept long enough? Rows older than the policy says are forgotten, in bounded batches, and counted.

Never forgotten by age: suppressions and consents (proof of a stop and of a yes), `contact_state` and `user_events`
(caps, the unresponsive rule, audiences), the ledger's rows without their texts, and whatever belongs to a passage
that goes on or whose goal can still be reached. What several policies share is kept as long as the longest says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, exists, func, null, or_, select

from journeys.policy import Retention
from recall.clock import HOUR, Instant
from recall.store import schema
from recall.store.cases import policy_names
from recall.store.connect import Store, read_fact, write_fact
from recall.store.erasure import overwrite_deleted
from recall.store.events import EVENTS_SINCE, events_since
from recall.store.policies import live_policies
from recall.store.versions import read_version

BATCH = 10_000  # rows looked at in one transaction
PRUNED_AT = "pruned_at"

_D, _E, _I, _L = schema.decisions, schema.enrolments, schema.inbound, schema.links
_P, _R, _S, _U, _V = schema.policies, schema.receipts, schema.sends, schema.user_events, schema.events


@dataclass(frozen=True)
class Rule:
    """Rows of one table that were kept long enough."""

    what: str  # the policy's word
    cutoff: Instant
    table: Table
    key: ColumnElement[Any]  # unique, walked in order
    where: ColumnElement[bool]
    blanks: tuple[str, ...] = ()  # columns that are emptied; none: the row goes
    of: str = ""  # the policy, where each has its own


def rules(connection: Connection, *, now: Instant) -> list[Rule]:
    """What every policy in force asks to be forgotten now."""
    by_policy = {name: live.policy.retention for name, live in live_policies(connection).items()}
    return [
        *_of_messages(by_policy, now),
        *_of_decisions(connection, by_policy, now),
        *_of_events(connection, longest(by_policy.values(), "events"), now),
        *_of_replies(longest(by_policy.values(), "receipts"), now),
    ]


def longest(kept: Iterable[Retention], what: str) -> int | None:
    """How long all of them together keep something; None: for good."""
    spans = [getattr(retention, what) for retention in kept]
    return max(span.micros for span in spans) if spans and None not in spans else None


def live_retention(connection: Connection) -> list[Retention]:
    """What the policies in force say."""
    return [live.policy.retention for live in live_policies(connection).values()]


def _is_open(now: Instant) -> ColumnElement[bool]:
    """A passage that goes on, or whose goal can still be reached."""
    return or_(schema.is_active(_E), _E.c.goal_until > now)


def _of_messages(by_policy: dict[str, Retention], now: Instant) -> Iterator[Rule]:
    for name, kept in by_policy.items():
        hashes = select(_P.c.hash).where(_P.c.name == name)
        closed = ~exists().where(_E.c.id == _S.c.enrolment_id, _is_open(now))
        if kept.bodies is not None:
            cutoff = now - kept.bodies.micros
            # Batches are ranges of ids: no other index is to tempt SQLite.
            settled = and_(_S.c.gate_at + 0 < cutoff, _S.c.state.not_in(("calling", "in_doubt")), closed)
            there = or_(_S.c.body.is_not(None), _S.c.link.is_not(None))
            mine = _S.c.policy_hash.in_(hashes)
            yield Rule("bodies", cutoff, _S, _S.c.id, and_(settled, there, mine), ("body", "link"), name)
        if kept.links is not None:
            cutoff = now - kept.links.micros
            of = exists().where(_S.c.ref == _L.c.ref, _S.c.policy_hash.in_(hashes), closed)
            yield Rule("links", cutoff, _L, _L.c.token, and_(_L.c.at < cutoff, of))


def _of_decisions(connection: Connection, by_policy: dict[str, Retention], now: Instant) -> Iterator[Rule]:
    versions: dict[int, list[int]] = {}
    for version_id in connection.execute(select(schema.versions.c.id)).scalars():
        names = policy_names(read_version(connection, version_id).program.journey)
        span = longest((by_policy.get(name, Retention()) for name in names), "decisions")
        if span is not None:
            versions.setdefault(span, []).append(version_id)
    for span, ids in versions.items():
        of = exists().where(_E.c.id == _D.c.enrolment_id, _E.c.version_id.in_(ids), ~_is_open(now))
        yield Rule("decisions", now - span, _D, _D.c.id, and_(_D.c.at < now - span, of))


def _of_events(connection: Connection, span: int | None, now: Instant) -> Iterator[Rule]:
    """The latest event of each name keeps its row without properties: anchors and audiences point to it."""
    if span is None:
        return
    cutoff = now - span
    closed = ~exists().where(_E.c.user_id == _V.c.user_id, _is_open(now))
    latest = exists().where(_U.c.user_id == _V.c.user_id, _U.c.name == _V.c.name, _U.c.last_event_id == _V.c.id)
    old = _V.c.at < cutoff
    # What most rows fail stands first: SQLite asks in this order.
    yield Rule("events", cutoff, _V, _V.c.id, and_(old, ~latest, closed))
    yield Rule("events", cutoff, _V, _V.c.id, and_(old, _V.c.properties.is_not(None), latest, closed), ("properties",))


def _of_replies(span: int | None, now: Instant) -> Iterator[Rule]:
    """Receipts go; of replies only the text: their rows keep a repeated START from undoing a STOP."""
    if span is None:
        return
    cutoff = now - span
    still = exists().where(_S.c.ref == _R.c.ref, _E.c.id == _S.c.enrolment_id, _is_open(now))
    applied = and_(_R.c.received_at < cutoff, _R.c.applied_at.is_not(None))
    yield Rule("receipts", cutoff, _R, _R.c.id, and_(applied, ~still))
    yield Rule("receipts", cutoff, _I, _I.c.id, and_(_I.c.received_at < cutoff, _I.c.text.is_not(None)), ("text",))


# --- forgetting -------------------------------------------------------------------------------------------


def count(connection: Connection, rule: Rule) -> int:
    """How many rows a rule would forget."""
    return int(connection.execute(select(func.count()).select_from(rule.table).where(rule.where)).scalar_one())


def forget(store: Store, rule: Rule, *, batch: int = BATCH) -> int:
    """Forget what a rule names, looking at `batch` rows in each transaction; returns how many were forgotten."""
    with store.reading() as connection:
        walk = _begin(connection, rule)
    forgotten, last = 0, walk.emptied
    while True:
        with store.writing() as connection:
            upto = _end_of_batch(connection, rule, last, batch)
            if upto is None:
                _end(connection, rule, walk)
                return forgotten
            overwrite_deleted(connection)
            within = rule.key <= upto if last is None else and_(rule.key > last, rule.key <= upto)
            if rule.what == "events":
                _raise_floor(connection, rule.cutoff)
            forgotten += _forget_within(connection, rule, within)
            walk.look_back(connection, rule, within, upto)
            last = upto


@dataclass
class _Walk:
    """Where emptied rows stay, the next pass begins behind those: else each would read the whole ledger."""

    emptied: int | None  # up to this key nothing is left
    known: int  # rows up to this key were there at a pass an hour ago or more, and none is still being written
    newest: int
    cutoff: Instant  # when `newest` was the newest
    goes_on: bool

    def look_back(self, connection: Connection, rule: Rule, within: ColumnElement[bool], upto: Any) -> None:
        """Whether nothing is left in this batch either, whatever policy it is under."""
        self.goes_on = self.goes_on and upto <= self.known
        if self.goes_on:
            left = or_(*(rule.table.c[name].is_not(None) for name in rule.blanks))
            self.goes_on = connection.execute(select(rule.key).where(within, left).limit(1)).first() is None
        if self.goes_on:
            self.emptied = upto


def _begin(connection: Connection, rule: Rule) -> _Walk:
    if not rule.blanks:
        return _Walk(None, -1, -1, 0, goes_on=False)
    emptied, known, cutoff = map(int, (read_fact(connection, _fact(rule)) or "-1 -1 0").split())
    if rule.cutoff < cutoff + HOUR:
        return _Walk(emptied, -1, known, cutoff, goes_on=False)
    newest = connection.execute(select(func.max(rule.key))).scalar()
    return _Walk(emptied, known, -1 if newest is None else newest, rule.cutoff, goes_on=True)


def _end(connection: Connection, rule: Rule, walk: _Walk) -> None:
    if rule.blanks:
        write_fact(connection, _fact(rule), f"{walk.emptied} {walk.newest} {walk.cutoff}")


def _fact(rule: Rule) -> str:
    return f"emptied:{rule.table.name}:{rule.of}"


def _end_of_batch(connection: Connection, rule: Rule, last: Any, batch: int) -> Any:
    keys = select(rule.key).order_by(rule.key).limit(batch)
    some = (keys if last is None else keys.where(rule.key > last)).subquery()
    return connection.execute(select(func.max(some.c[0]))).scalar()


def _forget_within(connection: Connection, rule: Rule, within: ColumnElement[bool]) -> int:
    there = and_(rule.where, within)
    if rule.blanks:
        blank = rule.table.update().where(there).values(dict.fromkeys(rule.blanks, null()))
        return int(connection.execute(blank).rowcount)
    return int(connection.execute(rule.table.delete().where(there)).rowcount)


def _raise_floor(connection: Connection, cutoff: Instant) -> None:
    """What was forgotten is not taken again when an old file is imported once more."""
    if cutoff > events_since(connection):
        write_fact(connection, EVENTS_SINCE, str(cutoff))


def record_pruning(connection: Connection, what: str, rows: int, *, cutoff: Instant, who: str, at: Instant) -> None:
    """Count what one pass forgot."""
    connection.execute(schema.prunings.insert().values(at=at, who=who, what=what, cutoff=cutoff, rows=rows))


def pruned_at(connection: Connection) -> Instant | None:
    """When a pass last came to its end."""
    told = read_fact(connection, PRUNED_AT)
    return None if told is None else int(told)


def note_pruned(connection: Connection, *, at: Instant) -> None:
    write_fact(connection, PRUNED_AT, str(at))
