"""Is everything found that must never happen? Each check is shown a clean store first, then one planted violation."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select

from journeys.compile import compile_steps
from journeys.durations import Duration
from journeys.loader import load_policy, read_journey
from journeys.program import Program
from journeys.words import Channel
from providers.accepted import Accepted
from recall.clock import DAY, HOUR, MINUTE, SECOND, Instant
from recall.engine.enrol import enrol
from recall.engine.evidence import Violation
from recall.engine.reconcile import reconcile
from recall.engine.violations import find_violations
from recall.engine.violations_in_message import _is_open
from recall.engine.violations_in_sequence import _elapsed, shortest_wait
from recall.store import schema
from recall.store.controls import ControlKind, clear_control, set_control
from recall.store.retention import record_pruning
from recall.store.suppressions import opt_out_address
from tests.engine.conftest import SHIPPED, SMALLEST, Scene

USERS = ("ann", "bob", "eve")
SPLIT = """
  - split:
      - {arm: a, percent: 50, steps: [{push: come-back}]}
      - {arm: b, percent: 50, steps: [{sms: come-back}]}
"""


def _nobody_held_out(policy: dict[str, Any]) -> None:
    policy["holdout"] = 0


@pytest.fixture
def walked(scene: Scene) -> Scene:
    """Three people through push, SMS and call, three days apart; nothing went wrong."""
    return _walk(scene)


def _walk(scene: Scene, **how: Any) -> Scene:
    version = scene.publish(**{"policy": _nobody_held_out, **how})
    for user in USERS:
        scene.add_user(user)
        scene.event(user, "loan_settled", at=scene.now - 40 * DAY)
    enrol(scene.store, version, now=scene.now)
    for _ in range(3):
        scene.run()
        scene.later(3 * DAY)
    assert _found(scene) == []
    return scene


def _found(scene: Scene, log: list[Accepted] | None = None) -> list[Violation]:
    return find_violations(scene.store, scene.accepted() if log is None else log, now=scene.now)


def _invariants(found: list[Violation]) -> set[str]:
    return {wrong.invariant for wrong in found}


def _change(scene: Scene, table: Any, where: Any, **values: Any) -> None:
    with scene.store.writing() as connection:
        assert connection.execute(table.update().where(where).values(**values)).rowcount


def _add(scene: Scene, table: Any, **values: Any) -> None:
    with scene.store.writing() as connection:
        connection.execute(table.insert().values(**values))


def _log_with(scene: Scene, channel: str, user: str = "ann", **values: Any) -> list[Accepted]:
    """The provider's log, with one message changed in it."""
    return [
        replace(each, **values) if (each.user, each.channel) == (user, channel) else each for each in scene.accepted()
    ]


def _one(scene: Scene, channel: str, user: str = "ann") -> Accepted:
    (found,) = [each for each in scene.accepted() if (each.user, each.channel) == (user, channel)]
    return found


def _send(scene: Scene, channel: str, user: str = "ann") -> Any:
    return schema.sends.c.ref == _one(scene, channel, user).ref


# --- I1 -----------------------------------------------------------------------------------------------------


def test_a_ref_the_provider_took_twice(walked: Scene):
    found = _found(walked, [*walked.accepted(), _one(walked, "call")])
    assert [(wrong.invariant, "taken 2 times" in wrong.text) for wrong in found if wrong.invariant != "I4"] == [
        ("I1", True),
        ("I6", False),  # and so the step came twice
    ]


# --- I2 -----------------------------------------------------------------------------------------------------


def _goal_known_at(scene: Scene, at: Instant) -> None:
    user_id = scene.row("ann").id
    _add(scene, schema.events, key="drawn", user_id=user_id, name="loan_drawn", at=at - HOUR, recorded_at=at)


def test_a_message_after_the_goal_was_known(walked: Scene):
    _goal_known_at(walked, _one(walked, "sms").at - HOUR)
    assert [wrong.invariant for wrong in _found(walked)] == ["I2", "I2"]  # the SMS and the call


def test_a_goal_told_too_late_to_be_known_is_no_violation(walked: Scene):
    _goal_known_at(walked, _one(walked, "call").at + HOUR)
    assert _found(walked) == []


