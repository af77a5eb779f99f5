"""Do switches hold, and does the audit know who turned them?"""

from __future__ import annotations

from sqlalchemy import select

from recall.clock import SECOND, Instant
from recall.store import schema
from recall.store.connect import Store
from recall.store.controls import ControlKind, Controls, clear_control, list_controls, read_controls, set_control


def test_a_new_store_has_every_switch_off(store: Store):
    with store.reading() as connection:
        assert read_controls(connection) == Controls()


def test_each_kind_of_switch_is_read_back_where_the_gate_looks_for_it(store: Store, now: Instant):
    subjects = {
        ControlKind.KILL_SWITCH: "",
        ControlKind.PAUSED: "settled-30d",
        ControlKind.STOPPED_STEP: "settled-30d/sms-2",
        ControlKind.STOPPED_TEMPLATE: "come-back",
        ControlKind.APPROVED: "a1b2",
    }
    with store.writing() as connection:
        for kind, subject in subjects.items():
            assert set_control(connection, kind, subject, who="lin", why="storm", at=now)
    with store.reading() as connection:
        assert read_controls(connection) == Controls(
            kill_switch="storm",
            paused=frozenset({"settled-30d"}),
            stopped_steps=frozenset({"settled-30d/sms-2"}),
            stopped_templates=frozenset({"come-back"}),
            approved=frozenset({"a1b2"}),
        )


def test_a_switch_that_is_on_keeps_its_first_reason(store: Store, now: Instant):
    with store.writing() as connection:
        assert set_control(connection, ControlKind.KILL_SWITCH, "", who="lin", why="storm", at=now)
        assert not set_control(connection, ControlKind.KILL_SWITCH, "", who="wu", why="me too", at=now + SECOND)
    with store.reading() as connection:
        (control,) = list_controls(connection)
    assert (control.who, control.why, control.at) == ("lin", "storm", now)


def test_resuming_one_journey_leaves_the_other_paused(store: Store, now: Instant):
    with store.writing() as connection:
        for journey in ("settled-30d", "granted-7d"):
            set_control(connection, ControlKind.PAUSED, journey, who="lin", why="", at=now)
        assert clear_control(connection, ControlKind.PAUSED, "settled-30d", who="lin", why="", at=now)
        assert not clear_control(connection, ControlKind.PAUSED, "settled-30d", who="lin", why="", at=now)
        assert read_controls(connection).paused == {"granted-7d"}


def test_who_switched_what_is_kept_for_the_audit(store: Store, now: Instant):
    with store.writing() as connection:
        set_control(connection, ControlKind.PAUSED, "settled-30d", who="lin", why="wrong copy", at=now)
        clear_control(connection, ControlKind.PAUSED, "settled-30d", who="wu", why="copy fixed", at=now + SECOND)
        actions = connection.execute(select(schema.operator_actions).order_by(schema.operator_actions.c.id)).all()
    assert [tuple(row)[1:] for row in actions] == [
        (now, "lin", "pause", "settled-30d", "wrong copy"),
        (now + SECOND, "wu", "resume", "settled-30d", "copy fixed"),
    ]
