"""Is nobody called before the decision is durable, or after it has grown old?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from journeys.message import written
from providers.base import Outbound, SendResult
from recall.engine import calling, send
from recall.store import schema
from recall.store.connect import Store, open_engine
from recall.store.gate_pass import Passed, pass_gate
from tests.engine.conftest import Scene
from tests.engine.doubles import Scripted

ONE = "  - {sms: come-back}"


class Onlooker(Scripted):
    """Looks into the ledger, through a connection of its own, at the moment it is called."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.engine = open_engine(store.engine.url.render_as_string(hide_password=False))
        self.seen: list[dict[str, str]] = []  # at each call

    async def send(self, batch: Sequence[Outbound]) -> AsyncIterator[SendResult]:
        with self.engine.connect() as connection:
            self.seen.append({row.ref: row.state for row in connection.execute(select(schema.sends))})
        async for result in super().send(batch):
            yield result


def test_a_message_is_in_the_ledger_for_everybody_before_it_is_called(scene: Scene) -> None:
    provider = Onlooker(scene.store)
    scene.setup = replace(scene.setup, providers={"outbox": provider})
    scene.add_user("u1")
    scene.enrol(scene.publish(ONE), "u1")
    scene.run()
    provider.engine.dispose()
    assert provider.seen == [{call.ref: "calling"} for call in provider.calls] != []


def test_nobody_is_called_on_a_decision_that_has_grown_old(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate itself took longer than five seconds: what it decided may not be true any more."""
    provider = Scripted()
    scene.setup = replace(scene.setup, providers={"outbox": provider})
    scene.add_user("u1")
    [enrolment] = scene.enrol(scene.publish(ONE), "u1")

    def slowly(*given: Any, **named: Any) -> Passed:
        passed = pass_gate(*given, **named)
        late = send.elapsed_seconds() + 6
        monkeypatch.setattr(calling, "elapsed_seconds", lambda: late)
        return passed

    monkeypatch.setattr(send, "pass_gate", slowly)
    assert scene.run().failed
    assert (provider.calls, scene.enrolment(enrolment).due_at) == ([], scene.now), "due again, and nobody was called"


def test_the_text_kept_is_the_text_the_provider_got(scene: Scene) -> None:
    provider = Scripted()
    scene.setup = replace(scene.setup, providers={"outbox": provider})
    scene.add_user("u1")
    scene.enrol(scene.publish(ONE), "u1")
    scene.run()
    [call], [row] = provider.calls, scene.sends()
    assert row.body == written(title=call.content.title, body=call.content.body)
