"""Does a phone, an e-mail, a token or a name ever show in a log, an error, a repr, an output, a spool or a metric?

Canaries: values that occur nowhere else. People who have them go through every kind of failure, and then everything
that recall wrote for anybody to read is searched for them.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from journeys.words import Cause, Outcome
from providers.base import SendResult
from recall.clock import DAY, HOUR, MINUTE
from recall.engine import calling
from recall.engine.reconcile import reconcile
from recall.engine.replay import Wanted, replay
from recall.engine.spool import spool
from recall.errors import ChannelDown, Transient
from recall.store.cases import gate_passes
from recall.store.gate import decide, prepare
from recall.store.gate_pass import Call
from recall.store.gate_rows import Page
from recall.store.ledger import Answer, open_doubts
from recall.store.people import NewAddress
from tests.engine.conftest import Scene
from tests.engine.doubles import Scripted, accept, forget, lose, refuse, throttle

PHONE, EMAIL, TOKEN, NAME = "+8613877712345", "canary.bird@example.com", "token-canary-bird", "Canary Bird"
SPELLINGS = (PHONE, PHONE.removeprefix("+86"), EMAIL, TOKEN, NAME, "Canary%20Bird", "canary.bird")
STEPS = "  - {sms: come-back}\n  - {wait: 1h}\n  - {push: come-back}\n  - {wait: 1h}\n  - {call: come-back}"


def hits(written: dict[str, str]) -> list[str]:
    return [f"{where}: {canary}" for where, text in written.items() for canary in SPELLINGS if canary in text]


def note(found: list[str]) -> None:
    if "FAULTS_FIGURES" in os.environ:
        with Path(os.environ["FAULTS_FIGURES"]).open("a") as file:
            file.write(json.dumps({"pii_hits": len(found)}) + "\n")


@pytest.fixture
def bird(scene: Scene) -> Scene:
    version = scene.publish(STEPS)
    about: dict[str, Any] = {"attributes": {"name": NAME}, "email": NewAddress(EMAIL)}
    for number in range(6):
        scene.add_user(f"u{number}", phone=f"{PHONE[:-1]}{number}", **about)
    scene.add_user("bird", phone=PHONE, push=NewAddress(TOKEN, subkind="fcm_token"), **about)
    scene.enrol(version, *[f"u{number}" for number in range(6)], "bird")
    return scene


def leaky(message: Any) -> SendResult:
    """A vendor's code whose error text holds the number, as Twilio's 21211 does."""
    raise ValueError(f"The 'To' number {message.address.value} is not valid for {message.content.body}")


MISBEHAVIOURS = (
    throttle, refuse(Cause.ADDRESS), lose, forget, leaky, Transient("down"), ChannelDown("key"), RuntimeError(PHONE),
    accept,
)  # fmt: skip


def test_no_failure_of_a_provider_writes_down_who_was_meant(
    bird: Scene, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    written: dict[str, str] = {}
    provider = Scripted()
    bird.setup = replace(bird.setup, providers={"outbox": provider})
    for number, wrong in enumerate(MISBEHAVIOURS):
        provider.down, provider.answer = (wrong, accept) if isinstance(wrong, Exception) else (None, wrong)
        ran = bird.run()
        written[f"run {number}"] = repr(ran)
        bird.later(20 * MINUTE)
        written[f"reconcile {number}"] = repr(reconcile(bird.setup))
        bird.later(HOUR)
    replayed = replay(bird.setup, Wanted("settled-30d"), dry_run=False, who="a", why="b")
    written["replay"] = repr([preview.verdict for preview in replayed.previews])
    path = spool(bird.setup.spool_dir, [Answer("a" * 24, Outcome.REFUSED, Cause.ADDRESS, code="21211")])
    written["spool"] = path.read_text()
    with bird.store.reading() as connection:
        written["doubts"] = repr([(doubt.ref, doubt.code) for doubt in open_doubts(connection)])
    written["decisions"] = repr(bird.reasons())
    written["log"] = "\n".join(f"{record.getMessage()} {record.exc_text}" for record in caplog.records)
    found = hits(written)
    note(found)
    assert found == []


def test_no_object_of_ours_tells_who_is_meant_when_it_is_printed(bird: Scene) -> None:
    version = bird.publish(STEPS)
    node = version.program.message(0)
    with bird.store.reading() as connection:
        [gate_pass] = gate_passes(connection, version, node, mode=bird.setup.mode)
        gate = prepare(gate_pass.of, lock=False)
        chunk = decide(connection, gate, Page(bird.now), now=bird.now, lock=False)
    going = [decision for decision in chunk.decisions if decision.goes]
    assert going, "somebody must be about to get a message"
    calls = [Call("ab" * 12, decision, bird.now + DAY) for decision in going]
    lane = calling.Lane("outbox", "")
    written = {
        "row": repr([decision.row for decision in going]),
        "decision": repr(going),
        "chunk": repr(chunk),
        "call": repr(calls),
        "outbound": repr(calling.to_outbound(gate, calls, lane)),
        "setup": repr(bird.setup),
        "answer": repr(Answer("a" * 24, Outcome.ACCEPTED)),
    }
    found = hits(written)
    note(found)
    assert found == []
