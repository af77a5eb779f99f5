"""Does nothing that runs each minute read the whole ledger?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from recall.clock import DAY, Instant
from recall.store.connect import Connection, Store
from recall.store.counts import doubts_by_journey
from recall.store.health import journey_health, sender_health
from recall.store.ledger import open_doubts, stale_calls
from recall.store.worklist import expire_tasks

EACH_MINUTE: dict[str, Callable[[Connection, Instant], Any]] = {
    "dead calls": lambda connection, now: stale_calls(connection, before=now),
    "doubts": lambda connection, _: open_doubts(connection),
    "doubts by journey": lambda connection, _: doubts_by_journey(connection),
    "guardrails": lambda connection, now: journey_health(connection, 1, since=now - DAY),
    "senders": lambda connection, now: sender_health(connection, "sms", since=now - DAY),
}
EACH_MINUTE["tasks"] = lambda connection, now: expire_tasks(connection, now=now)
INDEX = {"guardrails": "sends_by_time", "senders": "sends_by_time", "tasks": "sends_tasks"}  # else sends_open
# Foreign keys are left out, statistics told; all of it is rolled back.
_A_LONG_LEDGER = """
set local session_replication_role = replica;
insert into sends (ref, enrolment_id, journey_id, version_id, step_id, channel, user_id, address_id, state, provider,
                   gate_at, body_hash, policy_hash, due_at, first_due_at)
select n, n, 1, 1, 0, 'sms', n, 0, 'accepted', 'outbox', {now} - (20000 - n) * ({day} / 100), '', '', 0, 0
from generate_series(1, 20000) as n;
analyze sends
"""


@contextmanager
def plans(connection: Connection) -> Iterator[list[str]]:
    """How the store means to answer each SELECT inside."""
    found: list[str] = []
    explain = "explain query plan " if connection.dialect.name == "sqlite" else "explain "

    def look(_c: Any, cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        if statement.startswith("SELECT"):
            found.append("\n".join(str(row[-1]) for row in cursor.execute(explain + statement, parameters).fetchall()))

    event.listen(connection.engine, "before_cursor_execute", look)
    try:
        yield found
    finally:
        event.remove(connection.engine, "before_cursor_execute", look)


@pytest.mark.parametrize("what", EACH_MINUTE)
def test_only_open_or_recent_sends_are_read(store: Store, now: Instant, what: str) -> None:
    with store.reading() as connection:
        if connection.dialect.name == "postgresql":
            for statement in _A_LONG_LEDGER.format(now=now, day=DAY).split(";"):
                connection.exec_driver_sql(statement)
        with plans(connection) as found:
            EACH_MINUTE[what](connection, now)
    assert found
    for plan in found:
        assert INDEX.get(what, "sends_open") in plan, plan
        assert "Seq Scan on sends" not in plan
        assert "SCAN sends\n" not in f"{plan}\n"
