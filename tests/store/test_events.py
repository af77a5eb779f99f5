"""Are events kept once, with their summary, in any order?"""

from __future__ import annotations

import itertools
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from recall.clock import DAY
from recall.errors import StoreBusy
from recall.store.connect import Store
from recall.store.events import NewEvent, Recorded, record_events, source_key
from recall.store.people import NewUser, upsert_users

ANN, BOB = "ann", "bob"


@pytest.fixture
def people(store: Store, now: int) -> Store:
    upsert_users(store, [NewUser(ANN), NewUser(BOB)], now)
    with store.writing() as connection:
        connection.execute(text("delete from changed_users"))
    return store


def rows(store: Store, sql: str) -> list[tuple]:
    with store.reading() as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


def event(key: str, at: int, *, user: str = ANN, name: str = "visited", **properties: str) -> NewEvent:
    return NewEvent(key, user, name, at, properties or None)


SUMMARY = """
select u.user_id, s.name, s.first_at, s.last_at, e.key, s.times
from user_events s join users u on u.id = s.user_id join events e on e.id = s.last_event_id order by 1, 2
"""


def test_an_event_is_kept_with_its_properties_as_text_and_the_moment_it_was_recorded(people: Store, now: int):
    record_events(people, [event("a", now - DAY, amount="1.10", 编号="0138")], now)
    assert rows(people, "select key, name, at, properties, recorded_at from events") == [
        ("a", "visited", now - DAY, '{"amount":"1.10","编号":"0138"}', now)
    ]


def test_telling_the_same_twice_adds_nothing(people: Store, now: int):
    told = [event("a", 1), event("b", 2, user=BOB), event("a", 1)]
    assert record_events(people, told, now) == Recorded(added=2, unchanged=1)
    before = rows(people, SUMMARY)
    assert record_events(people, told, now + DAY) == Recorded(added=0, unchanged=3)
    assert rows(people, SUMMARY) == before
    assert rows(people, "select count(*) from changed_users") == [(2,)]


def test_the_summary_is_the_same_whatever_order_events_come_in(people: Store, now: int):
    told = [event("a", 10), event("b", 30), event("c", 20), event("d", 5, name="loan_drawn")]
    for n, order in enumerate(itertools.permutations(told)):
        with people.writing() as connection:
            for table in ("user_events", "events"):
                connection.execute(text(f"delete from {table}"))
        for each in order[: n % 3]:
            record_events(people, [each], now)
        record_events(people, order, now)
        assert rows(people, SUMMARY) == [
            (ANN, "loan_drawn", 5, 5, "d", 1),
            (ANN, "visited", 10, 30, "b", 3),
        ]


def test_of_two_events_at_one_moment_the_one_recorded_later_is_the_latest(people: Store, now: int):
    record_events(people, [event("a", 10), event("b", 10)], now)
    assert rows(people, SUMMARY)[0][4] == "b"
    record_events(people, [event("c", 10)], now)
    assert rows(people, SUMMARY)[0][4:] == ("c", 3)


def test_what_cannot_be_recorded_is_told_by_its_place_and_why(people: Store, now: int):
    with people.writing() as connection:
        connection.execute(text("update users set erased_at = 1 where user_id = 'bob'"))
    record_events(people, [event("a", 10, amount="1")], now)
    told = [
        event("new", 1),
        event("b", 1, user="nobody"),
        event("c", 1, user=BOB),
        event("a", 11, amount="1"),
        event("a", 10, amount="2"),
        event("a", 10, amount="1", name="bought"),
        event("a", 10, amount="1"),
    ]
    recorded = record_events(people, told, now)
    refused = {1: "unknown_user", 2: "erased_user", 3: "key_taken", 4: "key_taken", 5: "key_taken"}
    assert recorded == Recorded(added=1, unchanged=1, refused=refused)


def test_places_count_from_the_first_row_over_many_statements(people: Store, now: int):
    told = [event(f"k{n}", n) for n in range(20_005)]
    told[20_001] = event("x", 1, user="nobody")
    recorded = record_events(people, told, now)
    assert (recorded.added, recorded.refused) == (20_004, {20_001: "unknown_user"})


def test_everyone_with_a_new_event_is_told_to_converge_once_per_call(people: Store, now: int):
    record_events(people, [event("a", 1), event("b", 2), event("c", 3, user=BOB)], now)
    changed = "select u.user_id from changed_users c join users u on u.id = c.user_id order by 1"
    assert rows(people, changed) == [(ANN,), (BOB,)]


def test_nothing_is_kept_when_the_transaction_does_not_commit(people: Store, now: int):
    with pytest.raises(RuntimeError), people.writing() as connection:
        record_events(connection, [event("a", 1)], now)
        raise RuntimeError
    for table in ("events", "user_events", "changed_users"):
        assert rows(people, f"select count(*) from {table}") == [(0,)]


def test_no_events_are_no_work(people: Store, now: int):
    assert record_events(people, [], now) == Recorded()


def test_the_key_of_an_event_with_an_id_names_its_source():
    assert source_key("shop", "0017") == "shop:0017"


def test_writers_at_once_lose_nothing_and_count_nothing_twice(store: Store, now: int):
    names = [f"u{n}" for n in range(50)]
    upsert_users(store, [NewUser(name) for name in names], now)
    told = [event(f"k{n}", n, user=names[n * 7 % 50]) for n in range(400)]

    def write(seed: int) -> int:
        mine = random.Random(seed).sample(told, 300)
        added = 0
        for start in range(0, 300, 50):
            while True:
                try:
                    added += record_events(store, mine[start : start + 50], now).added
                    break
                except StoreBusy:  # two writers waited for each other; the one that lost begins again
                    continue
        return added

    with ThreadPoolExecutor(4) as pool:
        added = sum(pool.map(write, range(4)))
    kept = rows(store, "select count(*) from events")[0][0]
    assert added == kept
    summary = rows(store, "select sum(times), count(*) from user_events")
    counted = rows(store, "select count(*), count(distinct user_id) from events")
    assert summary == counted
    latest = "select count(*) from user_events s join events e on e.id = s.last_event_id where e.at <> s.last_at"
    assert rows(store, latest) == [(0,)]
