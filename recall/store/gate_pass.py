"""Part 3 of the gate: how is one chunk's decision written, so that no crash can undo or repeat it?

One transaction: rows `calling` in the ledger, contact state, money, decisions; enrolments get their next step
now. After its commit the messages may be called, and nothing else may make them be called again.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from journeys.message import digest, written
from journeys.program import Way
from journeys.windows import closes_at
from journeys.words import Action, Channel, End, Reason, SendState
from recall.clock import DAY, Instant, elapsed_seconds, slot_up
from recall.store import schema
from recall.store.bulk import Sql, insert_rows, update_ids
from recall.store.fates import Fate, fates_of, write_decisions
from recall.store.gate import Chunk, Decision, Gate, decide
from recall.store.gate_reasons import has_address
from recall.store.gate_rows import Page, steered
from recall.store.links import Link, new_links
from recall.store.moves import Road, Start, defer, end, move, place
from recall.store.purse import pay
from recall.store.routes import Lane

_MOMENTS_PER_SECOND = 16  # a few chunks


class Call(NamedTuple):
    """One message to be called now."""

    ref: str
    decision: Decision
    not_after: Instant  # end of the person's send window


@dataclass(frozen=True)
class Passed:
    """A committed chunk: what to call now, and why the others were held back."""

    now: Instant
    calls: list[Call]
    lane: Lane
    shadows: int
    reasons: dict[Reason, int]
    last: tuple[Instant, int] | None  # place in the index to go on from; None when no more is due
    blocked: Reason | None = None  # holds for the whole step: everything stays due

    @property
    def seen(self) -> int:
        return len(self.calls) + sum(self.reasons.values())


def new_refs(count: int) -> list[str]:
    """Unguessable references of 96 random bits each, one per message, behind eight digits that tell when.

    Neighbours in time are neighbours in every index of refs: a chunk writes a few of its pages, not one per message.
    """
    moment = f"{int(elapsed_seconds() * _MOMENTS_PER_SECOND) & 0xFFFFFFFF:08x}"
    digits = secrets.token_hex(12 * count)
    return [moment + digits[n : n + 24] for n in range(0, 24 * count, 24)]


def pass_gate(
    connection: Connection,
    gate: Gate,
    page: Page,
    *,
    now: Instant,
    lane: Lane,
    refs: Callable[[int], list[str]] = new_refs,
) -> Passed:
    """Decide one page under locks and write it all; the caller commits, then calls the provider of `lane`."""
    with steered(connection):
        chunk = decide(connection, gate, page, now=now, lock=True)
    going = [decision for decision in chunk.decisions if decision.goes]
    shadows = [decision for decision in chunk.decisions if decision.reason is Reason.HOLDOUT]
    named = dict(zip((d.row.id for d in going + shadows), refs(len(going) + len(shadows)), strict=True))
    calls = _write_sends(connection, gate, chunk, going, shadows, lane=lane, refs=named)
    _count_contacts(connection, gate, going, now)
    _move_on(connection, gate, chunk, going + shadows, gate.of.node.next)
    _hold_back(connection, gate, chunk)
    pay(connection, chunk.purse.taken)
    return Passed(now, calls, lane, len(shadows), chunk.reasons, chunk.last, chunk.blocked)


# --- the ledger -------------------------------------------------------------------------------------------

_SEND_COLUMNS = (
    "ref", "enrolment_id", "journey_id", "version_id", "step_id", "grp", "channel", "brand", "user_id", "address_id",
    "state", "provider", "gate_at", "expires_at", "counted", "body", "body_hash", "link", "policy_hash", "consent_id",
    "price", "currency", "segments", "offer", "sender", "replay_of", "due_at", "first_due_at",
)  # fmt: skip


def _write_sends(
    connection: Connection,
    gate: Gate,
    chunk: Chunk,
    going: Sequence[Decision],
    shadows: Sequence[Decision],
    *,
    lane: Lane,
    refs: dict[int, str],
) -> list[Call]:
    again = {d.row.id: _call_again(connection, d, lane, chunk.now) for d in going if d.row.retry_send_id is not None}
    fresh = [d for d in going if d.row.retry_send_id is None]
    rows = _send_rows(gate, fresh, refs, SendState.CALLING, lane, chunk.now)
    rows += _send_rows(gate, shadows, refs, SendState.SHADOW, lane, chunk.now)
    insert_rows(connection, schema.sends, _SEND_COLUMNS, rows)
    called = [d for d in going if again.get(d.row.id) != ""]
    _write_links(connection, gate, called, refs, again, chunk.now)
    closes = _closing_times(gate, chunk, called)
    return [Call(again.get(d.row.id) or refs[d.row.id], d, closes[d.row.zone_id]) for d in called]


def _write_links(
    connection: Connection,
    gate: Gate,
    called: Sequence[Decision],
    refs: dict[int, str],
    again: dict[int, str],
    now: Instant,
) -> None:
    """The short addresses of this chunk, and the only places they may lead."""
    target = gate.of.node.link
    if gate.shortens and target:
        new_links(connection, [Link(d.link_token, again.get(d.row.id) or refs[d.row.id], target, now) for d in called])


def _closing_times(gate: Gate, chunk: Chunk, called: Sequence[Decision]) -> dict[int, Instant]:
    """By zone id: when the window that is open now closes."""
    return {
        zone_id: closes_at(gate.rules, chunk.zones.get(zone_id, ()), chunk.now)
        for zone_id in {decision.row.zone_id for decision in called}
    }


def _send_rows(
    gate: Gate, decisions: Sequence[Decision], refs: dict[int, str], state: SendState, lane: Lane, now: Instant
) -> list[tuple[object, ...]]:
    of, version, node, shadow = gate.of, gate.of.version, gate.of.node, state is SendState.SHADOW
    channel, expires, counted = of.channel.value, node.expires.micros, of.counts and not shadow
    link, offer = node.link or None, node.offer.name if node.offer else None
    state_now, brand, journey_id, version_id = state.value, version.brand, version.journey_id, version.id
    rows: list[tuple[object, ...]] = []
    for decision in decisions:
        row, price = decision.row, decision.price
        assert price is not None  # part 2 priced every row that goes
        body, hashed = _text(decision)
        rows.append((
            refs[row.id], row.id, journey_id, version_id, node.id, row.grp, channel, brand,
            row.user_id, row.address_id, state_now, lane.provider, now, row.first_due_at + expires,
            counted, None if shadow else body, hashed, link,
            of.live.hash, row.consent_id, 0 if shadow else price.micros, price.currency, price.segments,
            offer, lane.sender, row.replay_of, row.due_at, row.first_due_at,
        ))  # fmt: skip
    return rows


def _call_again(connection: Connection, decision: Decision, lane: Lane, now: Instant) -> str:
    """A send known not to have been sent: the same row and ref, one attempt more. "" when it was moved meanwhile."""
    sends = schema.sends
    body, hashed = _text(decision)
    row = connection.execute(
        sends.update()
        .where(sends.c.id == decision.row.retry_send_id, sends.c.state == SendState.NOT_SENT.value)
        .values(
            state=SendState.CALLING.value,
            attempt=sends.c.attempt + 1,
            provider=lane.provider,
            sender=lane.sender,
            gate_at=now,
            settled_at=None,
            cause=None,
            code=None,
            consent_id=decision.row.consent_id,
            price=decision.price.micros if decision.price else 0,
            body=body,
            body_hash=hashed,
        )
        .returning(sends.c.ref)
    ).first()
    return str(row.ref) if row else ""


def _text(decision: Decision) -> tuple[str, str]:
    """The message as kept in the ledger, and its digest."""
    rendered = decision.rendered
    assert rendered is not None  # part 2 rendered every row that goes
    hashed = digest(title=rendered.title, body=rendered.body, html=rendered.html, link=decision.link)
    return written(title=rendered.title, body=rendered.body), hashed


# --- caps and the unresponsive rule ----------------------------------------------------------------------


def _shift(prefix: str, length: int, now: Instant) -> dict[str, object]:
    """s8 = s7, …, s2 = s1, s1 = now."""
    older = {f"{prefix}{n}": Sql(f"{prefix}{n - 1}") for n in range(length, 1, -1)}
    return {**older, f"{prefix}1": now}


def _count_contacts(connection: Connection, gate: Gate, going: Sequence[Decision], now: Instant) -> None:
    if not going or not gate.of.counts:
        return
    channel = gate.of.channel
    users = [d.row.user_id for d in going]
    person = _shift("s", schema.LAST_COUNTED, now) | _shift(channel.value, schema.LAST_PER_CHANNEL, now)
    update_ids(
        connection,
        schema.contact_state,
        users,
        {**person, "streak": Sql("streak + 1")},
        only=f"brand = '{gate.of.version.brand}'",
    )
    if has_address(gate.of):
        address = _shift("s", schema.LAST_COUNTED, now)
        address |= _shift("c" if channel is Channel.CALL else "m", schema.LAST_PER_CHANNEL, now)
        update_ids(connection, schema.addresses, [d.row.address_id for d in going], address)


def _rest(connection: Connection, gate: Gate, users: list[int], now: Instant) -> None:
    """Leave alone those who never answer: for the policy's time, or for good after so many rests."""
    rule = gate.of.policy.unresponsive
    if rule is None or not users:
        return
    until = Sql(str(now + rule.rest.micros))
    if rule.permanent_after is not None:
        until = Sql(f"case when rests + 1 >= {rule.permanent_after} then {schema.FOR_GOOD} else {until.text} end")
    update_ids(
        connection,
        schema.contact_state,
        users,
        {"rest_until": until, "rests": Sql("rests + 1"), "streak": 0},
        only=f"brand = '{gate.of.version.brand}' and streak >= {rule.after.sends}",
    )


