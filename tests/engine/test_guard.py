"""Does a journey that does harm stop itself, and does a sick sender leave its pool?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import select, update

from journeys.words import Cause
from recall.clock import DAY, HOUR
from recall.engine.guard import rest_sick_senders
from recall.store import schema
from recall.store.controls import ControlKind, clear_control, read_controls
from recall.store.routes import grant
from tests.engine.conftest import Scene
from tests.engine.doubles import Scripted, accept, refuse

TWO = "  - {push: come-back}\n  - {wait: 1d}\n  - {push: come-back, id: second}"
RAILS = "guardrails: {after: 10, refusals: 20%}"


def crowd(scene: Scene, refused: int) -> Scripted:
    provider = Scripted()
    provider.answer = lambda m: refuse(Cause.ADDRESS)(m) if int(m.user[1:]) < refused else accept(m)
    scene.setup = replace(scene.setup, providers={"outbox": provider})
    users = [f"u{n}" for n in range(10)]
    for user in users:
        scene.add_user(user)
    scene.enrol(scene.publish(TWO, more=RAILS), *users)
    scene.run()
    scene.later(DAY)
    return provider


def paused(scene: Scene) -> bool:
    with scene.store.reading() as connection:
        return "settled-30d" in read_controls(connection).paused


def test_more_refusals_than_the_guardrail_allows_pause_the_journey(scene: Scene) -> None:
    provider = crowd(scene, refused=3)
    scene.run()
    assert (paused(scene), len(provider.calls)) == (True, 10)
    with scene.store.reading() as connection:
        why = connection.execute(select(schema.controls.c.why)).scalar_one()
    assert why == "guardrail: 3 refusals in 10 sends is more than 20 %"


def test_exactly_the_guardrail_is_still_allowed(scene: Scene) -> None:
    provider = crowd(scene, refused=2)
    scene.run()
    assert (paused(scene), len(provider.calls)) == (False, 18)


def test_what_a_person_let_go_on_is_judged_by_what_comes_after(scene: Scene) -> None:
    crowd(scene, refused=3)
    scene.run()
    with scene.store.writing() as connection:
        clear_control(connection, ControlKind.PAUSED, "settled-30d", who="ada", why="list cleaned", at=scene.now)
    scene.run()
    assert not paused(scene)


def pool(policy: dict[str, Any]) -> None:
    health = {"over": "7d", "after": 5, "answered": 300_000, "rest": "1d"}
    policy["routes"]["call"] = {"providers": ["outbox"], "senders": ["+1", "+2"], "health": health}


def test_a_caller_number_nobody_answers_rests(scene: Scene) -> None:
    users = [f"u{n}" for n in range(6)]
    for user in users:
        scene.add_user(user)
    version = scene.publish("  - {call: come-back}", policy=pool)
    scene.enrol(version, *users)
    scene.run()
    assert {s.sender for s in scene.sends()} == {"+1"}
    with scene.store.writing() as connection:
        connection.execute(update(schema.sends).where(schema.sends.c.id == 1).values(answered_at=scene.now))
        grant(connection, route(scene), brand="default", want=0, now=scene.now, paced=True)
    assert rest_sick_senders(scene.setup) == ["outbox: one sender rests, 1 of 6 calls were answered"]
    with scene.store.writing() as connection:
        granted = grant(connection, route(scene), brand="default", want=1, now=scene.now + HOUR, paced=True)
    assert granted.lane.sender == "+2"


def route(scene: Scene) -> Any:
    from recall.store.policies import live_policy

    with scene.store.reading() as connection:
        return live_policy(connection, "cn-consumer-finance").policy.routes["call"]
