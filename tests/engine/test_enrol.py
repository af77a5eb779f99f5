"""Does every candidate enter, or have exactly one reason? And nobody twice, whoever else lets people in?"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import func, select

from journeys.assignment import holdout_of, in_rollout
from journeys.words import EntryReason, Holdout
from recall.clock import DAY, HOUR, MINUTE
from recall.engine import enrol as module
from recall.engine.enrol import EnrolResult, enrol
from recall.store import schema
from recall.store.connect import Store
from recall.store.controls import ControlKind, set_control
from recall.store.versions import Version
from tests.oracle.people import insert_passage, write_people
from tests.oracle.published import SETTLED, publish, publish_shipped_policy
from tests.oracle.rules import Contact, Event, Passage, Person

E = schema.enrolments


@pytest.fixture(autouse=True)
def policy(store: Store, now: int) -> None:
    publish_shipped_policy(store, now=now, holdout=0)


def settled(user: str, now: int, *, days: float = 40, **about: Any) -> Person:
    """Somebody whom the audience of `SETTLED` means."""
    return Person(user, [Event("loan_settled", now - int(days * DAY))], **{"jurisdiction": "CN", **about})


def add(store: Store, *people: Person) -> dict[str, int]:
    with store.writing() as connection:
        return write_people(connection, people)


def rows(store: Store, table: Any = E) -> list[Any]:
    with store.reading() as connection:
        return list(connection.execute(select(table).order_by(table.c.id)))


def reasons(result: EnrolResult) -> dict[EntryReason, int]:
    """Reasons of a run whose totals add up."""
    given = {reason: users for reason, users in result.reasons.items() if users}
    assert result.candidates == result.enrolled + sum(given.values())
    assert result.enrolled == sum(result.holdouts.values())
    return given


def end_all(store: Store, at: int) -> None:
    with store.writing() as connection:
        connection.execute(E.update().values(active=False, ended_at=at, end_reason="finished"))


# --- entering -------------------------------------------------------------------------------------------


def test_who_is_meant_enters_on_the_first_step_and_is_due_at_once(store: Store, now: int) -> None:
    version = publish(store, now=now, holdout={"percent": "0"})
    people = add(store, settled("a", now))
    result = enrol(store, version, now=now)
    assert (result.candidates, result.enrolled, reasons(result)) == (1, 1, {})
    (row,) = rows(store)
    assert (row.user_id, row.version_id, row.step_id, row.holdout) == (people["a"], version.id, 0, "treated")
    assert (row.entry_key, row.anchor_at) == ("a-0", now - 40 * DAY)
    assert (row.entered_at, row.base_at, row.due_at, row.first_due_at) == (now, now, now, now)
    assert row.goal_until == now + 28 * DAY


def test_entering_again_at_the_same_moment_adds_nothing(store: Store, now: int) -> None:
    version = publish(store, now=now)
    add(store, *[settled(f"u{n}", now) for n in range(5)])
    assert enrol(store, version, now=now).enrolled == 5
    again = enrol(store, version, now=now)
    assert (again.candidates, again.enrolled, reasons(again)) == (0, 0, {})
    assert len(rows(store)) == 5


def test_a_goal_window_is_counted_in_days_of_the_journeys_zone(store: Store) -> None:
    at = 1_774_652_400_000_000  # 2026-03-28 00:00 in Berlin, whose clocks go forward the day after
    version = publish(store, now=at, zone="Europe/Berlin", goal={"event": "loan_drawn", "window": "2d"})
    add(store, settled("a", at))
    enrol(store, version, now=at)
    assert rows(store)[0].goal_until == at + 2 * DAY - HOUR


def test_waits_before_the_first_message_follow_the_persons_own_clock(store: Store) -> None:
    at = 1_774_652_400_000_000 + 5 * MINUTE
    with store.writing() as connection:
        berlin = connection.execute(schema.zones.insert().values(names="Europe/Berlin").returning(schema.zones.c.id))
        berlin_id = berlin.scalar_one()
    version = publish(store, now=at, steps=[{"wait": "2d"}, {"push": "come-back"}])
    people = add(store, settled("shanghai", at), settled("berlin", at))
    with store.writing() as connection:
        moved = schema.users.update().where(schema.users.c.id == people["berlin"]).values(zone_id=berlin_id)
        connection.execute(moved)
    enrol(store, version, now=at)
    due = {row.user_id: (row.due_at, row.first_due_at) for row in rows(store)}
    shanghai, berliner = at + 2 * DAY + 10 * MINUTE, at + 2 * DAY - HOUR + 10 * MINUTE  # up to a quarter of an hour
    assert due == {people["shanghai"]: (shanghai, shanghai), people["berlin"]: (berliner, berliner)}


def test_everyone_gets_the_contact_state_the_gate_locks(store: Store, now: int) -> None:
    version = publish(store, now=now)
    people = add(store, settled("a", now), settled("known", now, rest_until=now - 1))
    enrol(store, version, now=now)
    with store.reading() as connection:
        states = connection.execute(select(schema.contact_state.c.user_id, schema.contact_state.c.rest_until))
        assert sorted(map(tuple, states)) == sorted([(people["a"], None), (people["known"], now - 1)])


def test_holdouts_are_those_the_hash_says(store: Store, now: int) -> None:
    publish_shipped_policy(store, now=now, holdout=20)
    version = publish(store, now=now, holdout={"percent": "30"})
    people = add(store, *[settled(f"u{n}", now) for n in range(120)])
    result = enrol(store, version, now=now)
    expected = {
        people[user]: holdout_of(
            user,
            policy="cn-consumer-finance",
            programme_percent=20,
            journey="settled-30d",
            journey_percent=30,
        )
        for user in people
    }
    assert {row.user_id: row.holdout for row in rows(store)} == expected
    assert result.holdouts == Counter(expected.values())
    assert set(result.holdouts) == set(Holdout)


# --- one reason each ------------------------------------------------------------------------------------


def test_a_paused_journey_lets_nobody_in_and_says_how_many_waited(store: Store, now: int) -> None:
    version = publish(store, now=now)
    add(store, settled("a", now), settled("b", now, suppressed=True))
    with store.writing() as connection:
        set_control(connection, ControlKind.PAUSED, "settled-30d", who="test", why="a test", at=now)
    assert reasons(enrol(store, version, now=now)) == {EntryReason.PAUSED: 2}
    assert rows(store) == []


def test_another_journeys_pause_does_not_matter(store: Store, now: int) -> None:
    version = publish(store, now=now)
    add(store, settled("a", now))
    with store.writing() as connection:
        set_control(connection, ControlKind.PAUSED, "another", who="test", why="a test", at=now)
    assert enrol(store, version, now=now).enrolled == 1


def test_a_retired_journey_lets_nobody_in(store: Store, now: int) -> None:
    version = publish(store, now=now)
    add(store, settled("a", now))
    with store.writing() as connection:
        connection.execute(schema.journeys.update().values(retired_at=now))
    assert reasons(enrol(store, version, now=now)) == {EntryReason.PAUSED: 1}


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({"erased": True}, EntryReason.ERASED),
        ({"suppressed": True}, EntryReason.SUPPRESSED),
        ({"contacts": {"phone": Contact(suppressed=True)}}, EntryReason.SUPPRESSED),
        ({"rest_until": 2**62}, EntryReason.UNRESPONSIVE),
    ],
)
def test_what_is_known_of_a_person_may_keep_them_out(
    store: Store, now: int, about: dict[str, Any], reason: EntryReason
) -> None:
    version = publish(store, now=now)
    add(store, settled("a", now, **about), settled("b", now))
    result = enrol(store, version, now=now)
    assert (result.enrolled, reasons(result)) == (1, {reason: 1})


def test_a_rest_ends_at_its_moment(store: Store, now: int) -> None:
    version = publish(store, now=now)
    add(store, settled("rested", now, rest_until=now), settled("resting", now, rest_until=now + 1))
    assert reasons(enrol(store, version, now=now)) == {EntryReason.UNRESPONSIVE: 1}


def test_a_jurisdiction_without_a_policy_lets_nobody_in(store: Store, now: int) -> None:
    by = {"by": "jurisdiction", "CN": "cn-consumer-finance", "US": "us-strict", "KP": "no_send", "else": "no_send"}
    version = publish(store, now=now, policy=by)  # us-strict is not in force
    add(store, *[settled(place or "nowhere", now, jurisdiction=place) for place in ("CN", "US", "KP", "")])
    result = enrol(store, version, now=now)
    assert (result.enrolled, reasons(result)) == (1, {EntryReason.NO_POLICY: 3})


def test_a_rollout_is_by_hash_and_raising_it_only_adds(store: Store, now: int) -> None:
    users = [f"u{n}" for n in range(60)]
    people = add(store, *[settled(user, now) for user in users])
    low = publish(store, now=now, entry=SETTLED | {"rollout": "20%"})
    result = enrol(store, low, now=now)
    reached = {people[user] for user in users if in_rollout("settled-30d", user, 20)}
    assert {row.user_id for row in rows(store)} == reached
    assert reasons(result) == {EntryReason.NOT_ROLLED_OUT: 60 - len(reached)}
    enrol(store, publish(store, now=now, entry=SETTLED | {"rollout": "60%"}), now=now)
    more = {people[user] for user in users if in_rollout("settled-30d", user, 60)}
    assert {row.user_id for row in rows(store)} == more
    assert reached < more


def test_nobody_enters_again_while_inside(store: Store, now: int) -> None:
    version = publish(store, now=now)
    add(store, settled("a", now, passages=[Passage("settled-30d", now - DAY, "an older anchor")]))
    assert reasons(enrol(store, version, now=now)) == {EntryReason.REENTRY: 1}


@pytest.mark.parametrize(
    ("reentry", "ended_before", "enters"),
    [
        (None, 1, True),  # a new anchor is enough
        ({"after": "30d"}, 30 * DAY - 1, False),
        ({"after": "30d"}, 30 * DAY, True),
        ({"after": "1d", "max": "2"}, 40 * DAY, True),
        ({"after": "1d", "max": "1"}, 40 * DAY, False),
    ],
)
def test_reentry_waits_and_counts(
    store: Store, now: int, reentry: dict[str, str] | None, ended_before: int, enters: bool
) -> None:
    version = publish(store, now=now, entry=SETTLED | ({"reentry": reentry} if reentry else {}))
    been = Passage("settled-30d", 1, "an older anchor", now - ended_before, "finished")
    add(store, settled("a", now, passages=[been]))
    result = enrol(store, version, now=now)
    assert reasons(result) == ({} if enters else {EntryReason.REENTRY: 1})


@pytest.mark.parametrize(("overlap", "enters"), [("allow", True), ("wait", False), ("never", False)])
def test_who_is_in_another_journey_may_have_to_wait(store: Store, now: int, overlap: str, enters: bool) -> None:
    version = publish(store, now=now, entry=SETTLED | {"overlap": overlap})
    add(store, settled("a", now, passages=[Passage("another", now - DAY)]))
    assert reasons(enrol(store, version, now=now)) == ({} if enters else {EntryReason.OVERLAP: 1})
    end_all(store, now)
    assert enrol(store, version, now=now).enrolled == (0 if enters else 1)


def test_a_daily_limit_takes_the_earliest_anchors_and_starts_anew_at_local_midnight(store: Store, now: int) -> None:
    version = publish(store, now=now, entry=SETTLED | {"limit": {"per_day": "2"}})
    people = add(store, *[settled(f"u{n}", now, days=35 + n) for n in range(5)])
    result = enrol(store, version, now=now, page_size=2)
    assert (result.enrolled, reasons(result)) == (2, {EntryReason.DAILY_LIMIT: 3})
    assert [row.user_id for row in rows(store)] == [people["u3"], people["u4"]]
    midnight = now + 14 * HOUR  # now is 10:00 in Shanghai
    assert enrol(store, version, now=midnight - 1).enrolled == 0
    assert enrol(store, version, now=midnight).enrolled == 2
    assert enrol(store, version, now=midnight + DAY, page_size=1).enrolled == 1


def test_two_triggers_of_one_person_are_one_passage_and_one_reentry(store: Store, now: int) -> None:
    version = publish(store, now=now, entry={"anchor": {"trigger": "call_me"}, "audience": {"did": "call_me"}})
    events = [Event("call_me", now - 2), Event("call_me", now - 1)]
    add(store, Person("a", events, jurisdiction="CN"))
    for page_size in (10, 1):
        assert reasons(enrol(store, version, now=now, page_size=page_size)) == {EntryReason.REENTRY: 1}
    assert [row.entry_key for row in rows(store)] == ["a-0"]


ORDER = (
    (EntryReason.ERASED, {"erased": True}),
    (EntryReason.SUPPRESSED, {"suppressed": True}),
    (EntryReason.NO_POLICY, {"jurisdiction": "KP"}),
    (EntryReason.UNRESPONSIVE, {"rest_until": 2**62}),
    (EntryReason.NOT_ROLLED_OUT, {}),
)


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_of_several_reasons_the_first_counts(store: Store, now: int, first: int) -> None:
    by = {"by": "jurisdiction", "CN": "cn-consumer-finance", "else": "no_send"}
    entry = SETTLED | {"rollout": "0%", "overlap": "wait", "limit": {"per_day": "0"}}
    version = publish(store, now=now, entry=entry, policy=by)
    about: dict[str, Any] = {"passages": [Passage("another", 1), Passage("settled-30d", 1)]}
    for _, one in ORDER[first:]:
        about |= one
    add(store, settled("a", now, **about))
    assert reasons(enrol(store, version, now=now)) == {ORDER[first][0]: 1}


def test_reentry_goes_before_overlap_and_overlap_before_the_daily_limit(store: Store, now: int) -> None:
    version = publish(store, now=now, entry=SETTLED | {"overlap": "wait", "limit": {"per_day": "1"}})
    elsewhere = Passage("another", 1)
    add(
        store,
        settled("first", now, days=50),
        settled("inside", now, passages=[Passage("settled-30d", 1), elsewhere]),
        settled("elsewhere", now, passages=[elsewhere]),
        settled("late", now),
    )
    result = enrol(store, version, now=now)
    assert reasons(result) == {EntryReason.REENTRY: 1, EntryReason.OVERLAP: 1, EntryReason.DAILY_LIMIT: 1}


# --- totals, and others at the same time ----------------------------------------------------------------


def test_what_a_run_came_to_is_kept_and_adds_up(store: Store, now: int) -> None:
    version = publish(store, now=now)
    add(store, *[settled(f"u{n}", now, suppressed=n % 3 == 0, erased=n % 5 == 0) for n in range(20)])
    enrol(store, version, now=now, page_size=3)
    kept = {row.reason: row.users for row in rows(store, schema.entry_counts)}
    assert kept == {"candidates": 20, "enrolled": 11, "erased": 4, "suppressed": 5}
    assert {(row.journey_id, row.version_id, row.at) for row in rows(store, schema.entry_counts)} == {
        (version.journey_id, version.id, now)
    }


def test_a_run_in_which_nobody_is_meant_leaves_no_counts(store: Store, now: int) -> None:
    enrol(store, publish(store, now=now), now=now)
    assert rows(store, schema.entry_counts) == []


def test_a_run_that_is_cut_off_keeps_totals_that_add_up_and_the_next_goes_on(
    store: Store, now: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = publish(store, now=now)
    add(store, *[settled(f"u{n}", now, days=35 + n) for n in range(9)])
    real, calls = module.insert_enrolments, iter(range(100))

    def cut_off(*given: Any, **named: Any) -> set[int]:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return real(*given, **named)

    monkeypatch.setattr(module, "insert_enrolments", cut_off)
    with pytest.raises(KeyboardInterrupt):
        enrol(store, version, now=now, page_size=3)
    assert {row.reason: row.users for row in rows(store, schema.entry_counts)} == {"candidates": 6, "enrolled": 6}
    assert len(rows(store)) == 6
    assert enrol(store, version, now=now, page_size=3).enrolled == 3


def run_at_once(store: Store, *versions: Version, now: int, page_size: int) -> list[EnrolResult]:
    """Each version enrolled by a thread of its own, all started together."""
    start, results = threading.Barrier(len(versions)), dict[int, EnrolResult]()

    def work(number: int) -> None:
        start.wait()
        results[number] = enrol(store, versions[number], now=now, page_size=page_size)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(versions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [results[number] for number in range(len(versions))]


@pytest.fixture
def at_the_same_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs that have both decided and not yet written: where they can meet at all, they do."""
    real, meeting, met = module.insert_enrolments, threading.Barrier(2), set[int]()

    def meet(*given: Any, **named: Any) -> set[int]:
        if threading.get_ident() not in met:
            met.add(threading.get_ident())
            with contextlib.suppress(threading.BrokenBarrierError):
                meeting.wait(0.5)
        return real(*given, **named)

    monkeypatch.setattr(module, "insert_enrolments", meet)


