"""Is every message sent at most once, and is every doubt shown, whatever the provider answers?"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from journeys.words import CHANNEL_BIT, Cause, Channel, Outcome, ReceiptKind
from recall.clock import DAY, HOUR, MINUTE, SECOND
from recall.engine import calling
from recall.engine.reconcile import reconcile
from recall.engine.run import RunResult
from recall.errors import ChannelDown, StoreBusy, Transient
from recall.store import schema
from recall.store.cases import gate_passes
from recall.store.connect import Store
from recall.store.gate import prepare
from recall.store.gate_pass import pass_gate
from recall.store.gate_rows import Page
from recall.store.ledger import Answer, open_doubts, resolve, settle
from recall.store.policies import live_policies
from recall.store.receipts import Receipt, record_receipts
from recall.store.routes import Lane
from recall.store.versions import current_version
from tests.engine.conftest import Scene
from tests.engine.doubles import Scripted, accept, forget, lose, refuse, throttle

TWO = "  - {sms: come-back}\n  - {wait: 3d}\n  - {sms: come-back, id: second}"


@pytest.fixture
def provider(scene: Scene) -> Scripted:
    double = Scripted()
    scene.setup = replace(scene.setup, providers={"outbox": double})
    return double


def start(scene: Scene, steps: str = TWO, **about: Any) -> int:
    version = scene.publish(steps)
    scene.add_user("u1", **about)
    [enrolment] = scene.enrol(version, "u1")
    return enrolment


def state(scene: Scene) -> Any:
    with scene.store.reading() as connection:
        return connection.execute(select(schema.contact_state)).one()


def test_a_throttled_message_is_due_again_with_the_same_row_and_ref(scene: Scene, provider: Scripted) -> None:
    enrolment = start(scene)
    provider.answer = throttle
    scene.run()
    [send] = scene.sends()
    assert (send.state, send.cause, send.attempt) == ("not_sent", "throttled", 1)
    assert scene.enrolment(enrolment).due_at == scene.now + 120 * SECOND, "what the vendor asked for"
    provider.answer = accept
    scene.later(2 * MINUTE)
    scene.run()
    [send] = scene.sends()
    assert (send.state, send.attempt) == ("accepted", 2)
    assert [call.ref for call in provider.calls] == [send.ref, send.ref]


def test_what_was_not_sent_gives_its_slot_and_money_back(scene: Scene, provider: Scripted) -> None:
    version = scene.publish(TWO, more="budget: {currency: CNY, per_day: '100', total: '100'}")
    scene.add_user("u1")
    scene.enrol(version, "u1")
    provider.answer = throttle
    scene.run()
    with scene.store.reading() as connection:
        used = list(connection.execute(select(schema.allowances.c.used)).scalars())
    assert (state(scene).s1, state(scene).sms1, state(scene).streak, used) == (None, None, 0, [0, 0])


def test_who_waits_behind_the_last_money_gets_it_when_it_comes_back(scene: Scene, provider: Scripted) -> None:
    version = scene.publish("  - {sms: come-back}", more="budget: {currency: CNY, per_day: '0.10'}")
    users = [f"u{n}" for n in range(5)]
    for user in users:
        scene.add_user(user)
    scene.enrol(version, *users)
    provider.answer = refuse(Cause.ADDRESS)
    scene.run()
    tried = len(provider.calls)
    assert 0 < tried < len(users), "the money is for some of them"
    provider.answer = accept
    scene.later(15 * MINUTE)
    scene.run()
    assert len(provider.calls) - tried == min(tried, len(users) - tried), "in the next slot, not tomorrow"


def test_a_slot_is_taken_out_where_it_stands_when_a_later_send_came_between(scene: Scene, provider: Scripted) -> None:
    start(scene)
    provider.answer = lose
    scene.run()
    first = scene.now
    scene.later(DAY + HOUR)
    other = scene.publish("  - {call: come-back}", name="other")
    scene.enrol(other, "u1")
    provider.answer = accept
    scene.run("other")
    second = scene.now
    assert (state(scene).s1, state(scene).s2) == (second, first)
    with scene.store.writing() as connection:
        [doubtful] = open_doubts(connection)
        policies = live_policies(connection)
        resolve(connection, doubtful, Outcome.NOT_SENT, policies, evidence="log", who="test", now=scene.now)
    assert (state(scene).s1, state(scene).s2, state(scene).sms1) == (second, None, None)


def test_after_its_attempts_a_message_rests_and_the_user_goes_on(scene: Scene, provider: Scripted) -> None:
    enrolment = start(scene)
    provider.answer = throttle
    for _ in range(6):
        scene.run()
        scene.later(HOUR)
    [send] = scene.sends()
    assert (send.state, send.attempt, len(provider.calls)) == ("not_sent", 4, 4)
    assert scene.enrolment(enrolment).step_id == 1


def test_a_refused_address_is_remembered_and_the_else_taken(scene: Scene, provider: Scripted) -> None:
    start(scene, "  - {sms: come-back, else: {push: come-back}}\n  - {wait: 1d}\n  - {sms: come-back, id: second}")
    provider.answer = refuse(Cause.ADDRESS)
    scene.run()
    provider.answer = accept
    scene.later(15 * MINUTE)
    scene.run()
    assert [(call.channel.value) for call in provider.calls] == ["sms", "push"]
    with scene.store.reading() as connection:
        dead = connection.execute(select(schema.addresses.c.unreachable).where(schema.addresses.c.kind == "phone"))
        assert dead.scalar_one() == "21211"


def test_an_opt_out_held_by_the_provider_becomes_ours(scene: Scene, provider: Scripted) -> None:
    enrolment = start(scene)
    provider.answer = refuse(Cause.OPTED_OUT, "21610")
    scene.run()
    assert scene.enrolment(enrolment).end_reason == "opted_out"
    with scene.store.reading() as connection:
        found = connection.execute(select(schema.addresses.c.opted_out).where(schema.addresses.c.kind == "phone"))
        mask = found.scalar_one()
    assert mask & CHANNEL_BIT[Channel.SMS]
    assert mask & CHANNEL_BIT[Channel.CALL], "it binds the phone, not only this channel"


def test_a_text_that_is_not_allowed_stops_its_template_for_everybody(scene: Scene, provider: Scripted) -> None:
    start(scene)
    provider.answer = refuse(Cause.CONTENT, "30007")
    scene.run()
    scene.later(3 * DAY)
    scene.run()
    assert len(provider.calls) == 1, "the second step uses the same template"


@pytest.mark.parametrize("answer", [lose, forget])
def test_a_lost_answer_is_a_doubt_that_parks_the_user(scene: Scene, provider: Scripted, answer: Any) -> None:
    enrolment = start(scene)
    provider.answer = answer
    scene.run()
    [send] = scene.sends()
    row = scene.enrolment(enrolment)
    assert (send.state, row.parked_until) == ("in_doubt", scene.now + 72 * HOUR)
    assert (state(scene).s1, state(scene).streak) == (scene.now, 1), "a doubt keeps its cap slot"
    provider.answer = accept
    scene.later(72 * HOUR - MINUTE)
    scene.run()
    assert len(provider.calls) == 1


def test_after_the_hold_the_user_goes_on_and_the_doubt_stays_listed(scene: Scene, provider: Scripted) -> None:
    start(scene)
    provider.answer = lose
    scene.run()
    provider.answer = accept
    scene.later(3 * DAY)
    scene.run()
    assert [s.state for s in scene.sends()] == ["in_doubt", "accepted"]
    assert reconcile(scene.setup).open == 1


def test_an_exception_in_an_adapter_is_a_doubt_and_no_crash(scene: Scene, provider: Scripted) -> None:
    start(scene)
    provider.answer = lambda message: 1 / 0  # type: ignore[assignment,return-value]
    scene.run()
    [send] = scene.sends()
    assert (send.state, send.code) == ("in_doubt", "adapter: ZeroDivisionError")


@pytest.mark.parametrize("down", [Transient("no route"), ChannelDown("401")])
def test_an_outage_leaves_due_time_and_attempt_as_they_were(scene: Scene, provider: Scripted, down: Exception) -> None:
    enrolment = start(scene)
    due = scene.enrolment(enrolment).due_at
    provider.down = down
    result: RunResult = scene.run()
    assert list(result.failed) == ["sms-1"]
    assert (scene.enrolment(enrolment).due_at, scene.sends()[0].state, state(scene).s1) == (due, "not_sent", None)
    provider.down = None
    scene.later(MINUTE)
    scene.run()
    [send] = scene.sends()
    assert (send.state, send.attempt, len(provider.calls)) == ("accepted", 1, 1)


def test_an_outage_after_the_last_step_brings_the_ended_user_back(scene: Scene, provider: Scripted) -> None:
    enrolment = start(scene, "  - {sms: come-back}")
    provider.down = Transient("no route")
    scene.run()
    row = scene.enrolment(enrolment)
    assert (row.active, row.end_reason) == (True, None)
    provider.down = None
    scene.run()
    assert scene.enrolment(enrolment).end_reason == "finished"


@pytest.mark.parametrize(("answer", "state"), [(lose, "in_doubt"), (accept, "accepted")])
def test_an_outage_in_the_middle_of_a_chunk_releases_only_what_never_left(
    scene: Scene, provider: Scripted, answer: Any, state: str
) -> None:
    users = [f"u{n}" for n in range(3)]
    for user in users:
        scene.add_user(user)
    scene.enrol(scene.publish(TWO), *users)
    provider.answer, provider.down, provider.down_after = answer, ChannelDown("401"), 1
    assert scene.run().failed
    assert [s.state for s in scene.sends()] == [state, "not_sent", "not_sent"]
    provider.down, provider.answer = None, accept
    scene.run()
    assert len(provider.calls) == len({call.ref for call in provider.calls}) == 3


# --- evidence ---------------------------------------------------------------------------------------------


def test_a_lookup_that_finds_the_message_settles_the_doubt(scene: Scene, provider: Scripted) -> None:
    enrolment = start(scene)
    provider.answer = lose
    scene.run()
    provider.known = {provider.calls[0].ref: Outcome.ACCEPTED}
    done = reconcile(scene.setup)
    assert (done.accepted, done.open, scene.sends()[0].state) == (1, 0, "accepted")
    assert scene.enrolment(enrolment).due_at == scene.now + 3 * DAY, "the gap to the next step is kept"


def test_absence_proves_nothing_before_the_provider_vouches_for_it(scene: Scene, provider: Scripted) -> None:
    start(scene)
    provider.answer = lose
    scene.run()
    provider.known = {provider.calls[0].ref: Outcome.NOT_SENT}
    assert reconcile(scene.setup).open == 1
    scene.later(60 * SECOND)
    assert reconcile(scene.setup).not_sent == 1
    assert (scene.sends()[0].state, state(scene).s1) == ("not_sent", None)
    scene.run()
    assert len(provider.calls) == 1, "what evidence says was not sent rests until a person replays it"


def test_a_call_whose_process_died_becomes_a_doubt_and_is_never_sent_again(scene: Scene, provider: Scripted) -> None:
    enrolment = start(scene)
    die_after_gate(scene)
    assert scene.sends()[0].state == "calling"
    scene.later(119 * SECOND)
    assert reconcile(scene.setup).raised == 0
    scene.later(2 * SECOND)
    assert reconcile(scene.setup).raised == 1
    scene.run()
    assert (provider.calls, scene.enrolment(enrolment).parked_until is not None) == ([], True)


def die_after_gate(scene: Scene) -> None:
    """Do what a process does that is killed between the gate's commit and the call."""
    with scene.store.writing() as connection:
        version = current_version(connection, "settled-30d")
        [gate_pass] = gate_passes(connection, version, version.program.message(0), mode=scene.setup.mode)
        pass_gate(connection, prepare(gate_pass.of, lock=True), Page(scene.now), now=scene.now, lane=Lane("outbox", ""))


