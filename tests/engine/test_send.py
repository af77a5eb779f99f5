"""Does one due user get exactly one message, and end where the journey ends?"""

from __future__ import annotations

from recall.clock import DAY, HOUR
from tests.engine.conftest import Scene


def test_a_user_walks_from_the_first_step_to_the_last(scene: Scene) -> None:
    version = scene.publish()
    scene.add_user("u1")
    [enrolment] = scene.enrol(version, "u1")
    for _ in range(3):
        scene.run()
        scene.later(3 * DAY)
    assert scene.sent() == [("u1", "push"), ("u1", "sms"), ("u1", "call")]
    assert scene.enrolment(enrolment).end_reason == "finished"
    assert [send.state for send in scene.sends()] == ["accepted"] * 3
    assert {send.body_hash for send in scene.sends()} == {a.body_hash for a in scene.accepted()}


def test_nothing_is_sent_twice_by_running_twice(scene: Scene) -> None:
    version = scene.publish()
    scene.add_user("u1")
    scene.enrol(version, "u1")
    scene.run()
    assert scene.run().is_idle
    scene.later(HOUR)
    assert scene.run().is_idle
    assert scene.sent() == [("u1", "push")]


def test_the_gap_counts_from_the_message_not_from_when_it_fell_due(scene: Scene) -> None:
    """Nobody ran for more than a day: three days later means three days after the message."""
    version = scene.publish("  - {push: come-back}\n  - {wait: 3d}\n  - {sms: come-back}")
    scene.add_user("u1")
    [enrolment] = scene.enrol(version, "u1")
    scene.later(DAY + HOUR)
    scene.run()
    assert scene.sent() == [("u1", "push")]
    assert scene.enrolment(enrolment).due_at == scene.now + 3 * DAY
