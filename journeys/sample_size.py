"""How many people does it take to see an effect? Cohen's h and the normal distribution; no library needed.

Agrees with `NormalIndPower` of statsmodels to 1e-9 (tests/measure), and is light enough for lint.
"""

from __future__ import annotations

from math import asin, ceil, sin, sqrt
from statistics import NormalDist

ALPHA = 0.05  # two-sided
POWER = 0.8
RELATIVE = 0.2  # the lift one plans for when nothing else is said: a fifth more than would have come anyway
BASE = 0.10  # the share who come back by themselves, when nothing else is known

_NORMAL = NormalDist()


def effect_size(base: float, better: float) -> float:
    """Cohen's h between two rates."""
    return 2 * asin(sqrt(better)) - 2 * asin(sqrt(base))


def power_of(effect: float, people: float, holdout: float, *, alpha: float = ALPHA) -> float:
    """The chance that a two-sided test sees this effect among so many people, of whom a share is held out."""
    shift = abs(effect) * sqrt(people * holdout * (1 - holdout))
    bound = _NORMAL.inv_cdf(1 - alpha / 2)
    return _NORMAL.cdf(shift - bound) + _NORMAL.cdf(-shift - bound)


def people_needed(
    base: float, better: float, holdout: float, *, power: float = POWER, alpha: float = ALPHA
) -> int | None:
    """People in all, holdout included; None when there is no effect, no holdout, or nobody but it."""
    effect = effect_size(base, better)
    if not effect or not 0 < holdout < 1:
        return None
    return ceil(_shift_needed(power, alpha) ** 2 / (effect**2 * holdout * (1 - holdout)))


def detectable(base: float, people: float, holdout: float, *, power: float = POWER, alpha: float = ALPHA) -> float:
    """The least lift (in shares, 0.01 = one percentage point) that so many people would show; 1 when none would."""
    if people <= 0 or not 0 < holdout < 1:
        return 1.0
    angle = asin(sqrt(base)) + _shift_needed(power, alpha) / sqrt(people * holdout * (1 - holdout)) / 2
    return 1.0 if angle >= asin(1.0) else sin(angle) ** 2 - base


def _shift_needed(power: float, alpha: float) -> float:
    """How many standard errors the effect must be; by bisection, since both tails count."""
    bound = _NORMAL.inv_cdf(1 - alpha / 2)
    low, high = 0.0, bound + 10
    for _ in range(80):
        middle = (low + high) / 2
        reached = _NORMAL.cdf(middle - bound) + _NORMAL.cdf(-middle - bound)
        low, high = (middle, high) if reached < power else (low, middle)
    return high
