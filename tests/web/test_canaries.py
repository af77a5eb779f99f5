"""Does the web door show anybody's phone, e-mail, token, name, or one of our secrets? And do its keys rotate?"""

from __future__ import annotations

import logging
from io import StringIO

import pytest

from journeys.words import Channel
from recall.clock import HOUR
from recall.settings import Settings
from recall.store.connect import Store
from tests.cli.birds import EMAIL, NAME, PAGE, PHONE, TOKEN, hits
from tests.web.conftest import API_SECRET, KEY, Door, open_door
from tests.web.test_logs import stream as stream

ROTATED = "a newer signing key of the tests"
SHOWN = (PHONE, PHONE[1:], PHONE[3:], EMAIL, "canary.bird", TOKEN, NAME, PAGE, KEY, API_SECRET)


@pytest.mark.usefixtures("stream")
def test_no_answer_metric_or_log_line_says_who_somebody_is(
    small_door: Door, stream: StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    door, scene = small_door, small_door.scene
    logging.getLogger().setLevel(logging.DEBUG)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the browser of this test, not the server
    version = scene.publish("  - {sms: come-back}\n  - {wait: 1h}\n  - {push: come-back}")
    scene.add_user("u1", phone=PHONE, attributes={"name": NAME})
    scene.enrol(version, "u1")
    scene.run()
    scene.later(HOUR)
    scene.run()
    ref = scene.accepted()[0].ref
    row = scene.row("u1")
    told = {"id": "e1", "user": "u1", "name": "visited", "at": "2026-03-02T02:00:00Z", "properties": {"page": PAGE}}
    answers = {
        "event": door.post("/events", [told]),
        "event wrong": door.post("/events", [{**told, "id": "e2", "at": EMAIL, "user": PHONE}]),
        "event unsigned": door.post("/events", [told], secret="x" * 20),
        "consent": door.post("/consents", [{"user": "u1", "channel": "sms", "purpose": NAME, "granted": EMAIL}]),
        "receipt": door.tell(door.event(ref=ref, detail=PHONE)),
        "reply": door.reply(f"please STOP {EMAIL} {PHONE} {NAME}", sender=PHONE),
        "forged": door.tell(door.event(detail=EMAIL), signature=f"forged by {NAME}"),
        "no such door": door.client.get(f"/{PHONE}/{EMAIL}"),
        "query": door.client.get(f"/healthz?phone={PHONE}&key={API_SECRET}"),
        "no such link": door.client.get(f"/l/{TOKEN}"),
        "preferences": door.client.get(door.path(door.doors.preferences(row.id, row.phone_id, Channel.SMS))),
        "card": door.client.get(f"/in-app/{PHONE}?token={TOKEN}"),
        **{name: door.client.get(f"/{name}") for name in ("healthz", "readyz", "metrics")},
    }
    monkeypatch.setattr("recall.web.feed.record_events", _burst)
    answers["crash"] = door.post("/events", [{**told, "id": "e9"}])
    assert answers["crash"].status_code == 500
    assert answers["event"].status_code == 200
    written = {name: answer.text for name, answer in answers.items()}
    written |= {f"{name} header": repr(answer.headers) for name, answer in answers.items()}
    assert hits({**written, "log": stream.getvalue()}, SHOWN) == []
    assert "RuntimeError" in stream.getvalue()


def _burst(*_: object, **__: object) -> None:
    raise RuntimeError(f"cannot keep {PHONE} of {NAME} ({EMAIL}) with {API_SECRET}")


def test_tokens_of_an_old_key_hold_until_it_is_taken_away(
    sqlite_store: Store, web_settings: Settings, now: int
) -> None:
    def with_keys(*keys: str) -> Door:
        changed = type(web_settings)(**{**web_settings.model_dump(), "signing_keys": list(keys)})
        return open_door(sqlite_store, changed, now)

    ref = "ab" * 12
    before, between, after = with_keys(KEY), with_keys(ROTATED, KEY), with_keys(ROTATED)
    old, new = (door.path(door.doors.hook("outbox", ref)) for door in (before, between))
    assert old != new
    told = {
        name: [door.tell(path=path).status_code for path in (old, new)]
        for name, door in (("before", before), ("between", between), ("after", after))
    }
    assert told == {"before": [200, 403], "between": [200, 200], "after": [403, 200]}
