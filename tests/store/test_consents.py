"""Is every consent kept, and is the one in force the right one?"""

from __future__ import annotations

import itertools

import pytest
from sqlalchemy import text

from recall.store.connect import Store
from recall.store.consents import Kept, NewConsent, record_consents
from recall.store.people import NewUser, upsert_users


@pytest.fixture
def people(store: Store, now: int) -> Store:
    upsert_users(store, [NewUser("ann"), NewUser("bob")], now)
    return store


def yes(at: int, **more: object) -> NewConsent:
    return NewConsent(**{"user": "ann", "channel": "sms", "purpose": "marketing", "granted": True, "at": at, **more})


def no(at: int, **more: object) -> NewConsent:
    return yes(at, granted=False, **more)


def in_force(store: Store) -> list[tuple]:
    sql = """
        select s.brand, s.channel, s.granted, s.at, s.expires_at, c.wording
        from consent_state s join consents c on c.id = s.consent_id order by 1, 2
    """
    with store.reading() as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


def test_the_consent_in_force_tells_its_wording_and_when_it_ends(people: Store):
    record_consents(people, [yes(5, expires_at=9, wording="v2", source="form")])
    assert in_force(people) == [("default", "sms", True, 5, 9, "v2")]


def test_the_newest_decision_counts_in_whatever_order_it_comes(people: Store):
    told = [yes(1), no(2), yes(3, wording="v3"), no(3, channel="call"), yes(4, channel="call", wording="c4")]
    for order in itertools.permutations(told):
        with people.writing() as connection:
            connection.execute(text("delete from consent_state"))
            connection.execute(text("delete from consents"))
        record_consents(people, order[:2])
        record_consents(people, order)
        assert in_force(people) == [("default", "call", True, 4, None, "c4"), ("default", "sms", True, 3, None, "v3")]


@pytest.mark.parametrize("split", [0, 1, 2])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_at_one_moment_the_withdrawal_counts(people: Store, order: tuple[int, int], split: int):
    told = [(yes(7), no(7))[n] for n in order]
    record_consents(people, told[:split])
    record_consents(people, told[split:])
    assert [row[2] for row in in_force(people)] == [False]


def test_brands_do_not_speak_for_each_other(people: Store):
    record_consents(people, [yes(1), no(2, brand="other")])
    assert [(row[0], bool(row[2])) for row in in_force(people)] == [("default", True), ("other", False)]


def test_telling_the_same_twice_adds_nothing_and_unknown_people_are_told(people: Store):
    told = [yes(1), yes(1), yes(1, wording="v2"), NewConsent("nobody", "sms", "marketing", True, 1)]
    assert record_consents(people, told) == Kept(added=2, unchanged=1, refused={3: "unknown_user"})
    assert record_consents(people, told) == Kept(added=0, unchanged=3, refused={3: "unknown_user"})
