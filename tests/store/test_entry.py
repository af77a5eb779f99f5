"""Are those found whom the audience means, each once, in order, and cheaply?"""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from sqlalchemy import func, insert, select, text

from journeys.rules import Rule
from recall.clock import DAY, HOUR
from recall.store import schema
from recall.store.candidates import candidates
from recall.store.connect import Connection, Store
from recall.store.entry import (
    Candidate,
    NewEnrolment,
    add_counts,
    count_entered,
    insert_enrolments,
    prepare,
    read_page,
    refresh_statistics,
)
from recall.store.versions import Version
from tests.oracle.people import insert_passage, write_people
from tests.oracle.published import SETTLED, publish
from tests.oracle.rules import Contact, Event, Passage, Person, holds

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
RULES: TypeAdapter[Rule] = TypeAdapter(Rule)


def find(connection: Connection, version: Version, *, now: int, size: int = 100) -> list[Candidate]:
    """All candidates, page by page."""
    entrance = prepare(version)
    start, end = entrance.candidates.span(now)
    found: list[Candidate] = []
    while start != end:
        page = entrance.candidates.first_page(connection, (start, end), now=now, size=size)
        found += read_page(connection, entrance, page, now=now)
        start = page[1]
    return found


def found_of(store: Store, version: Version, people: list[Person], *, now: int) -> list[tuple[str, str, int]]:
    """(user, entry_key, anchor_at) of the candidates among these people, in order."""
    with store.engine.connect() as connection:
        write_people(connection, people)
        found = find(connection, version, now=now)
        connection.rollback()
    return [(row.host_id, row.entry_key, row.anchor_at) for row in found]


# --- anchors --------------------------------------------------------------------------------------------


def test_an_event_anchor_is_the_latest_event_and_its_id_the_entry_key(store: Store, now: int) -> None:
    version = publish(store, now=now)
    events = [Event("loan_settled", now - 50 * DAY, key="older"), Event("loan_settled", now - 40 * DAY, key="newer")]
    assert found_of(store, version, [Person("a", events)], now=now) == [("a", "newer", now - 40 * DAY)]


def test_the_latest_event_is_the_anchor_also_where_the_audience_asks_about_an_earlier_one(
    store: Store, now: int
) -> None:
    audience = {"did": "loan_settled", "between": ["30d", "60d"], "where": {"kind": {"is": "cash"}}}
    version = publish(store, now=now, entry={"anchor": "loan_settled", "audience": audience})
    events = [Event("loan_settled", now - 40 * DAY, {"kind": "cash"}), Event("loan_settled", now - DAY, key="card")]
    assert found_of(store, version, [Person("a", events)], now=now) == [("a", "card", now - DAY)]


def test_candidates_come_in_the_order_of_their_anchors(store: Store, now: int) -> None:
    version = publish(store, now=now)
    people = [Person(f"u{n}", [Event("loan_settled", now - days * DAY)]) for n, days in enumerate((35, 50, 31, 50))]
    assert [user for user, _, _ in found_of(store, version, people, now=now)] == ["u1", "u3", "u0", "u2"]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 100])
def test_pages_of_any_size_find_everybody_once(store: Store, now: int, size: int) -> None:
    version = publish(store, now=now)
    people = [
        Person(f"u{n}", [Event("loan_settled", now - 40 * DAY), *[Event("loan_drawn", now)] * (n % 2)])
        for n in range(9)  # all at the same moment, as when only days are known
    ]
    with store.engine.connect() as connection:
        write_people(connection, people)
        assert [row.host_id for row in find(connection, version, now=now, size=size)] == ["u0", "u2", "u4", "u6", "u8"]
        connection.rollback()


def test_who_was_enrolled_for_this_very_anchor_is_no_candidate(store: Store, now: int) -> None:
    version = publish(store, now=now)
    settled = [Event("loan_settled", now - 40 * DAY, key="e1")]
    people = [
        Person("before", settled, passages=[Passage("settled-30d", now - 5 * DAY, "e1", now - DAY, "finished")]),
        Person(
            "again", [Event("loan_settled", now - 40 * DAY, key="e2")], passages=[Passage("settled-30d", 0, "e0", 1)]
        ),
    ]
    assert [user for user, _, _ in found_of(store, version, people, now=now)] == ["again"]


def test_an_anchor_in_the_future_is_not_reached(store: Store, now: int) -> None:
    version = publish(store, now=now, entry={"anchor": "loan_settled", "audience": {"did": "loan_settled"}})
    people = [Person("now", [Event("loan_settled", now)]), Person("later", [Event("loan_settled", now + 1)])]
    assert [user for user, _, _ in found_of(store, version, people, now=now)] == ["now"]


