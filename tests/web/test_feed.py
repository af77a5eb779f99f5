"""Are events and consents taken once, from those who sign, and is every refusal told?"""

from __future__ import annotations

import json
from typing import Any

import pytest

from recall.clock import MINUTE, to_datetime
from recall.store import schema
from recall.web.feed import read_properties
from tests.web.conftest import API_SECRET, Door


def event(door: Door, n: int = 1, **change: Any) -> dict[str, Any]:
    at = to_datetime(door.scene.now - n * MINUTE).isoformat()
    return {"id": f"e{n}", "user": "u1", "name": "visited", "at": at, **change}


def consent(door: Door, **change: Any) -> dict[str, Any]:
    at = to_datetime(door.scene.now).isoformat()
    return {"user": "u1", "channel": "sms", "purpose": "marketing", "granted": False, "at": at, **change}


@pytest.fixture
def known(door: Door) -> Door:
    door.scene.add_user("u1")
    return door


def test_events_are_taken_once_however_often_they_are_told(known: Door) -> None:
    body = {"events": [event(known, n) for n in (1, 2, 3)]}
    answers = [known.post("/events", body).json() for _ in range(3)]
    assert [(a["received"], a["added"], a["unchanged"], a["refused"]) for a in answers] == [
        (3, 3, 0, []), (3, 0, 3, []), (3, 0, 3, []),
    ]  # fmt: skip
    assert len(known.rows(schema.events)) == 3


def test_one_bad_event_is_told_and_its_neighbours_are_taken(known: Door) -> None:
    bad = [
        (event(known, 2, id=None), "missing", "id"),
        (event(known, 3, user="nobody"), "unknown_user", None),
        (event(known, 4, name="no name"), "name_invalid", "name"),
        (event(known, 5, at="2026-03-01T10:00:00"), "time_without_zone", "at"),
        (event(known, 6, at="2036-03-01T10:00:00Z"), "time_in_future", "at"),
        (event(known, 7, at=None), "missing", "at"),
        (event(known, 8, user={"a": 1}), "not_text", "user"),
        (event(known, 9, user="a\x00"), "control_character", "user"),
        (event(known, 10, user="\ud800"), "control_character", "user"),
        (event(known, 11, properties={"a": {"b": 1}}), "not_text", "properties"),
        (event(known, 12, properties=[1]), "not_an_object", "properties"),
        (event(known, 13, type="identify"), "not_a_track", "type"),
        (["no object"], "not_an_object", None),
        (event(known, 1, name="clicked"), "key_taken", None),
    ]
    body = {"events": [event(known, 1), *[item for item, _, _ in bad]]}
    answer = known.post("/events", body).json()
    assert [(r["index"], r["reason"], r.get("field")) for r in answer["refused"]] == [
        (n, reason, name) for n, (_, reason, name) in enumerate(bad, 1)
    ]
    assert (answer["received"], answer["added"], answer["unchanged"]) == (len(bad) + 1, 1, 0)


def test_a_track_call_of_segment_is_taken(known: Door) -> None:
    track = {
        "type": "track", "messageId": "m1", "userId": "u1", "event": "loan_drawn", "anonymousId": "x",
        "timestamp": to_datetime(known.scene.now).isoformat().replace("+00:00", "Z"), "properties": {"amount": 1.10},
        "context": {"library": {"name": "analytics.js"}},
    }  # fmt: skip
    assert known.post("/events", {"batch": [track], "sentAt": "x"}).json()["added"] == 1
    assert known.post("/events", track).json()["unchanged"] == 1
    [row] = known.rows(schema.events)
    assert (row.name, json.loads(row.properties)) == ("loan_drawn", {"amount": "1.1"})


def test_numbers_stay_as_they_were_written(known: Door) -> None:
    at = to_datetime(known.scene.now).isoformat()
    body = f"""[{{"id": 12345678901234567890, "user": "u1", "name": "visited", "at": "{at}",
        "properties": {{"amount": 1.10, "id": 9007199254740993, "yes": true, "none": null, "big": 1e400}}}}]"""
    assert known.post("/events", body.encode()).json()["added"] == 1
    [row] = known.rows(schema.events)
    assert row.key == "events:12345678901234567890"
    assert json.loads(row.properties) == {"amount": "1.10", "id": "9007199254740993", "yes": "true", "big": "1e400"}


def test_unknown_users_are_made_when_asked_for(door: Door) -> None:
    assert door.post("/events", [event(door)]).json()["refused"] == [{"index": 0, "reason": "unknown_user"}]
    answer = door.post("/events?create=true", [event(door)]).json()
    assert (answer["added"], answer["users_created"]) == (1, 1)
    assert door.scene.row("u1").user_id == "u1"


def test_an_event_makes_converge_look_at_the_user(known: Door) -> None:
    before = len(known.rows(schema.changed_users))
    known.post("/events", [event(known)])
    assert len(known.rows(schema.changed_users)) == before + 1


