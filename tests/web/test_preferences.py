"""Does the preference page do what a person asked, only then, and for everybody who shares the address?"""

from __future__ import annotations

import pytest

from journeys.words import CHANNEL_BIT, Channel
from recall.clock import DAY
from recall.store import schema
from recall.store.people import NewAddress
from recall.store.suppressions import end_pauses, suppress_user
from tests.web.conftest import Door

SMS, CALL = CHANNEL_BIT[Channel.SMS], CHANNEL_BIT[Channel.CALL]
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def known(door: Door, user: str = "u1", channel: Channel = Channel.SMS, **about: object) -> str:
    """Add a user; returns the path of their page."""
    door.scene.add_user(user, **about)
    row = door.scene.row(user)
    address = {Channel.SMS: row.phone_id, Channel.EMAIL: row.email_id}.get(channel, 0)
    return door.path(door.doors.preferences(row.id, address, channel))


def states(door: Door) -> list[tuple[str, str, str, bool]]:
    return [(row.kind, row.channel, row.source, row.ended_at is None) for row in door.rows(schema.suppressions)]


def test_looking_changes_nothing(door: Door) -> None:
    path = known(door)
    for method in ("GET", "HEAD"):
        door.client.request(method, path, params={"action": "stop", **ONE_CLICK})
    assert door.rows(schema.suppressions) == []


def test_the_page_shows_every_channel_that_reaches_the_person(small_door: Door) -> None:
    path = known(small_door)
    text = small_door.client.get(path, headers={"accept-language": "en"}).text
    assert all(f'value="{channel}" checked' in text for channel in ("push", "sms", "call"))
    assert 'value="email"' not in text  # no e-mail is known
    assert "+86" not in text
    assert "<script" not in text


def test_the_page_speaks_the_browsers_language_else_the_persons(small_door: Door) -> None:
    path = known(small_door)  # zh-CN
    shown = {
        accepted: small_door.client.get(path, headers={"accept-language": accepted}).headers["content-language"]
        for accepted in ("zh-TW,en;q=0.5", "en-GB", "fr,en;q=0.3,zh;q=0.8", "fr", "", "*", ";;;q=x", "en;q=0")
    }
    assert list(shown.values()) == ["zh-CN", "en", "zh-CN", "zh-CN", "zh-CN", "zh-CN", "zh-CN", "zh-CN"]


def test_saving_switches_channels_off_and_on_again(door: Door) -> None:
    path = known(door)
    answer = door.client.post(path, data={"action": "save", "channel": ["push", "sms"]})
    assert (answer.status_code, answer.headers["location"]) == (303, "?saved=1")
    assert door.opted_out("u1") == CALL
    assert states(door) == [("phone", "call", "preference page", True)]
    door.scene.later(DAY)
    door.client.post(path, data={"action": "save", "channel": ["push", "sms", "call"]})
    assert door.opted_out("u1") == 0


def test_stopping_everything_leaves_nothing_on(door: Door) -> None:
    path = known(door)
    door.client.post(path, data={"action": "stop"})
    assert "checked" not in door.client.get(path).text


def test_stopping_everything_also_withdraws_consent_where_no_address_is_used(door: Door) -> None:
    door.scene.publish("  - {sms: come-back}\n")  # its policy names the purpose
    path = known(door)
    door.scene.later(DAY)
    door.client.post(path, data={"action": "stop"})
    granted = {row.channel: row.granted for row in door.rows(schema.consent_state)}
    assert not granted["task"]
    assert not granted["in_app"]
    assert [row.source for row in door.rows(schema.consents) if not row.granted] == ["preference page"] * 2


def test_a_pause_stops_the_next_message(door: Door) -> None:
    version = door.scene.publish("  - {sms: come-back}\n")
    path = known(door)
    door.scene.enrol(version, "u1")
    door.client.post(path, data={"action": "pause"})
    door.scene.run()
    assert door.scene.sent() == []


