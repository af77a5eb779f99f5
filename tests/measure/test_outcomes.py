"""Is what the page says of a journey the plain count of the store, compared as assigned?"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from providers.outbox import Outbox
from recall.clock import DAY, FixedClock, Instant
from recall.engine.setup import Setup
from recall.measure.daily import has_fallen, read_day, wilson_high
from recall.measure.experiment import Verdict
from recall.measure.holdouts import Holdouts
from recall.measure.horizon import declare_looks
from recall.measure.outcomes import Outcome, read_outcome, read_programme
from recall.measure.passage import hazard_lines, read_passage
from recall.measure.ratio import Ratio
from recall.measure.review import read_review, write_review
from recall.measure.sides import Side
from recall.measure.splits import arm_of, read_split
from recall.settings import Settings
from recall.store import schema
from recall.store.connect import Store
from recall.store.figures import Asked
from recall.store.figures_days import every_version
from recall.store.figures_messages import ContactCount
from recall.store.versions import Version
from tests.engine.conftest import Scene

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


def no_programme(policy: dict[str, Any]) -> None:
    policy["holdout"] = 0


def people(scene: Scene, version: Version, *, treated: int, held_out: int, back: int, back_held_out: int) -> None:
    """Rows as the engine leaves them: enrolled now, some with a goal three days later."""
    sides = [("treated", n < back) for n in range(treated)] + [("journey", n < back_held_out) for n in range(held_out)]
    add(scene, version, sides)


def add(scene: Scene, version: Version, sides: list[tuple[str, bool]], *, arm: str = "", prefix: str = "p") -> None:
    at = scene.now
    with scene.store.writing() as connection:
        connection.execute(text("insert into zones (names) select 'UTC' where not exists (select 1 from zones)"))
        zone = connection.execute(text("select min(id) from zones")).scalar_one()
        for n, (holdout, is_back) in enumerate(sides):
            user = connection.execute(
                schema.users.insert()
                .values(user_id=f"{prefix}{at}-{n}", zone_id=zone, created_at=at - 90 * DAY)
                .returning(schema.users.c.id)
            ).scalar_one()
            enrolment = connection.execute(
                schema.enrolments.insert()
                .values(
                    journey_id=version.journey_id, version_id=version.id, user_id=user, entry_key="k", anchor_at=at,
                    entered_at=at, holdout=holdout, arm=arm, active=False, ended_at=at + 9 * DAY, end_reason="finished",
                    step_id=0, due_at=at, first_due_at=at, base_at=at, goal_until=at + 28 * DAY,
                    goal_at=at + 3 * DAY if is_back else None, goal_value=5_000_000 if is_back else None,
                )
                .returning(schema.enrolments.c.id)
            ).scalar_one()  # fmt: skip
            state = "accepted" if holdout == "treated" else "shadow"
            connection.execute(
                schema.sends.insert().values(
                    ref=f"{enrolment}", enrolment_id=enrolment, journey_id=version.journey_id, version_id=version.id,
                    step_id=0, channel="push", user_id=user, address_id=0, state=state, provider="outbox",
                    gate_at=at + DAY, body_hash="", policy_hash="", price=100_000 if state == "accepted" else 0,
                    currency="CNY", due_at=at, first_due_at=at, delivered_at=at + DAY if state == "accepted" else None,
                )
            )  # fmt: skip
            if is_back:
                name = {"user_id": user, "name": "loan_drawn"}
                event = schema.events.insert().values(key=f"{user}", at=at + 3 * DAY, recorded_at=at + 3 * DAY, **name)
                number = connection.execute(event.returning(schema.events.c.id)).scalar_one()
                latest = {"first_at": at + 3 * DAY, "last_at": at + 3 * DAY, "last_event_id": number, "times": 1}
                connection.execute(schema.user_events.insert().values(**name, **latest))


def outcome(scene: Scene, version: Version) -> Outcome:
    with scene.store.reading() as connection:
        asked = Asked(connection, now=scene.now)
        return read_outcome(asked, version, Holdouts(asked, every_version(connection)))


HOLDOUT = "holdout: {percent: 20}"


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
        taken = "insert into events (key, user_id, name, at, recorded_at) select {key}, user_id, '{name}', {at}, 0 from {of}"
        treated = "enrolments where holdout = 'treated' and user_id in (select min(user_id) from enrolments)"
        connection.execute(text("update sends set offer = 'coupon' where state = 'accepted'"))
        for key, name, at, of in (
            ("'early' || ref", "gift_taken", "gate_at - 9", "sends"),
            ("'gift'", "gift_taken", "entered_at + 172800000000", treated),
        ):
            connection.execute(text(taken.format(key=key, name=name, at=at, of=of)))
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


# --- the page ----------------------------------------------------------------------------------------------


@pytest.fixture
def page(sqlite_store: Store, settings: Settings, now: Instant, tmp_path: Path) -> Path:
    clock, outbox = FixedClock(now), settings.var_dir / "outbox"
    setup = Setup(sqlite_store, {"outbox": Outbox(outbox, clock=clock)}, clock, settings.var_dir)
    scene = Scene(sqlite_store, clock, setup, outbox)
    version = scene.publish(more=HOLDOUT, policy=no_programme)
    people(scene, version, treated=400, held_out=100, back=120, back_held_out=10)
    scene.later(50 * DAY)
    return write_review(scene.store, tmp_path / "week.html", now=scene.now, lang="en")


def test_the_page_stands_alone_and_keeps_its_order(page: Path):
    html = page.read_text()
    order = re.findall(r'<section id="([a-z]+)"', html)
    assert order == [
        "health", "headline", "funnel", "lifecycle", "steps", "contacts", "cohorts", "tests", "retention",
        "guardrails", "decisions", "definitions",
    ]  # fmt: skip
    assert not re.search(r"<script|<link|@import|<img|url\(['\"]?http|(src|href)=\"(https?:)?//", html)
    assert html.count("<svg") >= 5


def test_every_link_of_the_page_leads_somewhere(page: Path):
    html = page.read_text()
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert set(re.findall(r'<a href="#([^"]+)"', html)) <= set(ids)
    assert len([name for name in ids if name.startswith("def-")]) == len({n for n in ids if n.startswith("def-")})
    assert "SELECT" in html


def test_every_table_is_written_beside_the_page(page: Path):
    folder = page.with_name("week-tables")
    with (folder / "lift.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.reader(file))
    assert rows[1][:4] == ["settled-30d", "400", "120", "0.3"]
    assert len(list(folder.glob("*.csv"))) >= 12


def test_a_store_without_journeys_has_a_page_too(scene: Scene, tmp_path: Path):
    html = write_review(scene.store, tmp_path / "empty.html", now=scene.now, lang="zh-CN").read_text()
    assert 'lang="zh-CN"' in html


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
