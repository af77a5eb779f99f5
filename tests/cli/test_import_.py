"""Can a person import files, see what became of them, and be told what to do?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from recall.store.connect import Store
from recall.store.suppressions import suppressions_known


def write(name: str, content: str) -> str:
    Path(name).write_text(content)
    return name


def count(store: Store, table: str) -> int:
    with store.reading() as connection:
        return connection.execute(text(f"select count(*) from {table}")).scalar_one()


def test_users_are_imported_and_what_was_rejected_is_shown(recall_on, store: Store):
    file = write("users.csv", "uid,mobile,vip\na,13800138000,yes\nb,12,no\n")
    options = ("--map", "user=uid", "--map", "phone=mobile", "--region", "cn", "--attribute", "*")
    answer = recall_on("import", "users", file, *options)
    assert answer.code == 1, "a person is needed"
    assert "2 rows read, 1 added, 0 changed, 0 known already, 1 rejected" in answer.out
    assert "phone_short_code" in answer.out
    assert "mend them and import that file" in answer.out
    assert "138" not in answer.out
    assert count(store, "users") == 1


def test_a_file_without_rejects_needs_nobody(recall, sqlite_store: Store):
    answer = recall("import", "users", write("users.csv", "user\na\n"), "--json")
    assert answer.code == 0
    assert {**answer.data, "seconds": 0} == {
        "kind": "users",
        "file": "users.csv",
        "source": "users",
        "read": 1,
        "added": 1,
        "changed": 0,
        "unchanged": 0,
        "rejected": 0,
        "reasons": {},
        "rejects_path": None,
        "blank_lines": 0,
        "ignored_columns": [],
        "encoding": "utf-8",
        "delimiter": ",",
        "seconds": 0,
        "users_created": 0,
    }


def test_events_are_imported_from_a_file_without_header(recall, sqlite_store: Store):
    file = write("cdnow.txt", " 00004 0001 19970101  2   29.33\n 00004 0001 19970101  2   29.33\n")
    answer = recall(
        *("import", "events", file, "--no-header", "--columns", "customer,user,at,cds,amount"),
        *("--delimiter", "whitespace", "--set", "name=purchased", "--property", "amount"),
        *("--zone", "America/New_York", "--create-users", "--default-zone", "America/New_York"),
    )
    assert answer.code == 0
    assert "2 rows read, 2 added" in answer.out
    assert "Users made: 1." in answer.out
    assert "Not read: customer, cds." in answer.out


def test_a_mapping_file_is_completed_by_the_command_line(recall, sqlite_store: Store):
    write("map.yaml", "map: {user: uid}\nset: {channel: sms, purpose: marketing}\nzone: Asia/Shanghai\n")
    recall("import", "users", write("users.csv", "user\na\n"))
    file = write("consents.csv", "uid,when\na,2026-01-01\n")
    more = ("--map", "at=when", "--set", "granted=true")
    answer = recall("import", "consents", file, "--mapping", "map.yaml", *more, "--json")
    assert (answer.code, answer.data["added"]) == (0, 1)


def test_suppressions_are_imported_or_declared_none(recall, sqlite_store: Store):
    assert recall("import", "suppressions", "--none").code == 0
    assert suppressions_known(sqlite_store)
    assert count(sqlite_store, "operator_actions") == 1
    file = write("stop.csv", "mobile\n13800138000\n")
    answer = recall("import", "suppressions", file, "--map", "phone=mobile", "--region", "CN", "--json")
    assert (answer.code, answer.data["added"]) == (0, 1)


def test_the_region_may_come_from_the_settings(recall, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECALL_DEFAULT_REGION", "CN")
    assert recall("import", "users", write("users.csv", "user,phone\na,13800138000\n")).code == 0


def test_past_sends_are_imported(recall, sqlite_store: Store):
    recall("import", "users", write("users.csv", "user\na\n"))
    file = write("sent.csv", "user,at\na,2026-01-01\n")
    answer = recall("import", "history", file, "--set", "channel=sms", "--zone", "Asia/Shanghai", "--json")
    assert (answer.code, answer.data["added"]) == (0, 1)
    assert count(sqlite_store, "contact_state") == 1


def test_the_source_may_be_told_how_fresh_it_is(recall, sqlite_store: Store):
    file = write("users.csv", "user\na\n")
    assert recall("import", "users", file, "--source", "crm", "--as-of", "2026-01-01T00:00Z").code == 0
    with sqlite_store.reading() as connection:
        assert connection.execute(text("select name, as_of from sources")).one() == ("crm", 1_767_225_600_000_000)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("suppressions",), "give a FILE, or --none"),
        (("suppressions", "users.csv", "--none"), "give a FILE, or --none"),
        (("users",), "Missing argument 'FILE'"),
        (("users", "missing.csv"), "does not exist"),
        (("users", "users.csv", "--map", "phone"), "write NAME=VALUE"),
        (("users", "users.csv", "--map", "phone=a", "--map", "phone=b"), "given twice"),
    ],
)
def test_misuse_is_told(recall, sqlite_store: Store, arguments: tuple[str, ...], message: str):
    write("users.csv", "user\na\n")
    answer = recall("import", *arguments)
    assert answer.code == 2
    assert message in answer.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--map", "phone=mobile"), "users.csv [mobile]: has no such column -> its columns are: user"),
        (("--map", "telephone=user"), "`telephone` is not a field here"),
        (("--zone", "Mars/Base"), "'Mars/Base' is not a time zone"),
        (("--region", "XX"), "'XX' is not a country with phones"),
        (("--delimiter", "z"), "'z' is not known here"),
        (("--encoding", "latin-1"), "latin-1 is not an encoding recall reads"),
        (("--as-of", "yesterday"), "'yesterday': write ISO 8601"),
        (("--mapping", "map.yaml"), "map.yaml:1 [mapp]: `mapp` is not a key here"),
    ],
)
def test_a_file_or_option_that_does_not_fit_is_told_with_what_to_write(
    recall, sqlite_store: Store, options: tuple[str, ...], message: str
):
    write("users.csv", "user\na\n")
    write("map.yaml", "mapp: {user: uid}\n")
    answer = recall("import", "users", "users.csv", *options)
    assert answer.code == 1
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert count(sqlite_store, "users") == 0


def test_a_failure_is_one_json_object_too(recall, sqlite_store: Store):
    answer = recall("import", "users", write("users.csv", ""), "--json")
    assert json.loads(answer.out) == {"error": "users.csv: is empty -> export it again"}


@pytest.mark.parametrize("kind", ["users", "events", "consents", "suppressions", "history"])
def test_every_import_shows_an_example(recall, kind: str):
    answer = recall("import", kind, "--help")
    assert answer.code == 0
    assert f"recall import {kind} " in answer.out