@pytest.mark.usefixtures("at_the_same_point")
def test_two_runs_at_once_let_nobody_in_twice_and_share_one_daily_limit(store: Store, now: int) -> None:
    version = publish(store, now=now, entry=SETTLED | {"limit": {"per_day": "70"}})
    add(store, *[settled(f"u{n}", now, days=31 + n / 10) for n in range(100)])
    results = run_at_once(store, version, version, version, now=now, page_size=7)
    assert sum(result.enrolled for result in results) == 70
    for result in results:
        assert set(reasons(result)) <= {EntryReason.DAILY_LIMIT}, "whom another run let in is no candidate any more"
    entered = [row.user_id for row in rows(store)]
    assert len(entered) == len(set(entered)) == 70


@pytest.mark.usefixtures("at_the_same_point")
def test_journeys_that_do_not_overlap_let_nobody_in_together(store: Store, now: int) -> None:
    entry = SETTLED | {"overlap": "wait"}
    versions = [publish(store, now=now, name=name, entry=entry) for name in ("one", "two", "three")]
    add(store, *[settled(f"u{n}", now, days=31 + n / 10) for n in range(60)])
    results = run_at_once(store, *versions, now=now, page_size=5)
    assert sum(result.enrolled for result in results) == 60
    with store.reading() as connection:
        per_user = select(func.count()).select_from(E).group_by(E.c.user_id)
        assert set(connection.execute(per_user).scalars()) == {1}


def test_whom_somebody_else_lets_in_meanwhile_is_a_reentry(
    store: Store, now: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = publish(store, now=now)
    people = add(store, settled("a", now), settled("b", now))
    real = module.insert_enrolments

    def overtaken(connection: Any, *given: Any, **named: Any) -> set[int]:
        values = {"entered_at": now, "entry_key": "by hand"}
        insert_passage(connection, people["a"], journey="settled-30d", values=values)
        return real(connection, *given, **named)

    monkeypatch.setattr(module, "insert_enrolments", overtaken)
    result = enrol(store, version, now=now)
    assert (result.enrolled, reasons(result)) == (1, {EntryReason.REENTRY: 1})
