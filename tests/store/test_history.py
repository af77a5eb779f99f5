"""Do past sends warm up caps and the unresponsive rule, once?"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from recall.store.connect import Store
from recall.store.history import PastSend, Warmed, merge, warm_contact_state
from recall.store.people import NewAddress, NewUser, upsert_users


@pytest.fixture
def people(store: Store, now: int) -> Store:
    phone = NewAddress("+8613800138000")
    upsert_users(store, [NewUser("ann", phone=phone, email=NewAddress("a@b.cn")), NewUser("bob", phone=phone)], now)
    return store


def row(store: Store, sql: str) -> dict[str, object]:
    """The columns of one row that say anything."""
    with store.reading() as connection:
        found = connection.execute(text(sql)).mappings().one()
    return {name: value for name, value in found.items() if value is not None}


def state(store: Store, user: str = "ann") -> dict[str, object]:
    found = row(store, f"select c.* from contact_state c join users u on u.id = c.user_id where u.user_id = '{user}'")
    return {name: value for name, value in found.items() if name not in ("user_id", "brand", "rests")}


def phone(store: Store) -> dict[str, object]:
    found = row(store, "select * from addresses where kind = 'phone'")
    return {name: value for name, value in found.items() if name[0] in "smc" and name[1:].isdigit()}


def sms(at: int, user: str = "ann", **more: object) -> PastSend:
    return PastSend(user, "sms", at, **more)  # type: ignore[arg-type]


def test_the_last_sends_are_remembered_over_all_by_channel_and_by_address(people: Store):
    told = [sms(n) for n in range(1, 11)] + [PastSend("ann", "call", 20), PastSend("ann", "email", 15)]
    warm_contact_state(people, told)
    assert state(people) == {
        **{f"s{n}": at for n, at in enumerate((20, 15, 10, 9, 8, 7, 6, 5), 1)},
        **{f"sms{n}": at for n, at in enumerate((10, 9, 8, 7), 1)},
        "call1": 20,
        "email1": 15,
        "streak": 8,
    }
    assert phone(people) == {
        **{f"s{n}": at for n, at in enumerate((20, 10, 9, 8, 7, 6, 5, 4), 1)},
        **{f"m{n}": at for n, at in enumerate((10, 9, 8, 7), 1)},
        "c1": 20,
    }


def test_telling_the_same_twice_adds_nothing_in_any_order(people: Store):
    told = [sms(5), PastSend("ann", "call", 5), sms(7), sms(1), PastSend("ann", "call", 9)]
    warm_contact_state(people, told)
    before = state(people), phone(people)
    for order in itertools.permutations(told):
        assert warm_contact_state(people, order) == Warmed(added=0, unchanged=5)
        assert (state(people), phone(people)) == before
    assert before[0]["s3"] == before[0]["s4"] == 5, "two channels at one moment are two sends"


def test_the_state_is_the_same_however_the_rows_are_cut(people: Store):
    told = [sms(n, "ann") for n in (4, 9, 2, 30, 11, 6, 7, 8, 3, 1)]
    for user in ("ann", "bob"):
        mine = [each._replace(user=user) for each in told]
        parts = [mine] if user == "ann" else [mine[:3], mine[3:4], mine[4:]]
        for part in parts:
            warm_contact_state(people, part)
    assert state(people, "ann") | {"streak": 0} == state(people, "bob") | {"streak": 0}


def test_only_sends_after_the_last_response_make_the_streak(people: Store):
    warm_contact_state(people, [sms(1), sms(3, responded_at=4), sms(5), sms(6)])
    assert (state(people)["streak"], state(people)["responded_at"]) == (2, 4)
    warm_contact_state(people, [sms(2), sms(7)])
    assert state(people)["streak"] == 3
    warm_contact_state(people, [sms(6, responded_at=8)])
    assert (state(people)["streak"], state(people)["responded_at"]) == (0, 8)


def test_what_is_older_than_what_is_remembered_is_not_remembered(people: Store):
    warm_contact_state(people, [sms(n) for n in range(10, 18)])
    assert warm_contact_state(people, [sms(5)]) == Warmed(added=0, unchanged=1)


def test_people_who_share_a_phone_fill_its_slots_together(people: Store):
    warm_contact_state(people, [sms(5), sms(5, "bob")])
    assert phone(people) == {"s1": 5, "s2": 5, "m1": 5, "m2": 5}


def test_brands_are_kept_apart_and_unknown_people_are_told(people: Store):
    told = [sms(1), sms(2, brand="other"), sms(3, "nobody")]
    assert warm_contact_state(people, told) == Warmed(added=2, refused={2: "unknown_user"})
    with people.reading() as connection:
        found = connection.execute(text("select brand, s1 from contact_state order by brand")).all()
    assert [tuple(each) for each in found] == [("default", 1), ("other", 2)]


def test_who_was_warmed_is_told_to_converge(people: Store):
    with people.writing() as connection:
        connection.execute(text("delete from changed_users"))
    warm_contact_state(people, [sms(1), sms(2)])
    assert row(people, "select count(*) as n from changed_users") == {"n": 1}


moments = st.lists(st.integers(0, 9), max_size=12)


@given(moments, moments)
def test_merging_again_changes_nothing(known: list[int], told: list[int]):
    counts = {at: told.count(at) for at in told}
    once = merge(sorted(known, reverse=True)[:8], counts, 8)
    assert merge(once, counts, 8) == once
    assert once == sorted(once, reverse=True)
