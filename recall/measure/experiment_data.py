"""What does a comparison say to programs? Rates and lifts are shares (0.01 = one point), money is in units."""

from __future__ import annotations

from typing import Any

from recall.measure.experiment import Comparison
from recall.measure.ratio import SampleRatio
from recall.measure.sides import Interval


def interval_data(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else {"at": interval.at, "low": interval.low, "high": interval.high}


def ratio_data(ratio: SampleRatio) -> dict[str, Any]:
    return {
        "state": ratio.state.value,
        "p_value": ratio.p_value,
        "observed": dict(ratio.observed),
        "expected": dict(ratio.expected),
    }


def comparison_data(found: Comparison) -> dict[str, Any]:
    lift, base = found.lift, found.control.rate
    return {
        "arm": found.arm,
        "people": found.treated.people,
        "goals": found.treated.goals,
        "rate": found.treated.rate,
        "control_people": found.control.people,
        "control_goals": found.control.goals,
        "control_rate": base,
        "lift": interval_data(lift),
        "relative_lift": lift.at / base if lift and base else None,
        "z": found.z,
        "p_value": found.p_value,
        "verdict": found.verdict.value,
        "too_small_to_tell": found.too_small,
        "look": found.plan.look,
        "looks": found.plan.looks,
        "boundary": found.boundary,
        "people_needed": found.needed,
        "power": found.power,
        "detectable_lift": found.detectable,
        "incremental": interval_data(found.incremental),
        "cost": found.treated.cost,
        "cost_per_incremental": interval_data(found.cost_per_incremental),
        "shown_to_recall": found.is_shown,
        "incremental_value": interval_data(found.value),
        "net_value": interval_data(found.net),
    }
