"""Do given rows lead the statements, so that their cost grows with them and not with the store?"""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, text

from recall.store.connect import Store
from recall.store.consents import NewConsent, record_consents
from recall.store.events import NewEvent, record_events
from recall.store.given import PLACE, give
from recall.store.history import PastSend, warm_contact_state
from recall.store.people import NewAddress, NewUser, upsert_users
from recall.store.suppressions import mark_unreachable, opt_in, opt_out_address, suppress_user

PHONE = "+8613800138000"


def test_given_rows_are_read_by_a_statement_with_their_types(store: Store):
    columns = {"n": "bigint", "word": "text", "yes": "boolean", "much": "double precision"}
    rows = [(1, "a'b", True, 1.5), (2**60, None, False, None)]
    with store.writing() as connection:
        given = give(connection, "try", columns, rows)
        read = given.run(connection, "select n, word, yes, much from {given} order by n").all()
        assert [(row[0], row[1], bool(row[2]), row[3]) for row in read] == rows
        assert give(connection, "try", columns, []).run(connection, "select n from {given}").all() == []


def test_rows_that_have_a_place_are_read_in_that_order(store: Store):
    rows = [(7, "first"), (8, "second"), (12, "third")]
    with store.writing() as connection:
        for words in (iter(rows), rows):  # a generator will do
            given = give(connection, "placed", {"n": PLACE, "word": "text"}, words)
            assert given.run(connection, "select n, word from {given} order by n").all() == rows


@pytest.fixture
def walks(sqlite_store: Store) -> list[str]:
    """Statements that walk through a whole table of ours."""
    found: list[str] = []

    @event.listens_for(sqlite_store.engine, "before_cursor_execute")
    def explain(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        if statement.split()[0].lower() not in ("select", "insert", "update", "delete"):
            return
        for *_rest, step in cursor.connection.execute(f"explain query plan {statement}", parameters).fetchall():
            # What foreign keys of an insert would look for is listed too, and not done unless a row was missing.
            into_parent = statement.startswith(("insert into addresses", "insert into zones"))
            mine = step.startswith("SCAN") and not step.startswith(
                ("SCAN given", "SCAN (", "SCAN added", "SCAN CONSTANT")
            )
            if mine and not into_parent:
                found.append(f"{statement} => {step}")

    return found


def test_no_statement_walks_a_whole_table(sqlite_store: Store, walks: list[str], now: int):
    store = sqlite_store
    ann = NewUser("ann", phone=NewAddress(PHONE), zones=("Asia/Shanghai",), attributes={"vip": "yes"})
    for phone in (PHONE, "+8613900139000"):
        upsert_users(store, [ann, NewUser("bob", phone=NewAddress(phone), attributes={"vip": ""})], now)
    for _ in range(2):
        record_events(store, [NewEvent("k", "ann", "visited", now), NewEvent("l", "nobody", "visited", now)], now)
        record_consents(store, [NewConsent("ann", "sms", "marketing", True, now)])
        warm_contact_state(store, [PastSend("ann", "sms", now), PastSend("bob", "call", now)])
    with store.writing() as connection:
        opt_out_address(connection, store, kind="phone", value=PHONE, at=now)
        opt_in(connection, store, kind="phone", value=PHONE, at=now)
        suppress_user(connection, store, user="ann", at=now)
        mark_unreachable(connection, [1], "bounced", at=now)
    assert walks == []


def test_the_check_above_sees_a_walk(sqlite_store: Store, walks: list[str]):
    with sqlite_store.reading() as connection:
        connection.execute(text("select * from events where at = 1")).all()
    assert len(walks) == 1
