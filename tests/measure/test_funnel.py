"""Do the counts people look at add up with the ledger?"""

from __future__ import annotations

from typing import Any

import pytest

from providers.faults import Fail, Fault, switch_fault
from providers.outbox import Outbox
from recall.clock import DAY, FixedClock, Instant
from recall.engine.setup import Setup
from recall.measure.funnel import funnel, may_count, note_counted, told
from recall.settings import Settings
from recall.store.connect import Store
from recall.store.counts import doubts_by_journey
from tests.engine.conftest import Scene


@pytest.fixture
def scene(store: Store, settings: Settings, now: Instant) -> Scene:
    clock, outbox = FixedClock(now), settings.var_dir / "outbox"
    setup = Setup(store, {"outbox": Outbox(outbox, clock=clock)}, clock, settings.var_dir / "spool")
    return Scene(store, clock, setup, outbox)


def lines(scene: Scene) -> dict[str, Any]:
    """The funnel by its first column."""
    with scene.store.reading() as connection:
        return {line["what"]: line for line in funnel(connection, "settled-30d")}


def test_each_step_tells_who_got_it_and_why_others_did_not(scene: Scene):
    version = scene.publish()
    scene.add_user("u1")
    scene.add_user("u2")
    scene.add_user("u3", push=None)
    scene.enrol(version, "u1", "u2", "u3")
    scene.run()
    found = lines(scene)
    assert found["entered"]["people"] == 3
    assert found["push-1 [push]"]["people"] == 2
    assert "not_installed 1" in found["push-1 [push]"]["more"]
    assert found["sms-2 [sms]"]["people"] == 0
    assert "waiting: as planned 3" in found["sms-2 [sms]"]["more"]


def test_messages_are_counted_the_same_in_parts_however_small(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    version = scene.publish()
    for user in ("u1", "u2", "u3"):
        scene.add_user(user)
    scene.enrol(version, "u1", "u2", "u3")
    scene.run()
    whole = lines(scene)
    monkeypatch.setattr("recall.store.counts._PART", 1)
    assert whole["push-1 [push]"]["people"] == 3
    assert lines(scene) == whole


def test_steps_stand_in_the_order_of_the_journey(scene: Scene):
    scene.publish()
    assert list(lines(scene)) == ["entered", "push-1 [push]", "sms-2 [sms]", "call-3 [call]", "came back", "ended"]


def test_who_came_back_is_told_apart_for_the_holdout(scene: Scene):
    version = scene.publish()
    for user in ("u1", "u2", "u3"):
        scene.add_user(user)
    scene.enrol(version, "u1", "u2")
    scene.enrol(version, "u3", holdout="journey")
    scene.later(DAY)
    scene.event("u1", "loan_drawn")
    scene.event("u3", "loan_drawn")
    scene.run()
    found = lines(scene)
    assert (found["came back"]["people"], found["came back without messages"]["people"]) == (1, 1)
    assert found["came back"]["more"].startswith("of 2;")
    assert found["ended"]["more"] == "goal_reached 1"


def test_a_message_in_doubt_counts_as_sent_and_is_said(scene: Scene):
    version = scene.publish()
    scene.add_user("u1")
    scene.enrol(version, "u1")
    switch_fault(scene.outbox, Fault(fail=Fail.ACCEPT_THEN_LOSE))
    scene.run()
    assert lines(scene)["push-1 [push]"]["people"] == 1
    assert "in_doubt 1" in lines(scene)["push-1 [push]"]["more"]
    with scene.store.reading() as connection:
        assert doubts_by_journey(connection) == {"settled-30d": 1}


def test_declared_stages_count_who_did_the_event_after_entering(scene: Scene):
    version = scene.publish(more="funnel: [{stage: Visited, event: visited, target: 40}]")
    for user in ("u1", "u2"):
        scene.add_user(user)
    scene.event("u2", "visited", at=scene.now - DAY)
    scene.enrol(version, "u1", "u2")
    scene.event("u1", "visited", at=scene.now + 1)
    assert lines(scene)["Visited"]["people"] == 1
    assert lines(scene)["Visited"]["more"] == "target: 40 % of the stage before"


def test_counts_are_told_with_the_greatest_first():
    assert told({"a": 1, "b": 12_000, "c": 1}, "left out: ") == "left out: b 12,000, a 1, c 1"
    assert told({}, "left out: ") == ""


def test_the_longer_a_count_took_the_later_it_is_made_again(scene: Scene):
    for micros in (1_000, 3_000_000):
        with scene.store.writing() as connection:
            note_counted(connection, "settled-30d", now=scene.now, micros=micros)
            assert not may_count(connection, "settled-30d", now=scene.now + 99 * micros)
            assert may_count(connection, "settled-30d", now=scene.now + 100 * micros)
            assert may_count(connection, "another", now=scene.now)
