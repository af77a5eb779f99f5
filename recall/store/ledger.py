"""What became of each message? The only place where `sends.state` changes after the gate.

Every change is conditional on the state it comes from, so a late answer, a receipt and the reconciler may
come in any order. `accepted` touches the send alone; everything else also tells the enrolment.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, Integer, bindparam, case, select

from journeys.policy import Policy
from journeys.words import NO_TURN, Cause, Channel, Outcome, SendState
from recall.clock import HOUR, MINUTE, Instant, slot_up
from recall.store import schema
from recall.store.bulk import update_texts
from recall.store.policies import LivePolicy
from recall.store.purse import Key, give_back
from recall.store.refusals import learn
from recall.store.slots import lock_people, release
from recall.store.standing import still_where_gate_left_it
from recall.store.versions import Version, read_version

_E, _S, _D = schema.enrolments, schema.sends, schema.doubts
OPEN = (SendState.CALLING.value, SendState.IN_DOUBT.value)
_STILL_CALLING = "sends.state = 'calling'"


class Answer(NamedTuple):
    """What we learnt about one send."""

    ref: str
    outcome: Outcome
    cause: Cause | None = None
    provider_id: str = ""
    code: str = ""
    retry_after_seconds: float | None = None
    segments: int | None = None
    cost_micros: int | None = None


def settle(connection: Connection, answers: Sequence[Answer], policies: dict[str, LivePolicy], *, now: Instant) -> int:
    """Record answers; returns how many sends changed. An answer that comes twice changes nothing."""
    accepted = [a for a in answers if a.outcome is Outcome.ACCEPTED]
    changed = _settle_accepted(connection, accepted, now)
    if changed < len(accepted):
        changed += _settle_doubted(connection, accepted, policies, now)
    others = {a.ref: a for a in answers if a.outcome is not Outcome.ACCEPTED}
    sends = read_open(connection, others)
    lock_people(connection, [send for send in sends if others[send.ref].outcome in _RELEASING])
    returned = Counter[Key]()
    for send in sends:
        returned.update(_settle_other(connection, send, others[send.ref], policies, now))
    give_back(connection, returned)
    return changed + len(sends)


_RELEASING = (Outcome.NOT_SENT, Outcome.REFUSED)


def _settle_accepted(connection: Connection, answers: Sequence[Answer], now: Instant) -> int:
    """Vendors' own ids and codes are kept; in one chunk the code is nearly always the same."""
    ids: dict[str, dict[str, str | None]] = defaultdict(dict)
    for answer in answers:
        ids[answer.code][answer.ref] = answer.provider_id or None
    same = {"state": SendState.ACCEPTED.value, "settled_at": now}
    return sum(
        update_texts(
            connection, _S, key="ref", column="provider_id", texts=texts, same=same | {"code": code or None},
            only=_STILL_CALLING,
        )
        for code, texts in ids.items()
    )  # fmt: skip


def _settle_doubted(
    connection: Connection, answers: Sequence[Answer], policies: dict[str, LivePolicy], now: Instant
) -> int:
    """Answers that came after the doubt was raised are evidence: the doubt is settled, the enrolment goes on."""
    by_ref = {answer.ref: answer for answer in answers}
    return sum(
        resolve(
            connection,
            send,
            Outcome.ACCEPTED,
            policies,
            evidence="late answer",
            who="recall",
            now=now,
            provider_id=by_ref[send.ref].provider_id,
        )
        for send in read_open(connection, by_ref)
    )


def read_open(connection: Connection, refs: Iterable[str]) -> list[Any]:
    """The sends with these refs that still wait for an outcome."""
    wanted = list(refs)
    if not wanted:
        return []
    return list(connection.execute(select(_S).where(_S.c.ref.in_(wanted), _S.c.state.in_(OPEN)).order_by(_S.c.id)))


def _settle_other(
    connection: Connection, send: Any, answer: Answer, policies: dict[str, LivePolicy], now: Instant
) -> Mapping[Key, int]:
    """Returns what comes back of the send's cost."""
    version = read_version(connection, send.version_id)
    policy = policy_of(policies, send.policy_hash, version)
    match answer.outcome:
        case Outcome.NOT_SENT:
            return _not_sent(connection, send, answer, version, policy, now)
        case Outcome.REFUSED:
            return _refused(connection, send, answer, version, policy, now)
        case _:
            doubt(connection, send, policy, why=answer.code or "no answer", now=now)
            return {}


def policy_of(policies: dict[str, LivePolicy], policy_hash: str, version: Version) -> Policy:
    """The policy a send went out under, else the journey's own as it is in force now."""
    for live in policies.values():
        if live.hash == policy_hash:
            return live.policy
    named = version.program.journey.policy
    name = named if isinstance(named, str) else next(iter(named.cases.values()))
    return policies[name].policy


