"""Is every person kept once, with the addresses they have and had?"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from recall.clock import DAY
from recall.store.connect import Store
from recall.store.people import NewAddress, NewUser, Upserted, find_user, ids_of, upsert_users
from recall.store.suppressions import suppress_user

PHONE = NewAddress("+8613800138000", region="CN")
OTHER_PHONE = NewAddress("+8613900139000", region="CN")
EMAIL = NewAddress("ann@example.com")
SHANGHAI = ("Asia/Shanghai",)


def rows(store: Store, sql: str) -> list[tuple]:
    with store.reading() as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


USERS = """
select u.user_id, z.names, u.locale, u.jurisdiction, p.value, e.value, t.value, u.is_test, u.created_at
from users u join zones z on z.id = u.zone_id join addresses p on p.id = u.phone_id
join addresses e on e.id = u.email_id join addresses t on t.id = u.push_id order by 1
"""
ANN = NewUser(
    "ann",
    phone=PHONE,
    email=EMAIL,
    push=NewAddress("token-1", subkind="fcm_token"),
    zones=SHANGHAI,
    locale="zh-CN",
    jurisdiction="CN",
    is_test=True,
    created_at=5,
    proved_at=7,
    attributes={"vip": "yes", "overdue_days": "0"},
)


def test_a_user_is_kept_with_everything_said(store: Store, now: int):
    assert upsert_users(store, [ANN, NewUser("bob")], now) == Upserted(added=2)
    assert rows(store, USERS) == [
        ("ann", "Asia/Shanghai", "zh-CN", "CN", "+8613800138000", "ann@example.com", "token-1", True, 5),
        ("bob", "", "", "", None, None, None, False, now),
    ]
    assert rows(store, "select kind, subkind, region, proved_at from addresses where id > 0 order by kind") == [
        ("email", "", "", 7),
        ("phone", "", "CN", 7),
        ("push", "fcm_token", "", 7),
    ]
    assert rows(store, "select name, value, number from user_attributes order by name") == [
        ("overdue_days", "0", 0.0),
        ("vip", "yes", None),
    ]


TABLES = ("users", "addresses", "user_addresses", "user_attributes", "zones", "changed_users")


def everything(store: Store) -> dict[str, list[tuple]]:
    return {table: sorted(rows(store, f"select * from {table}"), key=str) for table in TABLES}


def test_telling_the_same_twice_changes_nothing(store: Store, now: int):
    upsert_users(store, [ANN, NewUser("bob", phone=PHONE)], now)
    before = everything(store)
    assert upsert_users(store, [ANN, NewUser("bob", phone=PHONE)], now + DAY) == Upserted(unchanged=2)
    assert everything(store) == before


def test_what_is_not_said_stays_and_what_is_said_to_be_gone_goes(store: Store, now: int):
    upsert_users(store, [ANN], now)
    assert upsert_users(store, [NewUser("ann")], now) == Upserted(unchanged=1)
    changes = NewUser("ann", phone=NewAddress(""), attributes={"vip": "", "unknown": ""}, locale="")
    assert upsert_users(store, [changes], now) == Upserted(changed=1)
    assert rows(store, USERS)[0][2:6] == ("", "CN", None, "ann@example.com")
    assert rows(store, "select name from user_attributes") == [("overdue_days",)]
    assert upsert_users(store, [changes], now) == Upserted(unchanged=1)


def test_who_changes_phone_keeps_the_history_of_it(store: Store, now: int):
    history = """
        select a.value, l.since, l.until from user_addresses l join addresses a on a.id = l.address_id
        where a.kind = 'phone' order by a.value
    """
    upsert_users(store, [ANN], now)
    upsert_users(store, [NewUser("ann", phone=OTHER_PHONE)], now + DAY)
    assert rows(store, history) == [("+8613800138000", 7, now + DAY), ("+8613900139000", now + DAY, None)]
    upsert_users(store, [NewUser("ann", phone=PHONE)], now + 2 * DAY)
    assert rows(store, history) == [("+8613800138000", 7, None), ("+8613900139000", now + DAY, now + 2 * DAY)]
    assert rows(store, USERS)[0][4] == "+8613800138000"


def test_people_who_share_an_address_share_its_row(store: Store, now: int):
    upsert_users(store, [NewUser("ann", phone=PHONE), NewUser("bob", phone=PHONE)], now)
    assert rows(store, "select count(distinct phone_id), count(*) from users") == [(1, 2)]
    assert rows(store, "select count(*) from user_addresses") == [(2,)]


def test_ownership_is_proved_by_the_latest_statement_not_by_the_next_import(store: Store, now: int):
    def proved() -> int:
        return rows(store, "select proved_at from addresses where kind = 'phone'")[0][0]

    upsert_users(store, [NewUser("ann", phone=PHONE)], now)
    assert proved() == now, "nothing stated: the day we first heard of it"
    upsert_users(store, [NewUser("ann", phone=PHONE)], now + DAY)
    assert proved() == now
    upsert_users(store, [NewUser("ann", phone=PHONE, proved_at=now + 5)], now + DAY)
    upsert_users(store, [NewUser("ann", phone=PHONE, proved_at=now + 4)], now + DAY)
    assert proved() == now + 5
    upsert_users(store, [NewUser("bob", phone=PHONE)], now + 2 * DAY)
    assert proved() == now + 2 * DAY, "somebody else registered with it"


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        (dict(zones=SHANGHAI), dict(zones=("Asia/Tokyo",)), "Asia/Tokyo"),
        (dict(zones=SHANGHAI), dict(zones=("Asia/Tokyo",), zones_from="default"), "Asia/Shanghai"),
        (dict(zones=SHANGHAI), dict(zones=("Asia/Tokyo",), zones_from="phone", phone=PHONE), "Asia/Shanghai"),
        (dict(zones=SHANGHAI), dict(zones=("Asia/Tokyo",), zones_from="phone", phone=OTHER_PHONE), "Asia/Tokyo"),
        (dict(zones=SHANGHAI), dict(zones=(), zones_from="phone", phone=OTHER_PHONE), ""),
        (dict(), dict(zones=("Asia/Tokyo",), zones_from="default"), "Asia/Tokyo"),
        (dict(), dict(zones=("Asia/Tokyo",), zones_from="phone", phone=PHONE), "Asia/Tokyo"),
        (dict(zones=("B/b", "A/a")), dict(), "A/a,B/b"),
    ],
)
def test_a_stated_zone_counts_a_phone_s_follows_the_phone_and_a_default_fills_a_gap(
    store: Store, now: int, first: dict, then: dict, expected: str
):
    upsert_users(store, [NewUser("ann", **{"phone": PHONE, **first})], now)
    upsert_users(store, [NewUser("ann", **then)], now)
    assert rows(store, USERS)[0][1] == expected


def test_who_was_erased_is_not_brought_back(store: Store, now: int):
    upsert_users(store, [NewUser("ann"), NewUser("bob")], now)
    with store.writing() as connection:
        connection.execute(text("update users set erased_at = 1 where user_id = 'ann'"))
        suppress_user(connection, store, user="cid", reason="erased", at=now)
        suppress_user(connection, store, user="dan", reason="fraud", at=now)
    told = [NewUser(name, phone=PHONE) for name in ("ann", "bob", "cid", "dan")]
    refused = {0: "erased_user", 2: "erased_user"}
    assert upsert_users(store, told, now) == Upserted(added=1, changed=1, refused=refused)
    assert rows(store, "select user_id from users where phone_id > 0 order by 1") == [("bob",), ("dan",)]
    with store.reading() as connection:
        assert set(ids_of(connection, ["ann", "bob", "cid"])) == {"bob"}


def test_the_last_row_about_a_user_wins(store: Store, now: int):
    told = [NewUser("ann", locale="en"), NewUser("bob"), NewUser("ann", locale="zh"), NewUser("ann")]
    assert upsert_users(store, told, now) == Upserted(added=2, changed=1, unchanged=1)
    assert rows(store, USERS)[0][2] == "zh"


def test_places_of_refused_rows_count_from_the_first_row(store: Store, now: int):
    with store.writing() as connection:
        suppress_user(connection, store, user="u5001", reason="erased", at=now)
    told = [NewUser(f"u{n}", phone=NewAddress(f"+86138{n:08d}")) for n in range(5_003)]
    assert upsert_users(store, told, now) == Upserted(added=5_002, refused={5_001: "erased_user"})


def test_only_people_who_changed_are_told_to_converge(store: Store, now: int):
    upsert_users(store, [NewUser("ann", attributes={"vip": "1"}), NewUser("bob", attributes={"vip": "1"})], now)
    upsert_users(store, [NewUser("ann", attributes={"vip": "2"}), NewUser("bob", attributes={"vip": "1"})], now)
    sql = "select u.user_id from changed_users c join users u on u.id = c.user_id"
    assert rows(store, sql) == [("ann",)]


def test_values_come_back_exactly_as_they_were_written(store: Store, now: int):
    odd = {
        "id": "1234567890123456789",
        "zip": "0138",
        "na": "NA",
        "flag": "TRUE",
        "sum": "1e5",
        "plus": "+86",
        "汉": "语",
    }
    upsert_users(store, [NewUser("1234567890123456789", attributes=odd), NewUser("0138"), NewUser("NA")], now)
    assert dict(rows(store, "select name, value from user_attributes")) == odd
    assert [row[0] for row in rows(store, USERS)] == ["0138", "1234567890123456789", "NA"]


def test_a_user_is_found_by_the_id_of_the_host(store: Store, now: int):
    upsert_users(store, [NewUser("ann")], now)
    with store.reading() as connection:
        assert find_user(connection, "ann") == rows(store, "select id from users")[0][0]
        assert find_user(connection, "bob") is None


def test_no_address_is_shown_when_a_row_is_printed():
    assert "138" not in repr(ANN)
    assert "ann@" not in repr(ANN)


def test_what_is_decided_about_a_user_meanwhile_is_not_undone(store: Store, now: int):
    upsert_users(store, [NewUser("ann"), NewUser("bob")], now)
    told = [NewUser("ann", locale="zh"), NewUser("bob", phone=PHONE)]
    with ThreadPoolExecutor(1) as pool:
        with store.writing() as connection:
            suppress_user(connection, store, user="ann", at=now)
            connection.execute(text("update users set erased_at = 1 where user_id = 'bob'"))
            importing = pool.submit(upsert_users, store, told, now)
            with pytest.raises(TimeoutError):
                importing.result(timeout=0.3)
        assert importing.result() == Upserted(changed=1, refused={1: "erased_user"})
    assert rows(store, "select locale from users where suppressed") == [("zh",)]
    assert rows(store, "select phone_id from users where user_id = 'bob'") == [(0,)]
