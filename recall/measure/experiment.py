"""Did it work? Arms against a control: lift with interval, sample ratio, boundary, power, cost per incremental recall.

Intention to treat: everyone assigned counts in the arm they were assigned to. Formulas: docs/measuring.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isnan, sqrt
from statistics import NormalDist

from journeys.sample_size import ALPHA, RELATIVE, detectable, people_needed, power_of
from journeys.sample_size import effect_size as _effect_size
from recall.measure.looks import boundary
from recall.measure.ratio import Ratio, SampleRatio, check_ratio
from recall.measure.sides import Interval, Side

LEAST_EVENTS = 5  # of goals and of no goals per arm; below, the normal distribution does not hold


class Verdict(StrEnum):
    RUNNING = "running"
    STOP = "stop"  # the boundary is crossed
    INCONCLUSIVE = "inconclusive"  # the horizon is reached without
    INVALID = "invalid"  # the sample ratio is blocked


@dataclass(frozen=True)
class Plan:
    """What was declared before looking: how many looks, which one this is, which lift is worth finding."""

    looks: int = 1
    look: int = 1
    relative: float = RELATIVE
    arms: int = 1  # compared with one control; the 5 % are shared between them (Bonferroni)

    @property
    def alpha(self) -> float:
        return ALPHA / max(self.arms, 1)


@dataclass(frozen=True)
class Comparison:
    """One arm against the control."""

    arm: str
    treated: Side
    control: Side
    lift: Interval | None  # difference of rates; None when an arm is empty
    z: float | None
    p_value: float | None
    verdict: Verdict
    boundary: float
    plan: Plan
    needed: int | None  # people in all to see the planned lift, holdout as it is
    power: float | None  # to see the planned lift with the people there are
    detectable: float | None  # the least lift these people would show
    too_small: bool
    incremental: Interval | None  # goals that would not have been without: lift × treated people
    value: Interval | None = None  # incremental, in units of money
    net: Interval | None = None  # the same less the cost
    strata: int = 1

    @property
    def holdout_share(self) -> float | None:
        total = self.treated.people + self.control.people
        return self.control.people / total if total else None

    @property
    def is_shown(self) -> bool:
        """Whether the lift is above zero, by its interval and with nobody lost."""
        return bool(self.lift and self.lift.low > 0 and self.verdict is not Verdict.INVALID and not self.too_small)

    @property
    def cost_per_incremental(self) -> Interval | None:
        """By inverting the interval of the lift; None = not shown to recall anyone."""
        if not self.incremental or not self.is_shown:
            return None
        cost = self.treated.cost
        return Interval(cost / self.incremental.at, cost / self.incremental.high, cost / self.incremental.low)


def difference(treated: Side, control: Side, *, alpha: float = ALPHA) -> Interval | None:
    """Difference of two rates with Newcombe's interval; None when an arm is empty."""
    if not treated.people or not control.people:
        return None
    from statsmodels.stats.proportion import confint_proportions_2indep

    low, high = confint_proportions_2indep(
        treated.goals, treated.people, control.goals, control.people, method="newcomb", compare="diff", alpha=alpha
    )
    return Interval(treated.goals / treated.people - control.goals / control.people, float(low), float(high))


def ztest(treated: Side, control: Side) -> tuple[float, float]:
    """(z, two-sided p) of the pooled test of two proportions; (0, 1) when nobody or everybody reached the goal."""
    from statsmodels.stats.proportion import proportions_ztest

    goals, people = treated.goals + control.goals, treated.people + control.people
    if goals in (0, people):
        return 0.0, 1.0
    z, p = proportions_ztest([treated.goals, control.goals], [treated.people, control.people])
    return float(z), float(p)


def compare(
    treated: Side, control: Side, *, arm: str = "treated", ratio: SampleRatio | None = None, plan: Plan = Plan()
) -> Comparison:
    """One arm against the control."""
    lift = difference(treated, control, alpha=plan.alpha)
    z, p = ztest(treated, control) if lift else (None, None)
    return _judge(arm, treated, control, lift, z, p, ratio, plan)


