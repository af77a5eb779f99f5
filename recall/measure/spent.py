"""What was spent, on messages and on offers that were taken up, and what does a new user cost in comparison?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from journeys.journey import Journey, Offer, PolicyByJurisdiction
from journeys.program import MessageNode
from recall.measure.holdouts import Holdouts
from recall.store.figures import MICROS, Asked, Spending, read_redeemed
from recall.store.versions import Version


@dataclass(frozen=True)
class Money:
    """What was spent on whom; cost per recall is told only where there is one currency."""

    spent: Mapping[str, float]  # currency -> units, everybody
    closed: float  # units, people whose windows are over
    offers: float  # units, the part of `closed` that redeemed offers are
    currency: str
    is_one_currency: bool


def money_of(messages: Sequence[Spending], offers: Sequence[Spending] = ()) -> Money:
    spent: dict[str, float] = {}
    for line in (*messages, *offers):
        if line.micros:
            spent[line.currency] = spent.get(line.currency, 0.0) + line.micros / MICROS
    if len(spent) > 1:
        return Money(spent, 0.0, 0.0, "", False)
    taken, sent = (sum(line.micros for line in lines if line.closed) / MICROS for lines in (offers, messages))
    return Money(spent, taken + sent, taken, next(iter(spent), ""), True)


def offers_taken(asked: Asked, versions: Iterable[Version], *, programme: bool = False) -> list[Spending]:
    """What redeemed offers of these versions cost: of the first passages of one journey, or of the programme."""
    found: list[Spending] = []
    costs: dict[tuple[int, str, tuple[str, ...]], dict[int, int]] = {}
    for version in versions:
        for offer in _offers(version):
            events = (offer.redeemed,) if offer.redeemed else version.program.journey.goal.events
            costs.setdefault((version.journey_id, offer.name, events), {})[version.id] = offer.cost or 0
    for (journey_id, name, events), cost in costs.items():
        for line in read_redeemed(asked, journey_id, name, events, programme=programme):
            micros = line.people * cost.get(line.version_id, 0)
            found.append(Spending(line.closed, line.currency, line.people, micros))
    return found


def _offers(version: Version) -> list[Offer]:
    """Those whose cost is told."""
    nodes = (node for node in version.program.nodes if isinstance(node, MessageNode))
    return [node.offer for node in nodes if node.offer is not None and node.offer.cost]


def new_user_cost(journey: Journey, holdouts: Holdouts) -> float | None:
    if isinstance(journey.policy, PolicyByJurisdiction) or journey.policy not in holdouts.policies:
        return None
    cost = holdouts.policies[journey.policy].prices.new_user_cost
    return None if cost is None else cost / MICROS
