"""What did vendors tell us, and what follows? An inbox first, then a monotone state: any order, any number of times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Column,
    Connection,
    Integer,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    true,
    update,
)

from journeys.words import ADDRESS_OF, AddressKind, Channel, Outcome, ReceiptKind
from recall.clock import Instant, slot_up
from recall.store import schema
from recall.store.ledger import OPEN, resolve
from recall.store.policies import LivePolicy
from recall.store.suppressions import mark_unreachable, opt_out_address
from recall.store.upserts import insert

SUSPECT = "suspect"  # detail of a reaction that came too soon after delivery to be a person's
_R, _S, _E = schema.receipts, schema.sends, schema.enrolments


@dataclass(frozen=True, slots=True)
class Receipt:
    """One thing a vendor told us about one send."""

    provider: str
    event_id: str
    ref: str
    kind: ReceiptKind
    at: Instant
    detail: str = ""  # call outcome or failure code


def record_receipts(connection: Connection, receipts: Iterable[Receipt], *, now: Instant) -> None:
    """Keep receipts in the inbox; one that is there already is dropped."""
    rows = [
        {
            "provider": r.provider,
            "event_id": r.event_id,
            "ref": r.ref,
            "kind": r.kind.value,
            "at": r.at,
            "received_at": now,
            "detail": r.detail,
        }
        for r in sorted(receipts, key=_key)
    ]
    if rows:
        connection.execute(insert(connection, _R).on_conflict_do_nothing(), rows)


def _key(receipt: Receipt) -> tuple[str, str]:
    """In this order, two that keep the same never wait for each other in a circle."""
    return receipt.provider, receipt.event_id


def apply_receipts(connection: Connection, policies: dict[str, LivePolicy], *, now: Instant, limit: int = 500) -> int:
    """Bring the oldest receipts of the inbox into the ledger; returns how many were taken from it."""
    receipts = list(connection.execute(_WAITING, {"most": limit}))
    if not receipts:
        return 0
    sends = _read_sends(connection, {receipt.ref for receipt in receipts})
    # A foreign ref stays in the inbox, marked as seen, for the comparison of ledgers.
    _apply(connection, [(each, sends[each.ref]) for each in receipts if each.ref in sends], policies, now)
    ids = [receipt.id for receipt in receipts]
    connection.execute(_R.update().where(_R.c.id.in_(ids)).values(applied_at=now))
    return len(receipts)


_WAITING = (
    select(_R)
    .where(_R.c.applied_at.is_(None))
    .order_by(_R.c.id)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True)
)


def _read_sends(connection: Connection, refs: set[str]) -> dict[str, Any]:
    if not refs:
        return {}
    return {send.ref: send for send in connection.execute(select(_S).where(_S.c.ref.in_(refs)))}


def response_names(policies: Iterable[LivePolicy]) -> frozenset[str]:
    """Events and receipts that count as a sign of life under any policy in force."""
    rules = [live.policy.unresponsive for live in policies]
    return frozenset(name for rule in rules if rule for name in (*rule.after.with_no, *rule.readmit_on))


def _apply(connection: Connection, told: list[tuple[Any, Any]], policies: dict[str, LivePolicy], now: Instant) -> None:
    """Receipts with their sends; statements for many at once, because a receipt alone costs four."""
    for receipt, send in told:
        if send.state in OPEN:
            proof = f"receipt {receipt.kind}"
            resolve(connection, send, Outcome.ACCEPTED, policies, evidence=proof, who="recall", now=now)
    # A scanner's click or opening proves delivery and is no sign of a person: it is kept in the inbox only.
    genuine = [(receipt, send) for receipt, send in told if receipt.detail != SUSPECT]
    _stamp(connection, genuine)
    responses = response_names(policies.values())
    lived: dict[int, Instant] = {}
    for receipt, send in genuine:
        if receipt.kind in responses:
            lived[send.user_id] = max(receipt.at, lived.get(send.user_id, receipt.at))
        if ADDRESS_OF[Channel(send.channel)] is not AddressKind.NONE:
            _learn_address(connection, ReceiptKind(receipt.kind), receipt, send)
    sign_of_life(connection, lived)
    if genuine:
        wake_resting(connection, _E.c.id.in_({send.enrolment_id for _, send in genuine}), now=now)


def _stamp(connection: Connection, told: Iterable[tuple[Any, Any]]) -> None:
    """The earliest time of each kind, and the outcome told with it: the same whatever came first."""
    earliest: dict[str, dict[int, Instant]] = {}
    for receipt, send in told:
        if receipt.detail and send.channel in _WITH_OUTCOME and receipt.kind in _OUTCOME_KINDS:
            _stamp_outcome(connection, receipt, send)
        else:
            of_kind = earliest.setdefault(receipt.kind, {})
            of_kind[send.id] = min(receipt.at, of_kind.get(send.id, receipt.at))
    for kind, times in earliest.items():
        column: Column[int] = _S.c[f"{kind}_at"]
        at: BindParameter[int] = bindparam("told_at", type_=BigInteger)
        later = _S.update().where(_S.c.id == bindparam("send"), or_(column.is_(None), column > at))
        rows = [{"send": send_id, "told_at": time} for send_id, time in sorted(times.items())]
        connection.execute(later.values({column: at}), rows)


def _stamp_outcome(connection: Connection, receipt: Any, send: Any) -> None:
    column = _S.c[f"{receipt.kind}_at"]
    earliest = case((or_(column.is_(None), column > receipt.at), receipt.at), else_=column)
    sooner = or_(column.is_(None), column > receipt.at, and_(column == receipt.at, _S.c.answer > receipt.detail))
    unanswered = true() if receipt.kind == ReceiptKind.ANSWERED.value else _S.c.answered_at.is_(None)
    answer = case((and_(sooner, unanswered), receipt.detail), else_=_S.c.answer)
    connection.execute(_S.update().where(_S.c.id == send.id).values({column: earliest, _S.c.answer: answer}))


_WITH_OUTCOME = (Channel.CALL.value, Channel.TASK.value)
_OUTCOME_KINDS = (ReceiptKind.ANSWERED.value, ReceiptKind.UNDELIVERED.value)  # an answer outweighs "no_answer"


def _learn_address(connection: Connection, kind: ReceiptKind, receipt: Any, send: Any) -> None:
    match kind:
        case ReceiptKind.OPTED_OUT | ReceiptKind.COMPLAINED:
            opt_out_address(
                connection,
                None,
                address_id=send.address_id,
                reason=kind.value,
                source=f"receipt:{receipt.provider}",
                at=receipt.at,
            )
        case ReceiptKind.UNDELIVERED if receipt.detail.startswith("address"):
            mark_unreachable(connection, [send.address_id], receipt.detail, at=receipt.at)
        case _:
            pass


def wake_resting(connection: Connection, whom: Any, *, now: Instant, **parameters: Any) -> None:
    """Let enrolments that rest for a reaction (or on a hold) be looked at in the next slot."""
    slot = slot_up(now)
    resting = or_(_E.c.until_at.is_not(None), _E.c.reason == "held")
    woken = _E.update().where(whom, schema.is_active(_E), resting, _E.c.due_at > slot).values(due_at=slot)
    connection.execute(woken, parameters)


def sign_of_life(connection: Connection, seen: dict[int, Instant]) -> None:
    """The person reacted: the streak counts only sends after that, and a rest that is not for good is over."""
    if not seen:
        return
    table = schema.contact_state
    at: BindParameter[int] = bindparam("lived_at", type_=BigInteger)
    later = sum((case((table.c[f"s{n}"] > at, 1), else_=0) for n in range(1, schema.LAST_COUNTED + 1)), start=0)
    latest = case((or_(table.c.responded_at.is_(None), table.c.responded_at < at), at), else_=table.c.responded_at)
    resting = table.c.rest_until < schema.FOR_GOOD
    reacted = (
        update(table)
        .where(table.c.user_id == bindparam("who"))
        .values(
            responded_at=latest,
            streak=case((table.c.streak > later, later), else_=table.c.streak),
            rest_until=case((resting, None), else_=table.c.rest_until),
        )
    )
    connection.execute(reacted, [{"who": user, "lived_at": when} for user, when in sorted(seen.items())])


def count_unapplied(connection: Connection) -> int:
    """Receipts that wait in the inbox."""
    return int(connection.execute(select(func.count()).where(_R.c.applied_at.is_(None))).scalar_one())
