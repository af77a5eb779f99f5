"""Does each send keep what was truly learnt of it, and give back no more than it took?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select

from journeys.words import Outcome
from recall.clock import DAY, MINUTE
from recall.engine.reconcile import reconcile
from recall.store import schema
from recall.store.cases import gate_passes
from recall.store.gate import prepare
from recall.store.gate_pass import pass_gate
from recall.store.gate_rows import Page
from recall.store.ledger import Answer, settle
from recall.store.policies import live_policies
from recall.store.routes import Lane
from tests.engine.conftest import Scene
from tests.engine.conftest import scene as scene
from tests.engine.doubles import Scripted, accept, lose, throttle


@pytest.fixture
def provider(scene: Scene) -> Scripted:
    double = Scripted()
    scene.setup = replace(scene.setup, providers={"outbox": double})
    return double


def test_a_late_yes_cannot_undo_what_evidence_said(scene: Scene, provider: Scripted) -> None:
    scene.add_user("u1")
    scene.enrol(scene.publish("  - {sms: come-back}"), "u1")
    provider.answer = lose
    scene.run()
    provider.known = {provider.calls[0].ref: Outcome.NOT_SENT}
    scene.later(MINUTE)
    assert reconcile(scene.setup).not_sent == 1
    with scene.store.writing() as connection:
        late = Answer(provider.calls[0].ref, Outcome.ACCEPTED)
        assert settle(connection, [late], live_policies(connection), now=scene.now) == 0
    assert scene.sends()[0].state == "not_sent"


def test_one_message_that_was_not_sent_gives_back_its_own_money_and_no_more(scene: Scene, provider: Scripted) -> None:
    version = scene.publish("  - {sms: come-back}", more="budget: {currency: CNY, total: '100'}")
    for user in ("u1", "u2", "u3"):
        scene.add_user(user)
    scene.enrol(version, "u1", "u2", "u3")
    provider.answer = lambda message: throttle(message) if message.user == "u2" else accept(message)
    scene.run()
    with scene.store.reading() as connection:
        used = connection.execute(select(schema.allowances.c.used)).scalar_one()
    assert used == 2 * scene.sends()[0].price


def test_each_message_keeps_its_own_answer_whatever_the_vendor_wrote_into_it(scene: Scene, provider: Scripted) -> None:
    answers = {"u1": ("", ""), "u2": ('S"M\\1', "queued"), "u3": ("号\x1e7", "queued"), "u4": ("SM4", "sent")}
    provider.answer = lambda message: replace(
        accept(message), provider_id=answers[message.user][0], code=answers[message.user][1]
    )
    for user in answers:
        scene.add_user(user)
    scene.enrol(scene.publish("  - {sms: come-back}"), *answers)
    scene.run()
    users = {call.ref: call.user for call in provider.calls}
    kept = {users[send.ref]: (send.provider_id, send.code) for send in scene.sends()}
    cut = "号 7" if scene.store.is_postgresql else "号\x1e7"  # what parts two texts there cannot stand in one
    assert kept == {"u1": (None, None), "u2": ('S"M\\1', "queued"), "u3": (cut, "queued"), "u4": ("SM4", "sent")}
    assert {send.state for send in scene.sends()} == {"accepted"}


def test_a_call_nobody_looked_after_yet_holds_back_the_next_step(scene: Scene, provider: Scripted) -> None:
    """Its process died, and no reconciler has come by to make a doubt of it."""
    version = scene.publish("  - {sms: come-back}\n  - {wait: 1d}\n  - {push: come-back}")
    scene.add_user("u1")
    scene.enrol(version, "u1")
    with scene.store.writing() as connection:
        [gate_pass] = gate_passes(connection, version, version.program.message(0), mode=scene.setup.mode)
        pass_gate(connection, prepare(gate_pass.of, lock=True), Page(scene.now), now=scene.now, lane=Lane("outbox", ""))
    scene.later(DAY)
    scene.run()
    assert (provider.calls, [send.state for send in scene.sends()]) == ([], ["calling"])
