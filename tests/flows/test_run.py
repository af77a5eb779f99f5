"""Does a run send what is due, name what failed, and tell nobody's phone to Prefect?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey

import flows.step
from flows.run import run_journey
from journeys.words import Channel
from providers.base import Outbound, SendResult
from providers.faults import Fail, Fault, switch_fault
from providers.outbox import Outbox
from recall.clock import DAY
from recall.errors import Misconfigured, Transient
from recall.store.controls import ControlKind, set_control
from tasks.setup import use
from tests.engine.conftest import Scene

pytestmark = pytest.mark.prefect


class WithoutPush(Outbox):
    """An outbox whose push gateway is away."""

    asked = 0  # how often it was called

    async def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        self.asked += 1
        if any(message.channel is Channel.PUSH for message in batch):
            raise Transient("the push gateway is away")
        async for result in super().send(batch):
            yield result


def run(journey: str = "settled-30d", **given: Any) -> Any:
    return asyncio.run(run_journey(journey, return_state=True, **given))


async def artifact(key: str) -> Any:
    async with get_client() as client:
        of_key = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=[key]))
        found = await client.read_latest_artifacts(artifact_filter=of_key)
    return found[0].data if found else None


def test_a_run_sends_what_is_due_and_shows_it(prefect_server: None, scene: Scene):
    version = scene.publish()
    for n in range(3):
        scene.add_user(f"u{n}")
    scene.enrol(version, "u0", "u1", "u2")
    state = run()
    assert (state.name, state.message) == ("Completed", "push-1: accepted 3")
    assert sorted(scene.sent()) == [("u0", "push"), ("u1", "push"), ("u2", "push")]
    assert "accepted 3" in asyncio.run(artifact("recall-settled-30d-summary"))
    assert "push-1 [push]" in asyncio.run(artifact("recall-settled-30d-funnel"))
    assert asyncio.run(artifact("recall-settled-30d-progress")) == 100.0


def test_an_idle_run_says_so_and_shows_nothing(prefect_server: None, scene: Scene):
    scene.publish(name="nobody-here")
    state = run("nobody-here")
    assert (state.type.value, state.name) == ("COMPLETED", "Idle")
    assert asyncio.run(artifact("recall-nobody-here-summary")) is None


def test_an_outage_ends_the_run_red_and_names_the_step(prefect_server: None, scene: Scene):
    version = scene.publish()
    scene.add_user("u1")
    scene.enrol(version, "u1")
    switch_fault(scene.outbox, Fault(fail=Fail.CONNECT))
    state = run()
    assert state.type.value == "FAILED"
    assert "push-1 failed" in state.message
    assert "outbox cannot be reached" in state.message
    switch_fault(scene.outbox, None)
    assert run().message == "push-1: accepted 1"
    assert scene.sent() == [("u1", "push")]


def test_one_failed_step_does_not_stop_the_others(prefect_server: None, scene: Scene):
    version = scene.publish()
    for user in ("u1", "u2"):
        scene.add_user(user)
    scene.enrol(version, "u1")
    sms = next(node.id for node in version.program.nodes if node.name == "sms-2")
    scene.enrol(version, "u2", step_id=sms)
    use(replace(scene.setup, providers={"outbox": WithoutPush(scene.outbox, clock=scene.clock)}))
    state = run()
    assert state.type.value == "FAILED"
    assert "push-1 failed" in state.message
    assert scene.sent() == [("u2", "sms")]


def test_a_user_gets_one_message_per_run_even_where_two_steps_have_become_due(prefect_server: None, scene: Scene):
    version = scene.publish()
    scene.add_user("u1")
    scene.enrol(version, "u1")
    for expected in (1, 2):
        run()
        run()
        assert len(scene.sent()) == expected
        scene.later(3 * DAY)


def test_a_journey_nobody_published_fails_the_run(prefect_server: None, scene: Scene):
    with pytest.raises(Misconfigured, match="no journey 'nonsense'"):
        asyncio.run(run_journey("nonsense"))


def test_a_paused_journey_sends_nothing_and_says_why(prefect_server: None, scene: Scene):
    version = scene.publish()
    scene.add_user("u1")
    scene.enrol(version, "u1")
    with scene.store.writing() as connection:
        set_control(connection, ControlKind.PAUSED, "settled-30d", who="test", why="wrong coupon", at=scene.now)
    assert run().message == "push-1: held back: paused"
    assert scene.sent() == []


def test_batches_side_by_side_send_to_everybody_once(
    prefect_server: None, postgresql_scene: Scene, monkeypatch: pytest.MonkeyPatch
):
    scene, users = postgresql_scene, [f"u{n}" for n in range(30)]
    version = scene.publish()
    for user in users:
        scene.add_user(user)
    scene.enrol(version, *users)
    monkeypatch.setattr("recall.engine.run.MAX_BATCH", 5)
    monkeypatch.setattr("recall.engine.run.MAX_CHUNK", 5)  # six batches, two at a time
    use(replace(scene.setup, gates=2))
    assert run().message == "push-1: accepted 30"
    assert sorted(scene.sent()) == sorted((user, "push") for user in users)
    assert asyncio.run(artifact("recall-settled-30d-progress")) == 100.0


def test_a_batch_that_finds_nobody_is_the_last(prefect_server: None, scene: Scene, monkeypatch: pytest.MonkeyPatch):
    """A lane is offered all batches; it stops when the others were quicker."""
    version, batches = scene.publish(), list[int]()
    for n in range(12):
        scene.add_user(f"u{n}")
    scene.enrol(version, *(f"u{n}" for n in range(12)))
    for most in ("MAX_BATCH", "MAX_CHUNK"):
        monkeypatch.setattr(f"recall.engine.run.{most}", 1)  # twelve batches are offered; the first takes everybody

    async def counting(journey: str, done: Any, version: int, number: int, batch_size: int) -> None:
        batches.append(number)
        await send(journey, done, version, number, 12 * batch_size)

    send = flows.step._send
    monkeypatch.setattr("flows.step._send", counting)
    assert run().message == "push-1: accepted 12"
    assert batches == [1, 2]
    assert asyncio.run(artifact("recall-settled-30d-progress")) == 100.0


def test_a_provider_that_is_away_is_not_asked_by_every_batch(
    prefect_server: None, scene: Scene, monkeypatch: pytest.MonkeyPatch
):
    version = scene.publish()
    for user in ("u1", "u2", "u3"):
        scene.add_user(user)
    scene.enrol(version, "u1", "u2", "u3")
    monkeypatch.setattr("recall.engine.run.MAX_BATCH", 1)
    away = WithoutPush(scene.outbox, clock=scene.clock)
    use(replace(scene.setup, providers={"outbox": away}))
    assert run().type.value == "FAILED"
    assert away.asked == 4  # the first batch and its three further tries


def test_a_run_stops_claiming_after_ten_minutes(prefect_server: None, scene: Scene, monkeypatch: pytest.MonkeyPatch):
    version = scene.publish()
    scene.add_user("u1")
    scene.enrol(version, "u1")
    monkeypatch.setattr("tasks.started.CLAIM_FOR", -1)
    assert run().type.value == "COMPLETED"
    assert scene.sent() == []
