"""Nobody ran anything for an hour, a day, a week, two months: what happens when somebody does again?

The real engine on a virtual clock; what was sent is read from the provider's own list.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from providers.base import Outbound, SendResult
from recall.clock import DAY, HOUR, MINUTE, SECOND, Instant
from recall.engine import send
from recall.engine.reconcile import reconcile
from recall.store import schema
from recall.store.routes import BURST_SECONDS
from tests.engine.conftest import Scene
from tests.engine.doubles import Scripted, accept

USERS, PER_SECOND = 24, 1
STEPS = """
  - {push: come-back}
  - {wait: 1d}
  - {sms: come-back}
  - {wait: 2d}
  - {call: come-back}
"""
EXPIRES = 3 * DAY


@dataclass
class Run:
    """What the provider took in one run: time, user, ref."""

    took: list[tuple[Instant, str, str]] = field(default_factory=list)


@dataclass
class World:
    scene: Scene
    runs: list[Run] = field(default_factory=list)

    def run(self) -> None:
        self.runs.append(Run())
        assert not self.scene.run().failed
        reconcile(self.scene.setup)

    def answer(self, message: Outbound) -> SendResult:
        self.runs[-1].took.append((self.scene.now, message.user, message.ref))
        return accept(message)

    def taken(self) -> list[tuple[Instant, str, str]]:
        return [each for run in self.runs for each in run.took]


def slow(policy: dict[str, Any]) -> None:
    for route in policy["routes"].values():
        route["per_second"] = PER_SECOND


@pytest.fixture
def midway(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> World:
    """People who entered one by one over three days, so that every step has some; a wait for a sender is virtual."""
    world, provider = World(scene), Scripted()
    provider.answer = world.answer
    provider.caps = replace(provider.caps, simulated=False)  # paced, as a real one
    scene.setup = replace(scene.setup, providers={"outbox": provider})
    monkeypatch.setattr(send, "time", SimpleNamespace(sleep=lambda seconds: scene.later(int(seconds * SECOND) + 1)))
    version = scene.publish(STEPS, policy=slow)
    for number in range(USERS):
        scene.add_user(f"u{number}")
        scene.enrol(version, f"u{number}")
        world.run()
        scene.later(3 * HOUR)
    return world


def most_within(times: list[Instant], span: int) -> int:
    """The most messages in any such span."""
    most, first = 0, 0
    for last, time in enumerate(times):
        while times[first] <= time - span:
            first += 1
        most = max(most, last - first + 1)
    return most


GAPS = {"an hour": HOUR, "a day": DAY, "a week": 7 * DAY, "two months": 60 * DAY}


@pytest.mark.slow
@pytest.mark.parametrize("gap", GAPS.values(), ids=GAPS)
def test_catching_up_is_no_burst_sends_nothing_stale_and_ends_everybody(midway: World, gap: int) -> None:
    scene, before = midway.scene, len(midway.taken())
    assert before > USERS
    scene.later(gap)
    while scene.clock.instant % DAY < 2 * HOUR or scene.clock.instant % DAY > 9 * HOUR:  # 10 to 17 in Shanghai
        scene.later(HOUR)
    late_at = scene.now
    for _ in range(9 * 12):
        midway.run()
        scene.later(2 * HOUR)
    taken = midway.taken()
    first_due = {row.ref: row.first_due_at for row in scene.sends()}
    assert [ref for at, _, ref in taken if at > first_due[ref] + EXPIRES] == []
    assert all(max(Counter(user for _, user, _ in run.took).values(), default=0) <= 1 for run in midway.runs)
    times = sorted(at for at, _, _ in taken if at >= late_at)
    for span in (SECOND, 10 * SECOND, MINUTE, 10 * MINUTE):
        channels = 3  # a sender each
        assert most_within(times, span) <= channels * PER_SECOND * (span / SECOND + BURST_SECONDS)
    assert max(Counter((user, ref) for _, user, ref in taken).values()) == 1
    with scene.store.reading() as connection:
        ended = Counter(row.end_reason for row in connection.execute(schema.enrolments.select()))
    assert ended == {"finished": USERS}
    expired = scene.reasons().count("message_expired")
    assert (expired > 0) is (gap > EXPIRES)
    if gap <= DAY:
        assert len(taken) == 3 * USERS, "nothing was lost either"
