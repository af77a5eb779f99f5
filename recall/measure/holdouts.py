"""How many were meant to be held out? The share of each version in each period of its policy."""

from __future__ import annotations

from collections.abc import Iterable

from journeys.journey import Journey, PolicyByJurisdiction
from journeys.policy import Policy
from recall.clock import Instant
from recall.store.figures import Asked
from recall.store.figures_days import policy_holdouts
from recall.store.versions import Version


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
