"""How did yesterday go? Each stage against its target and against the same weekday a week before.

An alert needs more than a bad-looking number: the whole interval below the target, or a fall that chance hardly makes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from statistics import NormalDist
from zoneinfo import ZoneInfo

from journeys.durations import local_to_instant
from journeys.journey import Journey
from recall.clock import DAY, Instant
from recall.measure.experiment import ztest
from recall.measure.holdouts import Holdouts
from recall.measure.horizon import local_time
from recall.measure.outcomes import read_ratio
from recall.measure.ratio import Ratio
from recall.measure.sides import Side
from recall.measure.stages import CLICK_TARGET, LOGIN, stage_plan
from recall.store.connect import Connection, read_fact, write_fact
from recall.store.figures import Asked
from recall.store.figures_days import (
    DayCount,
    Freshness,
    count_day,
    count_unapplied_receipts,
    every_version,
    read_freshness,
)
from recall.store.figures_messages import read_troubles
from recall.store.versions import Version, current_version, published_journeys

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
class JourneyDay:
    """The last whole local day of one journey, by its own calendar."""

    journey: str
    begins: Instant
    ends: Instant
    lines: Sequence[DayLine]
    is_blocked: bool  # its sample ratio

    @property
    def alerts(self) -> list[str]:
        found = [f"{self.journey}: {line.stage}: {_WHY[line.alert]}" for line in self.lines if line.alert]
        blocked = f"{self.journey}: the sample ratio is blocked: somebody got lost"
        return [*found, blocked] if self.is_blocked else found


@dataclass(frozen=True)
class Day:
    """The whole look."""

    begins: Instant  # by the first journey's calendar
    ends: Instant
    journeys: Sequence[JourneyDay]
    stale: Sequence[Freshness]
    in_doubt: int
    receipts_waiting: int

    @property
    def lines(self) -> list[DayLine]:
        return [line for journey in self.journeys for line in journey.lines]

    @property
    def blocked(self) -> list[str]:
        """Journeys whose sample ratio is blocked."""
        return [journey.journey for journey in self.journeys if journey.is_blocked]

    @property
    def alerts(self) -> list[str]:
        """What a person should look at, in words."""
        found = [alert for journey in self.journeys for alert in journey.alerts]
        found += [f"source {source.source} tells nothing newer than {STALE // DAY} days" for source in self.stale]
        if self.in_doubt:
            found.append(f"{self.in_doubt} messages are in doubt: run `recall reconcile`")
        return found


_WHY = {
    "below_target": "below its target, and not by chance",
    "fell": "fell against the same weekday last week, and not by chance",
}


def read_day(asked: Asked) -> Day:
    """Yesterday of every journey."""
    holdouts = Holdouts(asked, every_version(asked.connection))
    journeys = [read_journey_day(asked, version, holdouts) for version in published_journeys(asked.connection)]
    begins, ends = (journeys[0].begins, journeys[0].ends) if journeys else local_day("UTC", asked.now)
    return Day(
        begins,
        ends,
        journeys,
        [source for source in read_freshness(asked) if asked.now - source.as_of > STALE],
        sum(trouble.messages for trouble in read_troubles(asked, begins) if trouble.state == "in_doubt"),
        count_unapplied_receipts(asked),
    )


def read_journey_day(asked: Asked, version: Version, holdouts: Holdouts) -> JourneyDay:
    """Yesterday of one journey, held against the same weekday a week before."""
    journey = version.program.journey
    begins, ends = local_day(journey.zone, asked.now)
    events = [LOGIN, *(event for _, event, _, _ in stage_plan(journey))]
    today = count_day(asked, version.journey_id, begins, ends, events)
    before = count_day(asked, version.journey_id, *local_day(journey.zone, asked.now, ago=8), events)
    blocked = read_ratio(asked, version, holdouts).state is Ratio.BLOCKED
    return JourneyDay(journey.id, begins, ends, day_lines(journey, today, before), blocked)


def read_untold_day(connection: Connection, name: str, *, now: Instant) -> JourneyDay | None:
    """The same of one journey, for the first run of its day: None once `day_told` noted it."""
    version = current_version(connection, name)
    if read_fact(connection, _fact(name)) == str(local_day(version.program.journey.zone, now)[0]):
        return None
    asked = Asked(connection, now=now)
    return read_journey_day(asked, version, Holdouts(asked, every_version(connection)))


def day_told(connection: Connection, day: JourneyDay) -> None:
    """Noted after showing it: a run that dies in between shows it twice, and no day is lost."""
    write_fact(connection, _fact(day.journey), str(day.begins))


def _fact(journey: str) -> str:
    return f"day-told:{journey}"


def local_day(zone: str, now: Instant, *, ago: int = 1) -> tuple[Instant, Instant]:
    """[begins, ends) of a whole local day, 1 = yesterday; 23 or 25 hours long where the clocks change."""
    place = ZoneInfo(zone)
    today = datetime.combine(local_time(now, zone).date(), time())  # naive on purpose: midnight on the wall
    begins, ends = (local_to_instant(today - timedelta(days=days), place) for days in (ago, ago - 1))
    return begins, ends


COLUMNS = ("journey", "stage", "people", "share", "week before", "share then", "target", "alert")


def row_of(line: DayLine) -> tuple[str | int, ...]:
    """One line as people read it, in the order of COLUMNS."""
    target = "" if line.target is None else f"{line.target} %"
    alert = {"below_target": "BELOW TARGET", "fell": "FELL"}.get(line.alert, "")
    shares = ["" if share is None else f"{share:.1%}" for share in (line.share, line.before_share)]
    return (line.journey, line.stage, line.people, shares[0], line.before, shares[1], target, alert)


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
