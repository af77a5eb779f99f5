"""Do Twilio's own signatures, made for our public addresses, open the door, and nothing else?"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from journeys.words import CHANNEL_BIT, Channel
from providers.twilio_sms import make as make_sms
from providers.twilio_voice import make as make_voice
from recall.store import schema
from tests.providers.twilio_far import ACCOUNT, SENDER, TOKEN, payload, signed
from tests.web.conftest import PUBLIC, Door

PHONE = "+8613900000001"  # of the payloads
REF = "0123456789abcdef01234567"


@pytest.fixture
def twilio(small_door: Door) -> Door:
    """The door with both channels of Twilio set up; nothing is sent."""
    options = {"account_sid": ACCOUNT, "auth_token": TOKEN, "sender": SENDER}
    setup = small_door.scene.setup
    for name, make in (("twilio_sms", make_sms), ("twilio_voice", make_voice)):
        setup.providers[name] = make(name, small_door.web.settings, setup.clock, options)  # type: ignore[index]
    return small_door


def post(door: Door, path: str, pairs: list[tuple[str, str]], *, of: str | None = None, token: str = TOKEN) -> Any:
    """What Twilio posts to `path`, signed for the address `of` (or that of the path)."""
    genuine = signed(pairs, url=PUBLIC + (path if of is None else of), token=token)
    return door.client.post(path, content=urlencode(pairs), headers=dict(genuine.headers))


def test_a_status_moves_the_send_of_the_address(twilio: Door) -> None:
    path = twilio.path(twilio.doors.hook("twilio_sms", REF))
    assert post(twilio, path, payload("sms_delivered")).status_code == 200
    assert twilio.receipts() == [(REF, "delivered", "")]
    assert post(twilio, path, payload("sms_delivered")).status_code == 200
    assert len(twilio.receipts()) == 1


def test_a_signature_for_another_address_or_secret_is_refused(twilio: Door) -> None:
    path = twilio.path(twilio.doors.hook("twilio_sms", REF))
    other = twilio.path(twilio.doors.hook("twilio_sms", "f" * 24))
    pairs = payload("sms_delivered")
    assert post(twilio, path, pairs, of=other).status_code == 403
    assert post(twilio, path, pairs, of=f"{path}?a=1").status_code == 403
    assert post(twilio, path, pairs, token="another").status_code == 403
    assert twilio.client.post(path, content=urlencode(pairs)).status_code == 403
    assert twilio.receipts() == []


def test_a_chinese_stop_by_sms_binds_the_phone(twilio: Door) -> None:
    twilio.scene.publish("  - {sms: come-back}\n")
    twilio.scene.add_user("u1", phone=PHONE)
    assert post(twilio, "/hooks/twilio_sms", payload("sms_reply")).status_code == 200
    assert twilio.opted_out("u1") & CHANNEL_BIT[Channel.SMS]
    assert twilio.opted_out("u1") & CHANNEL_BIT[Channel.CALL]
    assert [row.meaning for row in twilio.rows(schema.inbound)] == ["stop"]


def test_a_call_greets_and_key_nine_binds_the_phone(twilio: Door) -> None:
    version = twilio.scene.publish("  - {call: come-back}\n")
    twilio.scene.add_user("u1", phone=PHONE)
    twilio.scene.enrol(version, "u1")
    twilio.scene.run()
    with twilio.scene.store.writing() as connection:
        connection.execute(schema.sends.update().values(provider="twilio_voice"))
    path = twilio.path(twilio.doors.voice("twilio_voice", twilio.scene.sends()[0].ref))
    greeting = post(twilio, path, payload("call_key", Digits=None))
    assert greeting.status_code == 200
    assert f"{PUBLIC}{path}/answer" in greeting.text
    assert post(twilio, f"{path}/answer", payload("call_key")).status_code == 200
    assert twilio.opted_out("u1") & CHANNEL_BIT[Channel.CALL]
