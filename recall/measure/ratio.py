"""Are the arms as large as they were meant to be? If not, somebody got lost, and no result is to be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

BLOCKED_BELOW = 0.001
CAUTION_BELOW = 0.01


class Ratio(StrEnum):
    """Are the arms as large as they were meant to be?"""

    FINE = "fine"
    CAUTION = "caution"  # p < .01
    BLOCKED = "blocked"  # p < .001: somebody got lost, and no number below can be trusted
    UNCHECKED = "not_checked"  # nobody said how large they were meant to be


@dataclass(frozen=True)
class SampleRatio:
    """Observed against intended sizes."""

    state: Ratio
    p_value: float | None
    observed: Mapping[str, int]
    expected: Mapping[str, float]  # people


def check_ratio(observed: Mapping[str, int], expected: Mapping[str, float] | None) -> SampleRatio:
    """Exact binomial for two arms, chi-square for more; `expected` are shares or people, only their ratios count."""
    total = sum(observed.values())
    if not expected or not total:
        return SampleRatio(Ratio.UNCHECKED, None, dict(observed), {})
    whole = sum(expected.values())
    people = {arm: total * expected.get(arm, 0.0) / whole for arm in {**expected, **observed}}
    p = _ratio_p({arm: observed.get(arm, 0) for arm in people}, people)
    state = Ratio.BLOCKED if p < BLOCKED_BELOW else Ratio.CAUTION if p < CAUTION_BELOW else Ratio.FINE
    return SampleRatio(state, p, dict(observed), people)


def _ratio_p(observed: Mapping[str, int], people: Mapping[str, float]) -> float:
    from scipy.stats import binomtest, chisquare

    if any(observed[arm] and not people[arm] for arm in observed):
        return 0.0  # somebody in an arm where nobody should be
    arms = [arm for arm in people if people[arm]]
    total = sum(observed.values())
    if len(arms) < 2:
        return 1.0
    if len(arms) == 2:
        share = min(max(people[arms[0]] / total, 0.0), 1.0)
        return float(binomtest(observed[arms[0]], total, share).pvalue)
    return float(chisquare([observed[arm] for arm in arms], [people[arm] for arm in arms]).pvalue)
