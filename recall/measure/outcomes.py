"""What did each journey, and the programme as a whole, bring because of it? Read from the store, compared as assigned.

Only closed windows are compared; everyone assigned counts in the arm they were assigned to; each person counts once,
by the first passage. The journey's control is everybody held out, by the journey or the programme; the programme's
is its own holdout against everyone else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from zoneinfo import ZoneInfo

from journeys.journey import Journey, PolicyByJurisdiction
from journeys.policy import Policy
from journeys.words import Holdout
from recall.clock import DAY, Instant, to_datetime
from recall.measure.experiment import (
    Comparison,
    Plan,
    SampleRatio,
    Side,
    check_ratio,
    compare,
    compare_strata,
)
from recall.store.connect import Connection, read_fact, write_fact
from recall.store.figures import (
    MICROS,
    MONDAY,
    WEEK,
    Asked,
    Attributed,
    Cohort,
    Spending,
    count_passages,
    read_attributed,
    read_cohorts,
    read_programme_spending,
    read_spending,
)
from recall.store.figures_days import every_version, policy_holdouts
from recall.store.versions import Version, published_journeys

LOOKS = 13  # weekly looks when nobody declared another horizon: a quarter
PROGRAMME = "programme"


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
class Money:
    """What was spent on whom; cost per recall is told only where there is one currency."""

    spent: Mapping[str, float]  # currency -> units, everybody
    closed: float  # units, people whose windows are over
    currency: str
    is_one_currency: bool


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
    past_horizon: bool
    attributed: Attributed | None
    money: Money
    new_user_cost: float | None = None
    notes: Sequence[str] = field(default=())  # keys of texts

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


def zone_offset(zone: str, at: Instant) -> int:
    """How far the zone is ahead of UTC, in micros."""
    return (to_datetime(at).astimezone(ZoneInfo(zone)).utcoffset() or timedelta()) // timedelta(microseconds=1)


# --- the declared horizon ----------------------------------------------------------------------------------


def declare_looks(connection: Connection, name: str, looks: int) -> None:
    """Say beforehand at how many weekly looks this journey (or `programme`) is judged."""
    write_fact(connection, f"looks:{name}", json.dumps({"looks": looks}))


def declared_looks(connection: Connection, name: str) -> int | None:
    found = read_fact(connection, f"looks:{name}")
    return int(json.loads(found)["looks"]) if found else None


def _plan(looks: int | None, cohorts: Iterable[Cohort], window: int, *, offset: int, now: Instant) -> tuple[Plan, bool]:
    """Which weekly look this is, counted from the first closed window; and whether the horizon is behind us."""
    weeks = [cohort.week for cohort in cohorts]
    all_looks = looks or LOOKS
    if not weeks:
        return Plan(looks=all_looks), False
    begins = _week_begins(min(weeks), offset)
    look = look_now(begins, window, all_looks, now=now)
    return Plan(looks=all_looks, look=look), (now - begins - window) // WEEK > all_looks


def look_now(began: Instant, window: int, looks: int, *, now: Instant) -> int:
    """Which of the weekly looks this is: the first when a week of windows has closed."""
    return min(max((now - began - window) // WEEK, 1), looks)


def _week_begins(week: int, offset: int) -> Instant:
    return week * WEEK + MONDAY - offset


# --- shares that were meant to be --------------------------------------------------------------------------


class Holdouts:
    """The share held out of each version in each period of its policy."""

    def __init__(self, asked: Asked, versions: Iterable[Version]) -> None:
        self.versions = {version.id: version for version in versions}
        self._history: dict[str, list[tuple[Instant, int]]] = {}
        self.policies: dict[str, Policy] = {}
        for name, at, content in policy_holdouts(asked):
            policy = Policy.model_validate_json(content)
            self.policies[name] = policy
            history = self._history.setdefault(name, [])
            if not history or history[-1][1] != policy.holdout:
                history.append((at, policy.holdout))
        self.changes = sorted({at for history in self._history.values() for at, _ in history[1:]})

    def programme(self, version_id: int, period: int) -> float | None:
        """Share of the programme holdout; None when it depends on the person."""
        shares = {self._share(name, period) for name in self._names(self.versions[version_id].program.journey)}
        return shares.pop() if len(shares) == 1 else None

    def journey(self, version_id: int, period: int) -> float | None:
        """Share held out in all."""
        programme = self.programme(version_id, period)
        own = self.versions[version_id].program.journey.holdout
        share = own.percent / 100 if own else 0.0
        return None if programme is None else programme + (1 - programme) * share

    def _share(self, name: str, period: int) -> float:
        begins = self.changes[period - 1] if period else None
        found = self._history.get(name, [(0, 0)])
        share = found[0][1]
        for at, percent in found[1:]:
            if begins is not None and at <= begins:
                share = percent
        return share / 100

    def _names(self, journey: Journey) -> list[str]:
        if not isinstance(journey.policy, PolicyByJurisdiction):
            return [journey.policy]
        return [name for name in (*journey.policy.cases.values(), journey.policy.otherwise) if name != "no_send"]


# --- reading -----------------------------------------------------------------------------------------------


def read_outcomes(asked: Asked) -> list[Outcome]:
    """The programme first, where it has a holdout, then every journey that is not retired."""
    versions = every_version(asked.connection)
    holdouts = Holdouts(asked, versions)
    journeys = [read_outcome(asked, version, holdouts) for version in published_journeys(asked.connection)]
    programme = read_programme(asked, holdouts)
    return [*([programme] if programme else []), *journeys]


def read_outcome(asked: Asked, version: Version, holdouts: Holdouts) -> Outcome:
    """One journey."""
    journey = version.program.journey
    offset = zone_offset(journey.zone, asked.now)
    cohorts = read_cohorts(asked, version.journey_id, offset=offset, changes=holdouts.changes)
    shares = {(c.version_id, c.period): holdouts.journey(c.version_id, c.period) for c in cohorts}
    money = _money(read_spending(asked, version.journey_id))
    return _outcome(
        asked,
        journey.id,
        journey.title,
        zone=journey.zone,
        window=journey.goal.window.micros,
        cohorts=cohorts,
        shares=shares,
        held_out=(Holdout.JOURNEY, Holdout.PROGRAMME),
        money=money,
        passages=count_passages(asked, version.journey_id),
        attributed=read_attributed(asked, version.journey_id),
        new_user_cost=_new_user_cost(journey, holdouts),
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
        money=_money(read_programme_spending(asked)),
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
    shares: Mapping[tuple[int, int], float | None],
    held_out: tuple[Holdout, ...],
    money: Money,
    passages: int,
    attributed: Attributed | None,
    new_user_cost: float | None,
) -> Outcome:
    offset = zone_offset(zone, asked.now)
    looks = declared_looks(asked.connection, name)
    plan, past = _plan(looks, cohorts, window, offset=offset, now=asked.now)
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
        past_horizon=past,
        attributed=attributed,
        money=money,
        new_user_cost=new_user_cost,
    )


def _compare(
    cohorts: Sequence[Cohort],
    shares: Mapping[tuple[int, int], float | None],
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


def _ratio(
    cohorts: Sequence[Cohort], shares: Mapping[tuple[int, int], float | None], held_out: tuple[Holdout, ...]
) -> SampleRatio:
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
        found.append(Week(_week_begins(week, offset), compare(treated, control), waiting))
    return found


def _looks(closed: Sequence[Cohort], held_out: tuple[Holdout, ...], plan: Plan) -> list[Look]:
    """z after each week's windows closed, as the weekly looks saw it; the last one is now."""
    from recall.measure.experiment import ztest
    from recall.measure.looks import boundary

    weeks = sorted({cohort.week for cohort in closed})[: plan.looks]
    found = []
    for week in weeks:
        number = min(week - weeks[0] + 1, plan.looks)
        treated, control = _sides((cohort for cohort in closed if cohort.week <= week), held_out)
        if treated.people and control.people:
            found.append(Look(number, ztest(treated, control)[0], boundary(number, plan.looks)))
    return found


def _money(spending: Sequence[Spending]) -> Money:
    spent: dict[str, float] = {}
    closed: dict[str, float] = {}
    for line in spending:
        if line.micros:
            spent[line.currency] = spent.get(line.currency, 0.0) + line.micros / MICROS
            if line.closed:
                closed[line.currency] = closed.get(line.currency, 0.0) + line.micros / MICROS
    currency = next(iter(spent), "")
    one = len(spent) <= 1
    return Money(spent, closed.get(currency, 0.0) if one else 0.0, currency, one)


def _new_user_cost(journey: Journey, holdouts: Holdouts) -> float | None:
    if isinstance(journey.policy, PolicyByJurisdiction) or journey.policy not in holdouts.policies:
        return None
    cost = holdouts.policies[journey.policy].prices.new_user_cost
    return None if cost is None else cost / MICROS


def window_days(outcome: Outcome) -> int:
    return outcome.window // DAY
