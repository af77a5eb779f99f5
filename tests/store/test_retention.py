"""Is what was kept long enough forgotten, counted, and nothing else with it?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from journeys.words import ReceiptKind
from recall.clock import DAY, HOUR, SECOND
from recall.engine.converge import drain_receipts
from recall.engine.reconcile import reconcile
from recall.engine.retention import count_old, forget_old
from recall.store import schema
from recall.store.connect import write_fact
from recall.store.events import NewEvent, record_events
from recall.store.receipts import Receipt, record_receipts
from recall.store.retention import forget, rules
from tests.engine.conftest import Scene
from tests.engine.conftest import scene as scene

KEEPS = {"bodies": "10d", "links": "20d", "receipts": "20d", "events": "30d", "decisions": "20d", "rejects": "5d"}
STEPS = "  - {sms: come-back, link: https://example.com/back}"


def keep(**spans: str) -> Any:
    def change(content: dict[str, Any]) -> None:
        content["retention"] = spans

    return change


@pytest.fixture
def old(scene: Scene) -> Scene:
    """Somebody who got a message, clicked and was left alone for 60 days; their passage and its window are over."""
    version = scene.publish(STEPS, policy=keep(**KEEPS))
    scene.add_user("u1")
    scene.event("u1", "visited", page="first")
    scene.later(HOUR)
    scene.event("u1", "visited", page="second")
    scene.enrol(version, "u1")
    scene.run()
    [send] = scene.sends()
    with scene.store.writing() as connection:
        connection.execute(schema.links.insert().values(token="t" * 16, ref=send.ref, target="https://x", at=scene.now))
        said = [
            Receipt("vendor", f"e-{ref}", ref, ReceiptKind.DELIVERED, scene.now)
            for ref in (send.ref, "nobody knows it")
        ]
        record_receipts(connection, said, now=scene.now)
        row = {"enrolment_id": send.enrolment_id, "step_id": 0, "at": scene.now, "action": "defer", "reason": "capped"}
        connection.execute(schema.decisions.insert().values(**row))
    drain_receipts(scene.setup)
    scene.later(60 * DAY)
    return scene


def rows(scene: Scene, table: Any) -> int:
    with scene.store.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def prunings(scene: Scene) -> dict[str, tuple[int, int]]:
    with scene.store.reading() as connection:
        found = connection.execute(select(schema.prunings).order_by(schema.prunings.c.id))
        return {row.what: (row.rows, (scene.now - row.cutoff) // DAY) for row in found}


def rejects(scene: Scene) -> Path:
    return scene.setup.spool_dir.parent / "rejects"


def test_everything_older_than_the_policy_says_goes_and_is_counted(old: Scene) -> None:
    rejects(old).mkdir(parents=True)
    for name, days in (("old.csv", 6), ("young.csv", 4)):
        (rejects(old) / name).write_text("x")
        os.utime(rejects(old) / name, (old.now / SECOND - days * 86_400,) * 2)
    expected = {"bodies": 1, "links": 1, "decisions": 1, "events": 2, "receipts": 2, "rejects": 1}
    assert {**count_old(old.store, rejects(old), now=old.now)} == expected
    assert {**forget_old(old.store, rejects(old), now=old.now, who="ada")} == expected
    assert prunings(old) == {what: (n, int(KEEPS[what][:-1])) for what, n in expected.items()}
    [send] = old.sends()
    assert (send.body, send.link, send.state) == (None, None, "accepted")
    assert send.delivered_at is not None
    left = {t.name: rows(old, t) for t in (schema.links, schema.decisions, schema.receipts, schema.events)}
    assert left == {"links": 0, "decisions": 0, "receipts": 0, "events": 1}
    assert [path.name for path in rejects(old).iterdir()] == ["young.csv"]


def test_what_caps_consents_and_audiences_need_stays(old: Scene) -> None:
    kept = (schema.contact_state, schema.consents, schema.consent_state, schema.user_events, schema.suppressions)
    with old.store.reading() as connection:
        before = [connection.execute(select(table)).all() for table in kept]
    forget_old(old.store, rejects(old), now=old.now, who="ada")
    with old.store.reading() as connection:
        assert [connection.execute(select(table)).all() for table in kept] == before


def test_the_latest_event_of_a_name_keeps_its_row_and_loses_what_it_told(old: Scene) -> None:
    forget_old(old.store, rejects(old), now=old.now, who="ada")
    with old.store.reading() as connection:
        [event] = connection.execute(select(schema.events)).all()
        [latest] = connection.execute(select(schema.user_events)).all()
    assert (event.id, event.properties) == (latest.last_event_id, None)
    assert latest.times == 2


def test_an_old_file_read_again_brings_nothing_back_and_counts_nothing_twice(old: Scene) -> None:
    forget_old(old.store, rejects(old), now=old.now, who="ada")
    first = old.now - 60 * DAY - HOUR
    again = [NewEvent(f"u1:visited:{first}", "u1", "visited", first, {"page": "first"})]
    assert record_events(old.store, again, old.now).refused == {0: "too_old"}
    young = NewEvent("young", "u1", "visited", old.now - 29 * DAY)
    assert record_events(old.store, [young], old.now).added == 1
    with old.store.reading() as connection:
        assert connection.execute(select(schema.user_events.c.times)).scalar_one() == 3


@pytest.mark.parametrize("still", [{"goal_until": 2**60}, {"active": True, "ended_at": None}])
def test_nothing_of_an_open_passage_is_forgotten(old: Scene, still: dict[str, Any]) -> None:
    with old.store.writing() as connection:
        connection.execute(schema.enrolments.update().values(**still))
    found = forget_old(old.store, rejects(old), now=old.now, who="ada")
    assert {what: n for what, n in found.items() if n} == {"receipts": 1}  # the one of a message nobody knows


def test_a_message_in_doubt_keeps_its_text_as_evidence(old: Scene) -> None:
    with old.store.writing() as connection:
        connection.execute(schema.sends.update().values(state="in_doubt"))
    forget_old(old.store, rejects(old), now=old.now, who="ada")
    assert old.sends()[0].body is not None


def test_what_no_policy_limits_is_kept_for_good(old: Scene) -> None:
    old.publish(STEPS, policy=keep())
    assert forget_old(old.store, rejects(old), now=old.now + 9_000 * DAY, who="ada").total() == 0


def test_shared_rows_are_kept_as_long_as_the_longest_policy_says(old: Scene) -> None:
    with old.store.writing() as connection:
        other = connection.execute(select(schema.policies)).one()
        content = other.content.replace('"events":"30d"', '"events":"90d"')
        connection.execute(
            schema.policies.insert().values(name="other", hash="h", content=content, published_at=old.now)
        )
    assert forget_old(old.store, rejects(old), now=old.now, who="ada")["events"] == 0


def test_many_rows_are_forgotten_a_few_at_a_time(old: Scene) -> None:
    more = [NewEvent(f"k{n}", "u1", "visited", old.now - 50 * DAY + n) for n in range(25)]
    record_events(old.store, more, old.now)
    with old.store.reading() as connection:
        delete = [rule for rule in rules(connection, now=old.now) if rule.what == "events" and not rule.blanks]
    assert forget(old.store, delete[0], batch=4) == 26
    assert rows(old, schema.events) == 1


def test_the_reconciler_forgets_once_a_day_and_never_in_a_simulation(old: Scene) -> None:
    assert reconcile(old.setup).forgotten == 7
    assert reconcile(old.setup).forgotten == 0
    old.later(DAY)
    with old.store.writing() as connection:
        connection.execute(schema.sends.update().values(body="again"))
        write_fact(connection, "simulated", "true")
    assert reconcile(old.setup).forgotten == 0
    with old.store.writing() as connection:
        write_fact(connection, "simulated", "false")
    assert reconcile(old.setup).forgotten == 1


def test_the_next_pass_begins_behind_the_texts_that_are_gone(old: Scene) -> None:
    """Seen by putting a text back where nobody looks any more, as nothing of ours ever does."""
    passes = []
    for _ in range(3):
        old.later(DAY)
        passes.append(forget_old(old.store, rejects(old), now=old.now, who="ada")["bodies"])
        with old.store.writing() as connection:
            connection.execute(schema.sends.update().values(body="put back"))
    assert passes == [1, 1, 0]  # the second pass saw it empty of all that the first had known


def test_a_text_that_must_stay_keeps_the_next_pass_from_beginning_behind_it(old: Scene) -> None:
    with old.store.writing() as connection:
        connection.execute(schema.enrolments.update().values(goal_until=old.now + 3 * DAY))
    for forgotten in (0, 0, 1):
        old.later(DAY)
        assert forget_old(old.store, rejects(old), now=old.now, who="ada")["bodies"] == forgotten
