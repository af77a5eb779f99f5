"""What if two gates meet? One is held open before its commit while the other decides, on PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest

from recall.store.cases import gate_passes
from recall.store.connect import Connection
from recall.store.gate import Decision, decide, prepare
from recall.store.gate_rows import Page
from recall.store.versions import Version
from tests.engine.conftest import Scene

ONE = "  - {sms: come-back}"


def once_a_week(policy: dict[str, Any]) -> None:
    policy["caps"] = [{"sends": 1, "within": "7d"}]


def ask(scene: Scene, connection: Connection, version: Version) -> list[Decision]:
    """What the gate of one journey says, with its locks taken."""
    [gate_pass] = gate_passes(connection, version, version.program.message(0), mode=scene.setup.mode)
    chunk = decide(connection, prepare(gate_pass.of, lock=True), Page(scene.now), now=scene.now, lock=True)
    return chunk.decisions


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
@pytest.mark.parametrize("other", ["u1", "u2"], ids=["of one person", "of one phone"])
def test_two_gates_at_once_share_one_cap_slot(scene: Scene, other: str) -> None:
    """Two journeys for one person, or for two who share a phone: whoever comes second leaves the row alone."""
    for user in ("u1", "u2"):
        scene.add_user(user, phone="+8613800000001")
    first, second = (scene.publish(ONE, name=name, policy=once_a_week) for name in ("first", "second"))
    scene.enrol(first, "u1")
    scene.enrol(second, other)
    with scene.store.writing() as one, scene.store.writing() as two:
        assert [decision.goes for decision in ask(scene, one, first)] == [True]
        assert ask(scene, two, second) == []
    with scene.store.writing() as later:
        assert [decision.goes for decision in ask(scene, later, second)] == [True], "the lock was all that held it"