def test_a_message_after_the_address_said_stop(walked: Scene):
    sms = _one(walked, "sms")
    with walked.store.writing() as connection:
        opt_out_address(
            connection, walked.store, kind="phone", value=sms.address.value, channels=[Channel.SMS], at=sms.at - HOUR
        )
    assert [(wrong.invariant, "opted_out" in wrong.text) for wrong in _found(walked)] == [("I2", True)]


def test_a_stop_that_was_lifted_before_the_message_is_no_violation(walked: Scene):
    sms = _one(walked, "sms")
    hashed = walked.store.hash_address("phone", sms.address.value)
    stop = {"kind": "phone", "hash": hashed, "channel": "sms", "reason": "opted_out"}
    _add(walked, schema.suppressions, at=sms.at - DAY, ended_at=sms.at - HOUR, **stop)
    assert _found(walked) == []


def test_a_message_to_an_erased_user(walked: Scene):
    _change(walked, schema.users, schema.users.c.user_id == "ann", erased_at=_one(walked, "call").at - HOUR)
    assert _invariants(_found(walked)) == {"I2"}


def test_a_message_to_an_address_known_not_to_work(walked: Scene):
    dead = {"unreachable": "dead", "unreachable_at": _one(walked, "sms").at - HOUR}
    _change(walked, schema.addresses, schema.addresses.c.id == walked.row("ann").phone_id, **dead)
    assert [wrong.invariant for wrong in _found(walked)] == ["I2", "I2"]


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        (ControlKind.KILL_SWITCH, ""),
        (ControlKind.PAUSED, "settled-30d"),
        (ControlKind.STOPPED_STEP, "settled-30d/sms-2"),
        (ControlKind.STOPPED_TEMPLATE, "come-back"),
    ],
)
def test_a_message_while_a_switch_was_on(walked: Scene, kind: ControlKind, subject: str):
    at = _one(walked, "sms").at
    with walked.store.writing() as connection:
        set_control(connection, kind, subject, who="test", why="", at=at - HOUR)
        clear_control(connection, kind, subject, who="test", why="", at=at + HOUR)
    found = _found(walked)
    assert [wrong.invariant for wrong in found] == ["I2"] * len(USERS)
    assert all("sms-2" in wrong.text for wrong in found)


# --- I3 -----------------------------------------------------------------------------------------------------


def test_a_message_at_night(walked: Scene):
    night = _one(walked, "call").at + 11 * HOUR  # 21:00 in Shanghai
    assert [wrong.invariant for wrong in _found(walked, _log_with(walked, "call", at=night))] == ["I3"]


def test_the_answer_may_come_a_moment_after_the_window_closed(walked: Scene):
    closing = _one(walked, "call").at + 8 * HOUR  # 18:00 on a Sunday
    assert _found(walked, _log_with(walked, "call", at=closing + 10 * SECOND)) == []
    assert _invariants(_found(walked, _log_with(walked, "call", at=closing + MINUTE))) == {"I3"}


def test_a_message_to_somebody_whose_zone_nobody_knows(walked: Scene):
    with walked.store.writing() as connection:
        nowhere = connection.execute(select(schema.zones.c.id).where(schema.zones.c.names == "")).scalar()
        if nowhere is None:
            nowhere = connection.execute(schema.zones.insert().values(names="").returning(schema.zones.c.id)).scalar()
    _change(walked, schema.users, schema.users.c.user_id == "ann", zone_id=nowhere)
    assert _invariants(_found(walked)) == {"I3"}


@pytest.mark.parametrize(
    ("local", "opened"),
    [
        ("2026-03-02 22:00", True),  # Monday's span begins
        ("2026-03-03 01:59", True),  # and lasts past midnight
        ("2026-03-03 02:00", False),
        ("2026-03-02 21:59", False),
        ("2026-03-02 01:00", False),  # Sunday has no span that could go on into Monday
        ("2026-03-07 01:00", True),  # Friday's goes on into Saturday
    ],
)
def test_overnight_windows_are_read_off_the_wall_clock(local: str, opened: bool):
    assert date(2026, 3, 2).weekday() == 0  # a Monday
    policy = load_policy(SHIPPED / "policies" / "cn-consumer-finance.yaml").noun
    windows = policy.windows[Channel.SMS].model_copy(
        update={"workday": ((22 * 60, 2 * 60),), "weekend": (), "holiday": ()}
    )
    policy = policy.model_copy(update={"windows": {**policy.windows, Channel.SMS: windows}, "calendar": None})
    assert _is_open(policy, _journey("  - {sms: come-back}"), Channel.SMS, datetime.fromisoformat(local)) is opened


