"""What is known of one arm, and how sure is a number drawn from two of them?"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Side:
    """One arm: everyone assigned, who reached the goal, what it was worth and what it cost (units of money)."""

    people: int
    goals: int
    value: float = 0.0
    value_squares: float = 0.0  # sum over people of value²
    cost: float = 0.0

    @property
    def rate(self) -> float | None:
        return self.goals / self.people if self.people else None

    def __add__(self, other: Side) -> Side:
        return Side(
            self.people + other.people,
            self.goals + other.goals,
            self.value + other.value,
            self.value_squares + other.value_squares,
            self.cost + other.cost,
        )


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    at: float
    low: float
    high: float

    @property
    def includes_zero(self) -> bool:
        return self.low <= 0 <= self.high

    def times(self, factor: float) -> Interval:
        ends = sorted((self.low * factor, self.high * factor))
        return Interval(self.at * factor, ends[0], ends[1])

    def minus(self, amount: float) -> Interval:
        return Interval(self.at - amount, self.low - amount, self.high - amount)
