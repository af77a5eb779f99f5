"""Is the next chunk gated while one is called, and still nobody called twice, late, or out of turn?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from providers.base import Outbound, SendResult
from recall.clock import DAY
from recall.engine import caller, calling, send
from recall.engine.send import gate_chunk
from recall.errors import Transient
from tests.engine.conftest import Scene
from tests.engine.doubles import Scripted, accept, throttle

ONE = "  - {sms: come-back}"
PEOPLE = tuple(f"u{n}" for n in range(7))


class Recorder(Scripted):
    """Notes the order of what happens; `trouble` is raised by the call of that number."""

    def __init__(self, happened: list[str]) -> None:
        super().__init__()
        self.happened = happened
        self.trouble: dict[int, Exception] = {}
        self.batches = 0

    async def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        self.batches += 1
        number = self.batches
        self.happened.append(f"call {number}")
        if number in self.trouble:
            raise self.trouble[number]
        async for result in super().send(batch):
            yield result


@pytest.fixture
def happened() -> list[str]:
    return []


@pytest.fixture
def provider(scene: Scene, happened: list[str], monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Seven people due, two to a chunk; gates and calls are written down as they begin."""
    provider = Recorder(happened)
    scene.setup = replace(scene.setup, providers={"outbox": provider}, overlaps=True)
    monkeypatch.setattr(send, "MAX_CHUNK", 2)
    version = scene.publish(ONE)
    for user in PEOPLE:
        scene.add_user(user)
    scene.enrol(version, *PEOPLE)

    def gated(*given: Any, **named: Any) -> Any:
        happened.append("gate")
        return gate_chunk(*given, **named)

    monkeypatch.setattr(send, "gate_chunk", gated)
    return provider


def states(scene: Scene) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in scene.sends():
        found[row.state] = found.get(row.state, 0) + 1
    return found


def test_everybody_is_called_once_and_written_down(scene: Scene, provider: Recorder) -> None:
    scene.run()
    assert sorted(call.user for call in provider.calls) == sorted(PEOPLE)
    assert states(scene) == {"accepted": 7}


def test_nothing_is_gated_ahead_of_a_provider_whose_speed_nobody_knows(
    scene: Scene, provider: Recorder, happened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller, "_QUICK_SECONDS", -1.0)
    scene.run()
    assert happened == ["gate", "call 1", "gate", "call 2", "gate", "call 3", "gate", "call 4"]


def test_what_waits_behind_a_failed_call_is_due_again_and_was_not_called(scene: Scene, provider: Recorder) -> None:
    provider.trouble[2] = Transient("no route")
    result = scene.run()
    assert "come-back" not in str(result.failed) and result.failed
    assert sorted(call.user for call in provider.calls) == ["u0", "u1"]
    assert states(scene)["accepted"] == 2
    assert set(states(scene)) <= {"accepted", "not_sent"}, "nothing may be left as if it had been called"
    assert {row.attempt for row in scene.sends() if row.state == "not_sent"} == {0}, "no attempt was spent"
    scene.later(DAY // 24)
    scene.run()
    assert sorted(call.user for call in provider.calls) == sorted(PEOPLE)


def test_what_waits_behind_a_throttled_call_is_asked_again_later(
    scene: Scene, provider: Recorder, happened: list[str]
) -> None:
    provider.answer = lambda message: throttle(message) if provider.batches == 2 else accept(message)
    scene.run()
    throttled = {row.user_id for row in scene.sends() if row.cause == "throttled"}
    assert len(throttled) == 2
    assert states(scene)["accepted"] == 5, "the others were called, each after a gate of its own"
    assert (happened.count("gate"), provider.batches) == (5, 4), "what waited went back, and through the gate again"


def test_a_chunk_that_waited_too_long_is_not_called(
    scene: Scene, provider: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its turn came more than five seconds after its gate: the decision may not be true any more."""
    real = calling.elapsed_seconds
    monkeypatch.setattr(calling, "elapsed_seconds", lambda: real() + (60 if provider.batches >= 2 else 0))
    result = scene.run()
    assert result.failed and len(provider.calls) == 4
    assert set(states(scene)) == {"accepted", "not_sent"}


def test_two_gates_at_once_let_everybody_through_once(scene: Scene, provider: Recorder) -> None:
    scene.setup = replace(scene.setup, gates=2)
    result = scene.run()
    assert sorted(call.user for call in provider.calls) == sorted(PEOPLE)
    assert states(scene) == {"accepted": 7}
    assert result.steps["sms-1"] == {"accepted": 7}


def test_a_batch_fails_when_one_of_its_gates_does(scene: Scene, provider: Recorder) -> None:
    provider.trouble = {1: Transient("no route"), 2: Transient("no route")}
    scene.setup = replace(scene.setup, gates=2)
    assert scene.run().failed
    assert set(states(scene)) <= {"accepted", "not_sent"}


def test_answers_that_could_not_be_kept_are_told_even_when_the_last_call_fails(
    scene: Scene, provider: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider's trouble is tried again later; a full disk must not hide behind it."""

    def keep(*_given: Any, **_named: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(caller, "keep_answers", keep)
    provider.trouble[4] = Transient("no route")
    with pytest.raises(OSError, match="No space left"):
        scene.run()
