"""What did each journey, and the programme as a whole, bring because of it? Read from the store, compared as assigned.

Only closed windows are compared; everyone assigned counts in the arm they were assigned to; each person counts once,
by the first passage. The journey's control is everybody held out, by the journey or the programme; the programme's
is its own holdout against everyone else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from journeys.words import Holdout
from recall.clock import Instant
from recall.measure.experiment import Comparison, Plan, compare, compare_strata, ztest
from recall.measure.holdouts import Holdouts
from recall.measure.horizon import PROGRAMME, declared_looks, plan_of, week_begins, zone_offset
from recall.measure.looks import boundary
from recall.measure.ratio import Ratio, SampleRatio, check_ratio
from recall.measure.sides import Side
from recall.measure.spent import Money, money_of, new_user_cost, offers_taken
from recall.store.figures import (
    Asked,
    Attributed,
    Cohort,
    count_passages,
    read_attributed,
    read_cohorts,
    read_programme_spending,
    read_spending,
)
from recall.store.versions import Version, published_journeys


@dataclass(frozen=True)
class Week:
    """People who entered in one local week."""

    begins: Instant
    comparison: Comparison  # closed windows only
    open_people: int


@dataclass(frozen=True)
class Look:
    """What the test said when the windows of one more week had closed."""

    number: int
    z: float
    boundary: float


@dataclass(frozen=True)
class Outcome:
    """One journey, or the programme."""

    name: str
    title: str
    zone: str
    window: int  # micros
    passages: int
    people: Mapping[str, int]  # Holdout -> first passages
    open_people: int
    ratio: SampleRatio
    comparison: Comparison
    weeks: Sequence[Week]
    looks: Sequence[Look]
    declared: bool  # the horizon was said, not assumed
    attributed: Attributed | None
    money: Money
    new_user_cost: float | None = None

    @property
    def is_blocked(self) -> bool:
        """Somebody got lost, so nothing below may be believed."""
        return self.ratio.state is Ratio.BLOCKED

    @property
    def treated(self) -> int:
        return self.people.get(Holdout.TREATED, 0)

    @property
    def held_out(self) -> int:
        return sum(self.people.values()) - self.treated

    @property
    def incremental_share(self) -> float | None:
        """Share of attributed recalls that would not have come anyway; None when it is not shown."""
        if not self.attributed or not self.attributed.after_message or not self.comparison.incremental:
            return None
        return self.comparison.incremental.at / self.attributed.after_message if self.comparison.is_shown else None


Shares = Mapping[tuple[int, int], float | None]  # (version, period of its policy) -> share meant to be held out
JOURNEYS_CONTROL = (Holdout.JOURNEY, Holdout.PROGRAMME)


def read_ratio(asked: Asked, version: Version, holdouts: Holdouts) -> SampleRatio:
    """Of one journey, without everything else."""
    return _ratio(*_assigned(asked, version, holdouts), JOURNEYS_CONTROL)


def _assigned(asked: Asked, version: Version, holdouts: Holdouts) -> tuple[list[Cohort], Shares]:
    offset = zone_offset(version.program.journey.zone, asked.now)
    cohorts = read_cohorts(asked, version.journey_id, offset=offset, changes=holdouts.changes)
    return cohorts, {(c.version_id, c.period): holdouts.journey(c.version_id, c.period) for c in cohorts}


def read_outcome(asked: Asked, version: Version, holdouts: Holdouts) -> Outcome:
    """One journey."""
    journey = version.program.journey
    cohorts, shares = _assigned(asked, version, holdouts)
    versions = [each for each in holdouts.versions.values() if each.journey_id == version.journey_id]
    money = money_of(read_spending(asked, version.journey_id), offers_taken(asked, versions))
    return _outcome(
        asked,
        journey.id,
        journey.title,
        zone=journey.zone,
        window=journey.goal.window.micros,
        cohorts=cohorts,
        shares=shares,
        held_out=JOURNEYS_CONTROL,
        money=money,
        passages=count_passages(asked, version.journey_id),
        attributed=read_attributed(asked, version.journey_id),
        new_user_cost=new_user_cost(journey, holdouts),
    )


def read_programme(asked: Asked, holdouts: Holdouts) -> Outcome | None:
    """Everybody's first passage anywhere: the programme holdout against all others."""
    current = published_journeys(asked.connection)
    if not current:
        return None
    zone = current[0].program.journey.zone
    offset = zone_offset(zone, asked.now)
    cohorts = read_cohorts(asked, None, offset=offset, changes=holdouts.changes)
    shares = {(c.version_id, c.period): holdouts.programme(c.version_id, c.period) for c in cohorts}
    if not any(cohort.holdout == Holdout.PROGRAMME for cohort in cohorts) and not any(shares.values()):
        return None
    return _outcome(
        asked,
        PROGRAMME,
        "",
        zone=zone,
        window=max(version.program.journey.goal.window.micros for version in current),
        cohorts=cohorts,
        shares=shares,
        held_out=(Holdout.PROGRAMME,),
        money=money_of(read_programme_spending(asked), offers_taken(asked, holdouts.versions.values(), programme=True)),
        passages=sum(cohort.people for cohort in cohorts),
        attributed=None,
        new_user_cost=None,
    )


