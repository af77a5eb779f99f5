"""What the drawn worlds found, told as plainly as can be: each of these once broke an invariant."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from journeys.words import Outcome, ReceiptKind
from providers.base import InDoubt, SendResult
from recall.clock import DAY, FixedClock
from recall.engine import calling
from recall.engine.dispatch import Dispatcher
from recall.engine.reconcile import reconcile
from recall.engine.spool import read, replay, spool
from recall.errors import StoreBusy, Transient
from recall.store import schema
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
