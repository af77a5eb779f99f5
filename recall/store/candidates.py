"""Who may enter a journey now? Those its audience means, page by page, in the order in which they may enter.

A page is a range of the anchor's index, not a LIMIT over the whole question: it costs what its anchors cost, and
no planner is tempted to sort everybody. Order: time of the anchor, then user (of triggers: event).

- An event anchor is the user's latest such event, also where the audience asks about an earlier one. A top-level
  `did: <anchor>` with `between` or `within` says which range of the index is looked at.
- Each trigger event is an entry; a date attribute is reached at its time plus or minus the offset. Both are
  taken up for two days: long enough to outlive a failed night, short enough that nothing starts stale.
- A campaign's anchor is the moment of entering: what was done before does not count as coming back.
- Whoever was enrolled for this very entry key is no candidate: a daily run would count millions again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Text,
    bindparam,
    case,
    cast,
    func,
    literal,
    select,
    true,
    tuple_,
)

from journeys.durations import Duration, add, subtract
from journeys.journey import CampaignAnchor, DateAnchor, Entry, TriggerAnchor
from journeys.rules import All, Did
from recall.clock import Instant
from recall.store import schema
from recall.store.audience import NOW, Cutoffs, Scope, compile_rule, found_in
from recall.store.versions import Version

_TAKEN_UP_FOR = Duration(days=2)
_LAST_ID = 2**62  # after every id
_LONG_AGO = -(2**62)

Place = tuple[Instant, int]  # time of the anchor and id: where a page begins or ends
Span = tuple[Place, Place]  # places later than the first, up to and with the second

USERS = schema.users.alias("users")  # the candidate's own row, for further columns
_LATEST = schema.user_events.alias("latest")
_EVENT = schema.events.alias("anchor")
_DATE = schema.user_attributes.alias("anchor")


@dataclass(frozen=True)
class _Anchor:
    """Where candidates are found: tables joined to `USERS`, and what of them makes an entry."""

    tables: FromClause
    user_id: ColumnElement[int]
    entry_key: ColumnElement[str]
    anchor_at: ColumnElement[int]
    order: tuple[ColumnElement[int], ...]  # (time, id) as in an index; of campaigns the id alone
    conditions: tuple[ColumnElement[bool], ...] = ()


@dataclass(frozen=True)
class Candidates:
    """The question, built once for a version; `statement` gives user_id, entry_key and anchor_at of one page."""

    version: Version
    cutoffs: Cutoffs
    statement: Select[Any]
    _ends: Select[Any]  # place of the last anchor of a page, whether or not the audience means it

    def span(self, now: Instant) -> Span:
        """All places at which a candidate may stand."""
        return _span(self.version.program.journey.entry, now, self.cutoffs.zone)

    def first_page(self, connection: Connection, span: Span, *, now: Instant, size: int) -> Span:
        """The beginning of `span` that holds at most `size` anchors; `span` itself when it holds no more."""
        walk_indexes(connection)
        found = connection.execute(self._ends.offset(size - 1).limit(1), self.parameters(now, span)).first()
        return (span[0], span[1] if found is None else (found.at, found.id))

    def parameters(self, now: Instant, page: Span) -> dict[str, int]:
        """What `statement` is executed with."""
        (after_at, after_id), (upto_at, upto_id) = page
        places = {"after_at": after_at, "after_id": after_id, "upto_at": upto_at, "upto_id": upto_id}
        return self.cutoffs.values(now) | places


_PAGE_PLANS = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}


def walk_indexes(connection: Connection) -> None:
    """Have PostgreSQL look up the people of a page by key until the transaction ends.

    Left to itself it reads whole tables for a page, all the more while a first run fills them: its statistics still
    say that they are empty.
    """
    if connection.dialect.name == "postgresql":
        local = [func.set_config(name, value, true()) for name, value in _PAGE_PLANS.items()]
        connection.execute(select(*local))


def candidates(version: Version) -> Candidates:
    """Who may enter this version; columns of `USERS` may be added to the statement."""
    entry = version.program.journey.entry
    cutoffs = Cutoffs(ZoneInfo(version.program.journey.zone))
    anchor = _anchor(entry, cutoffs)
    meant = compile_rule(entry.audience, Scope(USERS.c.id, cutoffs))
    statement = (
        select(USERS.c.id.label("user_id"), anchor.entry_key.label("entry_key"), anchor.anchor_at.label("anchor_at"))
        .select_from(_with_users(anchor))
        .where(*anchor.conditions, *_on_page(anchor.order), meant, ~_entered(version, anchor))
        .order_by(*anchor.order)
    )
    return Candidates(version, cutoffs, statement, _ends(anchor))


def _with_users(anchor: _Anchor) -> FromClause:
    return USERS if anchor.tables is USERS else anchor.tables.join(USERS, USERS.c.id == anchor.user_id)


def _ends(anchor: _Anchor) -> Select[Any]:
    at, id_ = anchor.order if len(anchor.order) == 2 else (literal(0, BigInteger), *anchor.order)
    places = select(at.label("at"), id_.label("id")).select_from(anchor.tables)
    return places.where(*anchor.conditions, *_on_page(anchor.order)).order_by(*anchor.order)


def _on_page(order: tuple[ColumnElement[int], ...]) -> tuple[ColumnElement[bool], ...]:
    names = ("at", "id")[-len(order) :]
    after = [bindparam(f"after_{name}", type_=BigInteger) for name in names]
    upto = [bindparam(f"upto_{name}", type_=BigInteger) for name in names]
    if len(order) == 1:
        return order[0] > after[0], order[0] <= upto[0]
    return tuple_(*order) > tuple_(*after), tuple_(*order) <= tuple_(*upto)


def _entered(version: Version, anchor: _Anchor) -> ColumnElement[bool]:
    """This very entry was made before."""
    table = schema.enrolments.alias("entered")
    mine = (table.c.journey_id == version.journey_id, table.c.user_id == anchor.user_id)
    return found_in(table, *mine, table.c.entry_key == anchor.entry_key)


def _anchor(entry: Entry, cutoffs: Cutoffs) -> _Anchor:
    match entry.anchor:
        case CampaignAnchor():
            return _Anchor(USERS, USERS.c.id, literal(entry.anchor.campaign, Text), NOW, (USERS.c.id,))
        case DateAnchor():
            return _date_anchor(entry.anchor)
        case TriggerAnchor():
            return _trigger_anchor(entry.anchor, cutoffs)
        case name:
            return _event_anchor(name)


def _event_anchor(name: str) -> _Anchor:
    tables = _LATEST.join(_EVENT, _EVENT.c.id == _LATEST.c.last_event_id)
    order = (_LATEST.c.last_at, _LATEST.c.user_id)
    return _Anchor(tables, _LATEST.c.user_id, _EVENT.c.key, _LATEST.c.last_at, order, (_LATEST.c.name == name,))


def _trigger_anchor(anchor: TriggerAnchor, cutoffs: Cutoffs) -> _Anchor:
    """Found through the latest event of each user, because events are indexed by user."""
    name = anchor.trigger
    tables = _LATEST.join(_EVENT, _EVENT.c.user_id == _LATEST.c.user_id)
    recent = (_LATEST.c.name == name, _LATEST.c.last_at > cutoffs.ago(_TAKEN_UP_FOR), _EVENT.c.name == name)
    return _Anchor(tables, _EVENT.c.user_id, _EVENT.c.key, _EVENT.c.at, (_EVENT.c.at, _EVENT.c.id), recent)


def _date_anchor(anchor: DateAnchor) -> _Anchor:
    key = literal(f"{anchor.attribute}:", Text).concat(cast(_DATE.c.at, Text))
    offset = (anchor.after.micros if anchor.after else 0) - (anchor.before.micros if anchor.before else 0)
    reached = _DATE.c.at + offset  # off by the hour of a clock change, therefore never later than now
    order = (_DATE.c.at, _DATE.c.user_id)
    anchor_at = case((reached > NOW, NOW), else_=reached)
    return _Anchor(_DATE, _DATE.c.user_id, key, anchor_at, order, (_DATE.c.name == anchor.attribute,))


# --- which anchors are looked at ------------------------------------------------------------------------


def _span(entry: Entry, now: Instant, zone: ZoneInfo) -> Span:
    match entry.anchor:
        case CampaignAnchor():
            return (0, 0), (0, _LAST_ID)
        case DateAnchor():
            after, until = _date_range(entry.anchor, now, zone)
        case TriggerAnchor():
            after, until = subtract(now, _TAKEN_UP_FOR, zone), now
        case name:
            after, until = _event_range(entry, name, now, zone)
    return (after, _LAST_ID), (until, _LAST_ID)


def _date_range(anchor: DateAnchor, now: Instant, zone: ZoneInfo) -> tuple[Instant, Instant]:
    def reached_by(moment: Instant) -> Instant:
        earlier = subtract(moment, anchor.after, zone) if anchor.after else moment
        return add(earlier, anchor.before, zone) if anchor.before else earlier

    return reached_by(subtract(now, _TAKEN_UP_FOR, zone)), reached_by(now)


def _event_range(entry: Entry, name: str, now: Instant, zone: ZoneInfo) -> tuple[Instant, Instant]:
    """What the audience demands of the latest event of this name; it may demand more."""
    parts = entry.audience.all if isinstance(entry.audience, All) else (entry.audience,)
    after, until = [_LONG_AGO], [now]
    for part in parts:
        if not isinstance(part, Did) or part.did != name or (part.times and part.times.at_least == 0):
            continue
        if part.within:
            after.append(subtract(now, part.within, zone))
        if part.between:
            after.append(subtract(now, part.between[1], zone))
            until += [] if part.where else [subtract(now, part.between[0], zone)]
    return max(after), min(until)
