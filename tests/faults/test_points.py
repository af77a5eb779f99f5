"""Whatever step a process dies at, and whichever statement fails: nobody twice, nobody lost, every doubt shown."""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from journeys.words import Outcome
from providers.outbox import Outbox
from recall.clock import MINUTE, FixedClock, SystemClock
from recall.engine import calling
from recall.engine.reconcile import reconcile
from recall.engine.run import run_journey
from recall.engine.setup import Setup
from recall.errors import RecallError
from recall.settings import Settings
from recall.store.connect import Store, open_engine
from tests.engine.conftest import Scene
from tests.engine.doubles import Scripted
from tests.faults.kills import Nursery
from tests.faults.points import DEAD, POINTS

pytestmark = pytest.mark.slow  # a process per point and store: with the long tests

SENDING = [point for point in POINTS if "reconciler" not in point]
TAKEN = {
    "after the request is kept", "before the record", "in the record, before its commit", "after the record's commit",
    "before the spool", "after the spool",
}  # fmt: skip


def around_the_clock(policy: dict[str, Any]) -> None:
    policy["windows"]["push"] = {day: ["00:00-24:00"] for day in ("workday", "weekend", "holiday")}


@pytest.mark.parametrize("point", SENDING)
def test_a_process_that_dies_there_sends_nothing_twice_and_loses_nothing(
    scene: Scene, settings: Settings, nursery: Nursery, point: str
) -> None:
    scene.clock = FixedClock(SystemClock().now())
    version = scene.publish("  - {push: come-back}", policy=around_the_clock)
    users = [f"u{n}" for n in range(5)]
    for user in users:
        scene.add_user(user)
    scene.enrol(version, *users)
    assert nursery.end(nursery.start(scene, settings, point)) == DEAD, "the process passed its point"
    assert bool(scene.accepted()) == (point in TAKEN)
    later = FixedClock(SystemClock().now() + 3 * MINUTE)
    scene.setup = replace(scene.setup, clock=later, providers={"outbox": Outbox(scene.outbox, clock=later)})
    done = reconcile(scene.setup)
    run_journey(scene.setup, version.name)
    taken = Counter(accepted.user for accepted in scene.accepted())
    states = Counter(send.state for send in scene.sends())
    assert max(taken.values(), default=0) <= 1
    assert {send.ref for send in scene.sends() if send.state == "accepted"} == {a.ref for a in scene.accepted()}
    assert states["calling"] == 0
    assert (done.open, len(scene.sends())) == (0, len(users)), "everybody has a message, or evidence that it never left"


# --- the n-th statement fails -----------------------------------------------------------------------------


class Failing:
    """Lets the n-th statement of a store fail, before or after it was executed."""

    def __init__(self, store: Store) -> None:
        self.left, self.fired = 0, False
        for when in ("before_cursor_execute", "commit"):
            event.listen(store.engine, when, self.count)

    def count(self, *_given: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.fired = True
            raise OperationalError("a statement", None, Exception("disk I/O error"))


@pytest.fixture
def small(settings: Settings, _migrated_file: Path, now: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two people due on an SMS, in a file that can be put back as it was."""
    monkeypatch.setattr(calling, "_SETTLE_WAITS_SECONDS", (0.0, 0.0))
    settings.var_dir.mkdir(exist_ok=True)
    path, kept = settings.var_dir / "recall.db", settings.var_dir / "kept.db"
    shutil.copy(_migrated_file, path)

    def scene() -> Scene:
        store, clock = Store(open_engine(f"sqlite:///{path}"), b"a key"), FixedClock(now)
        setup = Setup(store, {"outbox": Scripted()}, clock, settings.var_dir / "spool")
        return Scene(store, clock, setup, settings.var_dir / "outbox")

    first = scene()
    version = first.publish("  - {sms: come-back}", more="budget: {currency: CNY, per_day: '100'}")
    for user in ("u1", "u2"):
        first.add_user(user)
    first.enrol(version, "u1", "u2")
    first.store.close()
    shutil.copy(path, kept)

    def again() -> Scene:
        shutil.copy(kept, path)
        return scene()

    return again


def test_whichever_statement_of_a_run_fails_nobody_is_messaged_twice_or_lost(small: Any) -> None:
    for number in range(1, 400):
        scene = small()
        failing = Failing(scene.store)
        failing.left = number
        with suppress(RecallError):
            run_journey(scene.setup, "settled-30d")
        fired, failing.left = failing.fired, 0
        _recover(scene)
        provider = scene.setup.providers["outbox"]
        assert isinstance(provider, Scripted)
        calls = Counter(call.user for call in provider.calls)
        states = {send.state for send in scene.sends()}
        assert max(calls.values(), default=0) <= 1, f"statement {number}"
        assert states <= {"accepted", "not_sent"}, f"statement {number}"
        assert len(scene.sends()) == 2, f"statement {number}: everybody has a row that says what became of it"
        assert {send.ref for send in scene.sends() if send.state == "accepted"} == {c.ref for c in provider.calls}
        scene.store.close()
        if not fired:
            assert number > 20, "a run has more statements than that"
            return
    raise AssertionError("a run never got through")


def _recover(scene: Scene) -> None:
    provider = scene.setup.providers["outbox"]
    assert isinstance(provider, Scripted)
    for _ in range(3):
        scene.later(3 * MINUTE)
        taken = {call.ref for call in provider.calls}
        provider.known = {
            send.ref: Outcome.ACCEPTED if send.ref in taken else Outcome.NOT_SENT for send in scene.sends()
        }
        reconcile(scene.setup)
        run_journey(scene.setup, "settled-30d")
