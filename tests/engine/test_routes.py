"""Does a message find another way only when it is known not to have left, and does nobody hammer a failing provider?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from journeys.policy import Route
from journeys.words import Cause, Outcome
from providers.base import SendResult
from recall.clock import MINUTE, SECOND
from recall.errors import Transient
from recall.store import schema
from recall.store.routes import Lane, grant, note_failure, slow_down
from tests.engine.conftest import Scene
from tests.engine.doubles import Scripted, accept, lose, throttle

ONE = "  - {sms: come-back}"


def two_providers(policy: dict[str, Any]) -> None:
    policy["routes"]["sms"] = {"providers": ["first", "second"], "failover_on": ["connect"], "per_second": 100}


@pytest.fixture
def pair(scene: Scene) -> tuple[Scripted, Scripted]:
    first, second = Scripted(), Scripted()
    scene.setup = replace(scene.setup, providers={"first": first, "second": second})
    scene.add_user("u1")
    scene.add_user("u2")
    scene.enrol(scene.publish(ONE, policy=two_providers), "u1", "u2")
    return first, second


def unsent(message: Any) -> SendResult:
    return SendResult(message.ref, Outcome.NOT_SENT, Cause.CONNECT)


def test_what_is_known_not_to_have_left_takes_the_next_provider(scene: Scene, pair: tuple[Scripted, Scripted]) -> None:
    first, second = pair
    first.down = Transient("no route")
    scene.run()
    assert [(s.state, s.provider, s.attempt) for s in scene.sends()] == [("accepted", "second", 1)] * 2
    assert {call.ref for call in second.calls} == {s.ref for s in scene.sends()}


def test_only_the_unsent_part_of_a_chunk_takes_another_way(scene: Scene, pair: tuple[Scripted, Scripted]) -> None:
    first, second = pair
    first.answer = lambda message: unsent(message) if message.user == "u1" else accept(message)
    scene.run()
    assert [call.user for call in second.calls] == ["u1"]
    assert {s.provider for s in scene.sends()} == {"first", "second"}


def test_a_doubt_never_takes_another_way(scene: Scene, pair: tuple[Scripted, Scripted]) -> None:
    first, second = pair
    first.answer = lose
    scene.run()
    assert (second.calls, [s.state for s in scene.sends()]) == ([], ["in_doubt", "in_doubt"])


def test_a_throttle_is_no_reason_to_leave_unless_the_policy_says_so(
    scene: Scene, pair: tuple[Scripted, Scripted]
) -> None:
    first, second = pair
    first.answer = throttle
    scene.run()
    assert (second.calls, [s.cause for s in scene.sends()]) == ([], ["throttled", "throttled"])


def test_after_failures_in_a_row_one_message_probes_the_provider(scene: Scene) -> None:
    provider = Scripted()
    provider.down = Transient("no route")
    scene.setup = replace(scene.setup, providers={"outbox": provider})
    users = [f"u{n}" for n in range(5)]
    for user in users:
        scene.add_user(user)
    scene.enrol(scene.publish(ONE), *users)
    for _ in range(4):
        assert scene.run().failed
    tried = [s.attempt for s in scene.sends()]
    assert set(tried) == {0}, "an outage spends no attempt"
    provider.down = None
    scene.run()
    assert len(provider.calls) == 5
    with scene.store.reading() as connection:
        assert connection.execute(select(schema.breakers)).all() == []


ROUTE = Route(providers=("vendor",), per_second=10, senders=("+1", "+2"))


def ask(scene: Scene, want: int = 100, route: Route = ROUTE) -> Any:
    with scene.store.writing() as connection:
        return grant(connection, route, brand="default", want=want, now=scene.now, paced=True)


def test_senders_share_the_load_and_nobody_gets_more_than_their_rate(scene: Scene) -> None:
    first, second, third = ask(scene), ask(scene), ask(scene)
    assert {first.lane.sender, second.lane.sender} == {"+1", "+2"}
    assert (first.messages, second.messages, third.messages) == (40, 40, 0)
    assert third.again_at == scene.now + 2 * SECOND // 10 + 1, "in portions of a quarter of a second"
    assert ask(scene, want=1).again_at == scene.now + SECOND // 10 + 1
    scene.later(SECOND)
    assert ask(scene).messages == 10
    scene.later(MINUTE)
    assert ask(scene).messages == 40, "a bucket holds four seconds, however long nobody asked"


def test_what_the_gate_does_not_use_goes_back_to_the_sender(scene: Scene) -> None:
    provider = Scripted()
    provider.caps = replace(provider.caps, simulated=False)
    scene.setup = replace(scene.setup, providers={"outbox": provider})
    scene.add_user("u1")
    scene.enrol(scene.publish(ONE), "u1")
    scene.run()
    with scene.store.reading() as connection:
        (sender,) = connection.execute(select(schema.senders)).all()
    assert (len(provider.calls), sender.tokens) == (1, 4 * 100 - 1)


def test_a_throttled_sender_rests_as_a_whole(scene: Scene) -> None:
    lane = ask(scene).lane
    with scene.store.writing() as connection:
        slow_down(connection, lane, until=scene.now + MINUTE, why="throttled")
    assert ask(scene).lane.sender != lane.sender
    with scene.store.writing() as connection:
        slow_down(connection, Lane("vendor", "+1"), until=scene.now + MINUTE, why="throttled")
        slow_down(connection, Lane("vendor", "+2"), until=scene.now + 2 * MINUTE, why="throttled")
    resting = ask(scene)
    assert (resting.messages, resting.again_at) == (0, scene.now + MINUTE)


def test_an_open_breaker_passes_the_route_to_the_next_provider_until_it_closes(scene: Scene) -> None:
    route = Route(providers=("vendor", "other"), per_second=10)
    for _ in range(3):
        assert ask(scene, route=route).lane.provider == "vendor"
        with scene.store.writing() as connection:
            note_failure(connection, "vendor", why="down", now=scene.now)
    assert ask(scene, route=route).lane.provider == "other"
    scene.later(MINUTE + 1)
    probe = ask(scene, route=route)
    assert (probe.lane.provider, probe.messages, probe.is_probe) == ("vendor", 1, True)
