"""Can a person stop and allow sending, and see who did?"""

from __future__ import annotations

from sqlalchemy import select, text

from recall.clock import Instant
from recall.store import schema
from recall.store.connect import Store
from recall.store.controls import read_controls


def _controls(store: Store):
    with store.reading() as connection:
        return read_controls(connection)


def _audit(store: Store) -> list[tuple[str, str, str]]:
    with store.reading() as connection:
        rows = connection.execute(text("select verb, subject, why from operator_actions order by id"))
        return [tuple(row) for row in rows]


def _publish(store: Store, journey: str) -> None:
    with store.writing() as connection:
        connection.execute(schema.journeys.insert().values(name=journey))


def test_the_kill_switch_stops_everything_until_it_is_off(recall_on, store: Store):
    assert recall_on("kill-switch", "on", "--why", "storm").code == 0
    assert _controls(store).kill_switch == "storm"
    assert recall_on("kill-switch", "--json").data["controls"][0]["why"] == "storm"
    assert recall_on("kill-switch", "off").code == 0
    assert _controls(store).kill_switch is None
    assert [row[0] for row in _audit(store)] == ["kill-switch on", "kill-switch off"]


def test_nothing_is_switched_off_in_a_new_store(recall, sqlite_store: Store):
    assert recall("kill-switch").out == "Nothing is switched off.\n"


def test_the_kill_switch_wants_a_reason(recall, sqlite_store: Store):
    answer = recall("kill-switch", "on")
    assert answer.code == 2
    assert "say why" in answer.err
    assert _controls(sqlite_store).kill_switch is None


def test_a_journey_is_paused_and_goes_on(recall_on, store: Store):
    _publish(store, "settled-30d")
    assert recall_on("pause", "settled-30d", "--json").data == {
        "journey": "settled-30d",
        "paused": True,
        "changed": True,
    }
    assert _controls(store).paused == {"settled-30d"}
    assert recall_on("resume", "settled-30d", "--json").data["changed"] is True
    assert _controls(store).paused == frozenset()
    assert "was not paused" in recall_on("resume", "settled-30d").out


def test_a_misspelt_journey_is_not_paused_in_silence(recall, sqlite_store: Store):
    _publish(sqlite_store, "settled-30d")
    answer = recall("pause", "setled-30d")
    assert answer.code == 1
    assert "no journey 'setled-30d' was published; there are: settled-30d" in answer.err
    assert _audit(sqlite_store) == []


def test_a_suppressed_user_is_known_to_the_store_and_hidden_in_the_audit(recall_on, store: Store, now: Instant):
    with store.writing() as connection:
        zone = connection.execute(schema.zones.insert().values(names="UTC").returning(schema.zones.c.id)).scalar_one()
        connection.execute(schema.users.insert().values(user_id="u-1001", zone_id=zone, created_at=now))
    assert recall_on("suppress", "u-1001", "--why", "asked on the phone", "--json").data["changed"] is True
    assert _suppressed(store) is True
    assert recall_on("unsuppress", "u-1001", "--why", "by mistake", "--json").data["changed"] is True
    assert _suppressed(store) is False
    hashed = store.hash_address("user", "u-1001")
    assert _audit(store) == [("suppress", hashed, "asked on the phone"), ("unsuppress", hashed, "by mistake")]


def test_taking_a_suppression_back_wants_a_reason(recall):
    assert recall("unsuppress", "u-1001").code == 2


def _suppressed(store: Store) -> bool:
    with store.reading() as connection:
        return connection.execute(select(schema.users.c.suppressed)).scalar_one()