def test_whoever_shares_the_phone_is_not_messaged_either(door: Door) -> None:
    path = known(door, phone="+8613800138000")
    known(door, "u2", phone="+8613800138000")
    door.client.post(path, data={"action": "save", "channel": ["push", "call"]})
    assert door.opted_out("u2") == SMS


@pytest.mark.parametrize("as_multipart", [True, False])
def test_one_click_stops_the_channel_of_the_message(door: Door, as_multipart: bool) -> None:
    path = known(door, channel=Channel.EMAIL, email=NewAddress("a@example.com"))
    body = {"files": {"List-Unsubscribe": (None, "One-Click")}} if as_multipart else {"data": ONE_CLICK}
    answer = door.client.post(path, **body)  # type: ignore[arg-type]
    assert answer.status_code == 200
    assert states(door) == [("email", "email", "preference page", True)]
    assert door.client.post(path, **body).status_code == 200  # type: ignore[arg-type]
    assert len(states(door)) == 1


def test_one_click_binds_the_address_the_message_went_to_also_when_it_is_not_the_current_one(door: Door) -> None:
    path = known(door, phone="+8613800138000")
    known(door, phone="+8613900139000")
    door.client.post(path, data=ONE_CLICK)
    assert [kind for kind, *_ in states(door)] == ["phone", "phone"]


def test_one_click_works_after_the_user_was_erased(door: Door) -> None:
    path = known(door)
    with door.scene.store.writing() as connection:
        connection.execute(schema.users.update().values(erased_at=door.scene.now))
    assert door.client.get(path).status_code == 404
    assert door.client.post(path, data=ONE_CLICK).status_code == 200
    assert door.opted_out("u1") == SMS


def test_a_pause_holds_thirty_days_and_can_be_ended(door: Door) -> None:
    path = known(door)
    door.client.post(path, data={"action": "pause"})
    assert door.scene.row("u1").suppressed
    assert "2026-04-01" in door.client.get(path).text
    door.scene.later(DAY)
    door.client.post(path, data={"action": "resume"})
    assert not door.scene.row("u1").suppressed
    door.scene.later(DAY)
    door.client.post(path, data={"action": "pause"})
    with door.scene.store.writing() as connection:
        assert end_pauses(connection, at=door.scene.now + 30 * DAY) == 1


def test_nobody_lifts_on_the_page_what_others_decided(door: Door) -> None:
    path = known(door)
    with door.scene.store.writing() as connection:
        suppress_user(connection, door.scene.store, user="u1", reason="fraud", at=door.scene.now)
    door.client.post(path, data={"action": "pause"})
    door.scene.later(DAY)
    door.client.post(path, data={"action": "resume"})
    assert door.scene.row("u1").suppressed


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"action": "delete"},
        {"action": "save", "channel": "fax"},
        {"List-Unsubscribe": "one-click"},
        {"action": "\x00"},
        {f"f{n}": "x" for n in range(60)},
    ],
)
def test_other_forms_do_nothing(small_door: Door, form: dict[str, str]) -> None:
    path = known(small_door)
    assert small_door.client.post(path, data=form).status_code == 400
    assert small_door.rows(schema.suppressions) == []


def test_a_file_is_not_taken(small_door: Door) -> None:
    path = known(small_door)
    assert small_door.client.post(path, files={"action": ("a.txt", b"save")}).status_code == 400


def test_only_tokens_of_ours_open_a_page(small_door: Door) -> None:
    path = known(small_door)
    hook = small_door.doors.hook("outbox", "1~0~sms").rsplit("/", 1)[1]
    for token in ("x", path[3:-1], f"2{path[4:]}", hook, "1~0~sms", "%00"):
        assert small_door.client.get(f"/u/{token}").status_code == 404
        assert small_door.client.post(f"/u/{token}", data=ONE_CLICK).status_code == 404
    assert small_door.rows(schema.suppressions) == []


def test_the_page_is_closed_to_frames_scripts_and_caches(small_door: Door) -> None:
    headers = small_door.client.get(known(small_door)).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "script-src" not in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["strict-transport-security"]
