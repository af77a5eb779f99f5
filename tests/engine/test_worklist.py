"""Does every task reach a person of ours, once, and does its outcome move the journey on?"""

from __future__ import annotations

import pytest

from journeys.compile import compile_journey
from journeys.loader import load_policy, read_journey
from journeys.templates import TemplateText, load_template
from journeys.words import ReceiptKind
from recall.clock import DAY, HOUR, MINUTE
from recall.engine.worklist import Reported, expire, list_tasks, take_outcomes
from recall.store.controls import ControlKind, set_control
from recall.store.policies import publish_policy
from recall.store.receipts import Receipt, record_receipts
from recall.store.suppressions import suppress_user
from recall.store.versions import Version, publish_version
from tests.engine.conftest import SHIPPED, SMALLEST, Scene
from tests.engine.conftest import scene as scene

STEPS = """
  - task: come-back
    on_outcome: {declined: exit, reached: continue}
    outcome_within: 5d
  - {sms: come-back}
"""


def publish_tasks(scene: Scene) -> Version:
    """A journey whose template has a text for tasks, which the shipped one has not."""
    journey = read_journey(
        SMALLEST.format(name="settled-30d", steps=STEPS, more="", entry="", priority=50).encode(), "j"
    )
    come_back = load_template(SHIPPED / "templates" / "come-back.yaml").noun
    text = TemplateText(title="Call back", body="Ask whether the new limit suits.\nBe brief.")
    template = come_back.model_copy(update={"task": {"en": text}})
    program = compile_journey(journey.noun, templates={"come-back": template})
    with scene.store.writing() as connection:
        publish_policy(connection, load_policy(SHIPPED / "policies" / "cn-consumer-finance.yaml").noun, now=scene.now)
        return publish_version(connection, program, now=scene.now, who="test")


@pytest.fixture
def two(scene: Scene) -> Scene:
    """Two people with an open task each."""
    version = publish_tasks(scene)
    for user in ("u1", "u2"):
        scene.add_user(user)
    scene.enrol(version, "u1", "u2")
    scene.run()
    assert [send.state for send in scene.sends()] == ["accepted", "accepted"]
    return scene


def refs(scene: Scene) -> list[str]:
    return [item.task.ref for item in list_tasks(scene.setup)]


def test_open_tasks_are_listed_with_what_the_journey_listens_to(two: Scene):
    first, second = list_tasks(two.setup)
    assert (first.task.user, second.task.user) == ("u1", "u2")
    assert first.outcomes == ("declined", "reached")
    assert (first.task.journey, first.task.step, first.task.made_at) == ("settled-30d", "task-1", two.now)
    assert first.task.text
    assert first.task.text.splitlines()[0] not in repr(first)
    assert [item.task.user for item in list_tasks(two.setup, journey="another")] == []


def test_pages_lose_and_double_nobody(two: Scene, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("recall.engine.worklist._PAGE", 1)
    assert len(set(refs(two))) == len(refs(two)) == 2


def test_an_outcome_closes_the_task_and_the_journey_goes_by_it(two: Scene):
    first, second = refs(two)
    two.later(HOUR)
    taken = take_outcomes(two.setup, [Reported(2, first, "Declined ", "u1"), Reported(3, second, "reached")])
    assert (taken.recorded, taken.problems) == (2, [])
    assert refs(two) == []
    assert [send.answer for send in two.sends()] == ["declined", "reached"]
    two.later(HOUR)
    two.run()
    assert [(send.user_id, send.channel) for send in two.sends()][2:] == [(two.row("u2").id, "sms")]
    assert two.enrolment(1).end_reason == "exit_rule"


def test_bringing_outcomes_back_twice_changes_nothing(two: Scene):
    first, _ = refs(two)
    rows = [Reported(2, first, "reached"), Reported(3, first, "reached")]
    assert take_outcomes(two.setup, rows).recorded == 1
    again = take_outcomes(two.setup, rows)
    assert (again.recorded, again.known, again.problems) == (0, 2, [])
    two.later(MINUTE)
    other = take_outcomes(two.setup, [Reported(2, first, "declined")])
    assert [line for line, _ in other.problems] == [2]
    assert two.sends()[0].answer == "reached"


@pytest.mark.parametrize(
    ("row", "word"),
    [
        (("f" * 24, "reached", "", None), "ref"),
        (("", "reached", "", None), "ref"),
        (("FIRST", "Called twice, no answer!", "", None), "word"),
        (("FIRST", "=cmd()", "", None), "word"),
        (("FIRST", "reached", "u2", None), "another user"),
        (("FIRST", "reached", "u1", -DAY), "time"),
        (("FIRST", "reached", "u1", DAY), "time"),
    ],
)
def test_a_line_that_does_not_fit_is_told_and_the_others_are_taken(two: Scene, row: tuple, word: str):
    first, second = refs(two)
    ref, outcome, user, shift = row
    at = None if shift is None else two.now + shift
    bad = Reported(2, first if ref == "FIRST" else ref, outcome, user, at)
    taken = take_outcomes(two.setup, [bad, Reported(3, second, "reached"), Reported(4, first, "")])
    assert [line for line, _ in taken.problems] == [2]
    assert word in taken.problems[0][1]
    assert (taken.recorded, taken.empty) == (1, 1)


def test_an_outcome_that_lies_in_the_inbox_closes_the_task_at_once(two: Scene):
    first, _ = refs(two)
    with two.store.writing() as connection:
        record_receipts(
            connection, [Receipt("task", "x", first, ReceiptKind.ANSWERED, two.now, "reached")], now=two.now
        )
    assert first not in refs(two)
    taken = take_outcomes(two.setup, [Reported(2, first, "declined")])
    assert taken.recorded == 0
    assert len(taken.problems) == 1


def test_nobody_is_called_who_came_back_said_stop_or_is_paused(two: Scene):
    two.event("u1", "loan_drawn")
    two.later(MINUTE)
    two.run()
    assert [item.task.user for item in list_tasks(two.setup)] == ["u2"]
    with two.store.writing() as connection:
        suppress_user(connection, two.store, user="u2", at=two.now)
    assert refs(two) == []


@pytest.mark.parametrize(("kind", "subject"), [(ControlKind.KILL_SWITCH, ""), (ControlKind.PAUSED, "settled-30d")])
def test_a_switch_hides_tasks_and_loses_none(two: Scene, kind: ControlKind, subject: str):
    with two.store.writing() as connection:
        set_control(connection, kind, subject, who="test", why="x", at=two.now)
    assert refs(two) == []


def test_what_nobody_did_in_time_expires_and_a_late_outcome_still_counts(two: Scene):
    first, _ = refs(two)
    assert expire(two.setup) == 0
    two.later(10 * DAY)
    assert refs(two) == []
    assert expire(two.setup) == 2
    assert expire(two.setup) == 0
    taken = take_outcomes(two.setup, [Reported(2, first, "reached")])
    assert taken.recorded == 1
    assert [send.answer for send in two.sends()[:2]] == ["reached", "expired"]