def test_each_trigger_is_an_entry_for_two_days(store: Store, now: int) -> None:
    version = publish(store, now=now, entry={"anchor": {"trigger": "call_me"}, "audience": {"did": "call_me"}})
    ages = {"stale": 2 * DAY, "old": 2 * DAY - 1, "new": 0, "future": -1}
    events = [Event("call_me", now - age, key=key) for key, age in ages.items()]
    found = found_of(store, version, [Person("a", events)], now=now)
    assert found == [("a", "old", now - 2 * DAY + 1), ("a", "new", now)]


@pytest.mark.parametrize(("way", "sign"), [("before", -1), ("after", 1)])
def test_a_date_is_reached_with_its_offset_and_taken_up_for_two_days(
    store: Store, now: int, way: str, sign: int
) -> None:
    anchor = {"attribute": "due_date", way: "3d"}
    version = publish(store, now=now, entry={"anchor": anchor, "audience": {"attribute": "due_date", "known": "true"}})
    reached = now - sign * 3 * DAY  # the date whose offset ends now
    dates = {"stale": reached - 2 * DAY, "old": reached - 2 * DAY + 1, "new": reached, "future": reached + 1}
    people = [Person(user, dates={"due_date": at}) for user, at in dates.items()]
    assert found_of(store, version, people, now=now) == [
        ("old", f"due_date:{reached - 2 * DAY + 1}", now - 2 * DAY + 1),
        ("new", f"due_date:{reached}", now),
    ]


def test_the_days_of_an_offset_are_days_of_the_journeys_zone(store: Store) -> None:
    noon = 1_774_864_800_000_000  # 2026-03-30 12:00 in Berlin; its clocks went forward the day before
    anchor = {"attribute": "due_date", "after": "2d"}
    entry = {"anchor": anchor, "audience": {"attribute": "due_date", "known": "true"}}
    version = publish(store, now=noon, entry=entry, zone="Europe/Berlin")
    reached = noon - 47 * HOUR
    dates = {"in time": reached, "a moment later": reached + 1}
    people = [Person(user, dates={"due_date": at}) for user, at in dates.items()]
    found = found_of(store, version, people, now=noon)
    assert found == [("in time", f"due_date:{reached}", noon)], "an anchor never lies in the future"


def test_a_campaign_is_everyone_meant_once(store: Store, now: int) -> None:
    entry = {"anchor": {"campaign": "spring-2026"}, "audience": {"attribute": "vip", "is": "true"}}
    version = publish(store, now=now, name="spring", entry=entry)
    been = Passage("spring", now - DAY, "spring-2026", now - 1, "finished")
    people = [
        Person("a", attributes={"vip": "true"}),
        Person("b", attributes={"vip": "false"}),
        Person("c", attributes={"vip": "true"}, passages=[been]),
    ]
    assert found_of(store, version, people, now=now) == [("a", "spring-2026", now)]


AUDIENCES = (
    {"did": "x", "between": ["1d", "3d"]},
    {"did": "x", "between": ["1d", "3d"], "where": {"kind": {"is": "a"}}},
    {"did": "x", "within": "3d"},
    {"did": "x", "within": "3d", "times": {"at_least": "2"}},
    {"did": "x", "within": "1d", "times": {"at_least": "0", "at_most": "1"}},
    {"all": [{"did": "x", "within": "3d"}, {"did": "x", "between": ["1d", "30d"]}]},
    {"all": [{"did": "x", "between": ["1d", "3d"], "since": "y"}, {"none": [{"did": "x", "within": "3d"}]}]},
    {"any": [{"did": "x", "within": "1d"}, {"did": "y", "within": "1d"}]},
    {"all": [{"did": "y", "between": ["1d", "3d"]}, {"did_not": "x", "within": "1d"}]},
)


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_range_of_the_index_leaves_out_nobody_whom_the_audience_means(store: Store, data: st.DataObject) -> None:
    now, written = 1_774_830_600_000_000, data.draw(st.sampled_from(AUDIENCES))
    moments = st.sampled_from([now - days * DAY + step for days in (0, 1, 3, 30) for step in (-HOUR, 0, 1, HOUR + 1)])
    events = st.builds(Event, st.sampled_from("xy"), moments, st.none() | st.just({"kind": "a"}))
    people = [Person(f"u{n}", data.draw(st.lists(events, max_size=4))) for n in range(4)]
    version = publish(store, now=now, entry={"anchor": "x", "audience": written}, zone="Europe/Berlin")
    expected = {
        person.user
        for person in people
        if any(event.name == "x" for event in person.events)
        and max(event.at for event in person.events if event.name == "x") <= now
        and holds(RULES.validate_python(written), person, now=now, zone=BERLIN)
    }
    assert {user for user, _, _ in found_of(store, version, people, now=now)} == expected


