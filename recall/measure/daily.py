"""How did yesterday go? Each stage against its target and against the same weekday a week before.

An alert needs more than a bad-looking number: the whole interval below the target, or a fall that chance hardly makes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from journeys.journey import Journey
from recall.clock import DAY, Instant
from recall.measure.experiment import ztest
from recall.measure.holdouts import Holdouts
from recall.measure.horizon import zone_offset
from recall.measure.outcomes import read_outcome
from recall.measure.ratio import Ratio
from recall.measure.sides import Side
from recall.measure.stages import CLICK_TARGET, LOGIN, stage_plan
from recall.store.figures import Asked
from recall.store.figures_days import (
    DayCount,
    Freshness,
    count_day,
    count_unapplied_receipts,
    day_before,
    every_version,
    read_freshness,
)
from recall.store.figures_messages import Trouble, read_troubles
from recall.store.versions import published_journeys

LEAST = 30  # people at the stage before; fewer never alert
SURE = 0.01
FALL = 0.2  # relative; a smaller one is told and does not alert
STALE = 2 * DAY


@dataclass(frozen=True)
class DayLine:
    """One stage of one journey: yesterday and the same weekday a week before."""

    journey: str
    stage: str
    people: int
    base: int | None  # people of the day at the stage it is held against; None for the first stage
    before: int
    before_base: int | None
    target: int | None  # percent
    alert: str = ""  # below_target | fell

    @property
    def share(self) -> float | None:
        return self.people / self.base if self.base else None

    @property
    def before_share(self) -> float | None:
        return self.before / self.before_base if self.before_base else None


@dataclass(frozen=True)
class Day:
    """The whole look."""

    begins: Instant
    ends: Instant
    lines: Sequence[DayLine]
    troubles: Sequence[Trouble]
    stale: Sequence[Freshness]
    blocked: Sequence[str]  # journeys whose sample ratio is blocked
    in_doubt: int
    receipts_waiting: int

    @property
    def alerts(self) -> list[str]:
        """What a person should look at, in words."""
        found = [f"{line.journey}: {line.stage}: {_WHY[line.alert]}" for line in self.lines if line.alert]
        found += [f"{name}: the sample ratio is blocked: somebody got lost" for name in self.blocked]
        found += [f"source {source.source} tells nothing newer than {STALE // DAY} days" for source in self.stale]
        if self.in_doubt:
            found.append(f"{self.in_doubt} messages are in doubt: run `recall reconcile`")
        return found


_WHY = {
    "below_target": "below its target, and not by chance",
    "fell": "fell against the same weekday last week, and not by chance",
}


def read_day(asked: Asked) -> Day:
    """The last whole local day of the first journey's calendar; every journey by its own."""
    holdouts = Holdouts(asked, every_version(asked.connection))
    lines: list[DayLine] = []
    blocked = []
    begins, ends = day_before(asked.now, 0)
    for version in published_journeys(asked.connection):
        journey = version.program.journey
        begins, ends = day_before(asked.now, zone_offset(journey.zone, asked.now))
        events = [LOGIN, *(event for _, event, _, _ in stage_plan(journey))]
        today = count_day(asked, version.journey_id, begins, ends, events)
        before = count_day(asked, version.journey_id, begins - 7 * DAY, ends - 7 * DAY, events)
        lines += day_lines(journey, today, before)
        if read_outcome(asked, version, holdouts).ratio.state is Ratio.BLOCKED:
            blocked.append(journey.id)
    troubles = read_troubles(asked, begins)
    return Day(
        begins,
        ends,
        lines,
        troubles,
        [source for source in read_freshness(asked) if asked.now - source.as_of > STALE],
        blocked,
        sum(trouble.messages for trouble in troubles if trouble.state == "in_doubt"),
        count_unapplied_receipts(asked),
    )


def day_lines(journey: Journey, today: DayCount, before: DayCount) -> list[DayLine]:
    """Every stage of one journey, in order."""
    login = next((stage.target for stage in journey.funnel if stage.event == LOGIN), None)
    plan: list[tuple[str, str, str | None, int | None]] = [
        ("entered", "entered", None, None),
        ("sent", "sent", None, None),
        ("delivered", "delivered", "sent", None),
        ("opened", "opened", "delivered", None),
        ("clicked", "clicked", "delivered", CLICK_TARGET),
        ("login", LOGIN, None, login),
        *stage_plan(journey),
        ("goal", "goals", None, None),
    ]
    here, there = _counts(today), _counts(before)
    return [_line(journey.id, *step, here=here, there=there) for step in plan]


def _counts(day: DayCount) -> Mapping[str, int]:
    return {**{name: getattr(day, name) for name in DayCount._fields if name != "stages"}, **day.stages}


def _line(
    journey: str,
    stage: str,
    what: str,
    of: str | None,
    target: int | None,
    *,
    here: Mapping[str, int],
    there: Mapping[str, int],
) -> DayLine:
    people, before = here.get(what, 0), there.get(what, 0)
    base, before_base = (here.get(of, 0), there.get(of, 0)) if of else (None, None)
    alert = ""
    if base is not None and before_base is not None:
        # Of what the source articles want a fifth of clicks they do not say: shown, and no alarm each day.
        is_aim = target is not None and stage != "clicked"
        if is_aim and base >= LEAST and wilson_high(people, base) * 100 < (target or 0):
            alert = "below_target"
        elif has_fallen(Side(base, min(people, base)), Side(before_base, min(before, before_base))):
            alert = "fell"
    return DayLine(journey, stage, people, base, before, before_base, target, alert)


def has_fallen(now: Side, before: Side) -> bool:
    """A fall of a fifth or more that chance makes in one of a hundred days at most."""
    if min(now.people, before.people) < LEAST or not before.goals or now.rate is None or before.rate is None:
        return False
    return now.rate < before.rate * (1 - FALL) and ztest(now, before)[1] < SURE


def wilson_high(goals: int, people: int) -> float:
    """Upper end of Wilson's 95 % interval of a rate."""
    z = NormalDist().inv_cdf(0.975)
    rate = min(goals / people, 1.0)
    centre = rate + z * z / (2 * people)
    spread = z * (rate * (1 - rate) / people + z * z / (4 * people * people)) ** 0.5
    return float((centre + spread) / (1 + z * z / people))
