"""What drawn worlds and enumerated crashes found, told as plainly as can be: each of these once broke an invariant."""

from __future__ import annotations

import errno
import sqlite3
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from journeys.words import NO_TURN, Outcome, ReceiptKind
from providers.base import InDoubt, SendResult
from recall.clock import DAY, FixedClock
from recall.engine import calling
from recall.engine.dispatch import Dispatcher
from recall.engine.guards import Marker
from recall.engine.reconcile import reconcile
from recall.engine.setup import Setup
from recall.engine.spool import read, replay, spool
from recall.engine.tripwire import Tripwire
from recall.errors import Misconfigured, StoreBusy, Transient
from recall.settings import Settings
from recall.store import bulk, schema
from recall.store.connect import Store
from recall.store.ledger import Answer, settle
from recall.store.receipts import Receipt, record_receipts
from recall.store.routes import reassign
from recall.store.suppressions import opt_out_address
from tests.engine.conftest import Scene
from tests.engine.doubles import Scripted, accept, lose, throttle

STEP = "  - {sms: come-back}"


def two_providers(policy: dict[str, Any]) -> None:
    policy["routes"]["sms"] |= {"providers": ["outbox", "second"], "failover_on": ["connect", "throttled"]}


def begin(scene: Scene, *users: str) -> tuple[Scripted, Scripted]:
    first, second = Scripted(), Scripted()
    second.name = "second"
    scene.setup = replace(scene.setup, providers={"outbox": first, "second": second})
    version = scene.publish(STEP, policy=two_providers)
    for user in users:
        scene.add_user(user)
    scene.enrol(version, *users)
    return first, second


def no_connection_for(user: str) -> Any:
    def answer(message: Any) -> SendResult:
        if message.user == user:
            return calling.SendResult(message.ref, Outcome.NOT_SENT, calling.Cause.CONNECT)
        return lose(message)

    return answer


