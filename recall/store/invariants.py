"""What does the store hold against which a provider's log is checked? Plain reads of everything at once; no locks.

Times are UTC microseconds, ids are the store's own, addresses are hashes: nothing read here names a person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from journeys.policy import Policy
from journeys.words import ReceiptKind
from recall.clock import Instant
from recall.store import schema
from recall.store.audience import property_condition
from recall.store.controls import AUDITED
from recall.store.properties import property_text
from recall.store.versions import Version, read_version

_A, _C, _D, _E, _R, _S, _U = (
    schema.addresses,
    schema.consents,
    schema.decisions,
    schema.enrolments,
    schema.receipts,
    schema.sends,
    schema.users,
)

Which = tuple[str, str]  # kind and hash of an address


class Sent(NamedTuple):
    """One row of the ledger, with what is asked about its person and address."""

    id: int
    ref: str
    enrolment_id: int
    version_id: int
    step_id: int
    grp: int
    channel: str
    brand: str
    user_id: int
    state: str
    gate_at: Instant
    settled_at: Instant | None
    body: str | None
    body_hash: str
    policy_hash: str
    consent_id: int | None
    offer: str | None
    replay_of: int | None
    host_id: str  # the host's user id
    zone_id: int
    erased_at: Instant | None
    kind: str  # of its address
    hash: str
    unreachable_at: Instant | None  # since when the address is known not to work
    holdout: str


def read_sends(connection: Connection) -> Iterator[Sent]:
    """The whole ledger, oldest first."""
    own = [_S.c[name] for name in Sent._fields[: Sent._fields.index("host_id")]]
    dead_since = case((_A.c.unreachable.is_not(None), _A.c.unreachable_at))
    rows = (
        select(*own, _U.c.user_id, _U.c.zone_id, _U.c.erased_at, _A.c.kind, _A.c.hash, dead_since, _E.c.holdout)
        .join(_U, _U.c.id == _S.c.user_id)
        .join(_A, _A.c.id == _S.c.address_id)
        .join(_E, _E.c.id == _S.c.enrolment_id)
        .order_by(_S.c.id)
    )
    return (Sent._make(row) for row in connection.execute(rows))


def read_versions(connection: Connection) -> dict[int, Version]:
    """Every version anybody ever entered."""
    ids = connection.execute(select(_E.c.version_id).distinct()).scalars().all()
    return {version_id: read_version(connection, version_id) for version_id in ids}


class Published(NamedTuple):
    """One policy as it was in force from an instant on."""

    hash: str
    published_at: Instant
    policy: Policy


def read_policies(connection: Connection) -> list[Published]:
    """Every policy ever in force, in the order of publication."""
    rows = connection.execute(select(schema.policies).order_by(schema.policies.c.id))
    return [Published(row.hash, row.published_at, Policy.model_validate_json(row.content)) for row in rows]


# --- what forbids a message -------------------------------------------------------------------------------


def first_goals_known(connection: Connection, versions: Mapping[int, Version]) -> dict[int, Instant]:
    """When the store first knew of a goal after the anchor, by enrolment."""
    known: dict[int, Instant] = {}
    for version in versions.values():
        events, goal = schema.events, version.program.journey.goal
        counting = [
            property_condition(property_text(events.c.properties, name), comparison)
            for name, comparison in (goal.where or {}).items()
        ]
        rows = (
            select(_E.c.id, func.min(events.c.recorded_at))
            .join(events, and_(events.c.user_id == _E.c.user_id, events.c.name.in_(goal.events)))
            .where(_E.c.version_id == version.id, events.c.at > _E.c.anchor_at, *counting)
            .group_by(_E.c.id)
        )
        known |= {enrolment_id: at for enrolment_id, at in connection.execute(rows)}
    return known


class Stop(NamedTuple):
    """One decision that somebody must not be messaged, from when the store can have known it."""

    brand: str
    channel: str  # "" = every channel
    reason: str
    since: Instant
    ended_at: Instant | None


def read_stops(connection: Connection) -> dict[Which, list[Stop]]:
    """Every opt-out and suppression there ever was, by kind and hash of the address (or user)."""
    told = _told_by_receipt(connection)
    stops: dict[Which, list[Stop]] = defaultdict(list)
    for row in connection.execute(select(schema.suppressions)):
        since = told.get((row.kind, row.hash, row.at), row.at)
        stops[row.kind, row.hash].append(Stop(row.brand, row.channel, row.reason, since, row.ended_at))
    return stops


def _told_by_receipt(connection: Connection) -> dict[tuple[str, str, Instant], Instant]:
    """Opt-outs a vendor told us of later than they were said: (kind, hash, said at) -> applied at."""
    kinds = (ReceiptKind.OPTED_OUT.value, ReceiptKind.COMPLAINED.value)
    rows = (
        select(_A.c.kind, _A.c.hash, _R.c.at, func.min(func.coalesce(_R.c.applied_at, _R.c.received_at)))
        .join(_S, _S.c.ref == _R.c.ref)
        .join(_A, _A.c.id == _S.c.address_id)
        .where(_R.c.kind.in_(kinds))
        .group_by(_A.c.kind, _A.c.hash, _R.c.at)
    )
    return {(kind, hashed, at): known for kind, hashed, at, known in connection.execute(rows)}


class Switched(NamedTuple):
    """A time in which something was switched off by a person."""

    kind: str  # journeys: ControlKind
    subject: str
    since: Instant
    until: Instant | None


def read_switches(connection: Connection) -> list[Switched]:
    """Every time in which the kill switch, a pause or a stop was in force, by the audit."""
    table = schema.operator_actions
    on = {verbs[0]: kind for kind, verbs in AUDITED.items()}
    off = {verbs[1]: kind for kind, verbs in AUDITED.items()}
    open_since: dict[tuple[str, str], Instant] = {}
    times: list[Switched] = []
    actions = select(table).where(table.c.verb.in_([*on, *off])).order_by(table.c.id)
    for row in connection.execute(actions):
        key = ((on.get(row.verb) or off[row.verb]).value, row.subject)
        if row.verb in on:
            open_since.setdefault(key, row.at)
        elif key in open_since:
            times.append(Switched(*key, open_since.pop(key), row.at))
    return times + [Switched(*key, since, None) for key, since in open_since.items()]


class Consented(NamedTuple):
    """One recorded yes."""

    user_id: int
    brand: str
    channel: str
    purpose: str
    granted: bool
    at: Instant
    expires_at: Instant | None

    @property
    def about(self) -> tuple[int, str, str, str]:
        return (self.user_id, self.brand, self.channel, self.purpose)


def read_consents(connection: Connection) -> dict[int, Consented]:
    """The consents sends refer to, by id."""
    used = select(_S.c.consent_id).where(_S.c.consent_id.is_not(None))
    rows = select(_C.c.id, *[_C.c[name] for name in Consented._fields]).where(_C.c.id.in_(used))
    return {row[0]: Consented._make(row[1:]) for row in connection.execute(rows)}


def read_withdrawals(connection: Connection) -> dict[tuple[int, str, str, str], list[Instant]]:
    """When consent was withdrawn, by user, brand, channel and purpose."""
    rows = select(_C.c.user_id, _C.c.brand, _C.c.channel, _C.c.purpose, _C.c.at).where(_C.c.granted.is_(False))
    found: dict[tuple[int, str, str, str], list[Instant]] = defaultdict(list)
    for user_id, brand, channel, purpose, at in connection.execute(rows):
        found[user_id, brand, channel, purpose].append(at)
    return found


# --- enrolments -------------------------------------------------------------------------------------------


class Passage(NamedTuple):
    """One user's passage through one version."""

    id: int
    journey_id: int
    version_id: int
    entered_at: Instant
    holdout: str
    arm: str
    active: bool
    step_id: int
    due_at: Instant
    parked_until: Instant | None
    ended_at: Instant | None
    end_reason: str | None
    host_id: str