def compare_strata(
    strata: Sequence[tuple[Side, Side]],
    *,
    arm: str = "treated",
    ratio: SampleRatio | None = None,
    plan: Plan = Plan(),
) -> Comparison:
    """The same where the share held out differs between strata (journeys, versions): pooling would mislead.

    Weighs each stratum's difference by its people and adds the variances (Wald); one stratum is compared as ever.
    """
    if len(strata) < 2:
        whole = strata[0] if strata else (Side(0, 0), Side(0, 0))
        return compare(*whole, arm=arm, ratio=ratio, plan=plan)
    usable = [(t, c) for t, c in strata if t.people and c.people]
    treated, control = sum((t for t, _ in usable), Side(0, 0)), sum((c for _, c in usable), Side(0, 0))
    total = treated.people + control.people
    if not total:
        return compare(treated, control, arm=arm, ratio=ratio, plan=plan)
    at = variance = 0.0
    for t, c in usable:
        weight = (t.people + c.people) / total
        at += weight * (t.goals / t.people - c.goals / c.people)
        variance += weight**2 * (_variance(t) + _variance(c))
    error = sqrt(variance)
    z = at / error if error else 0.0
    spread = _z(plan.alpha) * error
    lift = Interval(at, at - spread, at + spread)
    p = 2 * NormalDist().cdf(-abs(z))
    return _judge(arm, treated, control, lift, z, p, ratio, plan, strata=len(usable))


def _z(alpha: float) -> float:
    """Standard errors to either side of an estimate."""
    return NormalDist().inv_cdf(1 - alpha / 2)


def _variance(side: Side) -> float:
    rate = side.goals / side.people
    return rate * (1 - rate) / side.people


def _judge(
    arm: str,
    treated: Side,
    control: Side,
    lift: Interval | None,
    z: float | None,
    p: float | None,
    ratio: SampleRatio | None,
    plan: Plan,
    *,
    strata: int = 1,
) -> Comparison:
    bound = boundary(plan.look, plan.looks, plan.alpha)
    crossed = z is not None and not isnan(z) and abs(z) > bound
    few = _few(treated, control)
    if ratio is not None and ratio.state is Ratio.BLOCKED:
        verdict = Verdict.INVALID
    elif crossed and not few:
        verdict = Verdict.STOP
    else:
        verdict = Verdict.INCONCLUSIVE if plan.look >= plan.looks else Verdict.RUNNING
    needed, power, least = _reach(treated, control, plan)
    unclear = lift is None or lift.includes_zero
    short = needed is not None and treated.people + control.people < needed
    value = None if few else _value(treated, control, alpha=plan.alpha)
    return Comparison(
        arm=arm,
        treated=treated,
        control=control,
        lift=lift,
        z=z,
        p_value=p,
        verdict=verdict,
        boundary=bound,
        plan=plan,
        needed=needed,
        power=power,
        detectable=least,
        too_small=few or (unclear and (short or needed is None)),
        incremental=lift.times(treated.people) if lift else None,
        value=value,
        net=value.minus(treated.cost) if value else None,
        strata=strata,
    )


def _few(treated: Side, control: Side) -> bool:
    return any(min(side.goals, side.people - side.goals) < LEAST_EVENTS for side in (treated, control))


def _reach(treated: Side, control: Side, plan: Plan) -> tuple[int | None, float | None, float | None]:
    """(people needed, power with those there are, least detectable lift) for the planned relative lift."""
    total = treated.people + control.people
    base = control.rate
    if not total or not base or not treated.people or base >= 1:
        return None, None, None
    share = control.people / total
    better = min(base * (1 + plan.relative), 1.0)
    return (
        people_needed(base, better, share, alpha=plan.alpha),
        power_of(_effect_size(base, better), total, share, alpha=plan.alpha),
        detectable(base, total, share, alpha=plan.alpha),
    )


def _value(treated: Side, control: Side, *, alpha: float) -> Interval | None:
    """What the arm brought beyond the control: difference of means × treated people, unequal variances."""
    if treated.people < 2 or control.people < 2 or not (treated.value_squares or control.value_squares):
        return None
    at = treated.value / treated.people - control.value / control.people
    error = sqrt(sum(_mean_variance(side) for side in (treated, control)))
    spread = _z(alpha) * error
    return Interval(at, at - spread, at + spread).times(treated.people)


def _mean_variance(side: Side) -> float:
    spread = side.value_squares - side.value**2 / side.people
    return max(spread, 0.0) / (side.people - 1) / side.people


def compare_arms(
    arms: Mapping[str, Side],
    control: str,
    *,
    expected: Mapping[str, float] | None = None,
    ratio: SampleRatio | None = None,
    plan: Plan = Plan(),
) -> tuple[SampleRatio, list[Comparison]]:
    """Every arm against the control, and whether the arms are as large as intended (unless `ratio` tells)."""
    ratio = ratio or check_ratio({arm: side.people for arm, side in arms.items()}, expected)
    others = [arm for arm in arms if arm != control]
    shared = Plan(plan.looks, plan.look, plan.relative, arms=len(others))
    return ratio, [compare(arms[arm], arms[control], arm=arm, ratio=ratio, plan=shared) for arm in others]