def _outcome(
    asked: Asked,
    name: str,
    title: str,
    *,
    zone: str,
    window: int,
    cohorts: Sequence[Cohort],
    shares: Shares,
    held_out: tuple[Holdout, ...],
    money: Money,
    passages: int,
    attributed: Attributed | None,
    new_user_cost: float | None,
) -> Outcome:
    offset = zone_offset(zone, asked.now)
    looks = declared_looks(asked.connection, name)
    plan = plan_of(looks, cohorts, window, offset=offset, now=asked.now)
    ratio = _ratio(cohorts, shares, held_out)
    closed = [cohort for cohort in cohorts if cohort.closed]
    people: dict[str, int] = {}
    for cohort in cohorts:
        people[cohort.holdout] = people.get(cohort.holdout, 0) + cohort.people
    return Outcome(
        name=name,
        title=title,
        zone=zone,
        window=window,
        passages=passages,
        people=people,
        open_people=sum(cohort.people for cohort in cohorts if not cohort.closed),
        ratio=ratio,
        comparison=_compare(closed, shares, held_out, ratio=ratio, plan=plan, cost=money.closed),
        weeks=_weeks(cohorts, held_out, offset),
        looks=_looks(closed, held_out, plan),
        declared=looks is not None,
        attributed=attributed,
        money=money,
        new_user_cost=new_user_cost,
    )


def _compare(
    cohorts: Sequence[Cohort],
    shares: Shares,
    held_out: tuple[Holdout, ...],
    *,
    ratio: SampleRatio,
    plan: Plan,
    cost: float,
) -> Comparison:
    """Strata are people with the same share held out; with one share there is one."""
    strata: dict[float | None, list[Cohort]] = {}
    for cohort in cohorts:
        share = shares[cohort.version_id, cohort.period]
        strata.setdefault(share if share else None, []).append(cohort)
    sides = [_sides(group, held_out) for group in strata.values()]
    if sides:  # all cost is the treated side's, wherever it stands
        sides[0] = (sides[0][0] + Side(0, 0, cost=cost), sides[0][1])
    return compare_strata(sides, ratio=ratio, plan=plan)


def _sides(cohorts: Iterable[Cohort], held_out: tuple[Holdout, ...]) -> tuple[Side, Side]:
    treated, control = Side(0, 0), Side(0, 0)
    for cohort in cohorts:
        side = Side(cohort.people, cohort.goals, cohort.value, cohort.value_squares)
        if cohort.holdout in held_out:
            control += side
        else:
            treated += side
    return treated, control


def _ratio(cohorts: Sequence[Cohort], shares: Shares, held_out: tuple[Holdout, ...]) -> SampleRatio:
    """Everybody assigned, open windows too."""
    treated, control = _sides(cohorts, held_out)
    observed = {"treated": treated.people, "holdout": control.people}
    expected = {"treated": 0.0, "holdout": 0.0}
    for cohort in cohorts:
        share = shares[cohort.version_id, cohort.period]
        if share is None:
            return check_ratio(observed, None)
        expected["holdout"] += cohort.people * share
        expected["treated"] += cohort.people * (1 - share)
    return check_ratio(observed, expected if expected["holdout"] or control.people else None)


def _weeks(cohorts: Sequence[Cohort], held_out: tuple[Holdout, ...], offset: int) -> list[Week]:
    found = []
    for week in sorted({cohort.week for cohort in cohorts}):
        mine = [cohort for cohort in cohorts if cohort.week == week]
        treated, control = _sides((cohort for cohort in mine if cohort.closed), held_out)
        waiting = sum(cohort.people for cohort in mine if not cohort.closed)
        found.append(Week(week_begins(week, offset), compare(treated, control), waiting))
    return found


def _looks(closed: Sequence[Cohort], held_out: tuple[Holdout, ...], plan: Plan) -> list[Look]:
    """z after each week's windows closed, as the weekly looks saw it; the last one is now."""
    weeks = sorted({cohort.week for cohort in closed})[: plan.looks]
    found = []
    for week in weeks:
        number = min(week - weeks[0] + 1, plan.looks)
        treated, control = _sides((cohort for cohort in closed if cohort.week <= week), held_out)
        if treated.people and control.people:
            found.append(Look(number, ztest(treated, control)[0], boundary(number, plan.looks)))
    return found
