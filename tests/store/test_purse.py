"""Is what one run has spent still spent when the next one asks?"""

from __future__ import annotations

from recall.clock import HOUR
from tests.engine.conftest import Scene
from tests.engine.conftest import scene as scene


def test_what_is_spent_stays_spent_for_the_day(scene: Scene) -> None:
    version = scene.publish("  - {sms: come-back}", more="budget: {currency: CNY, per_day: '0.10'}")
    for user in ("u1", "u2", "u3", "u4"):
        scene.add_user(user)
    scene.enrol(version, "u1", "u2", "u3")
    scene.run()
    fit = 100_000 // scene.sends()[0].price
    assert len(scene.sent()) == fit < 3
    scene.later(HOUR)
    scene.enrol(version, "u4")
    scene.run()
    assert len(scene.sent()) == fit
