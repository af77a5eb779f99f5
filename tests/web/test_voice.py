"""Does the robot say what passed the gate, and is what the person pressed kept?"""

from __future__ import annotations

import json

import pytest

from journeys.words import CHANNEL_BIT, Channel
from providers.outbox import Outbox
from tests.web.conftest import Door

GENUINE = {"x-vendor-signature": "genuine"}


@pytest.fixture
def called(door: Door) -> Door:
    version = door.scene.publish("  - {call: come-back}\n")
    door.scene.add_user("u1")
    door.scene.enrol(version, "u1")
    door.scene.run()
    return door


def place(door: Door) -> tuple[str, str]:
    ref = door.scene.sends()[0].ref
    return ref, door.path(door.doors.voice("outbox", ref))


def test_the_greeting_says_the_text_that_passed_the_gate(called: Door) -> None:
    _, path = place(called)
    answer = called.client.post(path, headers=GENUINE)
    assert answer.headers["content-type"].startswith("application/xml")
    assert called.scene.sends()[0].body in answer.text
    assert f"{called.doors.public_url}{path}/answer" in answer.text


def test_an_opt_out_by_key_binds_at_once(called: Door) -> None:
    ref, path = place(called)
    said = [called.event("answered", ref=ref, detail="opt_out"), called.event("opted_out", ref=ref)]
    answer = called.client.post(f"{path}/answer", content=json.dumps(said), headers=GENUINE)
    assert answer.status_code == 200
    assert [kind for _, kind, _ in called.receipts()] == ["answered", "opted_out"]
    assert called.opted_out("u1") & CHANNEL_BIT[Channel.CALL]


def test_an_answer_moves_only_the_call_of_its_address(called: Door) -> None:
    _, path = place(called)
    said = [called.event("opted_out", ref="f" * 24)]
    called.client.post(f"{path}/answer", content=json.dumps(said), headers=GENUINE)
    assert called.receipts() == []


def test_strangers_hear_nothing(called: Door) -> None:
    ref, path = place(called)
    hook = called.doors.hook("outbox", ref).rsplit("/", 1)[1]
    assert called.client.post(path).status_code == 403
    assert called.client.post(f"{path}/answer", content=b"[]").status_code == 403
    assert called.client.post(f"/voice/{hook}", headers=GENUINE).status_code == 403
    assert called.client.post(f"{path}x", headers=GENUINE).status_code == 403
    assert called.client.post(f"{path}/answer", content=b"{", headers=GENUINE).status_code == 400


def test_a_call_nobody_made_is_not_there(called: Door) -> None:
    for provider, ref in (("outbox", "f" * 24), ("nobody", "f" * 24)):
        assert called.client.post(called.path(called.doors.voice(provider, ref)), headers=GENUINE).status_code == 404


def test_a_provider_that_cannot_talk_has_no_voice(called: Door) -> None:
    _, path = place(called)
    quiet = Outbox(called.scene.outbox, clock=called.scene.clock)
    called.scene.setup.providers["outbox"] = quiet  # type: ignore[index]
    assert called.client.post(path, headers=GENUINE).status_code == 404
