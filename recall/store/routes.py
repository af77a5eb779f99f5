"""Through which provider and sender may a chunk leave now, and how many messages of it?

One token bucket per sender, shared by all workers; a breaker per provider. Both are asked before the gate, so
that nobody passes it who cannot be called within its five seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, bindparam, select

from journeys.policy import Route
from recall.clock import MINUTE, SECOND, Instant
from recall.store import schema
from recall.store.upserts import insert

_B, _S = schema.breakers, schema.senders
BURST_SECONDS = 4  # a full bucket is what the sender takes in this time: design 5
_CHUNKS_PER_SECOND = 4  # at most, of a sender that sends as fast as it may
FAILURES_TO_OPEN = 3  # chunks in a row that nobody took
_FIRST_PAUSE = MINUTE
_LONGEST_PAUSE = 30 * MINUTE


@dataclass(frozen=True)
class Lane:
    """One way out: a provider and one of its senders ("" is the provider's own choice)."""

    provider: str
    sender: str


@dataclass(frozen=True)
class Grant:
    """What may leave now: `messages` on `lane`; when that is 0, the moment to ask again."""

    lane: Lane
    messages: int
    again_at: Instant | None = None
    is_probe: bool = False  # this provider failed lately: one message shows whether it works again
    tokens: int = 0  # taken from the sender's bucket; what the gate does not use goes back


def grant(connection: Connection, route: Route, *, brand: str, want: int, now: Instant, paced: bool) -> Grant:
    """Pick the first provider whose breaker is closed, its fullest healthy sender, and take tokens.

    With every breaker open the first provider gets one message, to probe it. `paced` False (simulated
    providers) takes no tokens: nothing limits them.
    """
    failing = {row.provider: row for row in connection.execute(_FAILING, {"names": route.providers})}
    closed = [name for name in route.providers if not _is_open(failing.get(name), now)]
    provider = (closed or route.providers)[0]
    is_probe = provider in failing and failing[provider].failures >= FAILURES_TO_OPEN
    want = 1 if is_probe else want
    senders = route.senders_of(provider)
    if not paced:
        return Grant(Lane(provider, senders[0]), want, is_probe=is_probe)
    taken = _take(connection, provider, senders, route.per_second, brand=brand, want=want, now=now)
    return replace(taken, is_probe=is_probe)


# --- pacing -------------------------------------------------------------------------------------------------


def _take(
    connection: Connection,
    provider: str,
    senders: Sequence[str],
    per_second: int,
    *,
    brand: str,
    want: int,
    now: Instant,
) -> Grant:
    full = float(per_second * BURST_SECONDS)
    buckets = _buckets(connection, provider, senders, brand, full, now)
    healthy = [row for row in buckets if (row.resting_until or 0) <= now]
    if not healthy:
        return Grant(
            Lane(provider, ""),
            0,
            min((row.resting_until for row in buckets if row.resting_until), default=now + SECOND),
        )
    # Another worker's clock, or a corrected one, may have been ahead: a bucket is never emptied by time.
    passed = {row.sender: max(now - row.refilled_at, 0) for row in healthy}
    levels = {row.sender: min(full, row.tokens + passed[row.sender] * per_second / SECOND) for row in healthy}
    sender = max(levels, key=lambda name: (levels[name], name))
    taken = min(want, int(levels[sender]))
    least = min(want, max(per_second // _CHUNKS_PER_SECOND, 1))
    if taken < least:  # else a busy sender would be fed message by message, with a transaction for each
        again_at = now + int((least - levels[sender]) * SECOND / per_second) + 1
        return Grant(Lane(provider, sender), 0, again_at)
    left = {"of": provider, "from": sender, "left": levels[sender] - taken, "at": now}
    connection.execute(_TAKE, left)
    return Grant(Lane(provider, sender), taken, tokens=taken)


def give_back(connection: Connection, granted: Grant, *, used: int) -> None:
    """Fewer passed the gate than might have left: else one message due would cost its sender four seconds."""
    if granted.tokens > used:
        connection.execute(
            _GIVE_BACK, {"of": granted.lane.provider, "from": granted.lane.sender, "unused": granted.tokens - used}
        )


def _buckets(
    connection: Connection, provider: str, senders: Sequence[str], brand: str, full: float, now: Instant
) -> list[Any]:
    """The rows of these senders, locked; a sender seen for the first time begins with a full bucket."""
    mine = {"of": provider, "senders": senders}
    if len(found := connection.execute(_BUCKETS, mine).all()) == len(set(senders)):
        return list(found)
    fresh = [
        {"provider": provider, "sender": sender, "brand": brand, "tokens": full, "refilled_at": now}
        for sender in sorted(senders)
    ]
    connection.execute(insert(connection, _S).on_conflict_do_nothing(), fresh)
    return list(connection.execute(_BUCKETS, mine))


# Asked for each chunk, so written once: to build a statement takes longer than to execute it.
_FAILING = select(_B).where(_B.c.provider.in_(bindparam("names", expanding=True)))
_BUCKETS = (
    select(_S)
    .where(_S.c.provider == bindparam("of"), _S.c.sender.in_(bindparam("senders", expanding=True)))
    .order_by(_S.c.sender)
    .with_for_update()
)
_MINE = _S.update().where(_S.c.provider == bindparam("of"), _S.c.sender == bindparam("from"))
_TAKE = _MINE.values(tokens=bindparam("left"), refilled_at=bindparam("at"))
_GIVE_BACK = _MINE.values(tokens=_S.c.tokens + bindparam("unused"))


def slow_down(connection: Connection, lane: Lane, *, until: Instant, why: str) -> None:
    """The vendor throttled this sender: it rests as a whole until then."""
    mine = (_S.c.provider == lane.provider, _S.c.sender == lane.sender)
    connection.execute(_S.update().where(*mine).values(resting_until=until, why=why, tokens=0.0))


# --- breaker ------------------------------------------------------------------------------------------------


def _is_open(row: Any, now: Instant) -> bool:
    """Is this provider left alone at the moment?"""
    return row is not None and row.open_until is not None and row.open_until > now


def note_failure(connection: Connection, provider: str, *, why: str, now: Instant) -> bool:
    """A whole chunk was not taken; after some in a row the breaker opens, each time for longer."""
    first = insert(connection, _B).values(provider=provider, failures=0, why=why).on_conflict_do_nothing()
    connection.execute(first)  # two workers may fail in the same moment
    row = connection.execute(select(_B).where(_B.c.provider == provider).with_for_update()).one()
    failures: int = row.failures + 1
    pause = min(_FIRST_PAUSE * 2 ** max(failures - FAILURES_TO_OPEN, 0), _LONGEST_PAUSE)
    values = {"failures": failures, "why": why, "open_until": now + pause if failures >= FAILURES_TO_OPEN else None}
    connection.execute(_B.update().where(_B.c.provider == provider).values(**values))
    return failures >= FAILURES_TO_OPEN


def note_success(connection: Connection, provider: str) -> None:
    """A message was taken: the provider works again."""
    connection.execute(_B.delete().where(_B.c.provider == provider))


def reassign(connection: Connection, refs: Sequence[str], provider: str, *, again: Sequence[str] = ()) -> None:
    """Say, before the call, that these messages now go through another provider: its lookup is the one to ask.

    `again`: those whose bytes left once already, so that this is one attempt more.
    """
    sends = schema.sends
    calling = sends.c.state == "calling"
    connection.execute(sends.update().where(sends.c.ref.in_(refs), calling).values(provider=provider))
    if again:
        connection.execute(sends.update().where(sends.c.ref.in_(again), calling).values(attempt=sends.c.attempt + 1))