# --- I4, I5 -------------------------------------------------------------------------------------------------


def test_more_messages_than_a_cap_allows(scene: Scene):
    def one_in_two_days(policy: dict[str, Any]) -> None:
        policy |= {"holdout": 0, "caps": [{"sends": 1, "within": "2d"}]}

    _walk(scene, policy=one_in_two_days)
    too_soon = _one(scene, "sms").at + DAY
    found = [wrong.text for wrong in _found(scene, _log_with(scene, "call", at=too_soon)) if wrong.invariant == "I4"]
    assert [text.split()[-1] for text in found] == ["address", "person"]


def test_more_money_than_the_budget_has(scene: Scene):
    _walk(scene, more="budget: {currency: CNY, total: 10}")
    with scene.store.writing() as connection:
        row = connection.execute(select(schema.policies)).one()
        content = json.loads(row.content)
        for price in content["prices"]["prices"]:
            price["amount"] = 2_000_000
        connection.execute(schema.policies.update().values(content=json.dumps(content)))
    assert [(wrong.invariant, "12000000 used up of 10000000" in wrong.text) for wrong in _found(scene)] == [
        ("I5", True)
    ]


# --- I6 -----------------------------------------------------------------------------------------------------


def test_a_step_before_its_wait_was_over(walked: Scene):
    early = _one(walked, "sms").at - 2 * HOUR + HOUR
    assert [wrong.invariant for wrong in _found(walked, _log_with(walked, "sms", at=early))] == ["I6"]


def test_a_step_while_the_one_before_had_no_outcome(walked: Scene):
    sms = _one(walked, "sms")
    _change(walked, schema.sends, _send(walked, "push"), gate_at=sms.at - DAY, settled_at=sms.at + HOUR)
    assert _invariants(_found(walked)) == {"I6"}


@pytest.mark.parametrize(
    ("before", "after", "is_over"),
    [
        ("2026-10-31T08:48:37+00:00", "2026-11-01T08:40:00+00:00", False),  # 01:48 to 01:40
        ("2026-10-31T08:48:37+00:00", "2026-11-01T08:48:37+00:00", True),
        ("2026-10-31T08:48:37+00:00", "2026-11-01T09:38:41+00:00", True),  # 01:38 once more, after 01:48
        ("2026-10-31T09:10:00+00:00", "2026-11-01T09:40:00+00:00", False),  # 02:10 to 01:40 once more
        ("2026-10-31T09:10:00+00:00", "2026-11-01T10:10:00+00:00", True),
    ],
)
def test_a_wait_that_ends_in_a_repeated_hour_is_over_when_the_clock_shows_it_first(before, after, is_over):
    first, second = (int(datetime.fromisoformat(at).timestamp()) * SECOND for at in (before, after))
    assert _elapsed(first, second, Duration(days=1), ZoneInfo("America/Los_Angeles")) is is_over


def _journey(steps: str) -> Any:
    return read_journey(SMALLEST.format(name="x", steps=steps, more="", entry="", priority=50).encode(), "x.yaml").noun


@pytest.mark.parametrize(
    ("steps", "start", "end", "wait"),
    [
        ("  - {push: t}\n  - {wait: 3d}\n  - {sms: t}", "push-1", "sms-2", Duration(3)),
        ("  - {push: t}\n  - {wait: 3d}\n  - {sms: t}\n  - {wait: 4h}\n  - {call: t}", "push-1", "call-3",
         Duration(3, 240)),
        ("  - {push: t, else: {sms: t}}\n  - {wait: 2d}\n  - {call: t}", "push-1", "call-2", Duration(2)),
        ("  - {sms: t}\n  - {wait: {until: {clicked: sms-1}, at_most: 3d}}\n  - {wait: 1d}\n  - {call: t}", "sms-1",
         "call-3", Duration(1)),
        ("  - {call: t, attempts: {max: 3, gap: 2h}}\n  - {sms: t}", "call-1", "call-1", Duration(0, 120)),
        ("  - {push: t}\n  - {sms: t}", "sms-2", "push-1", None),
    ],
)  # fmt: skip
def test_the_shortest_declared_wait(steps: str, start: str, end: str, wait: Duration | None):
    journey = _journey(steps)
    begin, nodes = compile_steps(journey)
    program = Program(journey=journey, start=begin, nodes=nodes, templates={})
    ids = {node.name: node.id for node in nodes}
    by_channel = {name.split("-")[0]: node_id for name, node_id in ids.items()}
    assert shortest_wait(program, ids[start], ids.get(end, by_channel[end.split("-")[0]])) == wait


