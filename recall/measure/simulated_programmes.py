"""Would our method tell the truth? Programmes with a known lift, made in numpy by the hundred.

People come back by the natural hazard of public purchase data (CDNOW: .0218·(1 + d/28.4)^-1.287 per day silent) with
a frailty of their own; messages add to it, never multiply it. Both futures of a person hang on the same chances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recall.measure.sides import Side

if TYPE_CHECKING:
    from numpy import bool_, float64, int64
    from numpy.random import Generator
    from numpy.typing import NDArray

NATURAL = 0.0218
SLOWER = 28.4
POWER = -1.287
LEVEL = 0.5
FADES_DAYS = 4.0


@dataclass(frozen=True)
class Programme:
    """What happened, and what would have."""

    held_out: NDArray[bool_]
    untreated: NDArray[bool_]  # comes back by themselves
    treated: NDArray[bool_]  # comes back when messaged
    week: NDArray[int64]  # week of entering, 0 …

    @property
    def truth(self) -> float:
        """The lift in this very population: mean of what each person does with, less without."""
        return float(self.treated.mean() - self.untreated.mean())

    def sides(self, *, upto: int | None = None) -> tuple[Side, Side]:
        """(treated, control) as a report sees them, of the people who entered up to this week."""
        seen = self.week <= upto if upto is not None else self.week >= 0
        ours, theirs = seen & ~self.held_out, seen & self.held_out
        return (
            Side(int(ours.sum()), int(self.treated[ours].sum())),
            Side(int(theirs.sum()), int(self.untreated[theirs].sum())),
        )

    def without_lost(self, share: float, seed: int) -> tuple[Side, Side]:
        """The same after a share of the held out who did not come back silently got lost."""
        import numpy as np

        lost = self.held_out & ~self.untreated & (np.random.default_rng(seed).random(self.held_out.size) < share)
        treated, control = self.sides()
        return treated, Side(control.people - int(lost.sum()), control.goals)


@dataclass(frozen=True)
class Crowd:
    """Who enters: how long they have been silent, how readily they come back, how many of them reach the goal then."""

    silent_from: float = 30.0  # days
    longer: float = 0.7  # share silent for longer than that, by `longer_days` on average
    longer_days: float = 60.0
    silent_to: float = float("inf")
    level: float = LEVEL  # factor on the natural hazard
    finishes: float = 1.0  # share of those back who reach the goal


@dataclass(frozen=True)
class Touch:
    """One message: a hazard that begins `day` days after entering and fades with a mean of four days."""

    day: float
    size: float  # in all, for a person who answers as people do on average
    reached: float = 1.0  # share of people it gets to


def simulate_programme(
    seed: int,
    n: int,
    *,
    holdout: float = 0.1,
    kick: float = 0.0015,
    window: int = 28,
    weeks: int = 13,
    crowd: Crowd = Crowd(),
    touches: Sequence[Touch] = (),
) -> Programme:
    """One programme of n people; messages are `touches`, or add `kick` to the daily hazard over the window."""
    import numpy as np

    chance = np.random.default_rng(seed)
    natural = _natural(chance, n, crowd, window)
    response = chance.gamma(1.0, 1.0, n)
    felt = np.zeros(n) if touches else np.full(n, kick * window)
    for touch in touches:
        size = touch.size * (1 - np.exp(-(window - touch.day) / FADES_DAYS))
        felt += np.where(chance.random(n) < touch.reached, size, 0.0)
    draw = chance.random(n)  # the same for both futures
    finishes = chance.random(n) < crowd.finishes
    return Programme(
        held_out=chance.random(n) < holdout,
        untreated=(draw < 1 - np.exp(-natural)) & finishes,
        treated=(draw < 1 - np.exp(-natural - felt * response)) & finishes,
        week=chance.integers(0, weeks, n),
    )


def _natural(chance: Generator, n: int, crowd: Crowd, window: int) -> NDArray[float64]:
    """The natural hazard summed over the window, in closed form."""
    import numpy as np

    within = 1 - np.exp(-(crowd.silent_to - crowd.silent_from) / crowd.longer_days)  # of the longer silent
    longer = crowd.longer * within / (crowd.longer * within + 1 - crowd.longer)
    more = -crowd.longer_days * np.log1p(-within * chance.random(n))
    silent = crowd.silent_from + np.where(chance.random(n) < 1 - longer, 0.0, more)
    frailty = chance.gamma(1.5, 1 / 1.5, n)
    grown = (1 + (silent + window) / SLOWER) ** (POWER + 1) - (1 + silent / SLOWER) ** (POWER + 1)
    summed: NDArray[float64] = crowd.level * frailty * NATURAL * SLOWER / (POWER + 1) * grown
    return summed


def weekly_scores(seed: int, programmes: int, *, people: int, base: float, looks: int = 13) -> NDArray[float64]:
    """z at each weekly look of programmes without any effect, as many people in each arm each week; one row each."""
    import numpy as np

    chance = np.random.default_rng(seed)
    goals = chance.binomial(people, base, (2, programmes, looks)).cumsum(axis=2)
    seen = people * np.arange(1, looks + 1)
    pooled = goals.sum(axis=0) / (2 * seen)
    error = np.sqrt(np.maximum(pooled * (1 - pooled) * 2 / seen, 1e-12))
    scores: NDArray[float64] = (goals[0] - goals[1]) / seen / error
    return scores