# --- what speaks against them ---------------------------------------------------------------------------


def candidate(store: Store, person: Person, *, now: int, entry: dict[str, Any] | None = None) -> Candidate:
    version = publish(store, now=now, entry=SETTLED | (entry or {}))
    with store.engine.connect() as connection:
        write_people(connection, [person])
        (row,) = find(connection, version, now=now)
        connection.rollback()
    return row


def settled(now: int, **about: Any) -> Person:
    return Person("a", [Event("loan_settled", now - 40 * DAY)], **about)


def test_nothing_speaks_against_somebody_new(store: Store, now: int) -> None:
    row = candidate(store, settled(now, jurisdiction="CN", rest_until=now), now=now)
    assert row == Candidate(
        row.user_id, "a-0", now - 40 * DAY, "a", "CN", row.zone_id, False, False, False, 0, False, None, False
    )


@pytest.mark.parametrize(
    ("contacts", "suppressed"),
    [
        ({}, False),
        ({"phone": Contact(suppressed=True)}, True),
        ({"phone": Contact(suppressed=True), "push": Contact(suppressed=True)}, True),
        ({"phone": Contact(suppressed=True), "email": Contact()}, False),
        ({"phone": Contact(unreachable=True)}, False),
    ],
)
def test_who_has_only_suppressed_addresses_is_suppressed(
    store: Store, now: int, contacts: dict[str, Contact], suppressed: bool
) -> None:
    assert candidate(store, settled(now, contacts=contacts), now=now).suppressed is suppressed


def test_passages_through_this_journey_and_others_are_told_apart(store: Store, now: int) -> None:
    passages = [
        Passage("settled-30d", 1, "e1", ended_at=7, end_reason="finished"),
        Passage("settled-30d", 2, "e2", ended_at=9, end_reason="finished"),
        Passage("another", 3, "e3"),
        Passage("a-third", 3, "e4", ended_at=11, end_reason="finished"),
    ]
    row = candidate(store, settled(now, passages=passages), now=now, entry={"overlap": "wait"})
    assert (row.passages, row.inside, row.last_ended_at, row.elsewhere) == (2, False, 9, True)
    inside = candidate(store, settled(now, passages=[Passage("settled-30d", 2, "e2")]), now=now)
    assert (inside.passages, inside.inside, inside.last_ended_at, inside.elsewhere) == (1, True, None, False)


# --- writing --------------------------------------------------------------------------------------------


def test_nobody_enters_twice_for_one_anchor_or_while_inside(store: Store, now: int) -> None:
    version = publish(store, now=now)
    with store.writing() as connection:
        ids = write_people(connection, [Person("a"), Person("b"), Person("c")])
        insert_passage(connection, ids["a"], journey="settled-30d", values={"entered_at": 1, "entry_key": "old"})
        done = {"entered_at": 1, "entry_key": "e", "ended_at": 2, "end_reason": "finished"}
        insert_passage(connection, ids["b"], journey="settled-30d", values=done)
        rows = [NewEnrolment(ids[user], "e", 5, "treated", now) for user in "abc"]
        entered = insert_enrolments(connection, version, rows, now=now, goal_until=now + 28 * DAY)
        states = connection.execute(select(func.count()).select_from(schema.contact_state)).scalar_one()
    assert entered == {ids["c"]}
    assert states == 3


def test_an_enrolment_rests_on_the_first_step_until_it_is_due(store: Store, now: int) -> None:
    version = publish(store, now=now)
    with store.writing() as connection:
        ids = write_people(connection, [Person("a")])
        rows = [NewEnrolment(ids["a"], "e", 5, "journey", now + 1)]
        insert_enrolments(connection, version, rows, now=now, goal_until=now + 28 * DAY)
        row = connection.execute(select(schema.enrolments)).one()
    assert (row.version_id, row.entry_key, row.anchor_at, row.holdout, row.arm) == (version.id, "e", 5, "journey", "")
    assert (row.entered_at, row.base_at, row.due_at, row.first_due_at) == (now, now, now + 1, now + 1)
    assert (row.step_id, row.priority, row.active, row.goal_until) == (0, 50, True, now + 28 * DAY)


def test_who_entered_since_a_moment_is_counted_with_it(store: Store, now: int) -> None:
    version = publish(store, now=now)
    with store.writing() as connection:
        ids = write_people(connection, [Person("a"), Person("b")])
        for user, at in (("a", now - 1), ("b", now)):
            insert_passage(connection, ids[user], journey="settled-30d", values={"entered_at": at})
        assert count_entered(connection, version.journey_id, since=now) == 1