# --- I7 to I9 -----------------------------------------------------------------------------------------------


def test_a_message_without_consent(walked: Scene):
    _change(walked, schema.sends, _send(walked, "sms"), consent_id=None)
    assert [wrong.invariant for wrong in _found(walked)] == ["I7"]


def test_a_message_with_the_consent_of_another_channel(walked: Scene):
    with walked.store.reading() as connection:
        other = connection.execute(
            select(schema.consents.c.id).where(
                schema.consents.c.channel == "email", schema.consents.c.user_id == walked.row("ann").id
            )
        ).scalar_one()
    _change(walked, schema.sends, _send(walked, "sms"), consent_id=other)
    assert [wrong.invariant for wrong in _found(walked)] == ["I7"]


@pytest.mark.parametrize("hours", [1, -1])
def test_a_message_after_consent_was_withdrawn(walked: Scene, hours: int):
    withdrawn = {"channel": "sms", "purpose": "marketing", "granted": False, "key": "withdrawn"}
    at = _one(walked, "sms").at - hours * HOUR
    _add(walked, schema.consents, user_id=walked.row("ann").id, at=at, **withdrawn)
    assert [wrong.invariant for wrong in _found(walked)] == (["I7"] if hours > 0 else [])


def test_a_message_with_another_text(walked: Scene):
    assert _invariants(_found(walked, _log_with(walked, "push", body="something else"))) == {"I8"}


def test_a_message_with_a_place_nobody_filled_in(walked: Scene):
    found = _found(walked, _log_with(walked, "push", title="Dear {{ name }}"))
    assert any("nobody filled in" in wrong.text for wrong in found if wrong.invariant == "I8")


def test_a_message_that_does_not_tell_how_to_say_stop(walked: Scene):
    found = _found(walked, _log_with(walked, "sms", body="come back"))
    assert any("how to say stop" in wrong.text for wrong in found if wrong.invariant == "I8")


def test_a_shadow_that_was_sent(walked: Scene):
    _change(walked, schema.sends, _send(walked, "sms"), state="shadow")
    assert [wrong.invariant for wrong in _found(walked)] == ["I9"]


# --- I10 ----------------------------------------------------------------------------------------------------


def test_a_message_to_the_holdout(walked: Scene):
    enrolled = schema.enrolments.c.user_id == walked.row("ann").id
    _change(walked, schema.enrolments, enrolled, holdout="journey")
    found = [wrong.text for wrong in _found(walked) if wrong.invariant == "I10"]
    assert len(found) == 4  # three messages, and a hash that says treated


def test_an_arm_that_changed(scene: Scene):
    _walk(scene, steps=SPLIT)
    ann = schema.enrolments.c.user_id == scene.row("ann").id
    with scene.store.reading() as connection:
        drawn = connection.execute(select(schema.enrolments.c.arm).where(ann)).scalar_one()
    _change(scene, schema.enrolments, ann, arm="split-1=b" if drawn == "split-1=a" else "split-1=a")
    assert _invariants(_found(scene)) == {"I10"}


# --- I11 ----------------------------------------------------------------------------------------------------


def test_a_message_the_ledger_does_not_know(walked: Scene):
    assert [w.invariant for w in _found(walked, [*walked.accepted(), replace(_one(walked, "sms"), ref="?")])] == ["I11"]


def test_a_message_the_provider_does_not_know(walked: Scene):
    assert [wrong.invariant for wrong in _found(walked, walked.accepted()[1:])] == ["I11"]