# --- known not to have been sent ---------------------------------------------------------------------------


def _not_sent(
    connection: Connection, send: Any, answer: Answer, version: Version, policy: Policy, now: Instant
) -> Mapping[Key, int]:
    """Due again with backoff, same row and ref, until the attempts are spent; then it rests.

    One whose turn never came was not tried: its due time and attempt stay, as in an outage.
    """
    tried = answer.code != NO_TURN
    retry_at = now + backoff(send, answer) if tried else send.due_at
    if not _close(
        connection, send, SendState.NOT_SENT, answer, now, retry_at=retry_at, attempt=send.attempt - (not tried)
    ):
        return {}
    costs = release(connection, send, version, policy)
    if not tried or send.attempt < policy.routes[Channel(send.channel)].attempts:
        put_back(connection, send, due_at=retry_at)
    return costs


def backoff(send: Any, answer: Answer) -> int:
    """Microseconds until the next attempt: doubling minutes, at most an hour, or what the vendor asked for.

    The jitter (up to a quarter) comes from the random end of the ref, so that a replayed history has the same times.
    """
    wait = min(MINUTE * 2 ** (send.attempt - 1), HOUR)
    jitter = int(send.ref[-4:], 16) * wait // (4 * 0xFFFF)
    asked = min(int((answer.retry_after_seconds or 0) * 1_000_000), HOUR)
    return int(max(wait + jitter, asked))


def outage(connection: Connection, refs: Iterable[str], policies: dict[str, LivePolicy], *, now: Instant) -> int:
    """Messages that never left (breaker open, provider down, configuration): due time and attempt stay.

    Only what is still `calling` is taken: a doubt is never released this way.
    """
    calling = [send for send in read_open(connection, refs) if send.state == SendState.CALLING.value]
    lock_people(connection, calling)
    returned = Counter[Key]()
    for send in calling:
        version = read_version(connection, send.version_id)
        closed = connection.execute(
            _S.update()
            .where(_S.c.id == send.id, _S.c.state == SendState.CALLING.value)
            .values(state=SendState.NOT_SENT.value, cause=Cause.CONNECT.value, settled_at=now, attempt=send.attempt - 1)
        )
        if closed.rowcount:
            returned.update(release(connection, send, version, policy_of(policies, send.policy_hash, version)))
            put_back(connection, send, due_at=send.due_at)
    give_back(connection, returned)
    return len(calling)


def cancel(
    connection: Connection, refs: Iterable[str], policies: dict[str, LivePolicy], *, why: str, now: Instant
) -> int:
    """Messages stopped after the gate and before the wire, for good; the enrolment goes on to its next step."""
    cancelled, returned = 0, Counter[Key]()
    for send in read_open(connection, refs):
        answer = Answer(send.ref, Outcome.NOT_SENT, code=why)
        if send.state == SendState.CALLING.value and _close(connection, send, SendState.CANCELLED, answer, now):
            version = read_version(connection, send.version_id)
            returned.update(release(connection, send, version, policy_of(policies, send.policy_hash, version)))
            cancelled += 1
    give_back(connection, returned)
    return cancelled


def put_back(connection: Connection, send: Any, *, due_at: Instant) -> bool:
    """Return the enrolment to the step of a send that was not sent; False when it has gone on since."""
    values = {
        "step_id": send.step_id,
        "due_at": due_at,
        "first_due_at": send.first_due_at,
        "retry_send_id": send.id,
        "grp": send.grp,
        "reason": None,
        "active": True,
        "ended_at": None,
        "end_reason": None,
        "parked_until": None,
        "resume_at": None,
    }
    return bool(connection.execute(_E.update().where(still_where_gate_left_it(send)).values(**values)).rowcount)


def _close(
    connection: Connection,
    send: Any,
    state: SendState,
    answer: Answer,
    now: Instant,
    *,
    retry_at: Instant | None = None,
    attempt: int | None = None,  # None: as it is
) -> bool:
    changed = connection.execute(
        _S.update()
        .where(_S.c.id == send.id, _S.c.state.in_(OPEN))
        .values(
            state=state.value,
            cause=answer.cause.value if answer.cause else None,
            code=answer.code or None,
            provider_id=answer.provider_id or None,
            settled_at=now,
            retry_at=retry_at,
            attempt=send.attempt if attempt is None else attempt,
        )
    )
    return bool(changed.rowcount)


# --- refused for good --------------------------------------------------------------------------------------


