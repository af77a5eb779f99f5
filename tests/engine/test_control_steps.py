"""Does everybody turn where the journey turns?"""

from __future__ import annotations

from typing import Any

import pytest

from journeys.words import ReceiptKind
from recall.clock import DAY, HOUR, MINUTE, to_datetime
from recall.engine.converge import converge
from recall.store.people import NewUser, upsert_users
from recall.store.receipts import Receipt, record_receipts
from tests.engine.conftest import Scene


def begin(scene: Scene, steps: str, *users: str, **about: Any) -> list[int]:
    version = scene.publish(steps)
    for user in users or ("u1",):
        scene.add_user(user, **about)
    return scene.enrol(version, *(users or ("u1",)))


def tell(scene: Scene, kind: ReceiptKind, detail: str = "", *, send: int = -1) -> None:
    ref = scene.sends()[send].ref
    with scene.store.writing() as connection:
        receipt = Receipt("outbox", f"{ref}-{kind}-{detail}", ref, kind, scene.now, detail)
        record_receipts(connection, [receipt], now=scene.now)
    converge(scene.setup)


def pass_time(scene: Scene, micros: int, step: int = HOUR) -> None:
    """Run again and again while time goes on."""
    end = scene.now + micros
    while scene.now < end:
        scene.run()
        scene.later(min(step, end - scene.now))
    scene.run()


BRANCH = """
  - branch:
      - {when: {attribute: tier, is: gold}, steps: [{call: come-back}]}
      - {else: [{push: come-back}]}
  - {wait: 1d}
  - {sms: come-back}
"""


def test_a_branch_takes_the_first_case_that_holds_and_rejoins(scene: Scene) -> None:
    begin(scene, BRANCH, "plain")
    version = scene.publish(BRANCH)
    scene.add_user("gold", attributes={"tier": "gold"})
    scene.enrol(version, "gold")
    pass_time(scene, DAY + HOUR)
    assert sorted(scene.sent()) == [("gold", "call"), ("gold", "sms"), ("plain", "push"), ("plain", "sms")]


def test_waits_before_and_after_a_branch_add_up(scene: Scene) -> None:
    steps = "  - {push: come-back}\n  - {wait: 3d}\n  - branch:\n      - {else: [{wait: 2d}, {sms: come-back}]}"
    [enrolment] = begin(scene, steps)
    first = scene.now
    pass_time(scene, 3 * DAY + HOUR)
    assert scene.enrolment(enrolment).due_at == first + 5 * DAY


def test_a_branch_right_after_a_message_takes_nothing_from_the_wait(scene: Scene) -> None:
    steps = "  - {push: come-back}\n  - branch:\n      - {else: [{wait: 2d}, {sms: come-back}]}"
    [enrolment] = begin(scene, steps)
    first = scene.now
    pass_time(scene, HOUR)
    assert scene.enrolment(enrolment).due_at == first + 2 * DAY


SPLIT = """
  - split:
      - {arm: a, percent: 50, steps: [{push: come-back}]}
      - {arm: b, percent: 50, steps: [{sms: come-back}]}
"""


def test_a_split_puts_everybody_in_one_arm_and_keeps_it(scene: Scene) -> None:
    users = [f"u{n}" for n in range(40)]
    enrolments = begin(scene, SPLIT, *users)
    scene.run()
    arms = {user: scene.enrolment(e).arm for user, e in zip(users, enrolments, strict=True)}
    assert set(arms.values()) == {"split-1=a", "split-1=b"}
    assert {user: channel for user, channel in scene.sent()} == {
        user: "push" if arm.endswith("a") else "sms" for user, arm in arms.items()
    }
    scene.later(40 * DAY)
    again = scene.enrol(scene.publish(SPLIT), *users, entry_key="again")
    scene.run()
    assert {user: scene.enrolment(e).arm for user, e in zip(users, again, strict=True)} == arms


UNTIL = "  - {push: come-back}\n  - {wait: {until: {clicked: push-1}, at_most: 2d}}\n  - {sms: come-back}"


def test_an_until_waits_for_its_time_out(scene: Scene) -> None:
    begin(scene, UNTIL)
    pass_time(scene, 2 * DAY)
    assert scene.sent() == [("u1", "push")]
    pass_time(scene, HOUR, step=15 * MINUTE)
    assert scene.sent() == [("u1", "push"), ("u1", "sms")]


def test_a_receipt_wakes_an_until_in_the_next_slot(scene: Scene) -> None:
    begin(scene, UNTIL)
    pass_time(scene, 3 * HOUR)
    tell(scene, ReceiptKind.CLICKED)
    pass_time(scene, 15 * MINUTE, step=15 * MINUTE)
    assert scene.sent()[-1] == ("u1", "sms")


