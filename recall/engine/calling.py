"""How does a committed chunk get its answers, and how are they written down before anything else can go wrong?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NoReturn

from journeys.policy import Route
from journeys.words import Cause, Channel, Outcome
from providers.base import Address, Content, Outbound, SendResult
from recall.clock import SECOND, elapsed_seconds
from recall.engine.confirming import confirm_chunk
from recall.engine.dispatch import Called
from recall.engine.setup import Setup
from recall.engine.spool import spool
from recall.engine.untouched import put_back
from recall.errors import ChannelDown, StoreBusy, Transient
from recall.store.gate import Gate
from recall.store.gate_pass import Call, Passed
from recall.store.gate_rows import Row
from recall.store.ledger import Answer, settle
from recall.store.policies import live_policies
from recall.store.routes import Lane, note_failure, note_success, reassign, slow_down

GATE_TO_CALL_SECONDS = 5.0  # design 5: the call starts at most so long after the gate
_SETTLE_WAITS_SECONDS = (0.0, 1.0, 3.0, 8.0, 18.0)  # five tries over thirty seconds, then the spool


def call_chunk(setup: Setup, gate: Gate, passed: Passed, *, started: float) -> Called:
    """Call what passed; the answers go straight to `keep_answers`.

    Raises when the whole chunk stayed here, with all of it due again. `started` is `elapsed_seconds()` before the gate.
    """
    route = gate.of.policy.routes[gate.of.channel]
    outbound = to_outbound(gate, passed.calls, passed.lane)
    may_begin = partial(_is_in_time, started)
    if not may_begin():
        _refuse_late(setup, outbound)
    outbound = confirm_chunk(setup, gate, outbound)
    if not outbound:
        return Called()
    called = setup.dispatcher.call(setup.provider(passed.lane.provider), outbound, may_begin=may_begin)
    if called.is_late:  # the host's answer took its time, or this process stood still
        _refuse_late(setup, outbound)
    called = _fail_over(setup, route, passed.lane, outbound, called, started=started)
    if called.is_outage:
        _stop(setup, gate, called, passed.lane.provider)
    return called


def keep_answers(setup: Setup, lane: Lane, called: Called, *, is_probe: bool) -> None:
    """Write down every answer, then what they say about provider and sender."""
    record(setup, [to_answer(result) for result in called.results])
    _note(setup, lane, called, is_probe=is_probe)


def _is_in_time(started: float) -> bool:
    return elapsed_seconds() - started <= GATE_TO_CALL_SECONDS


def _refuse_late(setup: Setup, outbound: Sequence[Outbound]) -> NoReturn:
    """Nobody is called on a decision older than five seconds; this very process knows that nothing touched the wire."""
    put_back(setup, [o.ref for o in outbound])
    raise Transient(f"more than {GATE_TO_CALL_SECONDS:.0f} s from gate to call; {len(outbound)} messages are due again")


def to_outbound(gate: Gate, calls: Sequence[Call], lane: Lane) -> list[Outbound]:
    """The committed rows as the provider gets them."""
    channel, kind = gate.of.channel, gate.of.address_kind
    names = {"journey": gate.of.version.name, "step": gate.of.node.name}
    outbound = []
    for ref, decision, not_after in calls:
        row, rendered = decision.row, decision.rendered
        assert rendered is not None  # the gate rendered every row it let go
        content = Content(rendered.body, rendered.title, rendered.html, decision.link, rendered.locale)
        meta = names | _doors(gate, row, ref, lane)
        address = Address(kind, row.address or "")
        outbound.append(Outbound(ref, channel, row.host_id, address, content, lane.sender, not_after, meta))
    return outbound


def _doors(gate: Gate, row: Row, ref: str, lane: Lane) -> dict[str, str]:
    """What else travels along: the attempt group, and our own doors where there are any."""
    of, meta = gate.of, {"group": str(row.grp)}
    if gate.doors is not None:
        meta["callback"] = gate.doors.hook(lane.provider, ref)
        meta["unsubscribe"] = gate.doors.preferences(row.user_id, row.address_id, of.channel)
        if of.channel is Channel.CALL:
            meta["voice"] = gate.doors.voice(lane.provider, ref)
    return meta


def to_answer(result: SendResult) -> Answer:
    """What a provider said, as the ledger keeps it."""
    return Answer(
        result.ref,
        result.outcome,
        result.cause,
        result.provider_id,
        result.code,
        result.retry_after_seconds,
        result.segments,
        result.cost_micros,
    )


def record(setup: Setup, answers: Sequence[Answer]) -> None:
    """Write answers down; when the store stays away, into the spool. Nothing fallible stands before this."""
    if not answers:
        return
    for wait in _SETTLE_WAITS_SECONDS:
        time.sleep(wait)
        try:
            with setup.store.writing() as connection:
                settle(connection, answers, live_policies(connection), now=setup.clock.now())
            return
        except StoreBusy:
            continue
    spool(setup.spool_dir, answers)


# --- failover: the same message and ref through the next provider, only when it is known not to have been sent ---


def _fail_over(
    setup: Setup, route: Route, lane: Lane, outbound: Sequence[Outbound], called: Called, *, started: float
) -> Called:
    may_begin = partial(_is_in_time, started)
    for name in route.providers[route.providers.index(lane.provider) + 1 :] if lane.provider in route.providers else ():
        unsent = _unsent(route, called)
        if not unsent:
            break
        again = [replace(o, sender=route.senders_of(name)[0]) for o in outbound if o.ref in unsent]
        with setup.store.writing() as connection:
            reassign(connection, sorted(unsent), name, again=sorted(_throttled(called) & unsent))
        called = _merged(called, setup.dispatcher.call(setup.provider(name), again, may_begin=may_begin))
    return called


def _merged(called: Called, other: Called) -> Called:
    """What became of the messages that took another way; one that found no connection there keeps its first answer.

    Only when nothing at all left is it an outage: an answer in doubt must never be put back with the others.
    """
    later = {result.ref: result for result in other.results if not _is_unsent(result)}
    results = [later.get(result.ref, result) for result in called.results]
    return Called(results, other.down if all(map(_is_unsent, results)) else None)


def _is_unsent(result: SendResult) -> bool:
    return result.outcome is Outcome.NOT_SENT and result.cause is Cause.CONNECT


def _throttled(called: Called) -> set[str]:
    """Refs whose bytes left once and were turned away: the next provider is one more call of them."""
    return {result.ref for result in called.results if result.cause is Cause.THROTTLED}


def _unsent(route: Route, called: Called) -> set[str]:
    """Refs known not to have been sent, for a cause that lets them take another way."""
    causes = {Cause(cause) for cause in route.failover_on}
    return {r.ref for r in called.results if r.outcome is Outcome.NOT_SENT and r.cause in causes}


# --- what an answer says about provider and sender ---------------------------------------------------------------


def _note(setup: Setup, lane: Lane, called: Called, *, is_probe: bool) -> None:
    throttled = [r for r in called.results if r.cause is Cause.THROTTLED]
    if not throttled and not is_probe:
        return
    asked = max((r.retry_after_seconds or 1.0 for r in throttled), default=0.0)
    with setup.store.writing() as connection:
        if throttled:
            until = setup.clock.now() + int(min(asked, 3600.0) * SECOND)
            slow_down(connection, lane, until=until, why=f"throttled ({throttled[0].code})")
        if is_probe:
            note_success(connection, lane.provider)


def _stop(setup: Setup, gate: Gate, called: Called, provider: str) -> None:
    """What stayed here is due again with its attempt unspent, what has an answer keeps it; the batch fails visibly."""
    stayed = [r.ref for r in called.results if r.outcome is Outcome.NOT_SENT and r.cause is Cause.CONNECT]
    record(setup, [to_answer(r) for r in called.results if r.ref not in set(stayed)])
    put_back(setup, stayed)
    why = str(called.down) if called.down else "no connection"
    with setup.store.writing() as connection:
        note_failure(connection, provider, why=why, now=setup.clock.now())
    step = f"{gate.of.version.name}/{gate.of.node.name}"
    if isinstance(called.down, ChannelDown):
        raise ChannelDown(f"{step}: {provider} is misconfigured ({called.down}); rows stay due until that is put right")
    raise Transient(f"{step}: {provider} cannot be reached; {len(stayed)} messages are due again")