def test_a_doubt_is_not_put_back_when_the_next_provider_is_down(scene: Scene) -> None:
    first, second = begin(scene, "u1", "u2")
    first.answer = no_connection_for("u2")
    second.down = Transient("no route")
    scene.run()
    first.answer = accept
    scene.later(3 * DAY // 24)
    scene.run()
    assert Counter(call.user for call in first.calls)["u1"] == 1, "it may have been taken; only evidence releases it"


def test_calls_of_a_throttled_message_are_counted_over_all_providers(scene: Scene) -> None:
    first, second = begin(scene, "u1")
    first.answer = second.answer = throttle
    for _ in range(12):
        scene.run()
        scene.later(DAY // 24)
    assert len(first.calls) + len(second.calls) <= 5
    assert scene.sends()[0].state == "not_sent"


def test_a_throttled_message_is_not_called_without_end_when_the_next_provider_cannot_be_reached(scene: Scene) -> None:
    first, second = begin(scene, "u1")
    first.answer = throttle
    second.answer = no_connection_for("u1")
    for _ in range(12):
        scene.run()
        scene.later(DAY // 24)
    assert len(first.calls) <= 5


def test_a_process_that_stood_still_on_its_way_to_the_call_does_not_call(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = begin(scene, "u1")
    run, began = Dispatcher.run, calling.elapsed_seconds()

    def stand_still(dispatcher: Dispatcher, work: Any) -> Any:
        monkeypatch.setattr(calling, "elapsed_seconds", lambda: began + 60)
        return run(dispatcher, work)

    monkeypatch.setattr(Dispatcher, "run", stand_still)
    scene.run()
    monkeypatch.undo()
    assert (first.calls, [send.state for send in scene.sends()]) == ([], ["not_sent"])
    scene.run()
    assert len(first.calls) == 1, "it was due again at once"


def test_the_next_provider_is_not_called_when_writing_it_down_took_too_long(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = begin(scene, "u1")
    first.answer = throttle

    def slowly(*given: Any, **named: Any) -> None:
        reassign(*given, **named)
        late = calling.elapsed_seconds() + 60
        monkeypatch.setattr(calling, "elapsed_seconds", lambda: late)

    monkeypatch.setattr(calling, "reassign", slowly)
    scene.run()
    assert (len(first.calls), len(second.calls)) == (1, 0)


class Slow(Scripted):
    """Its lookup is asked early and answers late."""

    def __init__(self, clock: FixedClock) -> None:
        super().__init__(lose)
        self.clock = clock

    async def reconcile(self, items: list[InDoubt]) -> list[SendResult]:
        self.clock.instant += DAY
        return [SendResult(item.ref, Outcome.NOT_SENT) for item in items]


def test_absence_counts_from_when_the_lookup_was_asked(scene: Scene) -> None:
    provider = Slow(scene.clock)
    scene.setup = replace(scene.setup, providers={"outbox": provider})
    version = scene.publish(STEP)
    scene.add_user("u1")
    scene.enrol(version, "u1")
    scene.run()
    reconcile(scene.setup)
    assert scene.sends()[0].state == "in_doubt", "a minute had not passed when the provider looked"


def test_an_answer_spooled_while_the_spool_is_replayed_is_kept(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = scene.setup.spool_dir
    spool(folder, [Answer("a" * 24, Outcome.ACCEPTED)])

    def meanwhile(*given: Any, **named: Any) -> int:
        spool(folder, [Answer("b" * 24, Outcome.ACCEPTED)])
        return settle(*given, **named)

    monkeypatch.setattr("recall.engine.spool.settle", meanwhile)
    replay(scene.store, folder, now=scene.now)
    assert [answer.ref for path in folder.iterdir() for answer in read(path)] == ["b" * 24]


def test_an_answer_in_the_spool_is_not_put_back(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is away while answers are recorded, and back when the rest of the chunk is put back."""

    class Half(Scripted):
        async def send(self, batch: Any) -> Any:
            self.calls.append(batch[0])
            yield accept(batch[0])
            raise Transient("and then the line broke")

    provider = Half()
    scene.setup = replace(scene.setup, providers={"outbox": provider})
    version = scene.publish(STEP)
    for user in ("u1", "u2"):
        scene.add_user(user)
    scene.enrol(version, "u1", "u2")

    def busy(*given: Any, **named: Any) -> int:
        raise StoreBusy("locked")

    monkeypatch.setattr(calling, "_SETTLE_WAITS_SECONDS", (0.0,))
    monkeypatch.setattr(calling, "settle", busy)
    scene.run()
    assert sorted(send.state for send in scene.sends()) == ["calling", "not_sent"]


def test_an_attempt_the_gate_held_back_does_not_act_on_the_outcome_before_it(scene: Scene) -> None:
    """The machine answered, the person said stop, and the passage went round for ever instead of ending."""
    call = "  - {call: come-back, attempts: {max: 2, gap: 2h, retry_when: [machine]}, outcome_within: 1d}"
    version = scene.publish(call + "\n  - {wait: 1d}\n  - {push: come-back}")
    scene.setup = replace(scene.setup, providers={"outbox": Scripted()})
    scene.add_user("u1")
    [enrolment] = scene.enrol(version, "u1")
    scene.run()
    with scene.store.writing() as connection:
        told = Receipt("outbox", "1", scene.sends()[0].ref, ReceiptKind.ANSWERED, scene.now, "machine")
        record_receipts(connection, [told], now=scene.now)
        phone = select(schema.users.c.phone_id).scalar_subquery()
        opt_out_address(connection, None, address_id=connection.execute(select(phone)).scalar_one(), at=scene.now)
    for _ in range(40):
        scene.later(DAY // 4)
        scene.run()
    assert scene.enrolment(enrolment).end_reason == "finished"


# --- what dying, or failing, at every moment of every script found ------------------------------------------------


class BrokenDriver:
    """The driver's connection, one of whose statements fails beneath SQLAlchemy, where hot writes are made."""

    def __init__(self, real: Any, word: str) -> None:
        self._real, self._word = real, word

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, statement: str, *given: Any) -> Any:
        if self._word in statement:
            raise sqlite3.OperationalError("database or disk is full")
        return self._real.execute(statement, *given)

    def executemany(self, statement: str, *given: Any) -> Any:
        if self._word in statement:
            raise sqlite3.OperationalError("database or disk is full")
        return self._real.executemany(statement, *given)


def test_answers_are_spooled_when_the_driver_beneath_sqlalchemy_fails(
    sqlite_store: Store, settings: Settings, now: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own errors went past every `except StoreBusy`, and answers that were there already became doubts."""
    clock = FixedClock(now)
    setup = Setup(sqlite_store, {"outbox": Scripted()}, clock, settings.var_dir / "spool")
    scene = Scene(sqlite_store, clock, setup, settings.var_dir / "outbox")
    scene.add_user("u1")
    scene.enrol(scene.publish(STEP), "u1")
    real = bulk.driver
    monkeypatch.setattr(calling, "_SETTLE_WAITS_SECONDS", (0.0,))
    monkeypatch.setattr(bulk, "driver", lambda connection: BrokenDriver(real(connection), "update sends"))
    scene.run()
    monkeypatch.undo()
    assert scene.sends()[0].state == "calling"
    assert reconcile(scene.setup).spooled == 1
    assert scene.sends()[0].state == "accepted"


def guarded(scene: Scene, folder: Path) -> tuple[Scripted, Tripwire]:
    """A provider that counts as real, with its tripwire and its mark."""
    provider = Scripted()
    provider.caps = replace(provider.caps, simulated=False)
    wire = Tripwire(folder / "tripwire.db", key=b"key", now=scene.clock.now, trip=lambda why: None)
    marker = Marker(scene.store, folder / "epoch.json")
    scene.setup = replace(scene.setup, providers={"outbox": provider}, dispatcher=Dispatcher(wire), marker=marker)
    scene.add_user("u1")
    scene.enrol(scene.publish(STEP), "u1")
    return provider, wire


def leave_no_room(wire: Tripwire, what: str, table: str) -> None:
    """No room for one more change of this kind."""
    wire._db.execute(
        f"create temp trigger full_{table} before {what} on main.{table} begin select raise(fail, 'full'); end"
    )


def test_a_tripwire_that_cannot_be_opened_is_told_in_words(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "tripwire.db").write_bytes(b"this is no database, though it is as long as the head of one" * 20)
    with pytest.raises(Misconfigured, match="cannot be opened"):
        guarded(scene, tmp_path)


def test_an_answer_is_recorded_though_the_tripwire_cannot_count_it(scene: Scene, tmp_path: Path) -> None:
    """Its file stood between the answer and the record: on a full disk every answer became a doubt."""
    provider, wire = guarded(scene, tmp_path)
    scene.add_user("u2")
    scene.enrol(scene.publish(STEP), "u2")
    no_turn = SendResult("", Outcome.NOT_SENT, calling.Cause.THROTTLED, code=NO_TURN)
    provider.answer = lambda each: accept(each) if each.user == "u1" else replace(no_turn, ref=each.ref)
    leave_no_room(wire, "update", "calls")  # what never left is taken off
    scene.run()
    assert {send.state for send in scene.sends()} == {"accepted", "not_sent"}


def test_who_cannot_be_counted_is_not_called_and_due_again(scene: Scene, tmp_path: Path) -> None:
    provider, wire = guarded(scene, tmp_path)
    leave_no_room(wire, "insert", "calls")
    assert "tripwire" in str(scene.run().failed)
    assert (provider.calls, scene.sends()[0].state) == ([], "not_sent")
    wire._db.execute("drop trigger full_calls")
    scene.run()
    assert [call.user for call in provider.calls] == ["u1"]


def test_who_passed_the_gate_is_due_again_when_the_mark_cannot_be_written(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody had been called, and yet each became a doubt."""
    provider, _ = guarded(scene, tmp_path)

    def full(*_given: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Marker, "_write", full)
        assert "outside the store" in str(scene.run().failed)
    assert (provider.calls, scene.sends()[0].state) == ([], "not_sent")
    scene.run()
    assert [call.user for call in provider.calls] == ["u1"]
