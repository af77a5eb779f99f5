"""Do the users of a file become ours, once and unchanged?"""

from __future__ import annotations

import csv
import io
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recall.clock import DAY

USERS = """
select u.user_id, z.names, p.value, p.region, e.value, t.value, t.subkind, u.locale, u.jurisdiction, u.is_test
from users u join zones z on z.id = u.zone_id join addresses p on p.id = u.phone_id
join addresses e on e.id = u.email_id join addresses t on t.id = u.push_id order by 1
"""
FULL = (
    "user,phone,email,push,push_kind,zone,locale,jurisdiction,is_test,created_at,updated_at,vip\n"
    "a,13800138000,A@Example.com,tok,fcm_token,Asia/Urumqi,zh_CN,cn,是,2025-01-01,2026-01-01,yes\n"
    "b,,,,,,,,,,,\n"
)
MAPPING = {"zone": "Asia/Shanghai", "region": "CN", "attributes": {"vip": "vip"}}


def test_every_field_is_taken(both):
    report = both.take("users", FULL, MAPPING)
    assert (report.read, report.added, report.ignored_columns) == (2, 2, ())
    assert [tuple(row[:9]) for row in both.rows(USERS)] == [
        ("a", "Asia/Urumqi", "+8613800138000", "CN", "a@example.com", "tok", "fcm_token", "zh-CN", "CN"),
        ("b", "", None, "", None, None, "", "", ""),
    ]
    assert [bool(row[9]) for row in both.rows(USERS)] == [True, False]
    updated = 1_767_196_800_000_000  # 2026-01-01 in Shanghai
    assert both.rows("select distinct proved_at from addresses where id > 0") == [(updated,)]
    assert both.rows("select created_at from users where user_id = 'a'") == [(updated - 365 * DAY,)]


def test_importing_twice_adds_nothing(both):
    both.take("users", FULL, MAPPING)
    again = both.take("users", FULL, MAPPING, now=both.now + DAY)
    assert (again.added, again.changed, again.unchanged) == (0, 0, 2)


def test_an_empty_cell_takes_away_and_a_missing_column_does_not(desk):
    desk.take("users", FULL, MAPPING)
    report = desk.take("users", "user,phone\na,\n")
    assert report.changed == 1
    assert desk.rows(USERS)[0][2:5] == (None, "", "a@example.com")
    assert desk.rows("select value from user_attributes") == [("yes",)]


@pytest.mark.parametrize(
    ("cells", "zone"),
    [
        ("Asia/Tokyo,13800138000", "Asia/Tokyo"),
        ("Asia/Urumqi Asia/Shanghai,13800138000", "Asia/Shanghai,Asia/Urumqi"),
        (",13800138000", "Asia/Shanghai"),
        (",+14155552671", "America/Los_Angeles"),
        (",+881612345678", ""),
        (",", "Europe/London"),
    ],
)
def test_the_zone_is_stated_else_the_phone_s_else_the_default(desk, cells: str, zone: str):
    desk.take("users", f"user,zone,phone\na,{cells}\n", {"region": "CN", "default_zone": "Europe/London"})
    assert desk.rows(USERS)[0][1] == zone


def test_several_candidates_are_kept_as_a_set(desk):
    desk.take("users", "user,phone\na,+61412345678\n")
    names = desk.rows(USERS)[0][1].split(",")
    assert len(names) > 1
    assert names == sorted(names)


def test_without_anything_nobody_knows_the_zone(desk):
    desk.take("users", "user\na\n")
    assert desk.rows(USERS)[0][1] == ""


def test_an_opt_out_survives_the_next_import(desk):
    desk.take("suppressions", "phone\n13800138000\n", {"region": "CN", "set": {"reason": "opted_out"}})
    desk.take("users", "user,phone\na,13800138000\nb,+86 138 0013 8000\n", {"region": "CN"})
    assert desk.rows("select count(*), min(opted_out) from addresses where id > 0") == [(1, 63)]


def test_a_user_who_was_erased_is_told_and_not_brought_back(desk):
    desk.take("users", "user\na\n")
    with desk.store.writing() as connection:
        connection.exec_driver_sql("update users set erased_at = 1")
    report = desk.take("users", "user,phone\na,+8613800138000\n")
    assert desk.complaints(report) == [(2, "user", "erased_user")]
    assert desk.rows("select count(*) from addresses where id > 0") == [(0,)]


def test_the_source_is_as_fresh_as_the_import(desk):
    desk.take("users", "user\na\n")
    assert desk.rows("select * from sources") == [("users", desk.now, desk.now)]
    desk.take("users", "user\na\n", as_of=desk.now - DAY, now=desk.now + 5)
    assert desk.rows("select * from sources") == [("users", desk.now + 5, desk.now)]


def test_every_import_is_noted(desk):
    desk.take("users", "user,phone\na,\nb,1\na,\n")
    [row] = desk.rows("select kind, source, at, read, added, changed, unchanged, rejected from imports")
    assert row == ("users", "users", desk.now, 3, 1, 0, 1, 1)


def test_progress_is_told_in_bytes(desk):
    told: list[int] = []
    content = "user\n" + "".join(f"u{n}\n" for n in range(12_000))
    assert desk.take("users", content, progress=told.append).added == 12_000
    assert len(told) == 3
    assert sum(told) == len(content)


def test_rows_over_many_chunks_are_told_with_their_own_lines(desk):
    lines = [f"u{n},{n}" for n in range(11_000)]
    lines[5_555] = "u0,other"
    report = desk.take("users", "user,x\n" + "\n".join(lines), {"attributes": {"x": "x"}})
    assert desk.complaints(report) == [(5_557, "user", "contradicts")]


id_text = (
    st.text(string.ascii_letters + string.digits + " _-+=.@'汉字🙂０", min_size=1, max_size=20)
    .map(str.strip)
    .filter(bool)
)
free_text = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cf", "Zl", "Zp")), max_size=30).map(str.strip)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(people=st.dictionaries(id_text, free_text, min_size=1, max_size=8))
def test_ids_and_texts_come_back_exactly_as_they_were_written(desk, people: dict[str, str]):
    with desk.store.writing() as connection:
        for table in ("user_attributes", "changed_users", "users"):
            connection.exec_driver_sql(f"delete from {table}")
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([["user", "x"], *people.items()])
    report = desk.take("users", written.getvalue(), {"attributes": {"x": "x"}})
    assert report.added == len(people)
    assert {row[0] for row in desk.rows("select user_id from users")} == set(people)
    kept = dict(desk.rows("select u.user_id, a.value from users u join user_attributes a on a.user_id = u.id"))
    assert kept == {user: text for user, text in people.items() if text}
