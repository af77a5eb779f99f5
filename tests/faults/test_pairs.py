"""What if two meet at the same rows, on PostgreSQL? One is held open before its commit while the other goes on."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from journeys.words import Cause, Outcome
from recall.store.cases import gate_passes
from recall.store.connect import Connection
from recall.store.gate import Decision, Gate, decide, prepare
from recall.store.gate_pass import pass_gate
from recall.store.gate_rows import Page
from recall.store.ledger import Answer, settle
from recall.store.policies import live_policies
from recall.store.purse import Purse, open_purse
from recall.store.routes import Lane
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


def dear(policy: dict[str, Any]) -> None:
    policy["prices"]["prices"] = [{"channel": "sms", "amount": 10_000, "unit": "message"}]
    policy["budget_per_day"] = 1_000_000
    policy["caps"] = [{"sends": 8, "within": "12h"}]


def gate_of(connection: Connection, scene: Scene, version: Version) -> Gate:
    [gate_pass] = gate_passes(connection, version, version.program.message(0), mode=scene.setup.mode)
    return prepare(gate_pass.of, lock=True)


def send_one(scene: Scene, version: Version) -> list[str]:
    """Refs of what passed the gate, and was not called yet."""
    with scene.store.writing() as connection:
        gate = gate_of(connection, scene, version)
        passed = pass_gate(connection, gate, Page(scene.now), now=scene.now, lane=Lane("outbox", ""))
    return [call.ref for call in passed.calls]


def wait_until_somebody_waits(scene: Scene) -> None:
    """For a lock of PostgreSQL; bounded, so that a test of a gate that waits for nobody ends."""
    for _ in range(200):
        with scene.store.reading() as connection:
            if connection.execute(text("select count(*) from pg_locks where not granted")).scalar_one():
                return
        time.sleep(0.02)


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_whoever_settles_refusals_takes_money_last_as_the_gate_does(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gate holds a person and asks for money; the money's holder would have waited for that person."""
    first, second = (scene.publish(ONE, name=name, policy=dear) for name in ("first", "second"))
    for user in ("u1", "u2"):
        scene.add_user(user)
    scene.enrol(first, "u1", "u2")
    answers = [Answer(ref, Outcome.REFUSED, Cause.CONTENT) for ref in send_one(scene, first)]
    scene.enrol(second, "u2")

    def settle_all() -> int:
        with scene.store.writing() as connection:
            return settle(connection, answers, live_policies(connection), now=scene.now)

    with ThreadPoolExecutor(1) as pool:
        settled = []

        def meanwhile(*given: Any, lock: bool) -> Purse:
            if lock:
                settled.append(pool.submit(settle_all))
                wait_until_somebody_waits(scene)
            return open_purse(*given, lock=lock)

        monkeypatch.setattr("recall.store.gate.open_purse", meanwhile)
        assert len(send_one(scene, second)) == 1
        assert settled[0].result(30) == 2
