"""Is nobody to be found in any table, or in the file itself, once they are erased?"""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import inspect

from journeys.words import AddressKind, Channel, ReceiptKind
from recall.clock import HOUR, MINUTE
from recall.store import erasure, schema
from recall.store.connect import Store
from recall.store.inbound import Inbound, Meaning, take_inbound
from recall.store.receipts import Receipt, record_receipts
from tests.cli.birds import BIRD, NOW, PERSONAL, PHONE, TOKEN, WHERE, WORDING, at, begin, bring_in, hits
from tests.cli.conftest import Recall

REPLY = "canary-reply: call me tomorrow"
ALL = (*PERSONAL, BIRD, REPLY, "canary-answer", "canary-link")


def everywhere(store: Store) -> dict[str, str]:
    """Every column of every table there is, also of those we no longer know."""
    found = {}
    with store.reading() as connection:
        for table in inspect(connection).get_table_names():
            rows = connection.exec_driver_sql(f'select * from "{table}"').mappings().all()
            for name in rows[0] if rows else ():
                found[f"{table}.{name}"] = repr([row[name] for row in rows])
    return found


@pytest.fixture
def known(recall_on: Recall, store: Store) -> Recall:
    """Somebody who was imported, messaged, answered, complained, and got a task; most of it twice."""
    begin(recall_on, store)
    bring_in(recall_on)
    at(store, NOW + HOUR)
    assert recall_on("run", "--enrol").code == 0
    with store.writing() as connection:
        send = connection.execute(schema.sends.select()).one()
        record_receipts(connection, [Receipt("v", "e1", send.ref, ReceiptKind.DELIVERED, NOW + HOUR)], now=NOW + HOUR)
        reply = Inbound("v", "e2", NOW, Channel.SMS, AddressKind.PHONE, PHONE, Meaning.REVIEW, REPLY)
        take_inbound(connection, store, [reply], now=NOW)
        link = {"token": "t", "ref": send.ref, "target": "https://x/canary-link", "at": NOW}
        connection.execute(schema.links.insert().values(**link))
    recall_on("reconcile")
    return recall_on


def test_they_stand_in_the_store_before(known: Recall, store: Store) -> None:
    found = "".join(everywhere(store).values())
    wanted = (PHONE, TOKEN, WHERE, WORDING, BIRD, REPLY, "canary-link", "Canary Bird", "canary.bird@example.com")
    assert [value for value in wanted if value not in found] == []


def test_no_column_of_any_table_tells_of_them(known: Recall, store: Store) -> None:
    at(store, NOW + HOUR + MINUTE)
    assert known("erase", BIRD, "--why", "asked", "--yes").code == 0
    assert hits(everywhere(store), ALL) == []
    with store.reading() as connection:
        kept = {row.hash for row in connection.execute(schema.suppressions.select()) if row.reason == "erased"}
    who = {("user", BIRD), ("phone", PHONE), ("email", "canary.bird@example.com"), ("push", TOKEN)}
    assert kept == {store.hash_address(*each) for each in who}, "a hash of each is all that is left"


def test_the_file_itself_holds_nothing_of_them(known: Recall, store: Store) -> None:
    if store.is_postgresql:
        pytest.skip("PostgreSQL overwrites dead rows when it vacuums (docs/reliability.md)")
    assert inside_the_file()
    assert known("erase", BIRD, "--why", "asked", "--yes").code == 0
    assert inside_the_file() == []


def inside_the_file() -> list[str]:
    files = [path for end in ("", "-wal") if (path := Path(f"var/recall.db{end}")).exists()]
    return [f"{path}: {value}" for path in files for value in ALL if value.encode() in path.read_bytes()]


def test_a_second_try_empties_the_log_of_a_first_that_died_before_it_could(
    known: Recall, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    if store.is_postgresql:
        pytest.skip("SQLite's log; PostgreSQL overwrites dead rows when it vacuums (docs/reliability.md)")
    with store.reading(), monkeypatch.context() as patch:  # who reads keeps the log from being emptied by a close
        patch.setattr(erasure, "empty_log", lambda store: None)
        assert known("erase", BIRD, "--why", "asked", "--yes").code == 0
    assert inside_the_file()
    assert known("erase", BIRD, "--why", "asked", "--yes").code == 1, "nobody is called so any more"
    assert inside_the_file() == []


def test_what_is_told_of_them_later_brings_nobody_back(known: Recall, store: Store) -> None:
    assert known("erase", BIRD, "--why", "asked", "--yes").code == 0
    told = bring_in(known)
    assert "erased_user" in told["import users users.csv --attribute * --region CN"].out
    assert known("run", "--enrol").code == 0
    assert hits(everywhere(store), ALL) == []