def test_a_reaction_that_came_before_satisfies_an_until_at_once(scene: Scene) -> None:
    begin(scene, UNTIL)
    scene.run()
    tell(scene, ReceiptKind.CLICKED)
    pass_time(scene, 15 * MINUTE, step=15 * MINUTE)
    assert scene.sent()[-1] == ("u1", "sms")


def test_an_event_wakes_an_until_too(scene: Scene) -> None:
    begin(scene, "  - {push: come-back}\n  - {wait: {until: {did: visited}, at_most: 5d}}\n  - {sms: come-back}")
    pass_time(scene, DAY)
    scene.event("u1", "visited")
    pass_time(scene, 30 * MINUTE, step=15 * MINUTE)
    assert scene.sent()[-1] == ("u1", "sms")


def test_until_a_date_of_the_person(scene: Scene) -> None:
    steps = "  - {push: come-back}\n  - {wait: {until_date: due_date}}\n  - {sms: come-back}"
    begin(scene, steps, "u1", "u2")
    day = to_datetime(scene.now + 5 * DAY).isoformat()
    upsert_users(scene.store, [NewUser("u1", attributes={"due_date": day})], scene.now)
    pass_time(scene, 5 * DAY - HOUR)
    assert ("u1", "sms") not in scene.sent()
    assert ("u2", "sms") in scene.sent(), "nobody waits for a date that is not known"
    pass_time(scene, 2 * HOUR, step=15 * MINUTE)
    assert ("u1", "sms") in scene.sent()


def test_next_thursday_at_eleven(scene: Scene) -> None:
    [enrolment] = begin(scene, '  - {push: come-back}\n  - {wait: {next: "thu 11:00"}}\n  - {sms: come-back}')
    scene.run()  # Monday 10:00 in Shanghai
    assert scene.enrolment(enrolment).due_at == scene.now + 3 * DAY + HOUR


def test_an_exit_step_ends_the_passage(scene: Scene) -> None:
    [enrolment] = begin(scene, "  - {push: come-back}\n  - {wait: 1d}\n  - {exit: finished}")
    pass_time(scene, DAY + HOUR)
    assert (scene.enrolment(enrolment).end_reason, len(scene.sent())) == ("finished", 1)


CALLS = """
  - call: come-back
    attempts: {max: 3, gap: 4h, retry_when: [busy, no_answer]}
    on_outcome: {declined: exit, wrong_person: suppress_address, interested: [{push: come-back}]}
  - {wait: 1d}
  - {sms: come-back}
"""


def test_a_busy_line_is_tried_again_as_a_new_attempt_group(scene: Scene) -> None:
    begin(scene, CALLS, "u1")
    policy_without_caps(scene)
    scene.run()
    tell(scene, ReceiptKind.UNDELIVERED, "busy")
    pass_time(scene, 5 * HOUR, step=15 * MINUTE)
    assert [(s.channel, s.grp) for s in scene.sends()] == [("call", 0), ("call", 1)]
    assert len({s.ref for s in scene.sends()}) == 2


def test_a_line_that_stays_busy_is_called_as_often_as_declared_and_no_more(scene: Scene) -> None:
    begin(scene, CALLS, "u1")
    policy_without_caps(scene)
    scene.run()
    for _ in range(3):
        tell(scene, ReceiptKind.UNDELIVERED, "busy")
        pass_time(scene, 24 * HOUR, step=2 * HOUR)
    pass_time(scene, 24 * HOUR, step=2 * HOUR)
    assert [s.grp for s in scene.sends() if s.channel == "call"] == [0, 1, 2]
    assert scene.reasons() == ["unresponsive"], "three contacts without an answer, and the person is left alone"


def policy_without_caps(scene: Scene) -> None:
    scene.publish(CALLS, policy=lambda policy: policy.update(caps=[]))


@pytest.mark.parametrize(
    ("outcome", "end", "sent"),
    [
        ("declined", "exit_rule", ["call"]),
        ("wrong_person", "suppressed", ["call"]),
        ("interested", "finished", ["call", "push", "sms"]),
        ("no_input", "finished", ["call", "sms"]),
        (None, "finished", ["call", "sms"]),
    ],
)
def test_the_outcome_of_a_call_says_how_it_goes_on(
    scene: Scene, outcome: str | None, end: str, sent: list[str]
) -> None:
    [enrolment] = begin(scene, CALLS, "u1")
    policy_without_caps(scene)
    scene.run()
    if outcome is not None:
        tell(scene, ReceiptKind.ANSWERED, outcome)
    pass_time(scene, 3 * DAY)
    assert [channel for _, channel in scene.sent()] == sent
    assert scene.enrolment(enrolment).end_reason == end


def test_nobody_waits_for_the_outcome_of_a_call_that_was_skipped(scene: Scene) -> None:
    begin(scene, CALLS, "u1", consents=("sms",))
    policy_without_caps(scene)
    pass_time(scene, DAY + 2 * HOUR)
    assert scene.sent() == [("u1", "sms")]
