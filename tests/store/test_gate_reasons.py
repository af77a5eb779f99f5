"""Does the gate itself see what nobody acted on before it?"""

from __future__ import annotations

from recall.store import schema
from recall.store.suppressions import suppress_address, suppress_user
from tests.engine.conftest import Scene
from tests.engine.conftest import scene as scene


def test_a_suppression_nobody_has_acted_on_is_seen_by_the_gate(scene: Scene) -> None:
    """Of a person, and of a phone; nothing told the run before it that anything changed."""
    scene.add_user("u1")
    scene.add_user("u2")
    ids = scene.enrol(scene.publish("  - {sms: come-back}"), "u1", "u2")
    with scene.store.writing() as connection:
        suppress_user(connection, scene.store, user="u1", at=scene.now)
        suppress_address(connection, None, address_id=scene.row("u2").phone_id, at=scene.now)
        connection.execute(schema.changed_users.delete())
    scene.run()
    assert scene.sent() == []
    assert [scene.enrolment(each).end_reason for each in ids] == ["suppressed", "suppressed"]
