"""What was spent, on whom, and what does a new user cost in comparison?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from journeys.journey import Journey, PolicyByJurisdiction
from recall.measure.holdouts import Holdouts
from recall.store.figures import MICROS, Spending


@dataclass(frozen=True)
class Money:
    """What was spent on whom; cost per recall is told only where there is one currency."""

    spent: Mapping[str, float]  # currency -> units, everybody
    closed: float  # units, people whose windows are over
    currency: str
    is_one_currency: bool


def money_of(spending: Sequence[Spending]) -> Money:
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


def new_user_cost(journey: Journey, holdouts: Holdouts) -> float | None:
    if isinstance(journey.policy, PolicyByJurisdiction) or journey.policy not in holdouts.policies:
        return None
    cost = holdouts.policies[journey.policy].prices.new_user_cost
    return None if cost is None else cost / MICROS
