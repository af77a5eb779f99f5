"""Is there money, ramp and stock left for one more message? Counted in rows that are locked last.

Order of locks: programme-day, journey, journey-day, ramp-day, offer (the primary key's order), so that two
gates never wait for each other in a circle. The longest prefix of a chunk that fits is granted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select, tuple_

from journeys.journey import Offer
from journeys.words import Reason, SendState
from recall.clock import SECOND, Instant, to_datetime
from recall.store import schema
from recall.store.gate_reasons import Case
from recall.store.upserts import insert

_T = schema.allowances
FOR_GOOD = 0  # the `day` of allowances that never start anew


class Kind(IntEnum):
    PROGRAMME_DAY = 1
    JOURNEY = 2
    JOURNEY_DAY = 3
    RAMP_DAY = 4
    OFFER = 5


Key = tuple[int, str, int]  # kind, subject, day


def local_day(now: Instant, zone: ZoneInfo) -> int:
    """Number of the local calendar day (days since year 1)."""
    return to_datetime(now).astimezone(zone).toordinal()


def limits_of(of: Case, now: Instant, *, ramp_days: int) -> dict[Key, int]:
    """What may be used up at most, per allowance; `ramp_days` = days on which the journey sent before today."""
    journey = of.version.program.journey
    day = local_day(now, of.zone)
    limits: dict[Key, int] = {}
    if of.policy.budget_per_day is not None:
        limits[Kind.PROGRAMME_DAY, of.policy.id, day] = of.policy.budget_per_day
    if journey.budget and journey.budget.total is not None:
        limits[Kind.JOURNEY, of.version.name, FOR_GOOD] = journey.budget.total
    if journey.budget and journey.budget.per_day is not None:
        limits[Kind.JOURNEY_DAY, of.version.name, day] = journey.budget.per_day
    if journey.ramp and ramp_days < len(journey.ramp):
        limits[Kind.RAMP_DAY, of.version.name, day] = journey.ramp[ramp_days]
    if of.node.offer is not None:
        limits[offer_key(of.version.name, of.node.offer)] = of.node.offer.stock
    return limits


def offer_key(journey: str, offer: Offer) -> Key:
    return Kind.OFFER, f"{journey}/{offer.name}", FOR_GOOD


def count_ramp_days(connection: Connection, journey: str, *, before_day: int) -> int:
    """On how many days before this one the journey sent anything under its ramp."""
    rows = select(func.count()).select_from(_T)
    mine = (_T.c.kind == int(Kind.RAMP_DAY), _T.c.subject == journey, _T.c.day < before_day, _T.c.used > 0)
    return int(connection.execute(rows.where(*mine)).scalar_one())


def count_calling(connection: Connection, of: Case, now: Instant) -> int:
    """Messages under this policy whose answer is awaited right now, a chunk of them at most."""
    some = _CALLING.where(_S.c.policy_hash == of.live.hash, _S.c.gate_at + 0 > now - _AWAITED).limit(_MOST)
    return int(connection.execute(select(func.count()).select_from(some.subquery())).scalar_one())


# `+ 0`: else SQLite would walk the ledger by time rather than look at the handful that is open.
_S = schema.sends
_CALLING = select(_S.c.id).where(schema.SENDS_OPEN, _S.c.state == SendState.CALLING.value)
_AWAITED, _MOST = 20 * SECOND, 1000


@dataclass
class Purse:
    """What is left during one chunk; `taken` is what this chunk used up."""

    limits: Mapping[Key, int]
    used: Mapping[Key, int]
    taken: dict[Key, int] = field(default_factory=dict)
    exhausted: set[int] = field(default_factory=set)  # kinds that denied a row: no later row of the prefix fits

    def refuse(self, price: int, *, shadow: bool) -> Reason | None:
        """Take what one message needs, or say what is missing; a shadow asks and takes nothing."""
        costs = {key: price if key[0] <= Kind.JOURNEY_DAY else 1 for key in self.limits}
        for key, cost in costs.items():
            full = self.used.get(key, 0) + self.taken.get(key, 0) + cost > self.limits[key]
            if full or key[0] in self.exhausted:
                self.exhausted.add(key[0])
                return _REASONS[Kind(key[0])]
        if not shadow:
            for key, cost in costs.items():
                self.taken[key] = self.taken.get(key, 0) + cost
        return None

    @property
    def ramp_left(self) -> int:
        """Sends left on this day of the ramp; 1 when there is no ramp."""
        key = next((key for key in self.limits if key[0] == Kind.RAMP_DAY), None)
        return 1 if key is None else self.limits[key] - self.used.get(key, 0)


_REASONS = {
    Kind.PROGRAMME_DAY: Reason.BUDGET_SPENT,
    Kind.JOURNEY: Reason.BUDGET_SPENT,
    Kind.JOURNEY_DAY: Reason.BUDGET_SPENT,
    Kind.RAMP_DAY: Reason.RAMP_LIMIT,
    Kind.OFFER: Reason.NO_STOCK,
}


def open_purse(connection: Connection, of: Case, now: Instant, *, lock: bool) -> Purse:
    """Read (and lock, last of all locks) what is used up of everything that limits this step."""
    journey = of.version.program.journey
    ramp_days = 0
    if journey.ramp:
        ramp_days = count_ramp_days(connection, of.version.name, before_day=local_day(now, of.zone))
    limits = limits_of(of, now, ramp_days=ramp_days)
    if not limits:
        return Purse({}, {})
    if lock:
        _ensure_rows(connection, list(limits))
    rows = select(_T).where(tuple_(_T.c.kind, _T.c.subject, _T.c.day).in_(list(limits)))
    rows = rows.order_by(_T.c.kind, _T.c.subject, _T.c.day)
    found = connection.execute(rows.with_for_update() if lock else rows)
    return Purse(limits, {(row.kind, row.subject, row.day): row.used for row in found})


def _ensure_rows(connection: Connection, keys: list[Key]) -> None:
    statement = insert(connection, _T).on_conflict_do_nothing()
    connection.execute(statement, [{"kind": k, "subject": s, "day": d, "used": 0} for k, s, d in sorted(keys)])


def pay(connection: Connection, taken: Mapping[Key, int]) -> None:
    """Write down what a chunk took."""
    _add(connection, taken)


def give_back(connection: Connection, returned: Mapping[Key, int]) -> None:
    """A message known not to have been sent costs nothing and keeps no stock."""
    _add(connection, {key: -amount for key, amount in returned.items()})


def _add(connection: Connection, amounts: Mapping[Key, int]) -> None:
    for (kind, subject, day), amount in sorted(amounts.items()):
        connection.execute(
            _T.update()
            .where(_T.c.kind == kind, _T.c.subject == subject, _T.c.day == day)
            .values(used=_T.c.used + amount)
        )
