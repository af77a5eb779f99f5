"""Does everything that should stop the next message stop it, with its own reason?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, update

from journeys.words import Channel
from recall.clock import DAY, HOUR, MINUTE, to_instant
from recall.store import schema
from recall.store.controls import ControlKind, set_control
from recall.store.people import NewAddress, NewUser, upsert_users
from recall.store.suppressions import mark_unreachable, opt_out_address, suppress_user
from tests.engine.conftest import Scene

SMS = "  - {sms: come-back}\n  - {wait: 3d}\n  - {sms: come-back, id: second}"


def start(scene: Scene, steps: str = SMS, **publish: Any) -> int:
    """One person on the first step, the first message sent, the second due."""
    version = scene.publish(steps, **publish)
    scene.add_user("u1")
    [enrolment] = scene.enrol(version, "u1")
    scene.run()
    scene.later(3 * DAY)
    return enrolment


def last_reason(scene: Scene) -> str | None:
    reasons = scene.reasons()
    return reasons[-1] if reasons else None


def test_a_conversion_between_two_steps_ends_the_enrolment(scene: Scene) -> None:
    enrolment = start(scene)
    scene.event("u1", "loan_drawn")
    scene.run()
    row = scene.enrolment(enrolment)
    assert (row.end_reason, row.goal_at, len(scene.sent())) == ("goal_reached", scene.now, 1)


def test_a_conversion_that_converge_has_not_seen_is_still_caught_by_the_gate(scene: Scene) -> None:
    enrolment = start(scene)
    scene.event("u1", "loan_drawn")
    with scene.store.writing() as connection:
        connection.execute(schema.changed_users.delete())
    scene.run()
    assert (scene.enrolment(enrolment).end_reason, last_reason(scene)) == ("goal_reached", "goal_reached")


def test_a_goal_before_entering_stops_messages_but_is_no_recall(scene: Scene) -> None:
    version = scene.publish(SMS)
    scene.add_user("u1")
    scene.event("u1", "loan_drawn", at=scene.now - DAY)
    [enrolment] = scene.enrol(version, "u1")
    scene.run()
    row = scene.enrolment(enrolment)
    assert (row.end_reason, row.goal_at, scene.sent()) == ("goal_reached", None, [])


def test_a_goal_after_the_last_step_counts_until_the_window_closes(scene: Scene) -> None:
    version = scene.publish("  - {sms: come-back}")
    for user in ("early", "late"):
        scene.add_user(user)
    early, late = scene.enrol(version, "early", "late")
    entered = scene.now
    scene.run()
    assert scene.enrolment(early).end_reason == "finished"
    scene.later(29 * DAY)
    scene.event("early", "loan_drawn", at=entered + 28 * DAY)
    scene.event("late", "loan_drawn", at=entered + 28 * DAY + 1)
    scene.run()
    assert scene.enrolment(early).goal_at == entered + 28 * DAY
    assert scene.enrolment(late).goal_at is None


def test_an_opt_out_by_anyone_sharing_the_phone_stops_everyone_on_it(scene: Scene) -> None:
    version = scene.publish(SMS)
    for user in ("u1", "u2"):
        scene.add_user(user, phone="+8613800000001")
    [enrolment] = scene.enrol(version, "u1")
    scene.run()
    with scene.store.writing() as connection:
        opt_out_address(
            connection, scene.store, kind="phone", value="+8613800000001", channels=[Channel.SMS], at=scene.now
        )
    scene.later(3 * DAY)
    scene.run()
    assert (scene.enrolment(enrolment).end_reason, last_reason(scene)) == ("opted_out", "opted_out")
    assert len(scene.sent()) == 1


def test_an_opt_out_of_one_channel_leaves_the_others(scene: Scene) -> None:
    version = scene.publish("  - {sms: come-back}\n  - {wait: 1d}\n  - {push: come-back}")
    scene.add_user("u1")
    row = scene.row("u1")
    with scene.store.writing() as connection:
        opt_out_address(connection, scene.store, address_id=row.phone_id, channels=[Channel.SMS], at=scene.now)
    scene.enrol(version, "u1")
    scene.run()
    scene.later(DAY)
    scene.run()
    assert (scene.reasons(), scene.sent()) == (["opted_out"], [("u1", "push")])


def set_attribute(scene: Scene, name: str, value: str) -> None:
    upsert_users(scene.store, [NewUser("u1", attributes={name: value})], scene.now)


def test_a_user_who_falls_overdue_leaves(scene: Scene) -> None:
    enrolment = start(scene)
    set_attribute(scene, "overdue_days", "4")
    scene.run()
    assert (scene.enrolment(enrolment).end_reason, last_reason(scene)) == ("exit_rule", "not_eligible")


def test_an_attribute_nobody_knows_is_not_eligible(scene: Scene) -> None:
    version = scene.publish(SMS)
    scene.add_user("u1")
    set_attribute(scene, "frozen", "")
    scene.enrol(version, "u1")
    scene.run()
    assert scene.reasons() == ["not_eligible"]


def test_an_exit_rule_ends_it(scene: Scene) -> None:
    enrolment = start(scene, more="exit_when: {did: account_closed, since: entry}")
    scene.event("u1", "account_closed")
    scene.run()
    assert (scene.enrolment(enrolment).end_reason, len(scene.sent())) == ("exit_rule", 1)


def test_an_open_complaint_holds_the_message_and_its_end_lets_it_go(scene: Scene) -> None:
    start(scene, more='hold_when: {attribute: complaint, is: "open"}')
    set_attribute(scene, "complaint", "open")
    scene.run()
    assert (scene.reasons(), len(scene.sent())) == (["held"], 1)
    scene.later(HOUR)
    set_attribute(scene, "complaint", "closed")
    scene.run()
    scene.later(15 * MINUTE)
    scene.run()
    assert len(scene.sent()) == 2


def test_a_reason_that_lasts_is_written_once(scene: Scene) -> None:
    start(scene, more='hold_when: {attribute: complaint, is: "open"}')
    set_attribute(scene, "complaint", "open")
    for _ in range(3):
        scene.run()
        scene.later(HOUR)
    assert scene.reasons() == ["held"]


def test_a_dead_address_stops_it(scene: Scene) -> None:
    enrolment = start(scene)
    with scene.store.writing() as connection:
        mark_unreachable(connection, [scene.row("u1").phone_id], "30005", at=scene.now)
    scene.run()
    assert (last_reason(scene), scene.enrolment(enrolment).end_reason) == ("unreachable", "finished")


def test_a_number_proved_too_long_ago_may_belong_to_somebody_else(scene: Scene) -> None:
    version = scene.publish(SMS)
    scene.add_user("u1", proved_at=scene.now - 180 * DAY)
    scene.add_user("u2", proved_at=scene.now - 180 * DAY + 1)
    scene.enrol(version, "u1", "u2")
    scene.run()
    assert (scene.reasons(), scene.sent()) == (["unverified"], [("u2", "sms")])


def three_unanswered(policy: dict[str, Any]) -> None:
    policy["caps"] = []


FOUR_SMS = "\n".join(f"  - {{sms: come-back, id: s{n}}}\n  - {{wait: 1d}}" for n in range(3)) + "\n  - {sms: come-back}"


def test_three_unanswered_contacts_and_the_person_is_left_alone(scene: Scene) -> None:
    version = scene.publish(FOUR_SMS, policy=three_unanswered)
    scene.add_user("u1")
    [enrolment] = scene.enrol(version, "u1")
    for _ in range(4):
        scene.run()
        scene.later(DAY)
    assert (len(scene.sent()), last_reason(scene)) == (3, "unresponsive")
    assert scene.enrolment(enrolment).end_reason == "unresponsive"
    [state] = contact_states(scene)
    assert (state.rests, state.streak, state.rest_until) == (1, 0, scene.now - DAY + 90 * DAY)


def test_a_sign_of_life_starts_the_count_anew(scene: Scene) -> None:
    version = scene.publish(FOUR_SMS, policy=three_unanswered)
    scene.add_user("u1")
    scene.enrol(version, "u1")
    for day in range(4):
        scene.run()
        scene.later(HOUR)
        if day == 1:
            scene.event("u1", "visited")
        scene.later(23 * HOUR)
    assert (len(scene.sent()), scene.reasons()) == (4, [])


def contact_states(scene: Scene) -> list[Any]:
    with scene.store.reading() as connection:
        return list(connection.execute(select(schema.contact_state)))


def capped(policy: dict[str, Any]) -> None:
    policy["caps"] = [{"sends": 1, "within": "7d"}]


def test_a_cap_defers_to_the_moment_it_frees(scene: Scene) -> None:
    enrolment = start(scene, policy=capped)
    first = scene.now - 3 * DAY
    scene.run()
    assert (last_reason(scene), scene.enrolment(enrolment).due_at) == ("capped", first + 7 * DAY)
    scene.clock.instant = first + 7 * DAY - 1
    scene.run()
    assert len(scene.sent()) == 1
    scene.later(1)
    scene.run()
    assert len(scene.sent()) == 1, "a message that waited longer than it keeps is not sent late"


def test_a_cap_binds_the_phone_too(scene: Scene) -> None:
    version = scene.publish(SMS, policy=capped)
    for user in ("u1", "u2"):
        scene.add_user(user, phone="+8613800000001")
    scene.enrol(version, "u1", "u2")
    scene.run()
    scene.later(15 * MINUTE)
    scene.run()
    assert (len(scene.sent()), scene.reasons()) == (1, ["capped"])


def test_a_stale_source_defers_everybody_and_moves_nobody(scene: Scene) -> None:
    version = scene.publish(SMS, entry="freshness: 2h")
    scene.add_user("u1")
    [enrolment] = scene.enrol(version, "u1")
    set_source(scene, as_of=scene.now - 2 * HOUR - 1)
    scene.run()
    assert (scene.sent(), scene.enrolment(enrolment).due_at) == ([], scene.now)
    set_source(scene, as_of=scene.now - 2 * HOUR)
    scene.run()
    assert scene.sent() == [("u1", "sms")]


def set_source(scene: Scene, *, as_of: int) -> None:
    with scene.store.writing() as connection:
        connection.execute(schema.sources.delete())
        connection.execute(schema.sources.insert().values(name="events", loaded_at=scene.now, as_of=as_of))


@pytest.mark.parametrize("kind", [ControlKind.KILL_SWITCH, ControlKind.PAUSED, ControlKind.STOPPED_STEP])
def test_a_switch_stops_the_step_and_everybody_stays_due(scene: Scene, kind: ControlKind) -> None:
    enrolment = start(scene)
    subject = {"kill_switch": "", "paused": "settled-30d", "stopped_step": "settled-30d/second"}[kind.value]
    with scene.store.writing() as connection:
        set_control(connection, kind, subject, who="test", why="test", at=scene.now)
    due = scene.enrolment(enrolment).due_at
    scene.run()
    assert (len(scene.sent()), scene.enrolment(enrolment).due_at) == (1, due)


def test_suppressed_and_erased_users_leave(scene: Scene) -> None:
    version = scene.publish(SMS)
    for user in ("u1", "u2"):
        scene.add_user(user)
    first, second = scene.enrol(version, "u1", "u2")
    with scene.store.writing() as connection:
        suppress_user(connection, scene.store, user="u1", at=scene.now)
        connection.execute(update(schema.users).where(schema.users.c.user_id == "u2").values(erased_at=scene.now))
    scene.run()
    ends = (scene.enrolment(first).end_reason, scene.enrolment(second).end_reason)
    assert (ends, scene.sent()) == (("suppressed", "erased"), [])


def test_no_consent_no_message(scene: Scene) -> None:
    version = scene.publish(SMS)
    scene.add_user("u1", consents=("email",))
    scene.enrol(version, "u1")
    scene.run()
    assert (scene.reasons(), scene.sent()) == (["no_consent"], [])


def test_the_consent_that_was_valid_is_kept_on_the_send(scene: Scene) -> None:
    start(scene)
    with scene.store.reading() as connection:
        consent = connection.execute(
            select(schema.consents.c.id).where(schema.consents.c.channel == "sms")
        ).scalar_one()
    assert scene.sends()[0].consent_id == consent


def test_no_token_takes_the_else_and_a_dead_token_too(scene: Scene) -> None:
    version = scene.publish("  - {push: come-back, else: {sms: come-back}}\n  - {wait: 1d}\n  - {call: come-back}")
    scene.add_user("u1", push=None)
    scene.add_user("u2")
    scene.enrol(version, "u1", "u2")
    with scene.store.writing() as connection:
        mark_unreachable(connection, [scene.row("u2").push_id], "UNREGISTERED", at=scene.now)
    scene.run()
    scene.later(15 * MINUTE)
    scene.run()
    assert sorted(scene.reasons()) == ["not_installed", "unreachable"]
    assert sorted(scene.sent()) == [("u1", "sms"), ("u2", "sms")]


def test_a_false_condition_skips(scene: Scene) -> None:
    version = scene.publish(
        "  - {sms: come-back, when: {attribute: tier, is: gold}}\n  - {wait: 1d}\n  - {push: come-back}"
    )
    scene.add_user("u1")
    scene.enrol(version, "u1")
    scene.run()
    scene.later(DAY)
    scene.run()
    assert (scene.reasons(), scene.sent()) == (["condition"], [("u1", "push")])


def test_a_message_due_too_long_ago_is_skipped(scene: Scene) -> None:
    start(scene)
    scene.later(3 * DAY + 1)
    scene.run()
    assert (last_reason(scene), len(scene.sent())) == ("message_expired", 1)


def test_a_foreign_region_is_blocked(scene: Scene) -> None:
    version = scene.publish(SMS)
    scene.add_user("u1")
    new = NewUser("u1", phone=NewAddress("+12125550100", region="US"), proved_at=scene.now)
    upsert_users(scene.store, [new], scene.now)
    scene.enrol(version, "u1")
    scene.run()
    assert scene.reasons() == ["region_blocked"]


# --- windows ----------------------------------------------------------------------------------------------


def test_a_closed_window_defers_to_its_opening(scene: Scene) -> None:
    version = scene.publish(SMS)
    scene.add_user("u1")
    scene.clock.instant += 10 * HOUR  # 20:00 in Shanghai: half-open, so closed
    [enrolment] = scene.enrol(version, "u1")
    scene.run()
    assert scene.reasons() == ["outside_window"]
    assert scene.enrolment(enrolment).due_at == scene.now + 13 * HOUR  # 09:00 next morning


def overnight(policy: dict[str, Any]) -> None:
    policy["windows"]["sms"] = {day: ["22:00-02:00"] for day in ("workday", "weekend", "holiday")}


@pytest.mark.parametrize(("local_hour", "goes"), [(21, False), (22, True), (25, True), (26, False)])
def test_an_overnight_window_is_open_until_it_closes_in_the_morning(scene: Scene, local_hour: int, goes: bool) -> None:
    version = scene.publish(SMS, policy=overnight)
    scene.add_user("u1")
    scene.clock.instant += (local_hour - 10) * HOUR
    scene.enrol(version, "u1")
    scene.run()
    assert bool(scene.sent()) is goes


def test_on_a_holiday_calls_end_earlier(scene: Scene) -> None:
    version = scene.publish("  - {call: come-back}")
    scene.add_user("u1")
    scene.clock.instant = to_instant_utc(2026, 2, 18, 10, 30)  # 18:30 in Shanghai, spring festival
    scene.enrol(version, "u1", anchor_at=0)
    scene.run()
    assert scene.reasons() == ["outside_window"]
    scene.clock.instant = to_instant_utc(2026, 3, 2, 10, 30)  # 18:30 on a workday
    scene.run()


def to_instant_utc(*parts: int) -> int:
    return to_instant(datetime(*parts, tzinfo=UTC))  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("before", "after"),
    [((2026, 3, 8, 12, 59), (2026, 3, 8, 13, 0)), ((2026, 11, 1, 13, 59), (2026, 11, 1, 14, 0))],
    ids=["spring forward: 09:00 is 13:00 UTC", "fall back: 09:00 is 14:00 UTC"],
)
def test_the_window_follows_the_clock_change(scene: Scene, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    version = scene.publish("  - {push: come-back}")
    scene.clock.instant = to_instant_utc(*before)
    scene.add_user("u1", zone="America/New_York")
    [enrolment] = scene.enrol(version, "u1")
    scene.run()
    assert scene.enrolment(enrolment).due_at == to_instant_utc(*after)
    scene.clock.instant = to_instant_utc(*after)
    scene.run()
    assert scene.sent() == [("u1", "push")]


def test_nobody_is_messaged_whose_zone_nobody_knows(scene: Scene) -> None:
    version = scene.publish("  - {push: come-back}")
    scene.add_user("u1", zone="", phone="+8613800000001", zones=())
    scene.enrol(version, "u1")
    scene.run()
    assert (scene.reasons(), scene.sent()) == (["outside_window"], [])


# --- priority ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [("low", "high"), ("high", "low")])
def test_of_two_journeys_for_one_cap_slot_the_higher_priority_wins(scene: Scene, order: tuple[str, str]) -> None:
    low = scene.publish("  - {sms: come-back}", name="low", priority=10, policy=capped)
    high = scene.publish("  - {sms: come-back}", name="high", priority=90, policy=capped)
    scene.add_user("u1")
    scene.enrol(low, "u1")
    scene.enrol(high, "u1")
    for journey in order:
        scene.run(journey)
    scene.later(15 * MINUTE)
    for journey in order:
        scene.run(journey)
    assert [(a.meta["journey"], a.channel) for a in scene.accepted()] == [("high", "sms")]
    assert "capped" in scene.reasons()
    assert ("outranked" in scene.reasons()) is (order[0] == "low")


# --- money, stock, ramp -----------------------------------------------------------------------------------


def people(scene: Scene, version: Any, count: int) -> list[int]:
    users = [f"u{n}" for n in range(count)]
    for user in users:
        scene.add_user(user)
    return scene.enrol(version, *users)


def test_a_budget_lets_the_longest_prefix_go_and_no_more(scene: Scene) -> None:
    version = scene.publish("  - {sms: come-back}", more="budget: {currency: CNY, per_day: '0.10'}")
    people(scene, version, 5)
    scene.run()
    price = scene.sends()[0].price
    assert len(scene.sent()) == 100_000 // price
    assert set(scene.reasons()) == {"budget_spent"}
    scene.later(DAY)
    scene.run()
    assert len(scene.sent()) == 2 * (100_000 // price)


def test_a_ramp_counts_days_of_sending(scene: Scene) -> None:
    version = scene.publish("  - {push: come-back}", more="ramp: [1, 2]")
    people(scene, version, 6)
    sent = []
    for _ in range(3):
        scene.run()
        sent.append(len(scene.sent()))
        scene.later(DAY)
    assert sent == [1, 3, 6]


def test_stock_that_is_gone_skips_by_default(scene: Scene) -> None:
    version = scene.publish("  - {push: come-back, offer: {name: coupon, stock: 2}}")
    people(scene, version, 3)
    scene.run()
    assert (len(scene.sent()), scene.reasons()) == (2, ["no_stock"])


def test_the_holdout_walks_the_same_way_and_gets_nothing(scene: Scene) -> None:
    version = scene.publish("  - {sms: come-back}\n  - {wait: 3d}\n  - {sms: come-back, id: second}")
    scene.add_user("u1")
    [enrolment] = scene.enrol(version, "u1", holdout="journey")
    for _ in range(2):
        scene.run()
        scene.later(3 * DAY)
    assert (scene.sent(), [s.state for s in scene.sends()]) == ([], ["shadow", "shadow"])
    assert scene.enrolment(enrolment).end_reason == "finished"
    [state] = contact_states(scene)
    assert (state.s1, state.streak) == (None, 0)