# --- where everybody goes from here -----------------------------------------------------------------------


def _move_on(connection: Connection, gate: Gate, chunk: Chunk, gone: Sequence[Decision], way: Way) -> None:
    """The next step and its due time, in the gate's own transaction."""
    by_zone: dict[int, list[int]] = defaultdict(list)
    for decision in gone:
        by_zone[decision.row.zone_id].append(decision.row.id)
    slot = slot_up(chunk.now + 1)
    movers = {Start(zone_id, chunk.now, slot): ids for zone_id, ids in by_zone.items()}
    if movers:
        move(connection, _road(gate, chunk), movers, way, now=chunk.now)


def _road(gate: Gate, chunk: Chunk) -> Road:
    return Road(gate.of.version, gate.of.policy, chunk.zones)


def _hold_back(connection: Connection, gate: Gate, chunk: Chunk) -> None:
    fates = fates_of(gate, [d for d in chunk.decisions if d.reason is not None and d.reason is not Reason.HOLDOUT])
    for fate, decisions in fates.items():
        _apply(connection, gate, chunk, fate, decisions)
        if fate.reason is Reason.UNRESPONSIVE:
            _rest(connection, gate, [d.row.user_id for d in decisions], chunk.now)
    write_decisions(connection, gate, fates, chunk.now)


def _apply(connection: Connection, gate: Gate, chunk: Chunk, fate: Fate, decisions: Sequence[Decision]) -> None:
    ids = [decision.row.id for decision in decisions]
    match fate.action:
        case Action.DEFER:
            until = fate.until if fate.until is not None else chunk.now + DAY
            defer(connection, ids, until=until, reason=fate.reason.value)
        case Action.EXIT:
            end(connection, ids, fate.end or End.FINISHED, now=chunk.now)
        case Action.ELSE:
            assert fate.way is not None and fate.way.node is not None  # an else is a step of its own
            slot = slot_up(chunk.now + 1)
            place(connection, ids, step_id=fate.way.node, due_at=slot, base_at=chunk.now)
        case _:
            assert fate.way is not None  # a skip always has a way on
            _move_on(connection, gate, chunk, decisions, fate.way)
