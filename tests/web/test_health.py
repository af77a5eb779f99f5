"""Do the probes tell the truth, and do the metrics tell nothing personal?"""

from __future__ import annotations

import pytest
from sqlalchemy import text

from journeys.words import Channel, Outcome
from recall.clock import HOUR
from recall.engine.dispatch import Dispatcher
from recall.engine.spool import spool
from recall.errors import StoreBusy
from recall.store.call_times import add_call_times
from recall.store.connect import Store
from recall.store.ledger import Answer
from recall.web import health
from recall.web.loop import Beat, Reconciler
from tests.web.conftest import Door, create_app

PHONE = "+8613800138000"


def test_a_process_that_answers_is_well(small_door: Door) -> None:
    assert small_door.client.get("/healthz").json() == {"ok": True}


def test_ready_means_store_reconciler_and_spool(door: Door) -> None:
    assert door.client.get("/readyz").json() == {"ok": True, "wrong": []}
    spool(door.scene.setup.spool_dir, [Answer("a" * 24, Outcome.ACCEPTED)])
    assert door.client.get("/readyz").json()["wrong"] == ["spool"]
    with door.scene.store.writing() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    answer = door.client.get("/readyz")
    assert (answer.status_code, answer.json()["wrong"]) == (503, ["schema", "spool"])


def test_a_reconciler_that_stands_still_is_told(small_door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    beat = Beat()
    web = create_app(small_door.scene.setup, small_door.web.settings, beat=beat).state.web
    assert health.what_is_wrong(web) == []
    monkeypatch.setattr("recall.web.loop.LATE_SECONDS", -1.0)
    assert health.what_is_wrong(web) == ["reconciler"]


def test_a_lost_store_is_told_and_no_health_of_ours(small_door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(self: Store, name: str) -> str:
        raise StoreBusy("lost")

    monkeypatch.setattr(Store, "fact", lost)
    assert small_door.client.get("/readyz").json()["wrong"] == ["store"]
    assert small_door.client.get("/healthz").status_code == 200


def test_the_metrics_count_and_name_nobody(door: Door) -> None:
    version = door.scene.publish("  - {sms: come-back}\n  - {wait: 3d}\n  - {sms: come-back}\n")
    door.scene.add_user("canary-user", phone=PHONE)
    door.scene.add_user("late")
    door.scene.enrol(version, "canary-user")
    door.scene.run()
    door.scene.enrol(version, "late", due_at=door.scene.now - HOUR, first_due_at=door.scene.now - HOUR)
    door.tell(door.event(ref=door.scene.sends()[0].ref))
    door.reply("STOP PLEASE", sender=PHONE)
    shown = door.client.get("/metrics").text
    for line in (
        'recall_sends{channel="sms",journey="settled-30d",state="accepted"} 1.0',
        'recall_due{journey="settled-30d"} 1.0',
        'recall_oldest_due_seconds{journey="settled-30d"} 3600.0',
        "recall_receipts_waiting 1.0",
        "recall_replies_to_read 1.0",
        "recall_kill_switch 0.0",
        'recall_http_requests_total{route="/hooks/{provider}",status="200"} 2.0',
    ):
        assert line in shown
    assert "canary" not in shown
    assert PHONE[3:] not in shown


def test_the_metrics_tell_how_long_providers_take(door: Door) -> None:
    dispatcher = Dispatcher()
    for seconds in (0.04, 0.3, 60.0):
        dispatcher._note_time("twilio_sms", seconds, 10)
    with door.scene.store.writing() as connection:
        add_call_times(connection, dispatcher.take_times())
    assert dispatcher.take_times() == {}
    shown = door.client.get("/metrics").text
    for line in (
        'recall_provider_call_seconds_bucket{le="0.05",provider="twilio_sms"} 1.0',
        'recall_provider_call_seconds_bucket{le="0.5",provider="twilio_sms"} 2.0',
        'recall_provider_call_seconds_bucket{le="10.0",provider="twilio_sms"} 2.0',
        'recall_provider_call_seconds_bucket{le="+Inf",provider="twilio_sms"} 3.0',
        'recall_provider_call_seconds_sum{provider="twilio_sms"} 60.34',
        'recall_provider_messages_total{provider="twilio_sms"} 30.0',
    ):
        assert line in shown


def test_the_store_is_asked_for_metrics_once_in_a_while(small_door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = health.measure
    monkeypatch.setattr(health, "measure", lambda *a, **k: asked.append(1) or real(*a, **k))
    for _ in range(3):
        small_door.client.get("/metrics")
    assert len(asked) == 1


def test_metrics_are_for_this_machine_or_for_a_key_of_their_own(small_door: Door) -> None:
    get = small_door.client.get
    assert get("/metrics", headers={"x-forwarded-for": "1.2.3.4"}).status_code == 404
    secret = "a secret only for metrics"
    settings = small_door.web.settings
    keys = {**settings.web_api_keys, "metrics": type(next(iter(settings.web_api_keys.values())))(secret)}
    app = create_app(small_door.scene.setup, settings.model_copy(update={"web_api_keys": keys}))
    small_door.client.app = app
    small_door.client._transport.app = app  # type: ignore[attr-defined]
    assert get("/metrics").status_code == 404
    assert get("/metrics", headers={"authorization": "Bearer nonsense"}).status_code == 404
    assert get("/metrics", headers={"authorization": f"Bearer {secret}"}).status_code == 200
    assert small_door.post("/events", [], key="metrics", secret=secret).status_code == 403


def test_the_reconciler_replays_the_spool_applies_receipts_and_ends_pauses(door: Door) -> None:
    version = door.scene.publish("  - {sms: come-back}\n")
    door.scene.add_user("u1")
    door.scene.enrol(version, "u1")
    door.scene.run()
    row = door.scene.row("u1")
    door.client.post(door.path(door.doors.preferences(row.id, 0, Channel.SMS)), data={"action": "pause"})
    door.tell(door.event(ref=door.scene.sends()[0].ref))
    spool(door.scene.setup.spool_dir, [Answer("a" * 24, Outcome.ACCEPTED)])
    door.scene.later(31 * 24 * HOUR)
    reconciler = Reconciler(door.scene.setup, every_seconds=0.01)
    reconciler.pass_once()
    assert door.scene.sends()[0].delivered_at
    assert not door.scene.row("u1").suppressed
    assert not list(door.scene.setup.spool_dir.glob("*"))
    assert reconciler.beat.is_alive


def test_the_reconciler_outlives_a_bad_minute(small_door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    tried = []
    twice = threading.Event()

    def fail(self: Reconciler) -> None:
        tried.append(1)
        if len(tried) == 2:
            twice.set()
        raise StoreBusy("locked")

    monkeypatch.setattr(Reconciler, "pass_once", fail)
    reconciler = Reconciler(small_door.scene.setup, every_seconds=0.001)
    reconciler.start()
    assert twice.wait(10)
    reconciler.stop()