def test_counts_of_one_run_add_up_in_one_row_per_reason(store: Store, now: int) -> None:
    version = publish(store, now=now)
    rows: dict[str, int] = {}
    with store.writing() as connection:
        add_counts(connection, version, {"candidates": 2, "enrolled": 0, "overlap": 2}, rows, now=now)
        add_counts(connection, version, {"candidates": 3, "enrolled": 3, "overlap": 0}, rows, now=now)
        add_counts(connection, version, {"candidates": 1}, {}, now=now)  # another run
        kept = connection.execute(select(schema.entry_counts).order_by(schema.entry_counts.c.id)).all()
    assert [(row.reason, row.users, row.at) for row in kept] == [
        ("candidates", 5, now),
        ("overlap", 2, now),
        ("enrolled", 3, now),
        ("candidates", 1, now),
    ]


# --- plans ----------------------------------------------------------------------------------------------

PEOPLE, HISTORY = 20_000, 400  # users, and the days their last settlement lies back


def crowd(connection: Connection, now: int) -> None:
    """Many people with a settlement each, spread evenly over `HISTORY` days."""
    zone = connection.execute(insert(schema.zones).values(names="Asia/Shanghai").returning(schema.zones.c.id)).scalar()
    ids = range(1, PEOPLE + 1)
    connection.execute(
        insert(schema.users), [{"id": n, "user_id": f"u{n}", "zone_id": zone, "created_at": 0} for n in ids]
    )
    at = {n: now - (n * 7919 % PEOPLE) * HISTORY * DAY // PEOPLE for n in ids}
    events = [
        {"id": n, "key": f"e{n}", "user_id": n, "name": "loan_settled", "at": at[n], "recorded_at": at[n]} for n in ids
    ]
    connection.execute(insert(schema.events), events)
    latest = [
        {"user_id": n, "name": name, "first_at": 0, "last_at": at[n] + later, "last_event_id": n, "times": 1}
        for n in ids
        for name, later in (("loan_settled", 0), ("visited", 1))
    ]
    connection.execute(insert(schema.user_events), latest)


def plan_of(connection: Connection, statement: Any, parameters: dict[str, Any]) -> str:
    """EXPLAIN of the statement as it would be executed."""
    prefix = "explain query plan" if connection.dialect.name == "sqlite" else "explain"
    compiled = statement.compile(connection, compile_kwargs={"render_postcompile": True})
    bound = compiled.construct_params(parameters)
    given = tuple(bound[name] for name in compiled.positiontup) if compiled.positional else bound
    rows = connection.exec_driver_sql(f"{prefix} {compiled.string}", given).all()
    return "\n".join(str(row[-1]) for row in rows)


@pytest.mark.parametrize("analysed", [True, False])
def test_a_page_reads_its_range_of_the_index_and_looks_people_up_by_key(store: Store, now: int, analysed: bool) -> None:
    audience = {"all": [*SETTLED["audience"]["all"], {"did": "visited", "since": "loan_settled"}]}
    version = publish(store, now=now, entry={"anchor": "loan_settled", "audience": audience, "overlap": "wait"})
    entrance, found = prepare(version), candidates(version)
    with store.writing() as connection:
        crowd(connection, now)
        if analysed:
            connection.execute(text("analyze"))
        page = found.first_page(connection, found.span(now), now=now, size=500)
        assert len(read_page(connection, entrance, page, now=now)) == 500
        ends = plan_of(connection, found._ends.offset(499).limit(1), found.parameters(now, found.span(now)))
        people = plan_of(connection, entrance.statement, found.parameters(now, page))
    assert "user_events_by_time" in ends
    assert people.count("user_events_by_time") == 1, people
    for plan in (ends, people):
        assert not re.search(r"SCAN (latest|anchor|users|state|user_events)", plan), plan
        assert not re.search(r"Seq Scan|Hash Join|Merge Join", plan), plan


def test_statistics_are_refreshed_where_much_was_written(postgresql_store: Store, now: int) -> None:
    written = text("select relname from pg_stat_user_tables where last_analyze is not null")
    with postgresql_store.writing() as connection:
        crowd(connection, now)
        connection.execute(text("select pg_stat_force_next_flush()"))
    with postgresql_store.writing() as connection:
        refresh_statistics(connection)
        connection.execute(text("select pg_stat_force_next_flush()"))
    with postgresql_store.reading() as connection:
        assert connection.execute(written).scalars().all() == ["user_events"]
