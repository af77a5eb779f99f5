"""Is what the page says of a journey the plain count of the store, compared as assigned?"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from providers.outbox import Outbox
from recall.clock import DAY, HOUR, FixedClock, Instant, to_datetime, to_instant
from recall.engine.setup import Setup
from recall.measure.daily import has_fallen, local_day, read_day, wilson_high
from recall.measure.experiment import Verdict
from recall.measure.holdouts import Holdouts
from recall.measure.horizon import declare_looks
from recall.measure.outcomes import Outcome, read_outcome, read_programme
from recall.measure.passage import hazard_lines, read_passage
from recall.measure.ratio import Ratio
from recall.measure.review import read_review
from recall.measure.sides import Side
from recall.measure.splits import arm_of, read_split
from recall.settings import Settings
from recall.store.connect import Store
from recall.store.figures import Asked
from recall.store.figures_days import every_version
from recall.store.figures_messages import ContactCount
from recall.store.versions import Version
from tests.engine.conftest import Scene
from tests.measure.programme import HOLDOUT, add, no_programme, people

SPLIT = """
  - split:
      - {arm: short, percent: 50, steps: [{push: come-back}]}
      - {arm: long, percent: 50, steps: [{push: come-back}]}
    id: words
"""


@pytest.fixture
def scene(store: Store, settings: Settings, now: Instant) -> Scene:
    clock, outbox = FixedClock(now), settings.var_dir / "outbox"
    return Scene(store, clock, Setup(store, {"outbox": Outbox(outbox, clock=clock)}, clock, settings.var_dir), outbox)


def outcome(scene: Scene, version: Version) -> Outcome:
    with scene.store.reading() as connection:
        asked = Asked(connection, now=scene.now)
        return read_outcome(asked, version, Holdouts(asked, every_version(connection)))


def test_counts_are_those_of_a_plain_query_and_open_windows_wait(scene: Scene):
    version = scene.publish(more=HOLDOUT, policy=no_programme)
    people(scene, version, treated=80, held_out=20, back=24, back_held_out=3)
    scene.later(30 * DAY)
    people(scene, version, treated=8, held_out=2, back=8, back_held_out=0)  # their windows are open
    found = outcome(scene, version)
    with scene.store.reading() as connection:
        plain = connection.execute(
            text(
                "select holdout, count(*), count(goal_at), sum(case when goal_until <= :now then 1 else 0 end), "
                "sum(case when goal_until <= :now and goal_at is not null then 1 else 0 end) "
                "from enrolments group by holdout"
            ),
            {"now": scene.now},
        ).all()
    counts = {row[0]: tuple(row[1:]) for row in plain}
    assert (
        (found.people["treated"], found.people["journey"]) == (counts["treated"][0], counts["journey"][0]) == (88, 22)
    )
    treated, control = found.comparison.treated, found.comparison.control
    assert (treated.people, treated.goals) == counts["treated"][2:] == (80, 24)
    assert (control.people, control.goals) == counts["journey"][2:] == (20, 3)
    assert found.open_people == 10
    assert found.ratio.state is Ratio.FINE
    assert found.attributed is not None
    assert found.attributed.after_message == 24
    assert found.money.closed == pytest.approx(8.0)
    assert treated.value == pytest.approx(120.0)
    assert found.comparison.lift is not None
    assert found.comparison.lift.at == pytest.approx(24 / 80 - 3 / 20)


OFFER = """
  - {push: come-back, offer: {name: coupon, stock: 1000, cost: "8.00"}}
  - {sms: come-back, offer: {name: gift, stock: 1000, cost: "3.00", redeemed: gift_taken}}
