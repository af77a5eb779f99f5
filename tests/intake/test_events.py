"""Is every event of a file taken once, whatever the file is like?"""

from __future__ import annotations

import pytest

from recall.clock import DAY
from recall.errors import BadFile
from recall.store.suppressions import suppress_user

ZONE = {"zone": "Asia/Shanghai"}
ROWS = """\
user,name,at,amount
a,bought,2026-01-02,1.10
a,bought,2026-01-02,1.10
a,bought,2026-01-02,1.1
b,seen,2026-01-03,
"""
MAPPING = {**ZONE, "properties": {"amount": "amount"}, "create_users": True, "default_zone": "Asia/Shanghai"}


def test_equal_rows_are_each_kept_and_importing_twice_adds_nothing(both):
    first = both.take("events", ROWS, MAPPING)
    assert (first.read, first.added, first.users_created) == (4, 4, 2)
    again = both.take("events", ROWS, MAPPING, now=both.now + DAY)
    assert (again.added, again.unchanged, again.users_created) == (0, 4, 0)
    assert both.rows("select properties from events order by id") == [
        ('{"amount":"1.10"}',),
        ('{"amount":"1.10"}',),
        ('{"amount":"1.1"}',),
        (None,),
    ]


def test_a_file_that_grew_adds_only_what_is_new(desk):
    desk.take("events", ROWS, MAPPING)
    report = desk.take("events", ROWS + "a,bought,2026-01-02,1.10\n", MAPPING)
    assert (report.added, report.unchanged) == (1, 4)


def test_the_order_of_a_file_does_not_matter(desk):
    desk.take("events", ROWS, MAPPING)
    header, *lines = ROWS.splitlines()
    assert desk.take("events", "\n".join([header, *reversed(lines)]), MAPPING).added == 0


def test_equal_rows_spread_over_two_files_need_an_id(desk):
    """The limit of what can be known without an id, stated in the help."""
    header, first, second, *_ = ROWS.splitlines()
    desk.take("events", f"{header}\n{first}\n", MAPPING)
    assert desk.take("events", f"{header}\n{second}\n", MAPPING).added == 0
    with_id = {**MAPPING, "set": {"id": "x"}}
    assert desk.take("events", f"{header}\n{second}\n", with_id).added == 1


def test_an_id_is_unique_within_its_source(desk):
    rows = "user,name,at,id\na,seen,2026-01-02,0017\n"
    desk.take("events", rows, {**MAPPING, "properties": {}, "source": "shop"})
    report = desk.take("events", rows, {**MAPPING, "properties": {}, "source": "bank"})
    assert report.added == 1
    assert desk.rows("select key from events order by id") == [("shop:0017",), ("bank:0017",)]


def test_values_are_kept_as_text(desk):
    odd = {"a": "0138", "b": "+86", "c": "NA", "d": "TRUE", "e": "1e5", "f": "1,234.56", "g": "12345678901234567890.10"}
    header, row = ",".join(odd), ",".join(f'"{value}"' for value in odd.values())
    mapping = {**MAPPING, "properties": {"*": "*"}, "set": {"user": "a", "name": "seen", "at": "2026-01-02"}}
    desk.take("events", f"{header}\n{row}\n", mapping)
    [(kept,)] = desk.rows("select properties from events")
    assert all(f'"{name}":"{value}"' in kept for name, value in odd.items())


def test_users_that_are_not_known_are_told_unless_they_may_be_made(desk):
    report = desk.take("events", ROWS, {**MAPPING, "create_users": False})
    assert desk.complaints(report) == [(n, "user", "unknown_user") for n in (2, 3, 4, 5)]
    made = desk.take("events", ROWS, MAPPING)
    assert made.users_created == 2
    assert desk.rows("select distinct z.names from users u join zones z on z.id = u.zone_id") == [("Asia/Shanghai",)]


def test_making_users_changes_nobody_who_is_known(desk):
    desk.take("users", "user,zone\na,Asia/Tokyo\n")
    desk.take("events", ROWS, MAPPING)
    zones = desk.rows("select u.user_id, z.names from users u join zones z on z.id = u.zone_id order by 1")
    assert zones == [("a", "Asia/Tokyo"), ("b", "Asia/Shanghai")]


def test_a_source_tells_up_to_its_newest_event_or_what_is_said(desk):
    desk.take("events", ROWS, MAPPING)
    newest = 1_767_369_600_000_000  # 2026-01-03 in Shanghai
    assert desk.rows("select as_of from sources") == [(newest,)]
    desk.take("events", ROWS, MAPPING, as_of=desk.now - 5)
    assert desk.rows("select as_of from sources") == [(desk.now - 5,)]
    desk.take("events", "user,name,at\na,seen,2026-03-02T10:30\n", MAPPING | {"properties": {}})
    assert desk.rows("select as_of from sources") == [(desk.now,)], "not fresher than now, although clocks differ"


def test_events_reach_the_summary_and_converge(desk):
    desk.take("events", ROWS, MAPPING)
    assert desk.rows("select name, times from user_events order by 1") == [("bought", 3), ("seen", 1)]
    assert desk.rows("select count(*) from changed_users") == [(2,)]


def test_a_header_without_rows_is_no_error(desk):
    report = desk.take("events", "user,name,at\n", ZONE)
    assert (report.read, report.rejected) == (0, 0)
    assert desk.rows("select * from sources") == []


def test_what_was_written_before_the_file_changed_is_not_written_twice(desk):
    path = desk.file(ROWS + "".join(f"u{n},seen,2026-01-02,\n" for n in range(6_000)))

    def grow(_: int) -> None:
        with path.open("a") as file:
            file.write("late,seen,2026-01-02,\n")

    with pytest.raises(BadFile, match="changes while it is read"):
        desk.take("events", path, MAPPING, progress=grow)
    assert desk.rows("select count(*) from imports") == [(0,)]
    report = desk.take("events", path, MAPPING)
    assert (report.added, report.unchanged) == (6_005 - 5_000, 5_000)


def test_who_was_erased_is_not_made_a_user_again(desk):
    with desk.store.writing() as connection:
        suppress_user(connection, desk.store, user="a", reason="erased", at=desk.now)
    report = desk.take("events", ROWS, MAPPING)
    assert desk.complaints(report) == [(n, "user", "erased_user") for n in (2, 3, 4)]
    assert desk.rows("select user_id from users") == [("b",)]
