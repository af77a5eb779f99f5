"""Does a stop bind everybody it should, outlive what it should, and end only when it should?"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from journeys.words import ALL_CHANNELS_MASK, CHANNEL_BIT, Channel
from recall.clock import DAY
from recall.store.connect import Store
from recall.store.people import NewAddress, NewUser, upsert_users
from recall.store.suppression_flags import Flags, flags_for
from recall.store.suppressions import (
    NewSuppression,
    declare_suppressions,
    end_pauses,
    mark_reachable,
    mark_unreachable,
    opt_in,
    opt_out_address,
    suppress_address,
    suppress_many,
    suppress_user,
    suppressions_known,
    unsuppress,
)

PHONE = "+8613800138000"
EMAIL = "ann@example.com"
SMS = CHANNEL_BIT[Channel.SMS]


@pytest.fixture
def family(store: Store, now: int) -> Store:
    """Ann and Bob share a phone; Cid has none."""
    phone = NewAddress(PHONE, region="CN")
    told = [NewUser("ann", phone=phone, email=NewAddress(EMAIL)), NewUser("bob", phone=phone), NewUser("cid")]
    upsert_users(store, told, now)
    with store.writing() as connection:
        connection.execute(text("delete from changed_users"))
    return store


def rows(store: Store, sql: str) -> list[tuple]:
    with store.reading() as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


def flags(store: Store, kind: str = "phone", value: str = PHONE) -> Flags:
    """What the gate reads, which must be what the suppressions say."""
    hashed = store.hash_address(kind, value)
    with store.reading() as connection:
        row = connection.execute(
            text("select opted_out, suppressed from addresses where hash = :h"), {"h": hashed}
        ).one()
        said = flags_for(connection, kind, hashed)
    assert (row.opted_out, bool(row.suppressed)) == said
    return said


def changed(store: Store) -> list[str]:
    sql = "select distinct u.user_id from changed_users c join users u on u.id = c.user_id order by 1"
    return [row[0] for row in rows(store, sql)]


def test_a_stop_binds_everybody_who_shares_the_phone(family: Store, now: int):
    with family.writing() as connection:
        assert opt_out_address(connection, family, kind="phone", value=PHONE, source="reply", at=now)
    assert flags(family) == (ALL_CHANNELS_MASK, False)
    assert flags(family, "email", EMAIL) == (0, False)
    assert changed(family) == ["ann", "bob"]


def test_a_stop_may_be_for_one_channel_and_comes_by_address_id(family: Store, now: int):
    [(address_id,)] = rows(family, "select phone_id from users where user_id = 'ann'")
    with family.writing() as connection:
        assert opt_out_address(connection, family, address_id=address_id, channels=[Channel.SMS], at=now)
    assert flags(family) == (SMS, False)
    with family.writing() as connection:
        assert opt_out_address(connection, family, address_id=address_id, channels=[Channel.CALL], at=now)
    assert flags(family) == (ALL_CHANNELS_MASK, False), "nothing is left that could use a phone"


def test_saying_stop_twice_is_saying_it_once(family: Store, now: int):
    for expected in (True, False):
        with family.writing() as connection:
            assert opt_out_address(connection, family, kind="phone", value=PHONE, at=now) is expected
    assert rows(family, "select count(*) from suppressions") == [(2,)]


def test_nobody_is_bound_by_the_row_that_stands_for_no_address(family: Store, now: int):
    with family.writing() as connection:
        assert not opt_out_address(connection, family, address_id=0, at=now)
        assert mark_unreachable(connection, [0], "bounced", at=now) == 0
    assert rows(family, "select opted_out, suppressed, unreachable from addresses where id = 0") == [(0, False, None)]


def test_a_stop_of_an_address_nobody_has_yet_binds_whoever_brings_it(family: Store, now: int):
    with family.writing() as connection:
        opt_out_address(connection, family, kind="email", value="new@example.com", at=now)
        suppress_address(connection, family, kind="phone", value="+8613900139000", at=now)
    upsert_users(
        family,
        [NewUser("dan", email=NewAddress("new@example.com"), phone=NewAddress("+8613900139000", region="CN"))],
        now,
    )
    assert flags(family, "email", "new@example.com") == (ALL_CHANNELS_MASK, False)
    assert flags(family, "phone", "+8613900139000") == (0, True)
    values = rows(
        family, "select value, region from addresses where value in ('new@example.com', '+8613900139000') order by 1"
    )
    assert values == [("+8613900139000", "CN"), ("new@example.com", "")]


def test_suppressions_bind_a_new_address_even_without_a_row_for_it(family: Store, now: int):
    hashed = family.hash_address("phone", "+8613900139000")
    with family.writing() as connection:
        suppress_many(connection, [NewSuppression("phone", hashed, now)])
        connection.execute(text("delete from addresses where hash = :h"), {"h": hashed})
    upsert_users(family, [NewUser("dan", phone=NewAddress("+8613900139000"))], now)
    assert flags(family, "phone", "+8613900139000") == (0, True)


def test_a_stop_survives_the_next_import_of_the_same_people(family: Store, now: int):
    with family.writing() as connection:
        opt_out_address(connection, family, kind="phone", value=PHONE, at=now)
    upsert_users(family, [NewUser("ann", phone=NewAddress(PHONE), proved_at=now + DAY)], now + DAY)
    upsert_users(family, [NewUser("eve", phone=NewAddress(PHONE))], now + DAY)
    assert flags(family) == (ALL_CHANNELS_MASK, False)


def test_saying_yes_again_ends_a_stop_on_those_channels_only(family: Store, now: int):
    with family.writing() as connection:
        opt_out_address(connection, family, kind="phone", value=PHONE, at=now)
        assert opt_in(connection, family, kind="phone", value=PHONE, channels=[Channel.CALL], at=now + 1)
        assert not opt_in(connection, family, kind="phone", value=PHONE, channels=[Channel.CALL], at=now + 2)
    assert flags(family) == (SMS, False)
    assert "ann" in changed(family)


def test_a_yes_that_is_older_than_the_stop_ends_nothing(family: Store, now: int):
    with family.writing() as connection:
        opt_out_address(connection, family, kind="phone", value=PHONE, at=now)
        assert not opt_in(connection, family, kind="phone", value=PHONE, at=now - 1)
    assert flags(family) == (ALL_CHANNELS_MASK, False)


def test_a_stop_that_is_older_than_the_yes_binds_nobody(family: Store, now: int):
    with family.writing() as connection:
        opt_out_address(connection, family, kind="phone", value=PHONE, at=now)
        opt_in(connection, family, kind="phone", value=PHONE, at=now + 5)
        assert not opt_out_address(connection, family, kind="phone", value=PHONE, at=now + 4)
        assert flags_for(connection, "phone", family.hash_address("phone", PHONE)) == Flags()
        assert opt_out_address(connection, family, kind="phone", value=PHONE, at=now + 6)
    assert flags(family) == (ALL_CHANNELS_MASK, False)


def test_lifting_what_an_operator_decided_leaves_what_the_person_said(family: Store, now: int):
    with family.writing() as connection:
        opt_out_address(connection, family, kind="phone", value=PHONE, at=now)
        suppress_address(connection, family, kind="phone", value=PHONE, reason="fraud", at=now)
    assert flags(family) == (ALL_CHANNELS_MASK, True)
    with family.writing() as connection:
        assert not opt_in(connection, family, kind="phone", value=PHONE, channels=[Channel.PUSH], at=now + 1)
        assert unsuppress(connection, family, kind="phone", value=PHONE, at=now + 1)
    assert flags(family) == (ALL_CHANNELS_MASK, False)
    with family.writing() as connection:
        suppress_address(connection, family, kind="phone", value=PHONE, at=now + 2)
        assert opt_in(connection, family, kind="phone", value=PHONE, at=now + 3)
    assert flags(family) == (0, True)


def test_a_user_can_be_suppressed_and_released(family: Store, now: int):
    suppressed = "select user_id from users where suppressed"
    with family.writing() as connection:
        assert suppress_user(connection, family, user="cid", reason="operator", at=now)
        assert not suppress_user(connection, family, user="cid", at=now)
    assert (rows(family, suppressed), changed(family)) == ([("cid",)], ["cid"])
    with family.writing() as connection:
        assert unsuppress(connection, family, user="cid", at=now + 1)
    assert rows(family, suppressed) == []


def test_a_user_suppressed_before_they_are_known_comes_suppressed(family: Store, now: int):
    with family.writing() as connection:
        suppress_user(connection, family, user="dan", at=now)
    upsert_users(family, [NewUser("dan"), NewUser("eve")], now)
    assert rows(family, "select user_id from users where suppressed") == [("dan",)]


def test_a_pause_ends_by_itself_and_a_stop_for_good_outlasts_it(family: Store, now: int):
    with family.writing() as connection:
        opt_out_address(connection, family, kind="phone", value=PHONE, at=now, until=now + DAY)
        opt_out_address(connection, family, kind="email", value=EMAIL, at=now, until=now + DAY)
        assert opt_out_address(connection, family, kind="email", value=EMAIL, at=now)
        assert not opt_out_address(connection, family, kind="email", value=EMAIL, at=now, until=now + 9 * DAY)
        assert end_pauses(connection, at=now + DAY - 1) == 0
        assert end_pauses(connection, at=now + DAY) == 1
    assert flags(family) == (0, False)
    assert flags(family, "email", EMAIL) == (ALL_CHANNELS_MASK, False)


def test_many_decisions_say_for_each_whether_it_was_new(family: Store, now: int):
    def new(name: str, **more: object) -> NewSuppression:
        return NewSuppression("phone", family.hash_address("phone", name), now, **more)  # type: ignore[arg-type]

    told = [new("a"), new("b", until=now + 5), new("a"), new("b", until=now + 4), new("b", until=now + 6), new("b")]
    with family.writing() as connection:
        assert suppress_many(connection, told) == [True, True, False, False, True, True]
    with family.writing() as connection:
        assert suppress_many(connection, told) == [False] * 6
    assert rows(family, "select count(*) from suppressions") == [(2,)]


def test_an_address_that_does_not_work_is_marked_once_until_a_person_knows_better(family: Store, now: int):
    [(address_id,)] = rows(family, "select email_id from users where user_id = 'ann'")
    with family.writing() as connection:
        assert mark_unreachable(connection, [address_id], "bounced", at=now) == 1
        assert mark_unreachable(connection, [address_id], "again", at=now + 1) == 0
    assert rows(family, "select unreachable, unreachable_at from addresses where kind = 'email'") == [("bounced", now)]
    with family.writing() as connection:
        assert mark_reachable(connection, [address_id]) == 1
    assert rows(family, "select unreachable from addresses where kind = 'email'") == [(None,)]


def test_no_suppression_holds_the_address_itself(family: Store, now: int):
    with family.writing() as connection:
        opt_out_address(connection, family, kind="phone", value="+8613900139000", at=now)
    for table in ("suppressions", "addresses"):
        assert "13900139000" not in str(rows(family, f"select * from {table}"))


def test_live_mode_knows_whether_anybody_spoke_about_suppressions(store: Store, now: int):
    assert not suppressions_known(store)
    with store.writing() as connection:
        declare_suppressions(connection, "none", at=now)
    assert suppressions_known(store)


def test_a_stop_that_comes_while_the_address_is_being_added_still_binds(store: Store, now: int):
    def add(n: int) -> None:
        upsert_users(store, [NewUser(f"u{n}", email=NewAddress(f"u{n}@example.com"))], now)

    def stop(n: int) -> None:
        with store.writing() as connection:
            opt_out_address(connection, store, kind="email", value=f"u{n}@example.com", at=now)

    with ThreadPoolExecutor(8) as pool:
        for n in range(40):
            for done in [pool.submit(add, n), pool.submit(stop, n)]:
                done.result()
    assert rows(store, "select count(*), min(opted_out) from addresses where id > 0") == [(40, ALL_CHANNELS_MASK)]