def test_a_source_is_as_fresh_as_its_newest_event(known: Door) -> None:
    known.post("/events", {"source": "crm", "events": [event(known, 5), event(known, 2)]})
    assert [(row.name, row.as_of) for row in known.rows(schema.sources)] == [("crm", known.scene.now - 2 * MINUTE)]
    assert known.rows(schema.events)[0].key == "crm:e5"


def test_a_withdrawn_consent_stops_the_next_message(known: Door) -> None:
    version = known.scene.publish("  - {sms: come-back}\n")
    known.scene.enrol(version, "u1")
    body = {"consents": [consent(known)]}
    assert known.post("/consents", body).json()["added"] == 1
    assert known.post("/consents", body).json()["unchanged"] == 1
    known.scene.run()
    assert known.scene.sent() == []
    assert known.scene.reasons() == ["no_consent"]


def test_bad_consents_are_told(known: Door) -> None:
    items = [
        consent(known, channel="fax"),
        consent(known, granted="perhaps"),
        consent(known, purpose=""),
        consent(known, at=None),
        consent(known, expires_at="2020-01-01T00:00:00Z"),
        consent(known, user="nobody"),
    ]
    refused = known.post("/consents", {"consents": items}).json()["refused"]
    assert [r["reason"] for r in refused] == [
        "unknown_channel", "flag_invalid", "missing", "missing", "time_order", "unknown_user",
    ]  # fmt: skip


# --- who may post ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/events", "/consents"])
def test_without_a_signature_nothing_is_taken(small_door: Door, path: str) -> None:
    small_door.scene.add_user("u1")
    body = json.dumps([event(small_door)])
    assert small_door.client.post(path, content=body).status_code == 401
    assert small_door.client.post(path, content=body, headers={"x-recall-key": "host"}).status_code == 401
    assert small_door.rows(schema.events) == []


def test_wrong_keys_secrets_paths_and_times_are_refused(small_door: Door) -> None:
    small_door.scene.add_user("u1")
    body = [event(small_door)]
    seconds = small_door.web.wall.now() // 1_000_000
    wrong = [
        small_door.post("/events", body, key="nobody"),
        small_door.post("/events", body, key="nobody", secret="no such key"),
        small_door.post("/events", body, secret="another secret of the host"),
        small_door.post("/events", body, timestamp=seconds - 301),
        small_door.post("/events", body, timestamp=seconds + 330),
        small_door.post("/events", body, timestamp=f"0{seconds}"),
        small_door.post("/events", body, timestamp=""),
        small_door.post("/events", body, **{"x-recall-signature": ""}),
        small_door.post("/events", body, **{"x-recall-signature": b"\xe9"}),
    ]
    assert [answer.status_code for answer in wrong] == [403] * 6 + [401, 401, 403]
    assert small_door.rows(schema.events) == []


def test_a_signature_holds_for_one_path_and_one_body(small_door: Door) -> None:
    small_door.scene.add_user("u1")
    sent = small_door.post("/events", [event(small_door)]).request
    again = {name: value for name, value in sent.headers.items() if name.startswith("x-recall")}
    post = small_door.client.post
    assert post("/events", content=sent.content, headers=again).json()["unchanged"] == 1
    assert post("/events", content=sent.content + b" ", headers=again).status_code == 403
    assert post("/events?create=true", content=sent.content, headers=again).status_code == 403
    assert post("/consents", content=sent.content, headers=again).status_code == 403


# --- bad bodies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/events", "/consents"])
@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"\xff", b"null", b"1", b'"x"', b"[" * 200_000, b'{"a":' * 100_000, b"[NaN]", b"[Infinity]",
        b'{"id":1,"id":2}', b'{"events": 1, "consents": 1}', "[1]".encode("utf-16"), b"\x00",
    ],
)  # fmt: skip
def test_what_is_no_clean_json_is_the_senders_fault(small_door: Door, path: str, body: bytes) -> None:
    answer = small_door.post(path, body)
    assert answer.status_code == 400
    assert "error" in answer.json()


def test_ten_thousand_items_are_taken_and_one_more_is_not(small_door: Door) -> None:
    assert small_door.post("/events", [1] * 10_000).json()["received"] == 10_000
    assert small_door.post("/events", [1] * 10_001).status_code == 413


def test_a_body_beyond_a_megabyte_is_refused(small_door: Door) -> None:
    assert small_door.post("/events", b" " * 1_000_001).status_code == 413


def test_a_source_that_is_no_name_is_refused(small_door: Door) -> None:
    for source in ({"a": 1}, "x" * 300, "a\x00"):
        assert small_door.post("/events", {"source": source, "events": []}).status_code == 400


def test_properties_have_a_limit() -> None:
    assert read_properties(None) == {}
    assert read_properties({"a": "  ", "b": " x "}) == {"b": "x"}
    with pytest.raises(Exception, match="too_many"):
        read_properties({f"p{n}": "x" for n in range(101)})


def test_secrets_are_not_in_what_is_refused(small_door: Door) -> None:
    answer = small_door.post("/events", [event(small_door)], secret="another secret of the host")
    assert API_SECRET not in answer.text