def read_passages(connection: Connection) -> Iterator[Passage]:
    """Every enrolment there ever was."""
    own = [_E.c[name] for name in Passage._fields[:-1]]
    rows = select(*own, _U.c.user_id).join(_U, _U.c.id == _E.c.user_id).order_by(_E.c.id)
    return (Passage._make(row) for row in connection.execute(rows))


def read_left_out(connection: Connection) -> dict[int, set[int]]:
    """Steps on which the gate left a message out for good, by enrolment."""
    rows = select(_D.c.enrolment_id, _D.c.step_id).where(_D.c.action != "defer").distinct()
    found: dict[int, set[int]] = defaultdict(set)
    for enrolment_id, step_id in connection.execute(rows):
        found[enrolment_id].add(step_id)
    return found


def read_forgotten_until(connection: Connection) -> Instant:
    """Of passages that are closed, reasons from before this instant were forgotten; 0 where none ever was."""
    prunings = schema.prunings
    cutoff = connection.execute(select(func.max(prunings.c.cutoff)).where(prunings.c.what == "decisions")).scalar()
    return int(cutoff or 0)


class Shown(NamedTuple):
    """A send without a known outcome, and whether people can see the doubt."""

    id: int
    enrolment_id: int
    state: str
    gate_at: Instant
    is_listed: bool


def read_open(connection: Connection) -> list[Shown]:
    """Every send in doubt or being called."""
    doubts = schema.doubts
    listed: ColumnElement[bool] = and_(doubts.c.send_id.is_not(None), doubts.c.resolved_at.is_(None))
    rows = (
        select(_S.c.id, _S.c.enrolment_id, _S.c.state, _S.c.gate_at, case((listed, 1), else_=0))
        .outerjoin(doubts, doubts.c.send_id == _S.c.id)
        .where(or_(_S.c.state == "calling", _S.c.state == "in_doubt"))
        .order_by(_S.c.id)
    )
    return [Shown(row[0], row[1], row[2], row[3], bool(row[4])) for row in connection.execute(rows)]


class Entries(NamedTuple):
    """What one look at the audience counted."""

    journey_id: int
    version_id: int
    at: Instant
    counts: Mapping[str, int]  # "candidates", "enrolled", entry reasons


def read_entries(connection: Connection) -> list[Entries]:
    """Every look at every audience."""
    table = schema.entry_counts
    by: dict[tuple[int, int, Instant], dict[str, int]] = defaultdict(dict)
    for row in connection.execute(select(table).order_by(table.c.id)):
        counts = by[row.journey_id, row.version_id, row.at]
        counts[row.reason] = counts.get(row.reason, 0) + row.users
    return [Entries(*key, counts) for key, counts in by.items()]


def count_passages(connection: Connection) -> dict[int, int]:
    """Enrolments by journey."""
    rows = select(_E.c.journey_id, func.count()).group_by(_E.c.journey_id)
    return {journey_id: count for journey_id, count in connection.execute(rows)}
