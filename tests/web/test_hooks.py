"""Does everything a vendor tells arrive once, nothing a stranger tells, and does a stop bind at once?"""

from __future__ import annotations

import json

import pytest

from journeys.words import CHANNEL_BIT, Channel
from recall.clock import DAY, HOUR, MINUTE
from recall.engine.converge import drain_receipts
from recall.store import schema
from recall.store.inbound import close_review, open_reviews
from tests.web.conftest import PUBLIC, Door

SMS = CHANNEL_BIT[Channel.SMS]
CALL = CHANNEL_BIT[Channel.CALL]
PHONE = "+8613800138000"
TWO_SMS = """
  - {sms: come-back}
  - {wait: 3d}
  - {sms: come-back}
"""


def sent_sms(door: Door) -> str:
    """A user who got an SMS and is to get another in three days; returns the ref."""
    version = door.scene.publish(TWO_SMS)
    door.scene.add_user("u1", phone=PHONE)
    door.scene.enrol(version, "u1")
    door.scene.run()
    return str(door.scene.sends()[0].ref)


def test_a_receipt_reaches_the_ledger_and_its_repetition_changes_nothing(door: Door) -> None:
    ref = sent_sms(door)
    told = door.event(ref=ref)
    path = door.path(door.doors.hook("outbox", ref))
    assert [door.tell(told, path=path).status_code for _ in range(3)] == [200] * 3
    assert door.receipts() == [(ref, "delivered", "")]
    drain_receipts(door.scene.setup)
    assert door.scene.sends()[0].delivered_at == door.scene.now


def test_a_receipt_that_names_no_ref_is_about_the_send_of_the_address(door: Door) -> None:
    path = door.path(door.doors.hook("outbox", "a" * 24))
    assert door.tell(door.event(), path=path).status_code == 200
    assert door.receipts() == [("a" * 24, "delivered", "")]


def test_a_token_moves_only_its_own_send(door: Door) -> None:
    path = door.path(door.doors.hook("outbox", "a" * 24))
    assert door.tell(door.event(ref="b" * 24), door.event(ref="a" * 24), path=path).status_code == 200
    assert [ref for ref, _, _ in door.receipts()] == ["a" * 24]


def test_a_vendor_hears_what_it_wants_to_hear(small_door: Door) -> None:
    answer = small_door.tell(small_door.event(ref="a" * 24))
    assert answer.json() == {"code": 0}


def test_the_vendor_sees_its_request_at_our_public_address_whatever_the_host_says(small_door: Door) -> None:
    path = small_door.path(small_door.doors.hook("outbox", "a" * 24)) + "?x=%2F&y="
    small_door.client.post(path, content=b"[]", headers={"host": "evil.example", "x-vendor-signature": "genuine"})
    assert small_door.vendor.seen[-1].url == PUBLIC + path


@pytest.mark.parametrize("signature", [None, "", "forged"])
def test_without_the_vendors_signature_nothing_is_kept(small_door: Door, signature: str | None) -> None:
    headers = {} if signature is None else {"x-vendor-signature": signature}
    body = json.dumps([small_door.event(ref="a" * 24)])
    assert small_door.client.post("/hooks/outbox", content=body, headers=headers).status_code == 403
    assert small_door.receipts() == []


def test_tokens_of_others_are_refused(small_door: Door) -> None:
    doors = small_door.doors
    forged = [
        doors.hook("another", "a" * 24).rsplit("/", 1)[1],  # of another provider
        doors.voice("outbox", "a" * 24).rsplit("/", 1)[1],  # for another purpose
        doors.hook("outbox", "a" * 24).rsplit("/", 1)[1][:-1] + "A",
        "a" * 24,
        "a/b/c",
        "%00",
        "x" * 5000,
    ]
    for token in forged:
        assert small_door.tell(small_door.event(), path=f"/hooks/outbox/{token}").status_code == 403, token
    assert small_door.receipts() == []


def test_a_provider_nobody_set_up_is_not_there(small_door: Door) -> None:
    assert small_door.tell(small_door.event(ref="a"), path="/hooks/nobody").status_code == 404


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'[{"id": 1}]', b"null", b'[{"id":"x","kind":"no","at":1}]', b"\x00"],
)
def test_what_cannot_be_read_is_the_senders_fault(small_door: Door, body: bytes) -> None:
    answer = small_door.client.post("/hooks/outbox", content=body, headers={"x-vendor-signature": "genuine"})
    assert answer.status_code == 400
    assert small_door.receipts() == []


def test_more_than_a_megabyte_is_refused_whatever_its_length_is_said_to_be(small_door: Door) -> None:
    headers = {"x-vendor-signature": "genuine"}
    too_much = b" " * 1_000_001
    assert small_door.client.post("/hooks/outbox", content=too_much, headers=headers).status_code == 413

    def in_pieces():
        for _ in range(11):
            yield b" " * 100_000

    assert small_door.client.post("/hooks/outbox", content=in_pieces(), headers=headers).status_code == 413