def _refused(
    connection: Connection, send: Any, answer: Answer, version: Version, policy: Policy, now: Instant
) -> Mapping[Key, int]:
    if not _close(connection, send, SendState.REFUSED, answer, now):
        return {}
    costs = release(connection, send, version, policy)
    learn(connection, send, cause=answer.cause, code=answer.code, version=version, now=now)
    return costs


# --- in doubt ----------------------------------------------------------------------------------------------


def doubt(connection: Connection, send: Any, policy: Policy, *, why: str, now: Instant) -> bool:
    """We cannot know whether it was taken: park the enrolment, keep cap slot and budget, tell a person."""
    changed = connection.execute(
        _S.update()
        .where(_S.c.id == send.id, _S.c.state == SendState.CALLING.value)
        .values(state=SendState.IN_DOUBT.value, code=why)
    )
    if not changed.rowcount:
        return False
    known = connection.execute(select(_D.c.send_id).where(_D.c.send_id == send.id)).first()
    if known is None:
        connection.execute(_D.insert().values(send_id=send.id, raised_at=now, why=why))
    else:
        connection.execute(_D.update().where(_D.c.send_id == send.id).values(resolved_at=None, resolution=None))
    _park(connection, send, until=send.gate_at + policy.doubt_hold.micros)
    return True


def _park(connection: Connection, send: Any, *, until: Instant) -> None:
    later = case((_E.c.due_at > until, _E.c.due_at), else_=until)
    connection.execute(
        _E.update()
        .where(_E.c.id == send.enrolment_id, schema.is_active(_E), _E.c.base_at == send.gate_at)
        .values(parked_until=until, resume_at=_E.c.due_at, due_at=later)
    )


def resolve(
    connection: Connection,
    send: Any,
    outcome: Outcome,
    policies: dict[str, LivePolicy],
    *,
    evidence: str,
    who: str,
    now: Instant,
    provider_id: str = "",
    returned: Counter[Key] | None = None,
) -> bool:
    """Evidence (or a person) says whether a doubtful send was taken; returns False if it is not open any more.

    `not_sent` rests: the enrolment goes on to its next step, and only a replay sends this message again. Whoever
    resolves several in one transaction has what they cost collected in `returned`, and gives it back at the end.
    """
    if outcome not in (Outcome.ACCEPTED, Outcome.NOT_SENT):
        raise ValueError(f"a doubt is resolved to accepted or not_sent, not to {outcome}")
    state = SendState.ACCEPTED if outcome is Outcome.ACCEPTED else SendState.NOT_SENT
    answer = Answer(send.ref, outcome, provider_id=provider_id or send.provider_id or "", code=send.code or "")
    if not _close(connection, send, state, answer, now):
        return False
    values = {"resolved_at": now, "resolution": outcome.value, "evidence": evidence, "who": who}
    connection.execute(_D.update().where(_D.c.send_id == send.id, _D.c.resolved_at.is_(None)).values(**values))
    costs: Mapping[Key, int] = {}
    if state is SendState.NOT_SENT:
        version = read_version(connection, send.version_id)
        costs = release(connection, send, version, policy_of(policies, send.policy_hash, version))
    _unpark(connection, send, now)
    if returned is None:
        give_back(connection, costs)
    else:
        returned.update(costs)
    return True


def _unpark(connection: Connection, send: Any, now: Instant) -> None:
    slot = slot_up(now)
    resume = case((_E.c.resume_at > slot, _E.c.resume_at), else_=slot)
    connection.execute(
        _E.update()
        .where(_E.c.id == send.enrolment_id, _E.c.parked_until.is_not(None), _E.c.base_at == send.gate_at)
        .values(due_at=resume, parked_until=None, resume_at=None)
    )


# Spelled so that SQLite does not walk all of `sends_by_time` rather than sort the handful in `sends_open`.
_gated_at = _S.c.gate_at + 0


def stale_calls(connection: Connection, *, before: Instant, limit: int = 1000) -> list[Any]:
    """Sends whose process died between gate and record: `calling` since before this instant."""
    return list(connection.execute(_STALE, {"before": before, "most": limit}))


_STALE = (
    select(_S)
    .where(
        schema.SENDS_OPEN,
        _S.c.state == SendState.CALLING.value,
        _gated_at < bindparam("before", type_=BigInteger),
    )
    .order_by(_gated_at)
    .limit(bindparam("most", type_=Integer))
)


def open_doubts(connection: Connection, *, limit: int = 10_000) -> list[Any]:
    """Every send in doubt, oldest first."""
    return list(connection.execute(_DOUBTFUL, {"most": limit}))


_DOUBTFUL = (
    select(_S)
    .where(schema.SENDS_OPEN, _S.c.state == SendState.IN_DOUBT.value)
    .order_by(_gated_at)
    .limit(bindparam("most", type_=Integer))
)