def test_a_receipt_with_our_ref_proves_acceptance(scene: Scene, provider: Scripted) -> None:
    start(scene)
    provider.answer = lose
    scene.run()
    with scene.store.writing() as connection:
        receipt = Receipt("outbox", "e1", provider.calls[0].ref, ReceiptKind.DELIVERED, scene.now)
        record_receipts(connection, [receipt, receipt], now=scene.now)
    reconcile(scene.setup)
    [send] = scene.sends()
    assert (send.state, send.delivered_at) == ("accepted", scene.now)


def test_a_late_answer_cannot_undo_what_evidence_said(scene: Scene, provider: Scripted) -> None:
    start(scene)
    provider.answer = lose
    scene.run()
    provider.known = {provider.calls[0].ref: Outcome.ACCEPTED}
    reconcile(scene.setup)
    with scene.store.writing() as connection:
        late = Answer(provider.calls[0].ref, Outcome.NOT_SENT, Cause.CONNECT)
        settle(connection, [late], live_policies(connection), now=scene.now)
    assert scene.sends()[0].state == "accepted"


def test_a_late_answer_settles_a_doubt_and_lets_the_user_go_on(scene: Scene, provider: Scripted) -> None:
    enrolment = start(scene)
    provider.answer = lose
    scene.run()
    with scene.store.writing() as connection:
        late = Answer(provider.calls[0].ref, Outcome.ACCEPTED, provider_id="vendor-1")
        settle(connection, [late, late], live_policies(connection), now=scene.now)
    row = scene.enrolment(enrolment)
    assert (scene.sends()[0].state, row.parked_until, row.due_at) == ("accepted", None, scene.now + 3 * DAY)
    assert reconcile(scene.setup).open == 0


# --- the store goes away between answer and record --------------------------------------------------------


def test_answers_that_cannot_be_recorded_are_spooled_and_replayed(
    scene: Scene, provider: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(scene)
    waits: list[float] = []

    def busy(*_: Any, **__: Any) -> int:
        raise StoreBusy("locked")

    monkeypatch.setattr(calling, "settle", busy)
    monkeypatch.setattr(calling.time, "sleep", waits.append)
    scene.run()
    assert (scene.sends()[0].state, sum(waits)) == ("calling", 30.0)
    monkeypatch.undo()
    assert reconcile(scene.setup).spooled == 1
    assert (scene.sends()[0].state, list(scene.setup.spool_dir.glob("*"))) == ("accepted", [])


def test_a_store_that_is_locked_says_so_without_row_values(sqlite_store: Store) -> None:
    locked = OperationalError("select :phone", {"phone": "+8613800000001"}, sqlite3.OperationalError("locked"))
    with pytest.raises(StoreBusy) as caught, sqlite_store.writing():
        raise locked
    assert "138" not in str(caught.value)