def test_ten_thousand_events_are_taken_and_one_more_is_not(small_door: Door) -> None:
    events = [{"id": f"{n}", "kind": "opened", "at": small_door.scene.now, "ref": "a"} for n in range(10_000)]
    assert small_door.tell(*events).status_code == 200
    assert len(small_door.receipts()) == 10_000
    assert small_door.tell(*events, small_door.event(ref="a")).status_code == 413


@pytest.mark.parametrize(
    "broken", [{"id": "\x00"}, {"id": "\ud800"}, {"id": ""}, {"detail": "x" * 501}, {"ref": "\x00"}]
)
def test_an_event_no_store_can_keep_is_left_out_and_its_neighbour_kept(door: Door, broken: dict[str, str]) -> None:
    answer = door.tell({**door.event(ref="a"), **broken}, door.event(ref="b"))
    assert answer.status_code == 200
    assert [ref for ref, _, _ in door.receipts()] == ["b"]


@pytest.mark.parametrize("at", [-1, 0, 2**80, 10**18])
def test_a_time_nobody_believes_is_replaced_by_ours(small_door: Door, at: int) -> None:
    assert small_door.tell({**small_door.event(ref="a"), "at": at}).status_code == 200
    assert [row.at for row in small_door.rows(schema.receipts)] == [small_door.scene.now]


# --- saying stop --------------------------------------------------------------------------------------------


def test_after_a_stop_the_very_next_run_sends_nothing(door: Door) -> None:
    sent_sms(door)
    assert door.reply("TD", sender=PHONE).status_code == 200
    assert door.opted_out("u1") & SMS
    door.scene.later(3 * DAY)
    door.scene.run()
    assert door.scene.sent() == [("u1", "sms")]
    assert "opted_out" in door.scene.reasons()


def test_without_a_stop_the_next_run_sends_on(door: Door) -> None:
    sent_sms(door)
    assert door.reply("谢谢", sender=PHONE).status_code == 200
    door.scene.later(3 * DAY)
    door.scene.run()
    assert door.scene.sent() == [("u1", "sms"), ("u1", "sms")]


@pytest.mark.parametrize("kind", ["opted_out", "complained"])
def test_an_opt_out_told_as_a_receipt_binds_the_phone_before_the_inbox_is_drained(door: Door, kind: str) -> None:
    ref = sent_sms(door)
    assert door.tell(door.event(kind, ref=ref)).status_code == 200
    assert door.opted_out("u1") & SMS
    assert door.opted_out("u1") & CALL
    before = door.rows(schema.suppressions)
    drain_receipts(door.scene.setup)
    assert door.rows(schema.suppressions) == before


def test_a_start_opens_the_channel_it_came_by_and_a_repeated_start_opens_nothing(door: Door) -> None:
    sent_sms(door)
    door.reply("STOP", sender=PHONE)
    door.scene.later(HOUR)
    start = {**door.event("answered", detail="START", channel="sms"), "from": PHONE}
    door.tell(start)
    assert not door.opted_out("u1") & SMS
    assert door.opted_out("u1") & CALL, "nobody asked for calls again"
    door.scene.later(HOUR)
    door.reply("STOP", sender=PHONE)
    door.scene.later(HOUR)
    door.tell({**start, "at": door.scene.now})  # the vendor tells the same again
    assert door.opted_out("u1") & SMS


def test_replies_of_one_request_count_in_the_order_they_were_said(door: Door) -> None:
    sent_sms(door)
    now = door.scene.now
    said = [{"detail": "START", "at": now - MINUTE}, {"detail": "STOP", "at": now}]
    door.tell(*[{**door.event("answered", channel="sms"), "from": PHONE, **each} for each in reversed(said)])
    assert door.opted_out("u1") & SMS


def test_a_vendors_own_opt_out_needs_no_word_of_ours(door: Door) -> None:
    sent_sms(door)
    door.tell({**door.event("opted_out", detail="whatever", channel="sms"), "from": PHONE})
    assert door.opted_out("u1") & SMS


def test_who_stops_before_we_know_them_is_not_messaged_later(door: Door) -> None:
    door.scene.publish(TWO_SMS)
    door.reply("拒收", sender="+8613900139000")
    door.scene.add_user("u2", phone="+8613900139000")
    assert door.opted_out("u2") & SMS


def test_a_stop_word_among_others_waits_for_a_person_who_may_make_it_a_stop(door: Door) -> None:
    sent_sms(door)
    door.reply(f"STOP PLEASE, write to me@example.com or {PHONE}", sender=PHONE)
    assert door.opted_out("u1") == 0
    with door.scene.store.writing() as connection:
        [review] = open_reviews(connection)
        assert review.text.startswith("STOP PLEASE")
        assert "example.com" not in review.text
        assert "138" not in review.text
        assert close_review(connection, review.id, is_stop=True, who="test", now=door.scene.now)
        assert not close_review(connection, review.id, is_stop=True, who="test", now=door.scene.now)
        assert open_reviews(connection) == []
    assert door.opted_out("u1") & SMS
    assert [row.text for row in door.rows(schema.inbound)] == [None]


def test_what_means_nothing_is_not_kept(small_door: Door) -> None:
    small_door.scene.publish(TWO_SMS)
    small_door.reply("明天再说", sender=PHONE)
    assert small_door.rows(schema.inbound) == []