"""


def test_a_redeemed_offer_costs_once_and_only_whom_it_was_sent_to(scene: Scene):
    version = scene.publish(OFFER, more=HOLDOUT, policy=no_programme)
    people(scene, version, treated=80, held_out=20, back=24, back_held_out=3)
    with scene.store.writing() as connection:
        into = "insert into events (key, user_id, name, at, recorded_at)"
        treated = "enrolments where holdout = 'treated' and user_id in (select min(user_id) from enrolments)"
        connection.execute(text("update sends set offer = 'coupon' where state = 'accepted'"))
        for key, name, at, of in (
            ("'early' || ref", "gift_taken", "gate_at - 9", "sends"),
            ("'gift'", "gift_taken", "entered_at + 172800000000", treated),
        ):
            connection.execute(text(f"{into} select {key}, user_id, '{name}', {at}, 0 from {of}"))
    scene.later(30 * DAY)
    with_coupon = outcome(scene, version).money
    # 24 came back by the event that is the goal, each for 8.00; those held out who did were sent nothing.
    assert (with_coupon.offers, with_coupon.closed) == pytest.approx((24 * 8.0, 24 * 8.0 + 80 * 0.1))
    with scene.store.writing() as connection:
        connection.execute(text("update sends set offer = 'gift' where state = 'accepted'"))
    with_gift = outcome(scene, version)
    assert with_gift.money.offers == pytest.approx(3.0)
    assert with_gift.comparison.treated.cost == pytest.approx(3.0 + 80 * 0.1)


def test_a_second_passage_of_the_same_person_is_counted_and_not_compared(scene: Scene):
    version = scene.publish(more=HOLDOUT, policy=no_programme)
    people(scene, version, treated=4, held_out=1, back=1, back_held_out=0)
    with scene.store.writing() as connection:
        connection.execute(
            text(
                "insert into enrolments (journey_id, version_id, user_id, entry_key, anchor_at, entered_at, holdout, "
                "active, ended_at, end_reason, step_id, due_at, first_due_at, base_at, goal_until, goal_at) "
                "select journey_id, version_id, user_id, 'again', anchor_at, entered_at + 1, holdout, active, "
                "ended_at, end_reason, step_id, due_at, first_due_at, base_at, goal_until, goal_at from enrolments "
                "where goal_at > 0"
            )
        )
    scene.later(40 * DAY)
    found = outcome(scene, version)
    assert (found.passages, found.comparison.treated.people, found.comparison.treated.goals) == (6, 4, 1)


def test_a_lost_holdout_blocks_before_anything_is_said(scene: Scene):
    version = scene.publish(more=HOLDOUT, policy=no_programme)
    people(scene, version, treated=80, held_out=2, back=24, back_held_out=0)
    scene.later(40 * DAY)
    found = outcome(scene, version)
    assert found.ratio.state is Ratio.BLOCKED
    assert found.comparison.verdict is Verdict.INVALID
    assert read_review(scene.store, now=scene.now).blocked == ["settled-30d"]


def test_the_programme_is_its_holdout_against_everyone_else(scene: Scene):
    version = scene.publish(more=HOLDOUT)
    sides = (
        [("treated", n < 20) for n in range(76)] + [("journey", n < 2) for n in range(19)] + [("programme", False)] * 5
    )
    add(scene, version, sides)
    scene.later(40 * DAY)
    with scene.store.reading() as connection:
        asked = Asked(connection, now=scene.now)
        found = read_programme(asked, Holdouts(asked, every_version(connection)))
    assert found is not None
    assert (found.comparison.treated.people, found.comparison.treated.goals) == (95, 22)
    assert (found.comparison.control.people, found.comparison.control.goals) == (5, 0)
    assert found.ratio.expected["holdout"] == pytest.approx(5.0)


def test_looks_are_weekly_and_may_be_declared(scene: Scene):
    version = scene.publish(more=HOLDOUT, policy=no_programme)
    people(scene, version, treated=40, held_out=10, back=12, back_held_out=1)
    scene.later((28 + 15) * DAY)
    found = outcome(scene, version)
    assert (found.comparison.plan.looks, found.declared) == (13, False)
    with scene.store.writing() as connection:
        declare_looks(connection, "settled-30d", 2)
    found = outcome(scene, version)
    assert (found.comparison.plan.looks, found.comparison.plan.look, found.declared) == (2, 2, True)
    assert found.comparison.verdict is not Verdict.RUNNING


def test_contacts_messages_and_stages_count_as_the_ledger_does(scene: Scene):
    version = scene.publish(more=HOLDOUT, policy=no_programme)
    people(scene, version, treated=40, held_out=10, back=12, back_held_out=1)
    scene.later(60 * DAY)
    with scene.store.reading() as connection:
        passage = read_passage(Asked(connection, now=scene.now), version, {version.id: version}, None)
    assert [(line.reached, line.successes, line.held_out) for line in passage.hazards] == [(40, 12, 10)]
    step = passage.steps[0]
    assert (step.step, step.sent, step.delivered, step.goals, step.micros) == ("push-1", 40, 40, 12, 4_000_000)
    assert passage.reached[:3] == (40, 40, 40)
    borrowed = passage.stages[-1]
    assert (borrowed.people, borrowed.held_out) == (12, 1)
    assert passage.active_later.treated.people == 40
    assert [line.people for line in passage.retention] == [12, 12, 12]


def test_harm_is_counted_in_both_arms_until_now_and_silent_calls_of_those_answered(scene: Scene):
    version = scene.publish("  - {call: come-back}", more=HOLDOUT, policy=no_programme)
    people(scene, version, treated=80, held_out=20, back=24, back_held_out=3)
    with scene.store.writing() as connection:
        connection.execute(
            text(
                "insert into events (key, user_id, name, at, recorded_at) select 'late' || cast(id as text), user_id, "
                "'loan_overdue', entered_at + :late, 0 from enrolments where holdout = 'treated' or goal_at > 0"
            ),
            {"late": 50 * DAY},  # long after the window of 28 days
        )
        connection.execute(text("update sends set channel = 'call', answered_at = gate_at where state = 'accepted'"))
        connection.execute(text("update sends set answer = 'no_input' where state = 'accepted' and id % 2 = 0"))
    scene.later(60 * DAY)
    with scene.store.reading() as connection:
        passage = read_passage(Asked(connection, now=scene.now), version, {version.id: version}, None)
    lines = {line.event: line for line in passage.harm}
    overdue = lines["loan_overdue"]
    assert (overdue.treated, overdue.held_out) == (Side(80, 80), Side(20, 3))
    assert overdue.is_shown
    assert (lines["opted_out"].treated.goals, lines["opted_out"].is_shown) == (0, False)
    assert (passage.steps[0].answered, passage.steps[0].hung_up) == (80, 40)


def test_a_cap_saves_what_comes_after_it():
    lines = hazard_lines([ContactCount(True, 1, 10, 3, 500_000), ContactCount(True, 2, 7, 1, 300_000)])
    assert [(line.saved, line.lost) for line in lines] == [(0.3, 1), (0.0, 0)]


def test_arms_of_a_split_are_compared_with_the_first(scene: Scene):
    version = scene.publish(SPLIT, more=HOLDOUT, policy=no_programme)
    add(scene, version, [("treated", n < 30) for n in range(300)], arm="words=short", prefix="s")
    add(scene, version, [("treated", n < 90) for n in range(300)], arm="words=long", prefix="l")
    scene.later((28 + 13 * 7) * DAY)
    with scene.store.reading() as connection:
        found = read_split(Asked(connection, now=scene.now), "settled-30d", "words")
    assert found.control == "short"
    assert [(arm.arm, arm.treated.goals, arm.control.goals) for arm in found.arms] == [("long", 90, 30)]
    assert found.winner == "long"


def test_the_arm_of_a_split_is_read_from_all_the_arms_taken():
    assert arm_of("split-1=b;words=a", "words") == "a"
    assert arm_of("split-1=b", "words") is None


# --- yesterday ---------------------------------------------------------------------------------------------


def test_a_fall_alerts_only_when_chance_hardly_makes_it():
    assert has_fallen(Side(1000, 100), Side(1000, 200))
    assert not has_fallen(Side(20, 0), Side(20, 10))  # too few
    assert not has_fallen(Side(1000, 190), Side(1000, 200))
    assert 0.2 < wilson_high(18, 100) < 0.3


def test_yesterday_is_told_by_stage_and_alerts_on_a_stage_far_below_its_target(scene: Scene):
    more = f"{HOLDOUT}\nfunnel: [{{stage: drawn, event: loan_drawn, target: 80}}]"
    version = scene.publish(more=more, policy=no_programme)
    people(scene, version, treated=60, held_out=15, back=20, back_held_out=0)
    with scene.store.writing() as connection:  # everybody logged in on the day the twenty drew
        connection.execute(
            text(
                "insert into events (key, user_id, name, at, recorded_at) "
                "select 'v' || cast(user_id as text), user_id, 'visited', entered_at + :late, entered_at "
                "from enrolments"
            ),
            {"late": 3 * DAY},
        )
    scene.later(4 * DAY)
    with scene.store.reading() as connection:
        day = read_day(Asked(connection, now=scene.now))
    lines = {line.stage: line for line in day.lines}
    assert (lines["login"].people, lines["drawn"].people, lines["goal"].people) == (60, 20, 20)
    assert lines["drawn"].alert == "below_target"
    assert day.alerts == ["settled-30d: drawn: below its target, and not by chance"]


def test_yesterday_is_a_day_of_the_journeys_calendar_also_when_the_clocks_change(now: Instant):
    begins, ends = local_day("Asia/Shanghai", now)
    assert (now - ends, ends - begins) == (10 * HOUR, DAY)
    after_spring = to_instant(datetime(2026, 3, 30, 9, tzinfo=UTC))  # the clocks of Berlin changed on the 29th
    begins, ends = local_day("Europe/Berlin", after_spring)
    assert (to_datetime(begins).hour, to_datetime(ends).hour, ends - begins) == (23, 22, 23 * HOUR)