@pytest.mark.parametrize("state", ["refused", "not_sent", "cancelled"])
def test_a_message_the_ledger_calls_unsent(walked: Scene, state: str):
    _change(walked, schema.sends, _send(walked, "call"), state=state)
    assert [wrong.invariant for wrong in _found(walked)] == ["I11"]


def test_a_message_in_doubt_that_was_taken_is_no_violation(walked: Scene):
    _change(walked, schema.sends, _send(walked, "call"), state="in_doubt", settled_at=None)
    with walked.store.reading() as connection:
        send_id = connection.execute(select(schema.sends.c.id).where(_send(walked, "call"))).scalar_one()
    _add(walked, schema.doubts, send_id=send_id, raised_at=walked.now, why="lost")
    assert _found(walked) == []


def test_a_message_to_another_address(walked: Scene):
    elsewhere = replace(_one(walked, "sms").address, value="+8613800000000")
    assert [w.invariant for w in _found(walked, _log_with(walked, "sms", address=elsewhere))] == ["I11"]


# --- I12 to I14 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["calling", "in_doubt"])
def test_a_doubt_nobody_is_shown(walked: Scene, state: str):
    _change(walked, schema.sends, _send(walked, "call"), state=state, settled_at=None)
    assert [wrong.invariant for wrong in _found(walked)] == ["I12"]
    if state == "calling":
        reconcile(walked.setup)
        assert _found(walked) == []


def test_an_enrolment_that_ended_for_no_reason(walked: Scene):
    _change(walked, schema.enrolments, schema.enrolments.c.user_id == walked.row("ann").id, end_reason=None)
    assert [wrong.invariant for wrong in _found(walked)] == ["I13"]


def test_an_enrolment_nobody_cares_for(walked: Scene):
    forgotten = {"active": True, "ended_at": None, "end_reason": None, "due_at": walked.now - 2 * DAY}
    _change(walked, schema.enrolments, schema.enrolments.c.user_id == walked.row("ann").id, **forgotten)
    assert [wrong.invariant for wrong in _found(walked)] == ["I13"]
    with walked.store.writing() as connection:
        set_control(connection, ControlKind.PAUSED, "settled-30d", who="test", why="", at=walked.now - MINUTE)
    assert _found(walked) == []


def test_a_step_passed_with_neither_send_nor_reason(walked: Scene):
    log = [each for each in walked.accepted() if each.ref != _one(walked, "sms").ref]
    with walked.store.writing() as connection:
        connection.execute(schema.sends.delete().where(_send(walked, "sms")))
    assert [(wrong.invariant, "passed sms-2" in wrong.text) for wrong in _found(walked, log)] == [("I14", True)]


@pytest.mark.parametrize(("kept_since", "is_told"), [(-DAY, True), (DAY, False)])
def test_a_reason_that_may_have_been_forgotten_is_not_missed(walked: Scene, kept_since: int, is_told: bool):
    log = [each for each in walked.accepted() if each.ref != _one(walked, "sms").ref]
    with walked.store.writing() as connection:
        connection.execute(schema.sends.delete().where(_send(walked, "sms")))
        entered = connection.execute(select(func.min(schema.enrolments.c.entered_at))).scalar_one()
        record_pruning(connection, "decisions", 1, cutoff=entered + kept_since, who="recall", at=walked.now)
    assert _invariants(_found(walked, log)) == ({"I14"} if is_told else set())


@pytest.mark.parametrize("reason", ["candidates", "enrolled"])
def test_a_candidate_who_is_lost(walked: Scene, reason: str):
    _change(walked, schema.entry_counts, schema.entry_counts.c.reason == reason, users=5)
    assert _invariants(_found(walked)) == {"I14"}


# --- all of them --------------------------------------------------------------------------------------------


def test_violations_name_no_person(walked: Scene):
    everything = _found(walked, [replace(each, body="x", at=each.at + 12 * HOUR) for each in walked.accepted()])
    with walked.store.reading() as connection:
        values = connection.execute(select(schema.addresses.c.value)).scalars().all()
        assert connection.execute(select(func.count()).select_from(schema.users)).scalar_one() == len(USERS)
    assert everything
    assert not [wrong for wrong in everything for value in (*values, *USERS) if value and value in wrong.text]
