"""Is a message sent again only where nothing has overtaken it?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from journeys.words import Cause
from providers.base import Outbound, SendResult
from recall.clock import DAY
from recall.engine.replay import Wanted, replay
from recall.errors import Transient
from tests.engine.conftest import Scene
from tests.engine.doubles import Scripted, accept, refuse

TWO = "  - {sms: come-back}\n  - {wait: 1d}\n  - {push: come-back}\n  - {wait: 1d}\n  - {push: come-back, id: last}"


def test_what_a_later_step_has_overtaken_is_not_replayed(scene: Scene) -> None:
    provider = Scripted(refuse(Cause.ADDRESS))
    scene.setup = replace(scene.setup, providers={"outbox": provider})
    scene.add_user("u1")
    scene.enrol(scene.publish(TWO), "u1")
    scene.run()
    provider.answer = accept
    scene.later(DAY)
    scene.run()
    done = replay(scene.setup, Wanted("settled-30d"), dry_run=False, who="a", why="b")
    assert [preview.verdict for preview in done.previews] == ["a later step has passed its gate"]
    scene.run()
    assert [call.channel for call in provider.calls] == ["sms", "push"]


def test_what_a_later_message_that_stayed_here_has_overtaken_is_not_replayed(scene: Scene) -> None:
    """Its place was put back, and with it the time of the message before: only that it is due again tells."""

    class Unreachable(Scripted):
        async def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
            raise Transient("no route")
            yield  # a generator

    provider = Scripted(refuse(Cause.ADDRESS))
    scene.setup = replace(scene.setup, providers={"outbox": provider})
    scene.add_user("u1")
    scene.enrol(scene.publish(TWO), "u1")
    scene.run()
    scene.later(DAY)
    scene.setup = replace(scene.setup, providers={"outbox": Unreachable()})
    assert scene.run().failed
    done = replay(scene.setup, Wanted("settled-30d"), dry_run=False, who="a", why="b")
    assert {preview.verdict for preview in done.previews} == {
        "a later message is due again by itself",
        "it is due again by itself",
    }
    provider.answer = accept
    scene.setup = replace(scene.setup, providers={"outbox": provider})
    scene.later(DAY // 24)
    scene.run()
    assert [call.channel for call in provider.calls] == ["sms", "push"]
